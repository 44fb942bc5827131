#!/bin/bash
# Every target keeps what is written, over every kind of backing file.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/serve.sh"
. "$(dirname "$0")/data.sh"
requires fio mkfs.ext4 losetup blkdiscard cmp

size=$((48 << 20))

all_of --target memory --size $size
all_of --target memory --size $size --block 4096

truncate -s $size on-tmpfs
all_of --target file --backing on-tmpfs
read_only --target file --backing on-tmpfs

modprobe -a loop ext4
truncate -s 128M image
mkfs.ext4 -q image
mkdir mnt
mount -o loop image mnt
undo umount mnt
truncate -s $size mnt/file
all_of --target file --backing mnt/file --direct
all_of --target file --backing mnt/file --queues 1 --depth 4 --max-io 64K

truncate -s $size disk
loop=$(losetup --find --show --direct-io=off disk)
undo losetup --detach "$loop"
all_of --target file --backing "$loop" --direct
read_only --target file --backing "$loop" --direct

serve --target null --size $size
dd if=/dev/urandom of="$DEV" bs=1M count=8 oflag=direct status=none
zeroes 0 8
serve_end
