#!/bin/bash
# Another policy while the helper runs: a good one counts at once, a bad one changes nothing.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires python3 jq crun

here=$(cd "$(dirname "$0")" && pwd)
policy=$TEST_DIR/policy.json
log=$TEST_DIR/helper.log
rules=$(jq '.rules | length' /etc/ublk-oci/policy.json)

# policy_write JQ: the installed policy, changed like this, takes the place of the helper's.
policy_write() {
    jq "$1" /etc/ublk-oci/policy.json >"$policy.new"
    chmod 644 "$policy.new"
    mv "$policy.new" "$policy"
}

reload() { "$here/wire.py" reload; }

# hup WORDS: reload by signal, until the log says so.
hup() {
    local before

    before=$(grep -c -E "$1" "$log" || true)
    kill -HUP "$helper_pid"
    wait_for 30 sh -c "[ \$(grep -c -E '$1' '$log') -gt $before ]"
}

attach() { ublk-oci attach --container changing --target memory --size 1M --device "$@"; }

policy_write .
helper_start --policy "$policy"
bundle_make "$TEST_DIR/changing"
container_start crun changing "$TEST_DIR/changing"
attach /dev/a >/dev/null
before=$(ublk-oci list --json)

# --- good ones -----------------------------------------------------------------------

policy_write '.rules |= map(select(.id != "root-containers"))'
attach /dev/b >/dev/null || fail "a policy counts before it is loaded"
ublk-oci detach --container changing --device /dev/b >/dev/null
hup "another policy from now on: $((rules - 1)) rules"
expect_fail 'policy refuses' attach /dev/b
[ "$(ublk-oci list --json)" = "$before" ] || fail "a live device changed: $(ublk-oci list)"
crun exec changing dd if=/dev/zero of=/dev/a bs=4k count=4 2>/dev/null || fail "/dev/a is broken"
ok "reload: a rule that is gone gives nothing more, and takes nothing away"

policy_write .
[ "$(reload)" = "0 $rules rules" ] || fail "the answer is: $(reload)"
attach /dev/b >/dev/null
ublk-oci detach --container changing --device /dev/b >/dev/null
tail -n 5 /var/log/ublk-oci/audit.log | jq -s -e 'any(.[]; .request == "reload" and
    .verdict == "allowed" and .reason == "'"$rules"' rules")' >/dev/null || fail "no audit line"
ok "reload: asked for over the socket, answered with the number of rules"

# --- bad ones ------------------------------------------------------------------------

reloads_allowed() { grep -c '"request":"reload","verdict":"allowed"' /var/log/ublk-oci/audit.log; }
allowed_before=$(reloads_allowed)

still() { # the old policy
    attach /dev/b >/dev/null || fail "$1: the old policy is gone"
    ublk-oci detach --container changing --device /dev/b >/dev/null
}

printf '{ "version": 1,\n  "rules": 7 }\n' >"$policy"
[[ $(reload) == "-22 "*"stays what it was: $policy: line 2, column "* ]] || fail "$(reload)"
hup "stays what it was: .*line 2, column"
still "a bad file"
: >"$policy"
[[ $(reload) == -*"stays what it was"* ]] || fail "an empty file: $(reload)"
still "an empty file"
rm "$policy"
[[ $(reload) == "-2 "*"No such file"* ]] || fail "no file: $(reload)"
still "no file"
policy_write .
chmod 666 "$policy"
[[ $(reload) == "-1 "*"others than its owner may write it"* ]] || fail "writable: $(reload)"
hup "others than its owner may write it"
still "a file others can write"
policy_write .
chown 1000 "$policy"
[[ $(reload) == "-1 "*"owned by uid 1000"* ]] || fail "another user's: $(reload)"
still "another user's file"
mv "$policy" "$policy.real"
chown 0 "$policy.real"
ln -s "$policy.real" "$policy"
[[ $(reload) == -*"symbolic link"* ]] || fail "a link: $(reload)"
still "a link"
rm "$policy"
mkfifo "$policy"
[[ $(reload) == -*"not a regular file"* ]] || fail "a FIFO: $(reload)"
rm "$policy"
still "a FIFO"
[ "$(reloads_allowed)" = "$allowed_before" ] || fail "a reload that failed is on record as done"
ok "reload: a bad file is refused with its reason, and the old policy stays"

policy_write '.worker_ids.first = 100000'
echo 'somebody:100000:65536' >>/etc/subuid
undo sed -i '/^somebody:/d' /etc/subuid
[[ $(reload) == -*"stays what it was"*subuid* ]] || fail "worker_ids: $(reload)"
still "worker_ids of somebody else"
helper_stop
expect_fail 'subuid' timeout 10 /usr/sbin/ublk-ocid --policy "$policy"
ok "reload: worker_ids that are somebody else's are refused, at the start too"

# --- under load ----------------------------------------------------------------------

policy_write .
helper_start --policy "$policy"
for name in x y; do
    (
        for _ in 1 2 3; do
            attach /dev/$name >/dev/null && ublk-oci detach --container changing --device /dev/$name
        done >/dev/null
    ) 2>"$TEST_DIR/$name.err" &
    busy+=($!)
done
reloads=0
while kill -0 "${busy[0]}" 2>/dev/null || kill -0 "${busy[1]}" 2>/dev/null; do
    kill -HUP "$helper_pid"
    [ "$(reload)" = "0 $rules rules" ] || fail "reload under load"
    reloads=$((reloads + 1))
done
for pid in "${busy[@]}"; do
    wait "$pid" || fail "under load: $(cat "$TEST_DIR"/[xy].err)"
done
[ -z "$(cat "$TEST_DIR"/[xy].err)" ] || fail "under load: $(cat "$TEST_DIR"/[xy].err)"
[ "$reloads" -gt 1 ] || fail "only $reloads reloads"
[ "$(nr_devices)" = 1 ] || fail "left: $(ublk-oci list)"
kill -0 "$helper_pid" || fail "the helper is gone"
ok "reload: in the middle of attaches and detaches"

# --- what the service manager is told --------------------------------------------------

helper_stop
"$here/wire.py" notified "$TEST_DIR/notify" >"$TEST_DIR/told" &
manager=$!
wait_for 10 test -S "$TEST_DIR/notify"
export NOTIFY_SOCKET=$TEST_DIR/notify
helper_start --policy "$policy"
unset NOTIFY_SOCKET
wait_for 10 grep -q '^READY=1$' "$TEST_DIR/told"
kill -HUP "$helper_pid"
wait_for 10 sh -c "[ \$(wc -l <'$TEST_DIR/told') = 3 ]"
[[ $(sed -n 2p "$TEST_DIR/told") =~ ^RELOADING=1\ MONOTONIC_USEC=[0-9]+$ ]] || fail "$(cat "$TEST_DIR/told")"
[ "$(sed -n 3p "$TEST_DIR/told")" = READY=1 ] || fail "$(cat "$TEST_DIR/told")"
kill $manager
read -r uptime _ </proc/uptime
usec=$(sed -n 's/.*USEC=//p' "$TEST_DIR/told")
[ $((${uptime/./}0000 - usec)) -lt 20000000 ] || fail "another clock: $usec at $uptime s"
ok "reload: the service manager is told when it begins and when it is over"

ublk-oci detach --container changing --all >/dev/null
expect_nothing_left
