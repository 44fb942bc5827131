#!/bin/bash
# The disk behind a device fails, is full, gets shorter or is taken away: the container gets the
# errno, the worker lives, the log says why, once.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires crun jq losetup dmsetup mkfs.ext4
modprobe -a loop dm_mod

policy=$TEST_DIR/policy.json
cat >"$policy" <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 20 }, "rules": [
    { "id": "disks", "principal": { "uid": 0 }, "targets": ["file"], "max_size": "64M",
      "backing": ["/srv/ublk-oci/", "/dev/"], "zero_copy": true, "discard": true,
      "max_devices_per_container": 4 } ] }
END
srv=/srv/ublk-oci
mkdir -p $srv
mount -t tmpfs -o size=192M srv $srv
undo umount -l $srv
helper_start --policy "$policy"
bundle_make "$TEST_DIR/box" '.mounts += [{"destination":"/usr","type":"bind","source":"/usr",
    "options":["rbind","ro"]}] | .process.env=["PATH=/usr/bin:/bin"]
    | .process.capabilities[] |= . + ["CAP_SYS_ADMIN"] | .process.args=["bash", "/tmp/obey"]'
for dir in lib lib64; do
    [ ! -L /$dir ] || cp -P /$dir "$TEST_DIR/box/rootfs/"
done
cp /etc/ld.so.cache "$TEST_DIR/box/rootfs/etc/"
# Its process does as it is told, a line at a time: starting another one takes a second here.
tmp=$TEST_DIR/box/rootfs/tmp
mkfifo "$tmp/in" "$tmp/out"
for n in 1 2; do
    head -c 1M /dev/urandom >"$tmp/$n"
done
cat >"$tmp/obey" <<'END'
exec 3<>/tmp/in 4<>/tmp/out
while read -r line <&3; do
    out=$(eval "$line" 2>&1 </dev/null) && status=0 || status=$?
    echo "$status ${out//$'\n'/ }" >&4
done
END
exec 8<>"$tmp/in" 9<>"$tmp/out"
container_start crun box "$TEST_DIR/box"
inside() {
    local status

    echo "$*" >&8
    output="no answer to: $*" status=1
    read -r -t 60 status output <&9 || true
    return "$status"
}

# --- a disk that can be made to fail, and devices in the container -------------------

EIO='Input/output error'
ENOSPC='No space left on device'

# disk NAME MIB: a device mapper device over memory; $disk is its node.
disk() {
    local loop

    truncate -s "$2M" "$srv/$1.disk"
    loop=$(losetup --find --show "$srv/$1.disk")
    undo losetup --detach "$loop"
    disk_loop[$1]=$loop
    disk_sectors[$1]=$(($2 << 11))
    dmsetup create "$1" --table "0 ${disk_sectors[$1]} linear $loop 0"
    undo disk_remove "$1"
    disk=/dev/dm-$(dmsetup info -c --noheadings -o minor "$1")
    [ -b "$disk" ] || dmsetup mknodes
}
declare -A disk_loop disk_sectors

disk_remove() { ! dmsetup info "$1" >/dev/null 2>&1 || dmsetup remove --deferred "$1"; }

# disk_is NAME SECTORS: so much of it is well, the rest fails.
disk_is() {
    local rest=$((disk_sectors[$1] - $2)) table=""

    [ "$2" = 0 ] || table="0 $2 linear ${disk_loop[$1]} 0"
    [ $rest = 0 ] || table+=${table:+$'\n'}"$2 $rest error"
    dmsetup suspend --noflush --nolockfs "$1"
    dmsetup load "$1" --table "$table"
    dmsetup resume "$1"
}
disk_well() { disk_is "$1" "${disk_sectors[$1]}"; }

# attach NAME BACKING [OPTION...]: /dev/NAME in the container; $dev is its device.
attach() {
    dev=$(ublk-oci attach --container box --engine crun --device "/dev/$1" --target file \
        --backing "$2" --json "${@:3}" | jq -r .device)
    worker=$(worker_now)
}
worker_now() { ublk-oci inspect --json "$dev" | jq .worker.pid; }
same_worker() { [ "$(worker_now)" = "$worker" ] || fail "$1: it has another worker"; }
detach() {
    same_worker "$1"
    ublk-oci detach --container box --device "/dev/$1" >/dev/null
}

