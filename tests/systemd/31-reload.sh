#!/bin/bash
# systemd makes the device filters of its units anew whenever it is told to read them again. What
# a container has in a scope survives that: it is given again within seconds, and put into the
# unit, so that the next time nothing is lost.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/service.sh"
requires systemctl crun runc jq busybox bpftool

service_start
runc_systemd() { runc --systemd-cgroup "$@"; }
crun_systemd() { crun --systemd-cgroup "$@"; }
opens() { cgroup_opens "$cgroup" /dev/ublkb0; }
in_unit() { [[ $(allowed) == *"/dev/block/$number rw"* ]]; }
allowed() { systemctl show -P DeviceAllow "$unit"; }
programs() {
    local list

    list=$(bpftool -j cgroup list "/sys/fs/cgroup/system.slice/$unit")
    jq length <<<"${list:-[]}"
}
attach() { ublk-oci attach --container $id --device /dev/data --target memory --size 1M >/dev/null; }

for runtime in runc crun; do
    id=reload-$runtime unit=ublk-reload-$runtime.scope
    bundle_make "$TEST_DIR/$id" ".linux.cgroupsPath=\"system.slice:ublk:$id\""
    container_start ${runtime}_systemd $id "$TEST_DIR/$id"
    cgroup=/sys/fs/cgroup$(cgroup_of "$($runtime state $id | jq .pid)")
    attach || fail "$(service_log)"
    opens || fail "it does not open"
    number=$(ublk-oci list --json | jq -r '.[0] | "\(.major):\(.minor)"')

    systemctl daemon-reload
    from=${EPOCHREALTIME/./}
    how="kept access"
    opens || how="access was back"
    wait_for 20 opens
    ok "reload: $runtime: $how $(((${EPOCHREALTIME/./} - from) / 1000)) ms after daemon-reload"
    # Not every runtime has systemd filter the scope.
    if [ "$(systemctl show -P DevicePolicy "$unit")" = strict ]; then
        wait_for 20 in_unit
        ok "reload: $runtime: the device is in the unit"
    fi
    sleep 3
    for time in again "a third time"; do
        systemctl daemon-reload
        opens || fail "daemon-reload $time takes it: $(service_log)"
    done
    systemctl set-property --runtime "$unit" MemoryMax=200M
    opens || fail "set-property takes it: $(service_log)"
    [ "$(programs)" -le 2 ] || fail "$(bpftool cgroup list "/sys/fs/cgroup/system.slice/$unit")"
    ok "reload: $runtime: what comes after the first takes nothing any more"

    # The next helper knows, and takes it out of the unit.
    systemctl restart ublk-ocid.service
    opens || fail "after a restart: $(service_log)"
    ublk-oci detach --container $id --all >/dev/null || fail "$(service_log)"
    [[ $(allowed) != *"/dev/block/$number r"* ]] || fail "still allowed: $(allowed)"
    expect_nothing_left
    cgroup_opens "$cgroup" /dev/zero || fail "/dev/zero"
    $runtime exec $id dd if=/dev/zero of=/dev/null count=1 2>/dev/null || fail "/dev/zero"
    ok "reload: $runtime: detached it is not allowed any more, other devices are"

    # systemd's filter was there before the device was.
    systemctl daemon-reload
    attach || fail "$(service_log)"
    opens || fail "attached behind a reload: $(service_log)"
    systemctl set-property --runtime "$unit" MemoryMax=300M
    wait_for 20 opens
    sleep 3
    systemctl daemon-reload
    wait_for 20 opens
    [ "$(programs)" -le 2 ] || fail "$(bpftool cgroup list "/sys/fs/cgroup/system.slice/$unit")"
    container_delete $runtime $id
    expect_nothing_left
    ok "reload: $runtime: attached behind a reload it stays as well; the container's end takes it"
done
