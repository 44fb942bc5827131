#!/bin/bash
# Every engine where version 1 of cgroups filters devices. The last one: it takes the guest's
# cgroups apart. Version 2, which workers need, the helper mounts for itself: crun 1.8 does not
# start where one with controllers is at /sys/fs/cgroup/unified.
# short: 7.3
. "$(dirname "$0")/cells.sh"
. "$(dirname "$0")/../cgroup_v1.sh"
cgroup_v1_possible

group_of() { # CONTAINER: its devices cgroup
    echo "$cgroup_top/devices$(sed -n 's/^[0-9]*:devices://p' "/proc/$(engine_pid "$1")/cgroup")"
}
lists() { grep -q "^b ${2/ /:} r" "$(group_of "$1")/devices.list"; } # CONTAINER NUMBER

column_cgroup_v1() { # CONTAINER
    local number

    if [ "$engine" = podman-rootless ]; then
        expect_fail 'only root may name' ublk_oci attach --container "$(engine_nick "$1")" \
            --device /dev/live --target memory --size 4M
        cannot 'cgroup v1' 'there only root may name a container'
        return
    fi
    ublk_oci attach --container "$(engine_nick "$1")" --device /dev/live --target memory --size 4M
    used "$1" /dev/live
    number=$(number_of "$1" /dev/live)
    node_make "$1" kept "$number"
    opens "$1" /ask/kept || fail "a node of an attached device does not open"
    lists "$1" "$number" || fail "it opens, and is not in the list"
    node_make "$1" foreign "$(foreign_number)"
    expect_fail 'Operation not permitted' inside "$1" 'true 7</ask/foreign'
    ublk_oci detach --container "$(engine_nick "$1")" --device /dev/live
    opens_no_more "$1" /ask/kept
    ! lists "$1" "$number" || fail "it is still in the list"
    works 'cgroup v1'
}

cgroup_v1_enter devices freezer pids cpu,cpuacct blkio
# Newer ones complain, and go on.
export PODMAN_IGNORE_CGROUPSV1_WARNING=1

matrix_setup crun
for engine in $engines; do
    [ "$engine" = crun ] || engine_setup "$engine"
    engine_run "$engine"
    column_cgroup_v1 "$engine"
    engine_end "$engine"
done
expect_nothing_left