# What the container is told: "" or an errno's words. Places and sizes in MiB.
said() {
    local output

    inside dd "$@" && return
    if [[ $output =~ $EIO|$ENOSPC ]]; then
        echo "${BASH_REMATCH[0]}"
    else
        echo "dd $*: $output"
    fi
}
reads() { said if="/dev/$1" of=/dev/null bs="${3:-1M}" skip="$2M" count=1 iflag=direct,skip_bytes; }
writes() { said if="/tmp/${3:-1}" of="/dev/$1" bs=1M seek="$2" oflag=direct conv=notrunc; }
writes_late() { said if=/tmp/1 of="/dev/$1" bs=1M seek="$2" conv=notrunc,fsync; }
is() { # WHAT IT-SAYS EXPECTED
    [ "$2" = "$3" ] || fail "$1: '$2', not '$3'"
}
# holds DEVICE MIB N: there is what was written from /tmp/N.
holds() {
    inside dd if="/dev/$1" of=/tmp/got bs=1M skip="$2" count=1 iflag=direct || fail "/dev/$1: $output"
    cmp -s "$tmp/got" "$tmp/$3" || fail "/dev/$1: other data at $2 MiB"
}
same_everywhere() { # NAME WORDS: reads, writes and late writes at 12 MiB say this
    is "$1: read" "$(reads "$1" 12)" "$2"
    is "$1: write" "$(writes "$1" 12)" "$2"
    is "$1: fsync" "$(writes_late "$1" 12)" "$2"
}

# said_once WORDS: so many lines of it are in the log of this device, one; and none of another kind.
said_once() {
    local lines=$TEST_DIR/lines

    wait_for 20 grep -q -E "$dev: $1" "$TEST_DIR/helper.log"
    grep -E "$dev: .* fails: " "$TEST_DIR/helper.log" >"$lines" || true
    [ "$(wc -l <"$lines")" = 1 ] || fail "not one line: $(cat "$lines")"
}
forget_log() { : >"$TEST_DIR/helper.log"; }

# --- it fails ---------------------------------------------------------------------------

disk bad 16
attach bad "$disk"
is "before" "$(writes bad 4)$(writes bad 12)" ""
disk_is bad $((8 << 11))
same_everywhere bad "$EIO"
is "half of it" "$(reads bad 7 2M)" "$EIO"
is "blocks that are well" "$(reads bad 2)$(writes bad 4 2)" ""
holds bad 4 2
same_worker bad
said_once "read of [0-9]+ bytes at 1[23][0-9]{6} fails: Input/output error"
ok "errors: the log has one line of it: $(cat "$TEST_DIR/lines")"
ok "errors: a disk that fails: EIO for read, write and fsync, other blocks serve on, the same worker"
disk_well bad
same_everywhere bad ""
holds bad 12 1
detach bad
forget_log
ok "errors: it is well again, and so is the device"

# The file system in between may have its own view of it.
disk below 48
mkfs.ext4 -q -O ^has_journal "$disk"
mkdir $srv/ext4
mount "$disk" $srv/ext4
undo umount -l $srv/ext4
head -c 16M /dev/zero >$srv/ext4/file
sync -f $srv/ext4
attach file $srv/ext4/file
is "before" "$(writes file 12)" ""
disk_is below 0
is "read" "$(reads file 12)" "$EIO"
is "write" "$(writes file 12 2)" "$EIO"
said_once "read of [0-9]+ bytes at 1[23][0-9]{6} fails: Input/output error"
disk_well below
is "after" "$(reads file 12)$(writes file 4)$(writes_late file 5)" ""
holds file 4 1
detach file
forget_log
ok "errors: the same when the disk fails below a file system"

# --- it is full ---------------------------------------------------------------------------

