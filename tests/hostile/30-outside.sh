#!/bin/bash
# A live worker, seen by those around it: processes of its own uid, of another worker's, of a
# user's, and the root of its container. Then the hostile worker's attempts, in workers that the
# installed helper makes.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/../functional/serve.sh"
requires crun jq busybox

outsider=$build/tests/hostile/outsider
# What a process of the worker's own uid may do. There is none but the other sealed workers of
# its container, and none of these has a system call for it.
same_uid='signal affinity priority'

helper_start
for id in one two; do
    bundle_make "$TEST_DIR/$id"
    container_start crun $id "$TEST_DIR/$id"
    ublk-oci attach --container $id --device /dev/data --target memory --size 1M >/dev/null
done
read -r pid uid other_uid < <(ublk-oci list --json | jq -r \
    '(.[] | select(.container.id == "one") | .worker) as $w
    | (.[] | select(.container.id == "two") | .worker.uid) as $other
    | "\($w.pid) \($w.uid) \($other)"')
[ "${uid:-0}" -gt 1000 ] && [ "${other_uid:-0}" -gt 1000 ] && [ "$uid" != "$other_uid" ] ||
    fail "uids $uid and $other_uid"

# look UID WHAT: nothing may be done but what $3 lists.
look() {
    local name end could=""

    "$outsider" "$pid" "$1" >tries || fail "outsider failed: $(cat tries)"
    while read -r name end; do
        [ "$end" != done ] || could+=" $name"
    done <tries
    [ "${could# }" = "$3" ] || fail "$2 could do:$could"
    [ "$(wc -l <tries)" -ge 25 ] || fail "too few attempts"
    ok "outside: $2: $(wc -l <tries) attempts, done:${could:- none}"
}

look "$uid" "a process of the worker's own uid" "$same_uid"
look "$other_uid" "a process of another worker's uid" ''
look 1000 "a user's process" ''
kill -0 "$pid" || fail "the worker ended"

# shellcheck disable=SC2016 # for the shell in the container
crun exec one sh -c 'for f in /proc/[0-9]*/comm; do read -r n <$f; echo "$n"; done 2>/dev/null
    kill -0 '"$pid"' 2>&1; echo $?' >seen || true
! grep -q ublk <seen || fail "the container sees $(cat seen)"
[ "$(tail -n 1 seen)" != 0 ] || fail "the container's root can signal the worker"
grep -q sleep <seen || fail "it sees nothing at all"
crun exec one dd if=/dev/data of=/dev/null bs=4k count=1 2>/dev/null || fail "it is not served"
ok "outside: the container's root neither sees nor signals it, and is served"
ublk-oci detach --container one --all >/dev/null
ublk-oci detach --container two --all >/dev/null
expect_nothing_left
helper_stop

# The helper says of a worker that was killed that it ended without a word. One that was
# refused gives its errno before it ends, in the words the helper logs.
helper_start --worker "$build/tests/hostile/hostile-worker"
"$build/tests/functional/serve" --list-attacks | grep -v ^server_ >attacks
"$build/tests/hostile/hostile-attack-ask" >answers || fail "the helper does not answer"
bad=0
late="no word from the worker: Connection timed out"
while read -r name kind code <&3 && read -r answer <&4; do
    want="$name: the worker ended without a word"
    [ "$kind" = signal ] || want="$name: the worker gave up: status $code"
    # In the cgroup that the helper gives the kernel ends it, for want of memory; taking a million
    # requests back may last longer than the helper waits.
    [ "$name" != ring_endless_requests ] || [ "$answer" != "$name: $late" ] || continue
    [ "$name" != ring_endless_requests ] || want="$name: the worker ended without a word"
    # A word of its own, in the place of "ready": the helper does not take it.
    [ "$name" != ring_permitted_word ] || want="$name: a strange word from the worker"
    if [ "$answer" != "$want" ]; then
        echo "not ok $answer (expected: $want)"
        bad=$((bad + 1))
    fi
done 3<attacks 4<answers
[ "$(wc -l <answers)" = "$(wc -l <attacks)" ] || fail "not every attempt was made"
[ $bad = 0 ] || fail "$bad attempts went otherwise in a worker of the helper's"
expect_nothing_left
ok "helper: $(wc -l <attacks) attempts go the same way in workers the installed helper makes"

met_limit() {
    dmesg >kernel # a pipe that grep leaves early would be an error
    grep -q 'Memory cgroup out of memory: Killed process .*(hostile-worker)' kernel
}

requests_without_end() { # take memory by now
    local file

    for file in /sys/fs/cgroup/ublk-oci/workers/{*,*/*}/memory.current; do
        [ ! -e "$file" ] || [ "$(<"$file")" -lt $((24 << 20)) ] || return 0
    done
    return 1
}

# The helper's patience with a worker, five seconds, is too short for a slow machine to get as far
# as the limit. So its child is held meanwhile.
if ! met_limit; then
    "$build/tests/hostile/hostile-attack-ask" ring_endless_requests &
    asks=$!
    wait_for 10 requests_without_end
    pkill -STOP -P "$helper_pid"
    wait_for 25 met_limit
    pkill -CONT -P "$helper_pid"
    wait $asks
    expect_nothing_left
fi
ok "helper: requests without end are ended by the memory limit of the worker's cgroup"
