#!/bin/bash
# What is in a volume: looked at, formatted only when blank, checked, mended, grown.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/store.sh"
requires jq setpriv mkfs.ext4 debugfs dumpe2fs mkswap dmsetup filefrag losetup

bad=/srv/probe-bad
jq --arg path $bad '.pools = [{name: "default", path: "/var/lib/ublk-oci/volumes"}, {name: "bad", path: $path}]
    | (.rules[] | select(.id == "root-volumes") | .pools) += ["bad"]' \
    /etc/ublk-oci/policy.json >"$TEST_DIR/policy.json"
# A pool on a disk of which a part can go bad.
truncate -s 64M "$TEST_DIR/disk"
node=$(losetup -f --show "$TEST_DIR/disk")
undo losetup -d "$node"
modprobe dm_mod
dmsetup create probe-bad --table "0 131072 linear $node 0"
undo dmsetup remove --force probe-bad
dmsetup mknodes
mkfs.ext4 -q -b 4096 /dev/mapper/probe-bad
mkdir -p $bad
mount /dev/mapper/probe-bad $bad
undo umount -l $bad
chown ublk-oci-store: $bad
chmod 700 $bad
helper_start --policy "$TEST_DIR/policy.json"
store_start --policy "$TEST_DIR/policy.json"

content() { volume_get "$1" 'content + ":" + .content_reason'; }
is() { [ "$(content "$1")" = "$2" ] || fail "$1: $(content "$1"), not $2"; }
blocks() { dumpe2fs -h "$volumes/$1/data" 2>/dev/null | awk '/^Block count/ { n = $3 } /^Block size/ { print n * $3 }'; }

ublk-oci volume create data --size 16M
is data blank:
ublk-oci volume format data --fs ext4
is data ext4:
[ "$(volume_get data filesystem)" = ext4 ] || fail "it is not on record"
expect_fail 'has held ext4: nothing is formatted' ublk-oci volume format data --fs xfs
expect_fail 'fs is needed' ublk-oci volume format data
ublk-oci volume create small --size 1M
expect_fail 'mkfs.xfs: ' ublk-oci volume format small --fs xfs
is small blank:
! grep -q formatting $volumes/small/volume.json || fail "$(cat $volumes/small/volume.json)"
ok "probe: a blank volume is formatted, once; one that fails stays blank"

[ "$(ublk-oci volume check data)" = 'data: ext4, clean' ] || fail "$(ublk-oci volume check data)"
harm() { debugfs -w -R 'set_inode_field <2> links_count 9' $volumes/data/data 2>/dev/null; }
harm
[ "$(ublk-oci volume check data)" = 'data: ext4, mended' ] || fail "it is not mended"
harm
ublk-oci volume snapshot data then
ublk-oci volume attach data >/dev/null
expect_fail 'volume data is attached' ublk-oci volume check data
expect_fail 'volume data is attached' ublk-oci volume format data --fs ext4
ublk-oci volume detach data
if ublk-oci volume check then --json >"$TEST_DIR/said"; then fail "a snapshot was mended"; fi
jq -e '.check == "damaged" and .content == "ext4"' "$TEST_DIR/said" >/dev/null || fail "$(cat "$TEST_DIR/said")"
ublk-oci volume attach data --read-only >/dev/null
if ublk-oci volume check data >"$TEST_DIR/said"; then fail "mended below a reader"; fi
grep -q damaged "$TEST_DIR/said" || fail "$(cat "$TEST_DIR/said")"
ublk-oci volume detach data
expect_fail 'no file system in it that can be checked: it is blank' ublk-oci volume check small
ok "probe: checked and mended, and what is attached or a snapshot is not written"

ublk-oci volume resize data --size 32M
[ "$(blocks data)" = 33554432 ] || fail "the file system has $(blocks data) bytes"
[ "$(ublk-oci volume check data)" = 'data: ext4, clean' ] || fail "it is not clean"
ok "probe: a volume that is not attached grows with its file system"

# Whatever is there already stays there.
truncate -s 16M "$TEST_DIR/swap" "$TEST_DIR/half" "$TEST_DIR/gpt"
mkswap "$TEST_DIR/swap" >/dev/null 2>&1
dd if=$volumes/data/data of="$TEST_DIR/half" bs=1 skip=1024 seek=1024 count=64 conv=notrunc 2>/dev/null
printf 'EFI PART' | dd of="$TEST_DIR/gpt" bs=1 seek=512 conv=notrunc 2>/dev/null
for name in swap half gpt; do
    ublk-oci volume import "$TEST_DIR/$name" $name
    [ "$(content $name)" != blank: ] || fail "$name is taken for nothing"
    expect_fail 'nothing is formatted' ublk-oci volume format $name --fs ext4
    cmp "$TEST_DIR/$name" $volumes/$name/data || fail "$name was written"
done
is swap swap:
is gpt 'unknown:data in it that nobody knows'
ublk-oci volume import $volumes/data/data image
[ "$(volume_get image 'content + (.filesystem | tostring)')" = ext4null ] || fail "the image"
expect_fail 'has held ext4' ublk-oci volume format image --fs ext4
ok "probe: swap, half a superblock, half a partition table: none is formatted"

# A write of zeroes that can no longer be read.
ublk-oci volume create sick --size 16M --pool bad
dd if=/dev/zero of=$bad/sick/data bs=4K seek=1024 count=1 conv=notrunc,fsync 2>/dev/null
is sick blank:
at=$(filefrag -v $bad/sick/data | awk '$1 == "0:" { sub(/\.\./, "", $4); print $4 * 8 }')
dmsetup suspend probe-bad
dmsetup reload probe-bad <<END
0 $at linear $node 0
$at 8 error
$((at + 8)) $((131072 - at - 8)) linear $node $((at + 8))
END
dmsetup resume probe-bad
echo 3 >/proc/sys/vm/drop_caches
is sick 'unknown:it cannot be read: Input/output error'
expect_fail 'cannot be read: Input/output error.: nothing is formatted' \
    ublk-oci volume format sick --fs ext4
ok "probe: what cannot be read is not blank"

for name in data small then swap half gpt image sick; do ublk-oci volume delete $name; done
expect_nothing_left
