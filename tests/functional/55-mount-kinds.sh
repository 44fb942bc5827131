#!/bin/bash
# The other file systems that are mounted in a container: xfs and btrfs, also where it has a user
# namespace, with a worker that dies, and with an image of which there is a copy.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires crun jq mkfs.xfs xfs_repair xfs_db mkfs.btrfs btrfs

# An emulated machine may take longer to load them than a mount has.
modprobe -a xfs btrfs
srv_mount 700M
umask 022
chmod 711 "$TEST_DIR"
cat >"$TEST_DIR/policy.json" <<'END'
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [
    { "id": "mounts", "principal": { "uid": 0 }, "may": ["mount"], "targets": ["file"],
      "backing": ["/srv/ublk-oci/"], "backing_owner": "any", "max_size": "1G",
      "max_devices_per_container": 4,
      "mount": { "under": ["/data", "/copy"], "filesystems": ["xfs", "btrfs"] } } ] }
END
helper_start --policy "$TEST_DIR/policy.json"

userns='.linux.namespaces += [{"type":"user"}]
    | .linux.uidMappings=[{"containerID":0,"hostID":100000,"size":65536}]
    | .linux.gidMappings=.linux.uidMappings'
for id in plain userns; do
    change=.
    [ $id = plain ] || change=$userns
    bundle_make "$TEST_DIR/$id" "$change"
    [ $id = plain ] || chown -R 100000:100000 "$TEST_DIR/$id/rootfs"
    container_start crun $id "$TEST_DIR/$id"
done

# Sizes near the smallest these programs make.
make_xfs() { truncate -s 320M "$1" && mkfs.xfs -q -f "$1"; }
make_btrfs() { truncate -s 120M "$1" && mkfs.btrfs -q -f "$1" 2>/dev/null; }
check_xfs() { xfs_repair -n "$1"; }
check_btrfs() { btrfs check --readonly "$1"; }
# The owner a file has on the disk.
owner_xfs() { # FILE INODE
    xfs_db -r -c "inode $2" -c 'print core.uid' "$1" | sed 's/.*= //'
}
owner_btrfs() {
    btrfs inspect-internal dump-tree -t 5 "$1" |
        awk -v key="($2 INODE_ITEM 0)" 'index($0, key) { found = 1 } found && / uid / {
            for (i = 1; i < NF; i++) if ($i == "uid") { print $(i + 1); exit } }'
}

give() { # PATH IMAGE
    ublk-oci attach --container $id --mount "$1" --fs "$fs" --target file --backing "$2" >/dev/null
}
take() { ublk-oci detach --container $id --mount "$1"; }
in_it() { crun exec $id "$@"; }
is_clean() {
    "check_$fs" "$image" >"$TEST_DIR/check" 2>&1 || fail "$fs: $(cat "$TEST_DIR/check")"
}
worker() { ublk-oci list --json | jq '.[0].worker.pid'; }
has_other_worker() { [ "$(ublk-oci list --json | jq -r '.[0].state')" = live ] && [ "$(worker)" != "$1" ]; }

for fs in xfs btrfs; do
    image=/srv/ublk-oci/$fs.img
    "make_$fs" "$image"
    for id in plain userns; do
        give /data "$image"
        in_it sh -c 'cat /proc/self/mountinfo; dd if=/dev/urandom of=/data/f bs=64k count=64 2>/dev/null
            sync; sha256sum </data/f >/data/sum; stat -c "owner %u:%g inode %i" /data/f' >"$TEST_DIR/said"
        grep -qE " /data rw,nosuid,nodev.* - $fs " "$TEST_DIR/said" || fail "$(cat "$TEST_DIR/said")"
        grep -q 'owner 0:0 ' "$TEST_DIR/said" || fail "$id: its owner: $(tail -n 1 "$TEST_DIR/said")"
        inode=$(sed -n 's/.* inode //p' "$TEST_DIR/said")
        take /data
        expect_nothing_left
        is_clean
        [ "$("owner_$fs" "$image" "$inode")" = 0 ] ||
            fail "$id: on the disk it belongs to '$("owner_$fs" "$image" "$inode")'"
        give /data "$image"
        in_it sh -c 'sha256sum </data/f | cmp - /data/sum' || fail "$id: other data"
        take /data
        expect_nothing_left
        ok "mount: $fs: $id: written, unmounted clean, root's on the disk, read back by the next"
    done

    id=plain
    give /data "$image"
    in_it sh -c 'dd if=/dev/urandom of=/data/g bs=64k count=64 2>/dev/null; sha256sum </data/g >/data/sum-g' &
    load=$!
    pid=$(worker)
    kill -KILL "$pid"
    wait_for 60 has_other_worker "$pid"
    wait $load || fail "the container got an error"
    in_it sh -c 'sync; sha256sum </data/g | cmp - /data/sum-g' || fail "other data"
    take /data
    expect_nothing_left
    is_clean
    ok "mount: $fs: a worker dies, the container gets no error, and it is clean"
done

# A copy has the same UUID; xfs is told not to mind, btrfs gives the second another one while it
# is mounted. Nobody may get the other's data.
id=plain
for fs in xfs btrfs; do
    image=/srv/ublk-oci/$fs.img
    cp --sparse=always "$image" "$image.copy"
    give /data "$image"
    in_it sh -c 'echo first >/data/which; sync'
    give /copy "$image.copy"
    ! in_it test -e /copy/which || fail "$fs: the copy is the first"
    in_it sh -c 'echo second >/copy/which; sync'
    [ "$(in_it cat /data/which)" = first ] || fail "$fs: the first has other data"
    take /data
    take /copy
    expect_nothing_left
    is_clean
    give /copy "$image.copy"
    [ "$(in_it cat /copy/which)" = second ] || fail "$fs: the copy has other data"
    take /copy
    rm "$image" "$image.copy"
    ok "mount: $fs: a copy of what is mounted is mounted beside it, and is another"
done
expect_nothing_left
