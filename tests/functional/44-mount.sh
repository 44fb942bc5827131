#!/bin/bash
# A device's file system mounted in a running container, which gets no device.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires crun runc jq mkfs.ext4 fsck.ext4 debugfs nsenter

srv_mount 200M
umask 022
chmod 711 "$TEST_DIR"

cat >"$TEST_DIR/policy.json" <<'END'
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [
    { "id": "mounts", "principal": { "uid": 0 }, "may": ["mount"], "targets": ["file"],
      "backing": ["/srv/ublk-oci/"], "backing_owner": "any", "max_size": "1G",
      "max_devices_per_container": 4,
      "mount": { "under": ["/data", "/mnt/"], "filesystems": ["ext4", "xfs"] } },
    { "id": "trusted", "principal": { "user": "ublk-oci-hook" }, "may": ["mount"], "targets": ["file"],
      "backing": ["/srv/ublk-oci/trusted/"], "backing_owner": "any", "max_size": "1G",
      "max_devices_per_container": 4,
      "mount": { "under": ["/data"], "filesystems": ["ext4"], "trust_raw_writers": true } },
    { "id": "untrusted", "principal": { "user": "ublk-oci-hook" }, "may": ["mount"], "targets": ["file"],
      "backing": ["/srv/ublk-oci/"], "backing_owner": "any", "max_size": "1G",
      "max_devices_per_container": 4,
      "mount": { "under": ["/data"], "filesystems": ["ext4"] } } ] }
END
chmod 644 "$TEST_DIR/policy.json"
helper_start --policy "$TEST_DIR/policy.json"

userns='.linux.namespaces += [{"type":"user"}]
    | .linux.uidMappings=[{"containerID":0,"hostID":100000,"size":65536}]
    | .linux.gidMappings=.linux.uidMappings'

