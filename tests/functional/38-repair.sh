#!/bin/bash
# What belongs to nobody: made by hand, one of each kind, named by `ublk-oci repair --dry-run` and
# removed by `ublk-oci repair`; the same when a helper starts. What is somebody's, or another
# server's, is not touched.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires crun jq flock setpriv

build=${UBLK_OCI_BUILD:-$(cd "$(dirname "$0")/../.." && pwd)/build/tests-gcc}
tools=$build/tests/functional
steps=$tools/ublk-ocid-steps
for tool in serve node_tool keep_tool ublk-ocid-steps; do
    [ -x "$tools/$tool" ] || skip "$tools/$tool is not built"
done

# The mark is the upper half of a generation.
nobody=75626f63deadbeef
workers=/sys/fs/cgroup/ublk-oci/workers
cgroup=$workers/0000000000000000-ublk700-${nobody:8}
empty=$workers/0000000000000000-ublk701-00000001-b # as that of a worker which took over
pins=/sys/fs/bpf/ublk-oci
store=/run/ublk-oci/nodes

kill_helper() {
    kill -KILL "$helper_pid"
    wait "$helper_pid" 2>/dev/null || true
}
pid_of() { crun state "$1" | jq .pid; }
# server NAME [OPTION...]: another server's device; sets $dev, $worker.
server() {
    local name=$1 out=$TEST_DIR/$1.out

    shift
    mkfifo "$TEST_DIR/$name.in"
    # It ends when nobody has its input open any more: this shell has, by its own end.
    exec {input}<>"$TEST_DIR/$name.in"
    "$tools/serve" --worker "$build/driver/worker/ublk-oci-worker" --target memory --size 1M "$@" \
        <"$TEST_DIR/$name.in" >"$out" 2>&1 &
    server=$!
    wait_for 20 grep -q /dev/ublkb "$out"
    dev=$(grep -o '^/dev/ublkb[0-9]*' "$out")
    worker=$(sed -n 's/.* pid \([0-9]*\) .*/\1/p' "$out")
}
repair() { ublk-oci repair --json "$@"; }
finds_nothing() { # [WORDS]
    repair >"$TEST_DIR/answer"
    jq -e 'length == 0' "$TEST_DIR/answer" >/dev/null || fail "${1:-it found}: $(cat "$TEST_DIR/answer")"
}
# kinds OUTCOME: what the last answer says of it, in a line
kinds() { jq -r "[.[] | select(.outcome == \"$1\") | .kind] | unique | join(\" \")" "$TEST_DIR/answer"; }
names() { jq -r ".[] | select(.kind == \"$1\") | .name" "$TEST_DIR/answer"; }
# state of all that is ours, as far as a name shows it
there() {
    ls -d /dev/ublk* "$workers"/*/ $pins/* $store/* /run/ublk-oci/devices/* /run/ublk-oci/stats/* 2>/dev/null
    cat "$workers"/*/cgroup.procs
    ls "/proc/$mine_pid/root/dev"
}

bundle_make "$TEST_DIR/mine"
container_start crun mine "$TEST_DIR/mine"
mine_pid=$(pid_of mine)
bundle_make "$TEST_DIR/other"
container_start crun other "$TEST_DIR/other"
other_pid=$(pid_of other)
undo helper_stop
helper_start

[ "$(ublk-oci repair)" = 'nothing is there that belongs to nobody' ] || fail "$(ublk-oci repair)"
finds_nothing
expect_fail 'only root may ask' setpriv --reuid 65534 --regid "$(getent group ublk-oci | cut -d : -f 3)" \
    --clear-groups ublk-oci repair
ok "repair: there is nothing, and only root may ask"

# What is somebody's: a device in a container, with data, and one of another server.
ublk-oci attach --container mine --device /dev/mine --target memory --size 1M >/dev/null
crun exec mine dd if=/dev/urandom of=/dev/mine bs=1M count=1 conv=fsync 2>/dev/null
sum=$(crun exec mine sha256sum /dev/mine)
server foreign
foreign=$dev foreign_worker=$worker foreign_server=$server
dd if=/dev/urandom of="$foreign" bs=64k count=1 conv=fsync 2>/dev/null
foreign_sum=$(sha256sum <"$foreign")
untouched() {
    [ "$(crun exec mine sha256sum /dev/mine)" = "$sum" ] || fail "the device on record: other data"
    [ "$(dd if="$foreign" iflag=direct bs=1M 2>/dev/null | sha256sum)" = "$foreign_sum" ] ||
        fail "the other server's device: other data"
    kill -0 "$foreign_worker" || fail "the other server's worker ended"
}

