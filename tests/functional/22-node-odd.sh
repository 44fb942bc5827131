#!/bin/bash
# What containers and runtimes do to a device node and its filter.
# short: 6.12
. "$(dirname "$0")/node.sh"

odd_places() {
    local id=odd pid cgroup before_programs before_dev inode

    bundle "$TEST_DIR/$id" no .
    start crun $id "$TEST_DIR/$id"
    before_programs=$(programs)
    before_dev=$(dev_listing)
    inside 'ln -s /tmp /dev/evil; ln -s /etc/x /dev/link; mkdir /dev/plain'
    refused "a link is not followed" ENOTDIR "$tool" insert "$pid" "$store" /dev/evil/x "$data" 0 0 600
    refused "a link is not written through" EEXIST "$tool" insert "$pid" "$store" /dev/link "$data" 0 0 600
    refused "another file system below /dev" 'EXDEV: shm' \
        "$tool" insert "$pid" "$store" /dev/shm/x "$data" 0 0 600
    refused "a directory in the way" 'EEXIST' \
        "$tool" insert "$pid" "$store" /dev/plain "$data" 0 0 600
    same "directories made on the way are counted" 3 \
        "$("$tool" insert "$pid" "$store" /dev/a/b/c/d "$data" 0 0 600)"
    inside 'mkdir /dev/a/theirs'
    check "removing leaves what is not ours" "$tool" remove "$pid" /dev/a/b/c/d "$data" 3
    same "the container's own directory is still there" theirs "$(ls "/proc/$pid/root/dev/a")"
    "$tool" insert "$pid" "$store" /dev/nope "$data" 0 0 600 >/dev/null
    check "another device's node is not removed" "$tool" remove "$pid" /dev/nope "$other" 0
    refused "it is still there" EACCES "$tool" try "$pid" /dev/nope "$data"
    check "its own number removes it" "$tool" remove "$pid" /dev/nope "$data" 0
    inside 'rm -r /dev/evil /dev/link /dev/plain /dev/a'

    "$tool" insert "$pid" "$store" /dev/other "$data" 0 0 600 >/dev/null
    nsenter -t "$pid" -m /bin/busybox umount /dev/other
    check "a node the container unmounted" "$tool" remove "$pid" /dev/other "$data" 0

    "$tool" insert "$pid" "$store" /dev/other "$data" 0 0 600 >/dev/null
    "$tool" allow "$pid" "$pins" "$data" rw
    echo 1 >"$cgroup/cgroup.freeze"
    refused "a frozen container" 'ETIMEDOUT: the container is frozen' \
        "$tool" try "$pid" /dev/other "$data"
    echo 0 >"$cgroup/cgroup.freeze"
    check "thawed" "$tool" try "$pid" /dev/other "$data"

    echo '{"devices":[{"allow":false,"access":"rwm"}]}' >"$TEST_DIR/update.json"
    crun update --resources "$TEST_DIR/update.json" $id
    refused "the runtime took our program away" EACCES "$tool" try "$pid" /dev/other "$data"
    check "allow repairs it" "$tool" allow "$pid" "$pins" "$data" rw
    check "it opens again" "$tool" try "$pid" /dev/other "$data"
    crun update --resources "$TEST_DIR/update.json" $id
    check "revoke when our program is gone" "$tool" revoke "$pid" "$pins" "$data"
    check "remove" "$tool" remove "$pid" /dev/other "$data" 0
    before_programs=$(programs)
    gone "after the runtime's update"

    # A helper was killed before its program was attached.
    inode=$(stat -c %i "$cgroup")
    mkdir "$pins/$inode"
    bpftool prog pin id "$(programs | jq '.[0]')" "$pins/$inode/o$(programs | jq '.[0]')"
    "$tool" allow "$pid" "$pins" "$data" rw &
    check "two at a time, over half a beginning" "$tool" allow "$pid" "$pins" "$other" rw
    wait $!
    same "two at a time: one program" 1 "$(programs | jq length)"
    same "two at a time: one map, one program in three pins" 5 "$(nr_pins)"
    check "revoke the first" "$tool" revoke "$pid" "$pins" "$data"
    check "revoke the second" "$tool" revoke "$pid" "$pins" "$other"
    gone "two at a time"

    "$tool" allow "$pid" "$pins" "$data" rw
    crun delete -f $id
    wait_for 5 test ! -e "$cgroup"
    check "forget a cgroup that is gone" "$tool" forget "$pins" "$inode" "$data"
    same "nothing of it is pinned" 0 "$(nr_pins)"
    check "forget twice" "$tool" forget "$pins" "$inode" "$data"
}

