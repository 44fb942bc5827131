#!/bin/bash
# File systems made in new volumes, and in nothing else.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/store.sh"
requires jq setpriv mkfs.ext4 mkfs.xfs mkfs.btrfs e2fsck

helper_start
store_start

# The smallest each mkfs takes, and a little.
for row in 'ext4 16M' 'xfs 320M' 'btrfs 128M'; do
    read -r fs size <<<"$row"
    ublk-oci volume create "$fs" --size "$size" --fs "$fs"
    [ "$(volume_get "$fs" filesystem)" = "$fs" ] || fail "$fs is not on record"
    [ "$(blkid -p -o value -s TYPE "$volumes/$fs/data")" = "$fs" ] || fail "it is no $fs"
    [ "$(volume_get "$fs" used_bytes)" -lt 80000000 ] || fail "$fs: $(volume_get "$fs" used_bytes)"
done
e2fsck -fn $volumes/ext4/data >/dev/null 2>&1 || fail "the ext4 has errors"
ok "volume fs: ext4, xfs and btrfs in new volumes"

ublk-oci volume clone ext4 copy
[ "$(volume_get copy filesystem)" = ext4 ] || fail "the copy does not know"
node=$(losetup -f --show "$volumes/copy/data")
undo sh -c "losetup -d $node 2>/dev/null || true" # also when it is done already
mkdir "$TEST_DIR/mnt"
mount "$node" "$TEST_DIR/mnt"
[ -d "$TEST_DIR/mnt/lost+found" ] || fail "nothing is in it"
umount "$TEST_DIR/mnt"
ok "volume fs: a copy has it too, and it mounts"

truncate -s 16M "$TEST_DIR/image"
expect_fail 'made in an empty volume' ublk-oci volume create x --from "$TEST_DIR/image" --fs ext4
expect_fail 'made in an empty volume' ublk-oci volume create x --clone copy --fs ext4
expect_fail 'is none of' ublk-oci volume create x --size 16M --fs ntfs
expect_fail 'mkfs.xfs: ' ublk-oci volume create x --size 4M --fs xfs
[ "$(find $volumes -mindepth 1 -maxdepth 1 -name '*x' ! -name xfs -printf '%f\n')" = '' ] || fail "left: $(ls -A $volumes)"
ok "volume fs: nothing is formatted over, and a mkfs that fails leaves no volume"
losetup -d "$node"
for name in copy ext4 xfs btrfs; do ublk-oci volume delete $name; done
expect_nothing_left