# One of each kind.
server orphan --cookie $nobody
orphan=$dev orphan_worker=$worker orphan_server=$server
number=$((0x$(stat -c %t "$orphan"))):$((0x$(stat -c %T "$orphan")))
mkdir "$cgroup" "$empty"
echo "$orphan_worker" >"$cgroup/cgroup.procs"
"$tools/keep_tool" put 0x$nobody /dev/zero
"$tools/keep_tool" put 7 /dev/zero # without our mark
: >/run/ublk-oci/stats/$nobody
: >/run/ublk-oci/devices/$nobody.tmp
echo what >/run/ublk-oci/devices/strange.bad
"$tools/node_tool" insert "$other_pid" $store /dev/data "$number" 0 0 660
"$tools/node_tool" allow "$other_pid" $pins "$number" rw
crun exec other dd if=/dev/data of=/dev/null bs=4k count=1 2>/dev/null || fail "it cannot be opened"
mkdir $pins/123456789 # of a cgroup that is gone

# One that is on record, and does not come to an end: its counters cannot be removed.
ublk-oci attach --container other --device /dev/half --target memory --size 1M >/dev/null
half=$(ublk-oci list --json | jq -r '.[] | select(.path == "/dev/half") | .generation')
rm "/run/ublk-oci/stats/$half"
mkdir "/run/ublk-oci/stats/$half"
expect_fail 'not all of .* is gone' ublk-oci detach --container other --device /dev/half
sleep 4 # it is tried ever more seldom

before=$(there)
repair --dry-run >"$TEST_DIR/answer"
[ "$(kinds found)" = 'cgroup counters device file filter kept node place record worker' ] ||
    fail "found: $(cat "$TEST_DIR/answer")"
