#!/bin/bash
# The power goes: at every moment at which somebody was told that his data are safe. What the worker
# sends down goes through dm-log-writes, which keeps it in the order in which a disk with a cache would
# have it for sure.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires jq dmsetup mkfs.ext4 e2fsck python3

tools=$(cd "$(dirname "$0")" && pwd)
raw=15 raw_in=4 files=4 files_in=2 # rounds of each of four writers
[ -z "${CHAOS_MINUTES:-}" ] || { raw=150; raw_in=20; files=25; files_in=15; }
disk_bytes=$((24 << 20))
cat >"$TEST_DIR/policy.json" <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [ { "id": "host",
    "principal": { "uid": 0 }, "host": true, "targets": ["file", "memory", "null", "cow"],
    "backing": ["/dev/", "/srv/ublk-oci/", "$TEST_DIR/"], "max_size": "1G", "discard": true, "zero_copy": true } ] }
END
modprobe -a dm-log-writes
modprobe brd rd_nr=1 rd_size=$((1 << 20))
undo rmmod brd
mkdir -p /srv/ublk-oci
helper_start --policy "$TEST_DIR/policy.json"

# A disk of zeroes, which is seen through /dev/dm-N, and its log in /dev/ram0.
disk_start() {
    rm -f "$TEST_DIR/disk"
    truncate -s $disk_bytes "$TEST_DIR/disk"
    loop=$(losetup --find --show "$TEST_DIR/disk")
    dmsetup create power --table "0 $((disk_bytes / 512)) log-writes $loop /dev/ram0"
    disk=$(echo /dev/dm-*)
    undo disk_end
}

disk_end() {
    mountpoint -q /srv/ublk-oci && umount /srv/ublk-oci
    ! dmsetup info power >/dev/null 2>&1 || dmsetup remove --retry power
    ! losetup "$loop" >/dev/null 2>&1 || losetup --detach "$loop"
}

mkfs() { mkfs.ext4 -q -b 4096 -J size=4 -E lazy_itable_init=0,lazy_journal_init=0 "$@"; }

# run BACKING HOW ROUNDS [OPTION...]: a device over it, a load on the device, and nothing but the log after.
run() {
    local dev place

    dev=$(ublk-oci attach --host --backing "$1" "${@:4}")
    place=$dev
    if [ "$2" = files ]; then
        mkfs "$dev"
        mkdir -p "$TEST_DIR/mnt"
        mount "$dev" "$TEST_DIR/mnt"
        undo eval "! mountpoint -q $TEST_DIR/mnt || umount $TEST_DIR/mnt"
        place=$TEST_DIR/mnt
    fi
    rm -f "$TEST_DIR/acks"
    "$tools/durable_write.py" "$2" "$place" "$TEST_DIR/acks" 0 "$3" power
    [ "$2" != files ] || umount "$TEST_DIR/mnt"
    ublk-oci detach "$dev" >/dev/null
}

# replay WHAT LAYER...
replay() {
    local what=$1 seen

    shift
    disk_end
    seen=$("$tools/power_replay.py" /dev/ram0 $disk_bytes "$TEST_DIR/acks" "$@") || fail "$what: $seen"
    ok "power: $what: all that was acknowledged is there at every mark: $seen"
}

# Who is not told of a cache does not flush.
while read -r says fua options; do
    # shellcheck disable=SC2086 # words
    dev=$(ublk-oci attach --host $options)
    queue=/sys/block/${dev#/dev/}/queue
    [ "$(cat "$queue/write_cache") $(cat "$queue/fua")" = "write $says $fua" ] ||
        fail "$options: its cache is $(cat "$queue/write_cache"), FUA $(cat "$queue/fua")"
    ublk-oci detach "$dev" >/dev/null
done <<END
back 1 --target file --backing /dev/ram0
through 0 --target file --backing /dev/ram0 --read-only
through 0 --target memory --size 1M
through 0 --target null --size 1M
END
ok "power: a volatile cache is advertised where there is one, and nowhere else"

disk_start
run "$disk" raw $raw --target file
replay "a raw writer on a disk" raw

disk_start
run "$disk" files $files --target file
replay "ext4 on a disk" ext4 files

# What most users have.
for how in raw files; do
    disk_start
    mkfs "$disk"
    mount "$disk" /srv/ublk-oci
    truncate -s 16M /srv/ublk-oci/backing
    sync
    if [ $how = raw ]; then
        run /srv/ublk-oci/backing raw $raw_in --target file
        replay "a raw writer on a file in ext4" ext4 backing raw
    else
        run /srv/ublk-oci/backing files $files_in --target file
        replay "ext4 on a file in ext4" ext4 backing ext4 files
    fi
done

# A delta: whose map changes with each new cluster, which is synced for that; and in whose few clusters
# most writes change nothing but data, which only a flush makes sure of.
truncate -s 16M "$TEST_DIR/base"
for how in 4K 1M files; do
    disk_start
    mkfs "$disk"
    mount "$disk" /srv/ublk-oci
    if [ $how = files ]; then
        run /srv/ublk-oci/delta files $files_in --target cow --base "$TEST_DIR/base"
        replay "ext4 on a delta in ext4" ext4 delta cow "$TEST_DIR/base" ext4 files
    else
        run /srv/ublk-oci/delta raw $raw_in --target cow --base "$TEST_DIR/base" --cluster $how
        replay "a raw writer on a delta of $how in ext4" ext4 delta cow "$TEST_DIR/base" raw
    fi
done
expect_nothing_left
