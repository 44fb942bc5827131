#!/bin/bash
# Every engine where version 1 of cgroups filters devices. The last one: it takes the guest's
# cgroups apart. Version 2, which workers need, the helper mounts for itself: crun 1.8 does not
# start where one with controllers is at /sys/fs/cgroup/unified.
# short: 7.3
. "$(dirname "$0")/cells.sh"
[ -e /run/vm/init ] || skip "it would take this machine's cgroups apart"

top=/sys/fs/cgroup
controllers='devices freezer pids cpu,cpuacct blkio'

empty() { # HIERARCHY
    find "$1" -mindepth 1 -depth -type d -exec rmdir {} + 2>/dev/null || true
}
leave_v2() {
    local file names name

    empty $top
    while read -r file; do
        read -r names <"$file" || continue
        for name in $names; do echo "-$name" >"$file"; done
    done < <(find $top -depth -name cgroup.subtree_control)
    umount $top
    mount -t tmpfs -o mode=755 cgroup $top
}
v1_mount() {
    local name

    for name in $controllers; do
        mkdir $top/"$name"
        mount -t cgroup -o "$name" cgroup $top/"$name"
    done
}
back_to_v2() {
    local name

    for name in $controllers; do
        empty $top/"$name"
        umount $top/"$name" 2>/dev/null
    done
    umount $top
    # Where the helper mounts it.
    empty /run/ublk-oci/cgroup
    umount /run/ublk-oci/cgroup
    mount -t cgroup2 cgroup2 $top
}

group_of() { # CONTAINER: its devices cgroup
    echo "$top/devices$(sed -n 's/^[0-9]*:devices://p' "/proc/$(engine_pid "$1")/cgroup")"
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

leave_v2
undo back_to_v2
v1_mount
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