[ "$(names device)" = "${orphan#/dev/}" ] || fail "the device: $(names device)"
[ "$(names worker)" = "pid $orphan_worker" ] || fail "the worker: $(names worker)"
[ "$(names cgroup)" = "$cgroup"$'\n'"$empty" ] || fail "the cgroups: $(names cgroup)"
[ "$(names kept)" = $nobody ] || fail "kept: $(names kept)"
[ "$(names counters)" = $nobody ] || fail "counters: $(names counters)"
[ "$(names node)" = "$number" ] || fail "the node: $(names node)"
[ "$(names place)" = "$number at /dev/data, where pid $other_pid is" ] || fail "the place: $(names place)"
[ "$(names filter | sort)" = "$number in cgroup $(stat -c %i "/sys/fs/cgroup$(cgroup_of "$other_pid")")
pins of cgroup 123456789" ] || fail "the filters: $(names filter)"
[ "$(names file | sort)" = "$nobody.tmp
strange.bad" ] || fail "the files: $(names file)"
[ "$(there)" = "$before" ] || fail "it changed something: $(diff <(echo "$before") <(there))"
ublk-oci repair --dry-run | found "^device ${orphan#/dev/}: it has our mark, and no record names it: would be removed$" ||
    fail "it says: $(ublk-oci repair --dry-run)"
ok "repair: --dry-run names one of each of ten kinds, and changes nothing"

rmdir "/run/ublk-oci/stats/$half"
repair >"$TEST_DIR/answer" || fail "repair: $(cat "$TEST_DIR/answer" "$TEST_DIR/helper.log")"
[ "$(kinds removed)" = 'cgroup counters device file filter kept node place record worker' ] ||
    fail "removed: $(cat "$TEST_DIR/answer")"
[ "$(ublk-oci repair)" = 'nothing is there that belongs to nobody' ] || fail "$(ublk-oci repair)"
[ ! -e "$orphan" ] && [ ! -e "${orphan/ublkb/ublkc}" ] || fail "the device is still there"
! kill -0 "$orphan_worker" 2>/dev/null || fail "the worker is still there"
[ ! -e "$cgroup" ] && [ ! -e "$empty" ] || fail "a cgroup is still there"
expect_fail 'No such file' "$tools/keep_tool" get 0x$nobody
"$tools/keep_tool" get 7 >/dev/null || fail "what is not ours was dropped"
"$tools/keep_tool" drop 7
! crun exec other test -e /dev/data || fail "the node is still in the container"
crun exec other dd if=/dev/zero of=/dev/null bs=4k count=1 2>/dev/null || fail "/dev/zero is closed"
[ "$(nr_devices)" = 1 ] || fail "the half one is still there: $(ublk-oci list)"
wait "$orphan_server" 2>/dev/null || true
untouched
ok "repair: all of it is removed, the next finds nothing; another server's device, one on record are not touched"

# Number and place of each attach are taken and given back, while repair looks again and again.
attaches() {
    local i

    for i in $(seq 1 12); do
        ublk-oci attach --container other --device /dev/data --target memory --size 1M >/dev/null || return
        crun exec other dd if=/dev/zero of=/dev/data bs=64k count=1 conv=fsync 2>/dev/null || return
        ublk-oci detach --container other --device /dev/data || return
        echo "$i" >"$TEST_DIR/attached"
    done
}
attaches >"$TEST_DIR/attaches" 2>&1 &
loop=$!
times=0
while [ $times -lt 20 ] || kill -0 $loop 2>/dev/null; do
    finds_nothing
    times=$((times + 1))
done
wait $loop || fail "an attach: $(cat "$TEST_DIR/attaches")"
[ "$(cat "$TEST_DIR/attached")" = 12 ] || fail "not all"
untouched
ok "repair: 12 attaches under way while it runs $times times lose nothing"

# A helper that starts does it too: its predecessor's journal is lost.
ublk-oci attach --container other --device /dev/data --target memory --size 1M >/dev/null
lost=$(ublk-oci list --json | jq -r '.[] | select(.path == "/dev/data") | .generation')
kill -STOP "$(ublk-oci list --json | jq '.[] | select(.path == "/dev/data") | .worker.pid')"
kill_helper
rm "/run/ublk-oci/devices/$lost"
: >"$TEST_DIR/helper.log"
helper_start
! there | found -e "${lost:8}" || fail "something is there: $(there)"
grep -q 'repair: ublkb[0-9]*: it has our mark, and no record names it; it is removed' "$TEST_DIR/helper.log" ||
    fail "the log: $(cat "$TEST_DIR/helper.log")"
! crun exec other test -e /dev/data || fail "the node is still in the container"
crun exec other dd if=/dev/zero of=/dev/null bs=4k count=1 2>/dev/null || fail "/dev/zero is closed"
finds_nothing "it left"
untouched
ok "repair: a helper that starts removes what its predecessor has no record of"
helper_stop

# It died on its way, and its journal is lost.
for step in cgroup_make spawn_serve ublk_start node_insert node_try; do
    env STEPS_DIE=$step "$steps" 2>>"$TEST_DIR/helper.log" &
    helper_pid=$!
    helper_answers || fail "the helper does not answer"
    before=$(ls /run/ublk-oci/devices)
    ublk-oci attach --container other --device /dev/data --target memory --size 1M >/dev/null 2>&1 || true
    wait "$helper_pid" 2>/dev/null || true
    lost=$(comm -13 <(echo "$before") <(ls /run/ublk-oci/devices))
    [ "$(wc -w <<<"$lost")" = 1 ] || fail "$step: the records: $lost"
    rm "/run/ublk-oci/devices/$lost"
    helper_start
    ! there | found -e "${lost:8}" || fail "$step: something is there: $(there)"
    ! crun exec other test -e /dev/data || fail "$step: the node is still in the container"
    finds_nothing "$step: it left"
    helper_stop
done
ok "repair: what is left of an attach at five steps goes without a record, too"

# A record that this version cannot read: its device goes on, until a helper comes that can.
helper_start
ublk-oci attach --container other --device /dev/data --target memory --size 1M >/dev/null
lost=$(ublk-oci list --json | jq -r '.[] | select(.path == "/dev/data") | .generation')
crun exec other dd if=/dev/urandom of=/dev/data bs=1M count=1 conv=fsync 2>/dev/null
before=$(crun exec other sha256sum /dev/data)
kill_helper
cp "/run/ublk-oci/devices/$lost" "$TEST_DIR/record"
printf '\377' | dd of="/run/ublk-oci/devices/$lost" bs=1 seek=4 conv=notrunc status=none # its version
: >"$TEST_DIR/helper.log"
helper_start
wait_for 10 grep -q '1 records cannot be read' "$TEST_DIR/helper.log"
[ "$(crun exec other sha256sum /dev/data)" = "$before" ] || fail "the container cannot read it"
! ublk-oci list --json | found "$lost" || fail "it is on the list"
kill_helper
[ -e "/run/ublk-oci/devices/$lost.bad" ] || fail "the record is gone"
cp "$TEST_DIR/record" "/run/ublk-oci/devices/$lost.bad"
helper_start
ublk-oci list --json | jq -e --arg g "$lost" '.[] | select(.generation == $g) | .state == "live"' >/dev/null ||
    fail "it is not adopted: $(ublk-oci list)"
[ "$(crun exec other sha256sum /dev/data)" = "$before" ] || fail "other data"
ublk-oci detach --container other --all >/dev/null
ok "repair: a device whose record cannot be read goes on, and is adopted by a helper that reads it"

untouched
kill "$foreign_server"
"$tools/serve" --delete "${foreign#/dev/ublkb}"
ublk-oci detach --container mine --all
expect_nothing_left
