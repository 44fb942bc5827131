#!/bin/bash
# What engines do to a container that has a device: an update of its resources, each in its way.
# Whatever they take is given again within seconds.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/../engines.sh"
requires crun runc jq

opens() { cgroup_opens "/sys/fs/cgroup$(cgroup_of "$pid")" /dev/ublkb0; }
# back WHAT: it opens, now or soon.
back() {
    local from=${EPOCHREALTIME/./} what=$1 lost="kept access"

    opens || lost="access was back"
    wait_for 20 opens
    ok "update: $what: $lost after $(((${EPOCHREALTIME/./} - from) / 1000)) ms"
}

helper_start
cat >"$TEST_DIR/devices.json" <<'END'
{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"access":"rw"}]}
END

for runtime in crun runc; do
    bundle_make "$TEST_DIR/$runtime"
    container_start $runtime $runtime "$TEST_DIR/$runtime"
    pid=$($runtime state $runtime | jq .pid)
    ublk-oci attach --container $runtime --device /dev/data --target memory --size 1M >/dev/null
    opens || fail "$runtime: it does not open"
    $runtime update --memory 100000000 $runtime
    back "$runtime update --memory"
    $runtime update --resources "$TEST_DIR/devices.json" $runtime
    back "$runtime update --resources with devices"
    $runtime update --pids-limit 500 $runtime
    back "$runtime update --pids-limit"
    $runtime pause $runtime
    sleep 3
    $runtime resume $runtime
    back "$runtime pause and resume"
    $runtime exec $runtime dd if=/dev/zero of=/dev/data bs=4k count=1 2>/dev/null || fail "$runtime: exec"
    ublk-oci detach --container $runtime --all >/dev/null
    container_delete $runtime $runtime
    expect_nothing_left
done

podman_setup crun
podman_run box -- sleep 1000000 >/dev/null
pid=$(podman inspect --format '{{.State.Pid}}' box)
ublk-oci attach --container box --device /dev/data --target memory --size 1M >/dev/null
opens || fail "podman: it does not open"
podman update --cpus 1 --memory 100m box >/dev/null
back "podman update"
ublk-oci detach --container box --all >/dev/null
podman_end
expect_nothing_left
