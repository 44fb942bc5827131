#!/bin/bash
# What the helper does with clients that do not keep to the protocol.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires python3 jq crun runc busybox flock

here=$(cd "$(dirname "$0")" && pwd)
helper_start

for case in half_packet sizes version fds not_a_pidfd own_process claim fields formats lingering many_silent \
    silence; do
    "$here/wire.py" $case || fail "case $case"
    nothing_left || fail "case $case left: $(leftovers)"
    kill -0 "$helper_pid" || fail "case $case ended the helper"
    ok "protocol: $case"
done

"$here/wire.py" leave
wait_for 10 one_device
ublk-oci detach --host ublkb0
expect_nothing_left
ok "protocol: a client that leaves at once"

# The caller of a detach gives up while the helper still looks whether the device is in use.
bundle_make "$TEST_DIR/busy"
container_start crun busy "$TEST_DIR/busy"
ublk-oci attach --container busy --device /dev/data --target memory --size 1M
crun exec -d busy sh -c 'exec sleep 1000 </dev/data'
generation=$(ublk-oci list --json | jq -r '.[0].generation')
exec 7</sys/fs/bpf/ublk-oci
flock 7 # as another child of the helper would: the look has to wait
"$here/wire.py" impatient "$generation" || fail "impatient"
exec 7<&-
all_live || fail "it was taken away: $(ublk-oci list)"
crun exec busy dd if=/dev/data of=/dev/null count=1 2>/dev/null || fail "it does not open"
ok "protocol: a detach that is given up takes nothing away"

# Its init moves to a cgroup below the container's own, as systemd does.
cgroup=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$(crun state busy | jq .pid)/cgroup")
mkdir "$cgroup/init.scope"
crun state busy | jq .pid >"$cgroup/init.scope/cgroup.procs"
ublk-oci detach --container busy --all --force
expect_nothing_left
crun exec busy dd if=/dev/zero of=/dev/null count=1 2>/dev/null || fail "/dev/zero is closed"
ok "protocol: an init that moved takes no device along"