image_make() { # FILE
    rm -f "$1"
    truncate -s 32M "$1"
    mkfs.ext4 -q -F "$1"
}
# give CONTAINER [PATH [OPTION...]]
give() {
    ublk-oci attach --container "$1" --mount "${2:-/data}" --fs ext4 --target file \
        --backing "$image" "${@:3}"
}
take() { ublk-oci detach --container "$1" --mount "${2:-/data}" "${@:3}"; }
# What it was unmounted as: everything written, no journal to be read again.
is_clean() {
    fsck.ext4 -fn "$image" >"$TEST_DIR/fsck" 2>&1 || fail "fsck: $(cat "$TEST_DIR/fsck")"
    ! dumpe2fs -h "$image" 2>/dev/null | found needs_recovery || fail "it was not unmounted"
}
# The owner a file has on the disk.
disk_owner() { debugfs -R "stat $1" "$image" 2>/dev/null | sed -n 's/^User: *\([0-9]*\).*/\1/p'; }
in_it() { "$runtime" exec "$id" "$@"; }
# Somebody who stands in what is mounted, and nobody any more. Of a process that has just ended
# find complains.
inside() { find /proc/[0-9]*/cwd -maxdepth 0 -lname '*/data' 2>/dev/null || true; }
somebody_inside() { [ -n "$(inside)" ]; }
nobody_inside() { [ -z "$(inside)" ]; }
user_start() {
    "$runtime" exec -d "$id" sh -c 'cd /data && exec sleep 1000' </dev/null >/dev/null 2>&1
    wait_for 30 somebody_inside
    read -r user_cwd < <(inside)
    user_pid=${user_cwd//[!0-9]/}
}
user_stop() {
    kill "$user_pid"
    wait_for 30 nobody_inside
}

# By force, under somebody's feet, who then holds a dead superblock.
forced() {
    give "$id" /mnt/there --read-only >/dev/null
    expect_fail ' /mnt/there ro,nosuid,nodev.* - ext4 [^ ]* ro' in_it sh -c 'cat /proc/self/mountinfo
        sha256sum </mnt/there/f | cmp - /mnt/there/sum || echo differs; echo a >/mnt/there/a'
    grep -q Read-only <<<"$output" && ! grep -q differs <<<"$output" || fail "read-only: $output"
    take "$id" /mnt/there
    expect_nothing_left
    in_it test -d /mnt/there || fail "a directory that was there was removed"
    ok "mount: $id: a read-only device is mounted read-only, on a directory that was there"

    give "$id" >/dev/null
    user_start
    in_it sh -c 'echo forced >/data/forced'
    take "$id" /data --force 2>"$TEST_DIR/said"
    grep -q 'in use: cwd of pid' "$TEST_DIR/said" || fail "force: $(cat "$TEST_DIR/said")"
    expect_nothing_left
    ! in_it test -e /data/forced || fail "it is still there"
    fsck.ext4 -fy "$image" >"$TEST_DIR/fsck" 2>&1 || [ $? = 1 ] || fail "fsck: $(cat "$TEST_DIR/fsck")"
    [ "$(debugfs -R 'cat forced' "$image" 2>/dev/null)" = forced ] || fail "what was written is lost"
    ok "mount: $id: --force takes it from who uses it, and what was written is there"

    image_make "$image"
    if give "$id" >"$TEST_DIR/said" 2>&1; then
        ! in_it test -e /data/forced || fail "the old file system is there again"
        take "$id"
    else
        grep -q 'of an earlier device .* is still in use' "$TEST_DIR/said" || fail "$(cat "$TEST_DIR/said")"
    fi
    kill "$user_pid"
    wait_for 30 sh -c "! kill -0 $user_pid 2>/dev/null"
    expect_nothing_left
    ok "mount: $id: while somebody holds its superblock the next device has its own"
}

# With a file open, and a runtime that says nothing; and somebody in its mount namespace who
# stays some seconds longer, until when the device has to be served.
killed() {
    local pid

    give "$id" >/dev/null
    pid=$("$runtime" state "$id" | jq .pid)
    "$runtime" exec -d "$id" sh -c 'echo last >/data/last; exec sleep 1000 </data/last' </dev/null >/dev/null 2>&1
    wait_for 30 in_it test -s /data/last
    nsenter -t "$pid" -m /bin/busybox sh -c 'echo late >/data/late; exec busybox sleep 5 </data/late' &
    wait_for 30 in_it test -s /data/late
    kill -KILL "$pid"
    expect_nothing_left
    is_clean
    [ "$(debugfs -R 'cat last' "$image" 2>/dev/null)" = last ] || fail "what was written is lost"
    [ "$(debugfs -R 'cat late' "$image" 2>/dev/null)" = late ] || fail "what was written is lost"
    ok "mount: $id: a container that is killed leaves nothing, and the disk is clean, also where somebody lingers"
}

for id in crun-plain crun-userns runc-plain runc-userns; do
    runtime=${id%-*}
    image=/srv/ublk-oci/$id.img
    change=.
    [[ $id = *-plain ]] || change=$userns
    bundle_make "$TEST_DIR/$id" "$change"
    mkdir "$TEST_DIR/$id/rootfs/mnt/there"
    [[ $id = *-plain ]] || chown -R 100000:100000 "$TEST_DIR/$id/rootfs"
    container_start "$runtime" "$id" "$TEST_DIR/$id"
    image_make "$image"

    give "$id" | found 'is mounted at /data' || fail "attach"
    in_it sh -c 'cat /proc/self/mountinfo; dd if=/dev/urandom of=/data/f bs=64k count=64 2>/dev/null
        sync; sha256sum </data/f >/data/sum; stat -c "owner %u:%g" /data/f' >"$TEST_DIR/said"
    grep -qE ' /data rw,nosuid,nodev.* - ext4 ' "$TEST_DIR/said" || fail "mounted as: $(cat "$TEST_DIR/said")"
    grep -qx 'owner 0:0' "$TEST_DIR/said" || fail "it is not root's in the container: $(cat "$TEST_DIR/said")"
    ok "mount: $id: the container writes and reads, and it is nosuid, nodev"

    # The filter was never told of it; a node one brings does not open.
    read -r number what < <(ublk-oci list --json | jq -r '.[0] | "\(.major):\(.minor) \(.path) \(.filesystem)"')
    mknod -m 666 "$TEST_DIR/$id/rootfs/tmp/disk" b "${number%:*}" "${number#*:}"
    expect_fail 'not permitted|Permission denied' in_it dd if=/tmp/disk of=/dev/null count=1
    ! compgen -G '/sys/fs/bpf/ublk-oci/*' >/dev/null || fail "its filter was changed"
    ! compgen -G '/run/ublk-oci/nodes/*' >/dev/null || fail "there is a node"
    ok "mount: $id: the container has no device, and cannot open one"

    [ "$what" = '/data ext4' ] || fail "list: $what"
    ublk-oci list | found '/data (ext4)' || fail "list: $(ublk-oci list)"
    ublk-oci inspect --container "$id" --mount /data --json |
        jq -e '.filesystem == "ext4" and .rule == "mounts" and .node == null' >/dev/null || fail inspect
    give "$id" >/dev/null
    [ "$(nr_devices)" = 1 ] || fail "asked twice made two"
    ok "mount: $id: list and inspect show it; asked twice is one"

    user_start
    expect_fail 'in use: cwd of pid [0-9]+ \(sleep\).*--force' take "$id"
    in_it sh -c 'sha256sum </data/f | cmp - /data/sum' || fail "a detach that was refused took it"
    user_stop
    take "$id"
    expect_nothing_left
    ! in_it test -e /data || fail "the directory we made is still there"
    is_clean
    [ "$(disk_owner f)" = 0 ] || fail "on the disk it belongs to $(disk_owner f)"
    ok "mount: $id: who uses it keeps it, and is named; then it goes, clean, root's on the disk"

    [[ $id != crun-* ]] || forced
    [[ $id != *-plain ]] || killed
    "$runtime" delete -f "$id"
    rm "$image"
done

# --- what is refused, and that it leaves nothing -------------------------------
runtime=crun
id=refused
image=/srv/ublk-oci/refused.img
bundle_make "$TEST_DIR/$id"
mnt=$TEST_DIR/$id/rootfs/mnt
mkdir "$mnt/full" "$mnt/full/a" "$mnt/empty"
ln -s empty "$mnt/link"
echo a >"$mnt/file"
container_start crun $id "$TEST_DIR/$id"
image_make "$image"
refuse() { # PATTERN PATH [OPTION...]
    expect_fail "$1" give $id "${@:2}"
    nothing_left || fail "left: $(leftovers)"
}
refuse 'mount path /opt is not in its list' /opt
refuse 'mount path /data/a is not in its list' /data/a
refuse 'no place to mount at' /mnt/../opt
refuse 'symbolic link' /mnt/link
refuse 'symbolic link' /mnt/link/a
refuse '/mnt/full in the container is not empty' /mnt/full
refuse 'is no directory' /mnt/file
refuse 'cannot come to /mnt/none/a' /mnt/none/a
[ "$(ls "$mnt")" = "$(printf 'empty\nfile\nfull\nlink')" ] || fail "it left: $(ls "$mnt")"
expect_fail 'none of: ext4' ublk-oci attach --container $id --mount /data --fs auto --target file --backing "$image"
expect_fail 'filesystem btrfs is not in its list' \
    ublk-oci attach --container $id --mount /data --fs btrfs --target file --backing "$image"
expect_fail 'has no file system' ublk-oci attach --container $id --mount /data --fs ext4 --target memory --size 1M
expect_fail 'attach is not in what it may' \
    ublk-oci attach --container $id --device /dev/data --target file --backing "$image"
ok "mount: a place or a file system that no rule gives, links, and what is not empty are refused"

chmod 666 "$image"
refuse 'others than root could write the filesystem' /data
chmod 644 "$image"
chown 1000 "$image"
refuse 'others than root could write the filesystem' /data
chown 0 "$image"
truncate -s 32M /srv/ublk-oci/zeroes.img
expect_fail 'cannot mount it as ext4' \
    ublk-oci attach --container $id --mount /data --fs ext4 --target file --backing /srv/ublk-oci/zeroes.img
expect_nothing_left
[ ! -e "$TEST_DIR/$id/rootfs/data" ] || fail "the directory stays"
ok "mount: what others could write, or is no such file system, is refused"

# --- the hook, whose user may name any container, but is not root ---------------
hooked() { # RUNTIME IMAGE
    bundle_make "$TEST_DIR/hooked" "$(hooks_jq)
        | $(device_jq data "target=file,mount=/data,fs=ext4,backing=$2")
        | .process.args=[\"sh\",\"-c\",\"cat /proc/self/mountinfo; echo $1 >/data/$1; sleep 1000\"]"
    "$1" run -d --bundle "$TEST_DIR/hooked" hooked </dev/null >"$TEST_DIR/hooked/log" 2>&1
}
image=/srv/ublk-oci/theirs.img
image_make "$image"
chown ublk-oci-hook "$image"
! hooked crun "$image" || fail "a file of somebody who is not root was mounted"
grep -q 'others than root could write' "$TEST_DIR/hooked/log" || fail "hook: $(cat "$TEST_DIR/hooked/log")"
crun delete -f hooked >/dev/null 2>&1 || true
expect_nothing_left
ok "mount: a caller who is not root is refused, unless a rule trusts who writes"

mkdir /srv/ublk-oci/trusted
image=/srv/ublk-oci/trusted/a.img
image_make "$image"
chown ublk-oci-hook "$image"
for runtime in crun runc; do
    hooked $runtime "$image" || fail "hook: $(cat "$TEST_DIR/hooked/log")"
    undo container_delete $runtime hooked
    wait_for 20 $runtime exec hooked test -s /data/$runtime
    grep -qE ' /data rw,nosuid,nodev.* - ext4 ' "$TEST_DIR/hooked/log" || fail "$(cat "$TEST_DIR/hooked/log")"
    $runtime delete -f hooked
    expect_nothing_left
    is_clean
    ok "mount: hook: $runtime: an annotation's file system is there from the beginning, and goes with its container"
done

# --- a worker dies under load ---------------------------------------------------
runtime=crun
image=/srv/ublk-oci/load.img
image_make "$image"
give $id >/dev/null
worker() { ublk-oci list --json | jq '.[0].worker.pid'; }
has_other_worker() { [ "$(ublk-oci list --json | jq -r '.[0].state')" = live ] && [ "$(worker)" != "$1" ]; }
crun exec -d $id sh -c 'i=0; while [ $i -lt 30 ]; do
    dd if=/dev/urandom of=/data/$i bs=16k count=16 2>/dev/null; sha256sum /data/$i >>/data/sums; sync
    i=$((i + 1)); done; echo end >/data/end' </dev/null >/dev/null 2>&1
for ((i = 1; i <= 3; i++)); do
    wait_for 60 in_it test -e "/data/$((i * 5))"
    pid=$(worker)
    kill -KILL "$pid"
    wait_for 60 has_other_worker "$pid"
done
wait_for 200 in_it test -e /data/end
in_it sha256sum -c /data/sums >"$TEST_DIR/sums" 2>&1 || fail "other data: $(grep -v OK "$TEST_DIR/sums")"
[ "$(grep -c OK "$TEST_DIR/sums")" = 30 ] || fail "$(grep -c OK "$TEST_DIR/sums") of 30 files"
take $id
expect_nothing_left
is_clean
ok "mount: three workers die under load: every file is whole, and so is the file system"