# Init in a cgroup below the container's own, as systemd in a container does it.
inner_cgroup() {
    local id=inner pid cgroup outer

    bundle "$TEST_DIR/$id" no .
    start crun $id "$TEST_DIR/$id"
    outer=$cgroup
    mkdir "$outer/init.scope"
    echo "$pid" >"$outer/init.scope/cgroup.procs"
    echo +pids >"$outer/cgroup.subtree_control"
    NODE_TOOL_CGROUP=$outer "$tool" insert "$pid" "$store" /dev/other "$data" 0 0 600 >/dev/null
    check "a container with inner cgroups: allow" \
        env NODE_TOOL_CGROUP="$outer" "$tool" allow "$pid" "$pins" "$data" rw
    check "a container with inner cgroups: it opens" \
        env NODE_TOOL_CGROUP="$outer" "$tool" try "$pid" /dev/other "$data"
    check "a container with inner cgroups: revoke" \
        env NODE_TOOL_CGROUP="$outer" "$tool" revoke "$pid" "$pins" "$data"
    # Nobody knows the cgroup any more, but processes are left in it.
    "$tool" allow "$pid" "$pins" "$data" rw
    NODE_TOOL_CGROUP=$outer "$tool" allow "$pid" "$pins" "$data" rw
    check "a container with inner cgroups: forget" "$tool" forget "$pins" "$(stat -c %i "$outer")" "$data"
    refused "a container with inner cgroups: what is forgotten is closed" EACCES \
        env NODE_TOOL_CGROUP="$outer" "$tool" try "$pid" /dev/other "$data"
    "$tool" remove "$pid" /dev/other "$data" 0
    rmdir "$outer"/*/ 2>/dev/null || true
}

shared_dev() {
    local id=shared pid cgroup

    bundle "$TEST_DIR/$id" no '.mounts=[.mounts[] | select(.destination | startswith("/dev") | not)]
        + [{destination:"/dev",type:"bind",source:"/dev",options:["rbind"]}]'
    start crun $id "$TEST_DIR/$id"
    refused "a container with the host's /dev" 'EOPNOTSUPP: the container has no /dev of its own' \
        "$tool" insert "$pid" "$store" /dev/other "$data" 0 0 600
    check "the host's /dev got nothing" test ! -e /dev/other
    same "the store is empty after a refusal" "" "$(ls "$store")"
}

unmapped() {
    local id=unmapped pid cgroup

    bundle "$TEST_DIR/$id" yes .
    start crun $id "$TEST_DIR/$id"
    refused "an owner the user namespace does not know" 'uid 70000 is not mapped' \
        "$tool" insert "$pid" "$store" /dev/other "$data" 70000 0 600
}

# No cgroup of its own, so no device filter; the user's own namespace.
rootless() {
    local id=rootless pid as dir=$TEST_DIR/rootless

    as=(setpriv --reuid 1000 --regid 1000 --clear-groups env HOME=/ XDG_RUNTIME_DIR=/run/user/1000)
    mkdir -p /run/user/1000
    chown 1000:1000 /run/user/1000
    bundle "$dir" no .
    jq -M 'del(.linux.resources, .linux.cgroupsPath)
        | .linux.namespaces=[.linux.namespaces[] | select(.type != "network")] + [{type:"user"}]
        | .linux.uidMappings=[{containerID:0,hostID:1000,size:1}]
        | .linux.gidMappings=[{containerID:0,hostID:1000,size:1}]
        | .mounts=[.mounts[] | select(.destination | IN("/dev", "/proc"))]' \
        "$dir/config.json" >"$dir/new.json"
    mv "$dir/new.json" "$dir/config.json"
    chown -R 1000:1000 "$dir"
    timeout 60 "${as[@]}" crun --cgroup-manager=disabled run -d --bundle "$dir" --pid-file "$dir/pid" $id \
        </dev/null >"$dir/log" 2>&1 || fail "crun cannot start rootless: $(cat "$dir/log")"
    pid=$(cat "$dir/pid")
    undo kill -9 "$pid"
    same "rootless: insert" 1 "$("$tool" insert "$pid" "$store" /dev/ublk/data "$data" 0 0 600)"
    check "rootless: it opens" "$tool" try "$pid" /dev/ublk/data "$data"
    same "rootless: seen by the container" "yes yes no yes 0 0 600" \
        "$(inside "$report" | tr '\n' ' ' | sed 's/ $//')"
    refused "rootless: another's number" 'gid 5 is not mapped' \
        "$tool" insert "$pid" "$store" /dev/other "$data" 0 5 600
    # The container's root keeps the node where nobody looks for it.
    : >"$dir/rootfs/tmp/kept"
    as=(nsenter -t "$pid" -U -m /bin/busybox)
    "${as[@]}" mount --bind /dev/ublk/data /tmp/kept
    check "rootless: a second mount of the node opens" "${as[@]}" dd if=/tmp/kept of=/dev/null count=1
    check "rootless: remove" "$tool" remove "$pid" /dev/ublk/data "$data" 1
    refused "rootless: what the container kept is of no use" 'Permission denied' \
        "${as[@]}" dd if=/tmp/kept of=/dev/null count=1
    check "rootless: nothing is left" test ! -e "/proc/$pid/root/dev/ublk"
}

cgroup_v1() {
    local pid group=/sys/fs/cgroup/devices

    mkdir $group
    undo rmdir $group
    mount -t cgroup -o devices none $group
    undo umount $group
    mkdir $group/node
    sleep 1000 &
    pid=$!
    undo sh -c "kill $pid; sleep 0.3; rmdir $group/node"
    echo $pid >$group/node/cgroup.procs
    check "cgroup v1, all allowed: allow" "$tool" allow $pid "$pins" "$data" rw
    same "cgroup v1, all allowed: the list is untouched" "a *:* rwm" "$(cat $group/node/devices.list)"
    echo a >$group/node/devices.deny
    check "cgroup v1: allow" "$tool" allow $pid "$pins" "$data" rw
    same "cgroup v1: listed" "b $data rw" "$(cat $group/node/devices.list)"
    check "cgroup v1: revoke" "$tool" revoke $pid "$pins" "$data"
    same "cgroup v1: not listed any more" "" "$(cat $group/node/devices.list)"
}

odd_places
inner_cgroup
shared_dev
unmapped
rootless
cgroup_v1
verdict
