# shellcheck shell=bash
# Sourced by tests that take the guest's cgroups apart: version 1 in the place of version 2.

cgroup_top=/sys/fs/cgroup

cgroup_v1_possible() {
    [ -e /run/vm/init ] || skip "it would take the cgroups of this machine apart"
}

cgroups_empty() { # HIERARCHY
    find "$1" -mindepth 1 -depth -type d -exec rmdir {} + 2>/dev/null || true
}

# Twice: what a controller holds is free a moment after it was taken away.
cgroup_v2_leave() {
    local file names name i

    cgroup_v2_options=$(awk -v top=$cgroup_top '$2 == top { print $4 }' /proc/mounts)
    for i in 1 2; do
        cgroups_empty $cgroup_top
        while read -r file; do
            read -r names <"$file" || true
            for name in $names; do echo "-$name" >"$file"; done
        done < <(find $cgroup_top -depth -name cgroup.subtree_control)
    done
    umount $cgroup_top
    mount -t tmpfs -o mode=755 cgroup $cgroup_top
}

# cgroup_v1_enter CONTROLLERS...: each a hierarchy, until the test's end, when version 2 is there
# as it was: with its mount options, and the user's cgroup that tests/guest/setup made.
cgroup_v1_enter() {
    local name

    cgroup_v1_controllers=("$@")
    cgroup_v2_leave
    undo cgroup_v1_leave
    for name in "$@"; do
        mkdir $cgroup_top/"$name"
        mount -t cgroup -o "$name" cgroup $cgroup_top/"$name"
    done
}

cgroup_v1_leave() {
    local dir

    for dir in "${cgroup_v1_controllers[@]/#/$cgroup_top/}" $cgroup_top/unified \
        /run/ublk-oci/cgroup; do
        ! mountpoint -q "$dir" || { cgroups_empty "$dir"; umount "$dir"; }
    done
    umount $cgroup_top
    mount -t cgroup2 -o "$cgroup_v2_options" cgroup2 $cgroup_top
    mkdir -p $cgroup_top/user
    chown -R 1000:1000 $cgroup_top/user
}