mkdir $srv/tmpfs
mount -t tmpfs -o size=24M tmpfs $srv/tmpfs
undo umount -l $srv/tmpfs
for fs in ext4 tmpfs; do
    truncate -s 32M $srv/$fs/sparse
    attach "$fs" $srv/$fs/sparse
    is "room" "$(writes "$fs" 0)" ""
    head -c 64M /dev/zero 2>/dev/null >$srv/$fs/filler || true
    is "$fs: write" "$(writes "$fs" 20)" "$ENOSPC"
    # Of a late write to a device, any device, the kernel remembers no more than that.
    is "$fs: fsync" "$(writes_late "$fs" 24)" "$EIO"
    is "$fs: where there is room" "$(writes "$fs" 0 2)" ""
    holds "$fs" 0 2
    same_worker "$fs"
    said_once "write of [0-9]+ bytes at 2[0-9]{7} fails: No space left on device"
    forget_log # the next device may have this one's number
    ok "errors: $fs is full: ENOSPC for a write, EIO for fsync, what has its place is still written"
    rm $srv/$fs/filler
    is "$fs: with room again" "$(writes "$fs" 20)$(writes_late "$fs" 24)" ""
    holds "$fs" 20 1
    holds "$fs" 24 1
    detach "$fs"
    rm $srv/$fs/sparse
    ok "errors: $fs has room again, and the device goes on"
done

# A file system on the device remembers.
truncate -s 32M $srv/tmpfs/image
mkfs.ext4 -q -O ^has_journal -E lazy_itable_init=0,nodiscard $srv/tmpfs/image
attach image $srv/tmpfs/image
inside mount -t ext4 /dev/image /mnt
is "room" "$(said if=/tmp/1 of=/mnt/one conv=fsync)" ""
head -c 64M /dev/zero 2>/dev/null >$srv/tmpfs/filler || true
is "fsync of a file" "$(said if=/tmp/1 of=/mnt/two conv=fsync)" "$ENOSPC"
inside cmp /tmp/1 /mnt/one
rm $srv/tmpfs/filler
is "with room again" "$(said if=/tmp/2 of=/mnt/three conv=fsync)" ""
inside umount /mnt
detach image
forget_log
rm $srv/tmpfs/image
ok "errors: a file system in the container hears ENOSPC, and goes on when there is room"

# --- it gets shorter --------------------------------------------------------------------------

for fs in ext4 tmpfs; do
    head -c 16M /dev/zero >$srv/$fs/short
    attach "$fs" $srv/$fs/short
    is "before" "$(writes "$fs" 12)" ""
    truncate -s $(((8 << 20) + 100)) $srv/$fs/short
    is "$fs: behind the end" "$(reads "$fs" 12)" "$EIO"
    is "$fs: over the end" "$(reads "$fs" 7 2M)" "$EIO"
    is "$fs: the last block" "$(reads "$fs" 8 4k)" "$EIO"
    is "$fs: before the end" "$(reads "$fs" 7)" ""
    same_worker "$fs"
    said_once "read of [0-9]+ bytes at 1[23][0-9]{6} fails: its backing file ends before that"
    ok "errors: a file on $fs got shorter: EIO behind its end, never zeroes"
    is "$fs: write" "$(writes "$fs" 12 2)" ""
    holds "$fs" 12 2
    is "$fs: behind the new end" "$(reads "$fs" 14)" "$EIO"
    detach "$fs"
    forget_log
    ok "errors: a write behind its end makes it longer again"
done

# --- it is taken away -----------------------------------------------------------------------------

disk gone 16
attach gone "$disk"
is "before" "$(writes gone 12)" ""
dmsetup remove --force gone 2>/dev/null || true # it is in use: all of it fails from now on
kill -KILL "$helper_pid"
wait "$helper_pid" 2>/dev/null || true
same_everywhere gone "$EIO"
helper_start --policy "$policy"
said_once "read of [0-9]+ bytes at 1[23][0-9]{6} fails: Input/output error"
ok "errors: what a worker said while there was no helper the next one writes"
detach gone
ok "errors: a disk is taken away: EIO, the same worker, and the device is detached as ever"
expect_nothing_left
