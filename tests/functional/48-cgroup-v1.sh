#!/bin/bash
# cgroup v1 for devices, with v2 beside it for the workers, as distributions have it that are not
# unified: containers get their devices by devices.allow, lose them by devices.deny, and what a
# runtime takes is given again. What is not there is said.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/../cgroup_v1.sh"
requires crun runc jq
cgroup_v1_possible
cgroup_v1_enter devices freezer pids

top=$cgroup_top
own=/run/ublk-oci/cgroup

# Version 1 alone: the helper mounts what workers need.
helper_start
mountpoint -q $own || fail "$own is not there"
ublk-oci doctor | found '^warn cgroup: cgroup v1' || fail "$(ublk-oci doctor)"
ok "cgroup v1: the helper starts, and doctor says what is not there"

number() { ublk-oci list --json | jq -r '.[0] | "\(.major):\(.minor)"'; }
lists() { grep -q -x "b $1 rwm\?" "$group/devices.list"; }
opens() { cgroup_opens "$group" /dev/ublkb0; }
inside() { $runtime exec $id dd if=/dev/data of=/dev/null bs=512 count=1 2>/dev/null; }
workers=$own/ublk-oci/workers
workers_in() { compgen -G "$workers/*/cgroup.procs" >/dev/null; }
left() { compgen -G "$workers/*/" || true; }

for runtime in crun runc; do
    id=v1-$runtime group=$top/devices/ublk-oci-test/v1-$runtime
    bundle_make "$TEST_DIR/$id"
    container_start $runtime $id "$TEST_DIR/$id"
    [ -e "$group/devices.list" ] || fail "it is in $(cat "/proc/$($runtime state $id | jq .pid)/cgroup")"
    cp "$group/devices.list" "$TEST_DIR/before"
    ublk-oci attach --container $id --device /dev/data --target memory --size 1M >/dev/null
    opens && inside || fail "it does not open"
    device=$(number)
    lists "$device" || fail "$(cat "$group/devices.list")"
    workers_in || fail "the worker is in no cgroup"
    ok "cgroup v1: $runtime: the container opens its device, the worker has a cgroup of v2"

    echo "b $device rwm" >"$group/devices.deny"
    ! opens || fail "denied it opens"
    wait_for 20 opens
    grep -q 'could not open /dev/data any more' "$TEST_DIR/helper.log" || fail "$(cat "$TEST_DIR/helper.log")"
    inside || fail "not from inside"
    ok "cgroup v1: $runtime: what was denied by hand is allowed again"
    echo '{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":5,"access":"rw"}]}' \
        >"$TEST_DIR/update.json"
    $runtime update --resources "$TEST_DIR/update.json" $id >/dev/null 2>&1 ||
        echo "$runtime cannot update this on v1"
    wait_for 20 opens
    ok "cgroup v1: $runtime: after an update it opens"

    kill -KILL "$helper_pid"
    wait "$helper_pid" 2>/dev/null || true
    helper_start
    opens || fail "after the helper's death"
    ublk-oci detach --container $id --all >/dev/null
    ! lists "$device" || fail "still allowed: $(cat "$group/devices.list")"
    [ -z "$(left)" ] || fail "left: $(left)"
    ok "cgroup v1: $runtime: detached by the next helper it is denied"

    # Its process ends while no helper is there, and its cgroup stays.
    ublk-oci attach --container $id --device /dev/data --target memory --size 1M >/dev/null
    device=$(number)
    kill -KILL "$helper_pid"
    wait "$helper_pid" 2>/dev/null || true
    sleep 1000 &
    other=$!
    undo sh -c "kill $other 2>/dev/null || true"
    echo $other >"$group/cgroup.procs"
    $runtime kill $id KILL
    helper_start
    wait_for 20 sh -c '[ -z "$(ublk-oci list --json | jq -r ".[]")" ]'
    ! lists "$device" || fail "still allowed: $(cat "$group/devices.list")"
    kill $other
    wait $other 2>/dev/null || true
    container_delete $runtime $id
    wait_for 10 nothing_left
    ok "cgroup v1: $runtime: the container ended, and what stays of its cgroup is denied"

    bundle_make "$TEST_DIR/$id" "$(hooks_jq) | $(device_jq data target=memory,size=1M)"
    container_start $runtime $id "$TEST_DIR/$id"
    inside || fail "by the hook: it does not open"
    container_delete $runtime $id
    wait_for 20 nothing_left
    ok "cgroup v1: $runtime: the hook gives a device, and the container's end takes it"
done

# Callers who are not root, and rules that limit I/O.
id=other runtime=crun
bundle_make "$TEST_DIR/other" '.linux.namespaces += [{type:"user"}]
    | .linux.uidMappings=[{containerID:0,hostID:100000,size:65536}]
    | .linux.gidMappings=[{containerID:0,hostID:200000,size:65536}]'
chown -R 100000:200000 "$TEST_DIR/other"
container_start crun other "$TEST_DIR/other"
ublk-oci attach --container other --device /dev/data --target memory --size 1M >/dev/null
inside || fail "in a user namespace it does not open"
ublk-oci detach --container other --all >/dev/null
ok "cgroup v1: a container in a user namespace opens its device"
kill -TERM "$helper_pid"
wait "$helper_pid" 2>/dev/null || true
jq '.rules=[{ id: "slow", principal: { uid: 0, cgroup: "/ublk-oci-test/*" }, targets: ["memory"], max_size: "64M",
    max_devices_per_container: 4, io: { write_bytes: "4M" } }]' /etc/ublk-oci/policy.json >"$TEST_DIR/policy.json"
helper_start --policy "$TEST_DIR/policy.json"
expect_fail 'rule slow limits I/O' ublk-oci attach --container other --device /dev/data --target memory --size 1M
expect_nothing_left
ok "cgroup v1: a rule sees the container's cgroup; I/O that cannot be limited is refused"
container_delete crun other
kill -TERM "$helper_pid"
wait "$helper_pid" 2>/dev/null || true

# Version 2 beside it, where distributions have it. crun 1.8 wants no controllers in that then.
cgroups_empty $own
umount $own
mkdir -p $top/unified
mount -t cgroup2 cgroup2 $top/unified
helper_start
workers=$top/unified/ublk-oci/workers
id=hybrid runtime=runc group=$top/devices/ublk-oci-test/hybrid
bundle_make "$TEST_DIR/$id"
container_start $runtime $id "$TEST_DIR/$id"
ublk-oci attach --container $id --device /dev/data --target memory --size 1M >/dev/null
opens || fail "it does not open: $(cat "/proc/$($runtime state $id | jq .pid)/cgroup")"
workers_in || fail "the worker is in no cgroup"
echo "b $(number) rwm" >"$group/devices.deny"
wait_for 20 opens
ublk-oci detach --container $id --all >/dev/null
[ -z "$(left)" ] || fail "left: $(left)"
container_delete $runtime $id
expect_nothing_left
! mountpoint -q $own || fail "mounted twice"
kill -TERM "$helper_pid"
wait "$helper_pid" 2>/dev/null || true
ok "cgroup v1, with v2 at unified: the container opens its device, the worker has its cgroup there"
