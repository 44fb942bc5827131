# SPDX-License-Identifier: Apache-2.0
"""What tests/run bench measures, as tables: for measure.py in the guest, report.py outside."""

DEVICE_MIB = 256

# Every row is a fio job. A run has to take some 300 ms of the guest's time or more, because
# fio counts in whole milliseconds.
#
# name: (what it is, fio's options, MiB that each of its jobs moves)
ROWS = {
    "randread-4k-qd1": ("random read 4 KiB, 1 in flight", "rw=randread bs=4k iodepth=1", 64),
    "randread-4k-qd32": ("random read 4 KiB, 32 in flight", "rw=randread bs=4k iodepth=32", 128),
    "randwrite-4k-qd32": ("random write 4 KiB, 32 in flight", "rw=randwrite bs=4k iodepth=32", 128),
    "read-256k-qd8": ("read 256 KiB, 8 in flight", "rw=read bs=256k iodepth=8", 640),
    "write-256k-qd8": ("write 256 KiB, 8 in flight", "rw=write bs=256k iodepth=8", 640),
    "mixed-4-jobs": ("4 jobs, 70 % reads, 4 and 64 KiB as 70:30, 8 in flight each",
                     "rw=randrw rwmixread=70 bssplit=4k/70:64k/30 iodepth=8 numjobs=4 "
                     "cpus_allowed_policy=split", 176),
}

# How the bytes of our devices move: options of attach. A mode that attach refuses is left out.
MODES = {
    "copy": ["--data-path", "copy"],
    "copy-deep": ["--data-path", "copy", "--profile", "throughput"],
    "zero-copy": ["--data-path", "zero-copy"],
    "deep": ["--data-path", "zero-copy", "--profile", "throughput"],
}

# name: (what it is, kind, what the kind needs to know)
COLUMNS = {
    "raw": ("the backing device itself, null_blk", "raw", None),
    "loop": ("the kernel's loop device on it, direct I/O", "loop", None),
    "nbd": ("the kernel's nbd, nbdkit serves a file in memory", "nbd", None),
    "file": ("ours on it, copy", "ours", ("file", "copy")),
    "file-deep": ("ours on it, copy, --profile throughput", "ours", ("file", "copy-deep")),
    "file-zc": ("ours on it, zero copy", "ours", ("file", "zero-copy")),
    "file-zc-deep": ("ours on it, zero copy, --profile throughput", "ours", ("file", "deep")),
    "memory": ("ours in memory, copy", "ours", ("memory", "copy")),
    "memory-zc": ("ours in memory, zero copy", "ours", ("memory", "zero-copy")),
    "null": ("ours on nothing, copy", "ours", ("null", "copy")),
    "null-zc": ("ours on nothing, zero copy", "ours", ("null", "zero-copy")),
}
REFERENCE = "loop"
PEER = "peer"


def ours(column):
    return column in COLUMNS and COLUMNS[column][1] == "ours"


# What tests/run all measures: the same jobs, as often, but not all.
SHORT_ROWS = [row for row in ROWS if row not in ("write-256k-qd8", "mixed-4-jobs")]
SHORT_COLUMNS = [REFERENCE, "file", "file-zc", "file-zc-deep"]

# By the clock everything takes its time.
WALL_COLUMNS = ["raw", REFERENCE, "nbd"] + [c for c in COLUMNS if c.startswith("file")]

# By instructions, one round in ten or so is off by a few percent: hence a median.
ROUNDS = {"icount": 3, "wall": 5}
# By the clock rounds differ so much that milliseconds do not matter.
PART = {"icount": 1, "wall": 4}  # 1 / so much of what a row moves
# Slow, and no gate stands on it: by instructions once, by the clock in every round.
ONCE = ["nbd"]
