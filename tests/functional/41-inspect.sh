#!/bin/bash
# What inspect, doctor and policy say, of a live system.
# short: 7.3
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
ublk-oci inspect ublkb0 --sandbox | found -i seccomp || fail "nothing for people"
ublk-oci inspect --container look --device /dev/data >/dev/null
ok "inspect: it says what /proc says"

# Every wall is looked at, and found.
holds '.worker.faults == [] and .worker.unseen == []'
holds '.worker.limits | .file_size_bytes == 8388608 and .core_bytes == 0 and .open_files == 64'
holds '.worker.seccomp_filters >= 1 and .worker.dumpable == false and .worker.mounts == 1'
holds '.worker.root == [] and (.worker.fds | length == 1) and .worker.environment_bytes == 0'
holds '.worker.groups == [] and .worker.oom_score_adj == -999'
ok "inspect: --sandbox proves limits, mounts, descriptors, cgroup; nothing is at fault"

# What workers share is empty; a user and a pid namespace each has for itself.
ublk-oci attach --container look --device /dev/more --target memory --size 8M --read-only >/dev/null
ublk-oci inspect ublkb1 --sandbox --json >"$TEST_DIR/inspect" || fail "$(cat "$TEST_DIR/inspect")"
holds '.worker.namespaces | [.mnt, .net, .ipc, .uts] | all(.other_workers == 1)'
holds '.worker.namespaces | [.user, .pid] | all(.other_workers == 0)'
holds '.worker.limits.file_size_bytes == 0'
ublk-oci detach --container look --device /dev/more >/dev/null
ok "inspect: --sandbox says which namespaces workers share, and that a read-only one writes no file"

# A wall that is missing: one line that names it, exit status 1.
at_fault() { # name
    expect_fail "not sealed.*: $1\$" ublk-oci inspect ublkb0 --sandbox --json
    jq -e ".worker.faults == [\"$1\"]" <<<"${output%ublk-oci: inspect:*}" >/dev/null ||
        fail "$1: $output"
}

prlimit --pid "$pid" --nofile=1024:1024
at_fault limits.open_files
prlimit --pid "$pid" --nofile=64:64
echo 0 >"/proc/$pid/oom_score_adj"
at_fault oom_score_adj
echo -999 >"/proc/$pid/oom_score_adj"
home=$(sed -n 's/^0:://p' "/proc/$pid/cgroup")
echo "$pid" >/sys/fs/cgroup/cgroup.procs
at_fault cgroup
echo "$pid" >"/sys/fs/cgroup$home/cgroup.procs"
ublk-oci inspect ublkb0 --sandbox >/dev/null || fail "it is whole again"
ok "inspect: --sandbox fails and names the wall that is not there"

expect_fail 'no such device|no device' ublk-oci inspect ublkb7
expect_fail 'no such device|no device' ublk-oci inspect /dev/ublkb7
ok "inspect: a device that is not there"
ublk-oci detach --container look --all >/dev/null
expect_nothing_left

ublk-oci doctor >"$TEST_DIR/doctor" || fail "doctor fails on a good machine: $(cat "$TEST_DIR/doctor")"
ublk-oci doctor --json | jq -e 'length > 5' >/dev/null || fail "no JSON"
ok "doctor: a machine that has everything passes"
helper_stop

# Who is not root does not see all of a worker, so has no proof; /proc does not tell, nor do we.
jq '{ version, worker_ids, rules: [{ id: "own", principal: { uid: 1000 }, host: true,
    targets: ["memory"], max_size: "8M", max_devices: 1 }] }' \
    /etc/ublk-oci/policy.json >"$TEST_DIR/policy.json"
helper_start --policy "$TEST_DIR/policy.json"
as_user() { setpriv --reuid 1000 --regid 1000 --groups "$(getent group ublk-oci | cut -d : -f 3)" "$@"; }
as_user ublk-oci attach --host --target memory --size 8M >/dev/null
expect_fail "root's are needed: .*root, fds" as_user ublk-oci inspect ublkb0 --sandbox
ublk-oci inspect ublkb0 --sandbox >/dev/null || fail "root does not see all of it"
ublk-oci detach ublkb0 >/dev/null
ok "inspect: --sandbox is no proof for who may not see"
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
