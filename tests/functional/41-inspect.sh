#!/bin/bash
# What inspect, doctor and policy say, of a live system.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires crun jq

helper_start
bundle_make "$TEST_DIR/look"
container_start crun look "$TEST_DIR/look"
ublk-oci attach --container look --device /dev/data --target memory --size 8M >/dev/null

ublk-oci inspect ublkb0 --sandbox --json >"$TEST_DIR/inspect"
holds() { jq -e "$1" "$TEST_DIR/inspect" >/dev/null || fail "not so: $1: $(cat "$TEST_DIR/inspect")"; }

holds '.container.id == "look" and .path == "/dev/data" and .target == "memory"'
holds '.worker.uid >= 910000 and .worker.pid > 1'
holds '.worker.capabilities | [.effective, .permitted, .inheritable, .bounding, .ambient]
    | all(. == "0000000000000000")'
holds '.worker.seccomp == 2 and .worker.no_new_privs == true'
holds '.worker.namespaces | [.mnt, .net, .pid, .user, .ipc, .uts] | all(.host == false)'
ok "inspect: --sandbox shows a uid of its own, no capabilities, own namespaces, seccomp"

# The same from /proc, by hand: inspect does not make it up.
pid=$(jq .worker.pid "$TEST_DIR/inspect")
grep -q "^Uid:.$(jq .worker.uid "$TEST_DIR/inspect")\b" "/proc/$pid/status" || fail "another uid"
for ns in mnt net pid user ipc uts; do
    [ "$(readlink /proc/$pid/ns/$ns)" = "$ns:[$(jq ".worker.namespaces.$ns.inode" "$TEST_DIR/inspect")]" ] ||
        fail "another $ns namespace"
    [ "$(readlink /proc/$pid/ns/$ns)" != "$(readlink /proc/self/ns/$ns)" ] || fail "shared $ns"
done
ublk-oci inspect ublkb0 --sandbox | grep -q -i seccomp || fail "nothing for people"
ublk-oci inspect --container look --device /dev/data >/dev/null
ok "inspect: it says what /proc says"

expect_fail 'no such device|no device' ublk-oci inspect ublkb7
expect_fail 'no such device|no device' ublk-oci inspect /dev/ublkb7
ok "inspect: a device that is not there"
ublk-oci detach --container look --all >/dev/null
expect_nothing_left

ublk-oci doctor >"$TEST_DIR/doctor" || fail "doctor fails on a good machine: $(cat "$TEST_DIR/doctor")"
ublk-oci doctor --json | jq -e 'length > 5' >/dev/null || fail "no JSON"
ok "doctor: a machine that has everything passes"
helper_stop
status=0
ublk-oci doctor >"$TEST_DIR/doctor" || status=$?
[ $status = 1 ] || fail "exit status $status without a helper"
grep -q '^fail.*helper' "$TEST_DIR/doctor" || fail "$(cat "$TEST_DIR/doctor")"
ok "doctor: a helper that does not run is a failure with a remedy"

ublk-oci policy check /etc/ublk-oci/policy.json >/dev/null || fail "the installed policy is not valid"
printf '{ "version": 1 }' >"$TEST_DIR/draft.json"
expect_fail 'line 1, column' ublk-oci policy check "$TEST_DIR/draft.json"
ok "policy: check reads a draft"
