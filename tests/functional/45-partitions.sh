#!/bin/bash
# The kernel reads no partition table from a device: whoever writes a disk does
# not choose what the host's kernel parses.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires crun jq busybox losetup blockdev python3

helper_start
srv_mount
modprobe loop

# One partition of 1 MiB at 1 MiB, in a table of each kind.
python3 - /srv/ublk-oci <<'END'
import struct, sys, uuid, zlib
sectors, first, last = 8192, 2048, 4095

def mbr(kind, start, size):
    entry = struct.pack("<8B2I", 0, 0, 2, 0, kind, 255, 255, 255, start, size)
    return bytes(446) + entry + bytes(48) + b"\x55\xaa"

def header(entries, here, other, table):
    text = struct.pack("<8s4I4Q16sQ4I", b"EFI PART", 0x10000, 92, 0, 0, here, other, 34,
                       sectors - 34, uuid.UUID(int=1).bytes_le, table, 128, 128,
                       zlib.crc32(entries), 0)[:92]
    return (text[:16] + struct.pack("<I", zlib.crc32(text)) + text[20:]).ljust(512, b"\0")

linux = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4").bytes_le
entries = (linux + uuid.UUID(int=2).bytes_le + struct.pack("<3Q", first, last, 0)).ljust(16384, b"\0")
with open(sys.argv[1] + "/mbr.img", "wb") as f:
    f.write(mbr(0x83, first, last - first + 1))
    f.truncate(sectors * 512)
with open(sys.argv[1] + "/gpt.img", "wb") as f:
    f.write(mbr(0xee, 1, sectors - 1) + header(entries, 1, sectors - 1, 2) + entries)
    f.truncate((sectors - 33) * 512)
    f.seek(0, 2)
    f.write(entries + header(entries, sectors - 1, 1, sectors - 33))
END

partitions() { # NAME: of a disk, as sysfs and /proc/partitions know them
    compgen -G "/sys/block/$1/$1p*" || true
    grep -w -o "$1p[0-9]*" /proc/partitions || true
}

# So that silence says something: from another disk the same table is read.
for table in mbr gpt; do
    loop=$(losetup --find --show --partscan "/srv/ublk-oci/$table.img")
    seen=$(partitions "${loop#/dev/}")
    losetup -d "$loop"
    [ "$seen" = "/sys/block/${loop#/dev/}/${loop#/dev/}p1"$'\n'"${loop#/dev/}p1" ] ||
        fail "$table: of a loop device the kernel knows '$seen'"
done
ok "partitions: the kernel finds the partition of both tables on a loop device"

# unread WHEN: the table of $node is there to be read, and was not.
unread() {
    local name=${node#/dev/}

    cmp -n 1048576 "/srv/ublk-oci/$table.img" "$node" || fail "$table: the device has other bytes"
    [ -z "$(partitions "$name")" ] || fail "$table: $1: $(partitions "$name")"
    [ "$(<"/sys/block/$name/partscan")" = 0 ] || fail "$table: $1: the kernel would scan it"
}

for table in mbr gpt; do
    node=$(ublk-oci attach --host --target file --backing "/srv/ublk-oci/$table.img")
    unread "attached for the host"
    expect_fail 'Invalid argument' blockdev --rereadpt "$node"
    unread "after the host's root asked for it"
    exec 7<>"$node" # a writer that closes it is when the kernel or udev looks again
    exec 7<&-
    unread "after a writer closed it"
    ublk-oci detach "$node" >/dev/null
done
ok "partitions: of a device for the host none is found, nor when the host's root asks"

# A container as usual, and one whose root may administer everything.
for kind in plain admin; do
    change=.
    [ $kind = plain ] || change='.process.capabilities[] += ["CAP_SYS_ADMIN"]'
    bundle_make "$TEST_DIR/part-$kind" "$change"
    container_start crun "part-$kind" "$TEST_DIR/part-$kind"
    for table in mbr gpt; do
        ublk-oci attach --container "part-$kind" --device /dev/disk --target file \
            --backing "/srv/ublk-oci/$table.img" >/dev/null
        node=/dev/$(ublk-oci list --json | jq -r '.[0].device')
        unread "attached to a container"
        why='Permission denied|Operation not permitted'
        [ $kind = plain ] || why='Invalid argument'
        expect_fail "$why" crun exec "part-$kind" busybox blockdev --rereadpt /dev/disk
        unread "after the container's root asked for it"
        ublk-oci detach --container "part-$kind" --device /dev/disk >/dev/null
    done
    ok "partitions: a container's root ($kind) cannot have its table read either"
done
expect_nothing_left
