#!/bin/bash
# Containers whose cgroup systemd made: scopes, with a device filter of systemd's,
# the runtime's own, or both.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/service.sh"
requires systemctl crun runc jq busybox

service_start
crun_systemd() { crun --systemd-cgroup "$@"; }
runc_systemd() { runc --systemd-cgroup "$@"; }
scope_jq() { echo ".linux.cgroupsPath=\"system.slice:ublk:$1\""; }

works() { # WHEN
    local said

    said=$("$runtime" exec "$id" sh -c 'dd if=/dev/urandom of=/tmp/a bs=64k count=1
        dd if=/tmp/a of=/dev/data conv=fsync bs=64k && dd if=/dev/data of=/tmp/b bs=64k count=1
        cmp /tmp/a /tmp/b' 2>&1) || fail "$1: $said"
}

for runtime in crun runc; do
    id=scope-$runtime
    bundle_make "$TEST_DIR/$id" "$(scope_jq "$id")"
    container_start ${runtime}_systemd "$id" "$TEST_DIR/$id"
    grep -q "^0::/system.slice/ublk-$id.scope" "/proc/$("$runtime" state "$id" | jq .pid)/cgroup" ||
        fail "it is in $(cat "/proc/$("$runtime" state "$id" | jq .pid)/cgroup")"
    ublk-oci attach --container "$id" --device /dev/data --target memory --size 1M >/dev/null ||
        fail "$(service_log)"
    works "attached"
    ok "scope: $runtime: a device in a running container's scope works"

    # Where it filters the scope (runc, newer crun) systemd attaches a new filter then.
    systemctl daemon-reload
    [ "$(systemctl show -P DevicePolicy "ublk-$id.scope")" = strict ] || works "after daemon-reload"
    ublk-oci attach --container "$id" --device /dev/data --target memory --size 1M >/dev/null ||
        fail "$(service_log)"
    works "after daemon-reload, attached again"
    [ "$(nr_devices)" = 1 ] || fail "attached again made another"
    ok "scope: $runtime: after daemon-reload the same attach gives access again"

    ublk-oci detach --container "$id" --device /dev/data >/dev/null
    ! "$runtime" exec "$id" test -e /dev/data || fail "/dev/data is still there"
    "$runtime" exec "$id" dd if=/dev/zero of=/dev/null count=1 2>/dev/null || fail "/dev/zero"
    expect_nothing_left
    container_delete "$runtime" "$id"
    ok "scope: $runtime: detached it is gone, other devices are as before"

    # Through the hook, while the scope is being made.
    id=hook-$runtime
    bundle_make "$TEST_DIR/$id" "$(scope_jq "$id") | $(hooks_jq) | $(device_jq data target=memory,size=1M)"
    container_start ${runtime}_systemd "$id" "$TEST_DIR/$id"
    works "by the hook"
    container_delete "$runtime" "$id"
    expect_nothing_left
    [ ! -e "/sys/fs/cgroup/system.slice/ublk-$id.scope" ] || fail "the scope stays"
    ok "scope: $runtime: the hook gives a device, and the container's end takes it"
done
