# SPDX-License-Identifier: Apache-2.0
"""What tests/run bench --targets measures: targets beside who else does the same work. Tables for
measure.py, rivals.py and report.py."""
import collections

DEVICE_MIB = 128
CLUSTER = 65536

# A device goes through these one after the other: nothing was written to it; the clusters of it
# are written for the first time; all of it was written.
STAGES = ("fresh", "first", "written")

# name: (what it is, fio's options, MiB that it moves, stage). What is written for the first time is
# a block of each cluster, once; a part of the device is for the run before, that does not count.
ROWS = {
    "fresh-randread-4k-qd1": ("random read 4 KiB, 1 in flight, of what was never written",
                              "rw=randread bs=4k iodepth=1", 32, "fresh"),
    "fresh-randread-4k-qd32": ("random read 4 KiB, 32 in flight, of what was never written",
                               "rw=randread bs=4k iodepth=32", 64, "fresh"),
    "fresh-read-256k-qd8": ("read 256 KiB, 8 in flight, of what was never written",
                            "rw=read bs=256k iodepth=8", 384, "fresh"),
    "first-write-4k-qd32": ("the first write of a cluster of 64 KiB, 4 KiB, 32 in flight",
                            f"rw=write:{CLUSTER // 1024 - 4}k bs=4k iodepth=32", None, "first"),
    "randread-4k-qd1": ("random read 4 KiB, 1 in flight", "rw=randread bs=4k iodepth=1", 32, "written"),
    "randread-4k-qd32": ("random read 4 KiB, 32 in flight", "rw=randread bs=4k iodepth=32", 64,
                         "written"),
    "randwrite-4k-qd32": ("random write 4 KiB, 32 in flight", "rw=randwrite bs=4k iodepth=32", 64,
                          "written"),
    "read-256k-qd8": ("read 256 KiB, 8 in flight", "rw=read bs=256k iodepth=8", 384, "written"),
    "write-256k-qd8": ("write 256 KiB, 8 in flight", "rw=write bs=256k iodepth=8", 384, "written"),
}
WRITTEN = [row for row in ROWS if ROWS[row][3] == "written"]

# name: (what it is, kind, what the kind needs to know)
COLUMNS = {
    "dm-disks": ("dm-snapshot, persistent, in chunks of 64 KiB: two null_blk, no file system",
                 "dm_disks", None),
    "dm-files": ("the same on loop devices of two files, direct I/O", "dm_files", None),
    "qemu-nbd-over": ("the kernel's nbd, qemu-nbd serves a qcow2 over the base", "qemu_nbd", "over"),
    "cow": ("ours, target cow, the same files, copy", "ours_cow", "copy"),
    "cow-zc": ("ours, target cow, the same files, zero copy", "ours_cow", "zero-copy"),
    "nbd-client": ("the kernel's nbd, one connection", "nbd_client", 1),
    "nbd": ("ours, target nbd, one connection", "ours_nbd", 1),
    "nbd-client-4": ("the kernel's nbd, four connections", "nbd_client", 4),
    "nbd-4": ("ours, target nbd, four connections", "ours_nbd", 4),
    "qemu-nbd": ("the kernel's nbd, qemu-nbd serves a qcow2", "qemu_nbd", "alone"),
    "qemu-nbd-wt": ("the same with --cache=writethrough: what is answered is in the file, as with ours",
                    "qemu_nbd", "writethrough"),
    "image": ("ours, target image, such a qcow2", "ours_image", None),
}

# What stands beside what, on which rows. The reference is the rival that ratios are to.
Group = collections.namedtuple("Group", "title reference columns rows")
GROUPS = (
    Group("A private delta over a shared base: cow", "dm-files",
          ("dm-files", "dm-disks", "qemu-nbd-over", "cow", "cow-zc"),
          [row for row in ROWS if ROWS[row][3] != "written"]
          + ["randread-4k-qd32", "randwrite-4k-qd32", "write-256k-qd8"]),
    Group("An NBD server, nbdkit: nbd, one connection", "nbd-client", ("nbd-client", "nbd"), WRITTEN),
    Group("The same server: nbd, four connections", "nbd-client-4", ("nbd-client-4", "nbd-4"),
          WRITTEN),
    Group("A qcow2: image", "qemu-nbd", ("qemu-nbd", "qemu-nbd-wt", "image"),
          ["first-write-4k-qd32", *WRITTEN]),
)


def group_of(column):
    return next(group for group in GROUPS if column in group.columns)


def ours(column):
    return column in COLUMNS and COLUMNS[column][1].startswith("ours")
