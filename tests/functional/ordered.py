#!/usr/bin/env python3
"""Records written one after the other, each safe before the next is begun.

  ordered.py write DEVICE BYTES COUNT_FILE    until it is killed; how many are done, in the file
  ordered.py check FILE BYTES AT_LEAST        all up to one of them, and none behind it

Record i is in a place of its own; the places are in no order, so that whoever copies from the
begin to the end while it is written gets some without those before them.
"""
import mmap
import os
import struct
import sys

RECORD = 4096
STEP = 7919 # prime, and so each place is met once


def place(i, nr):
    return i * STEP % nr * RECORD


def write(path, size, count_path):
    nr = size // RECORD
    fd = os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_DSYNC)
    count = os.open(count_path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    room = mmap.mmap(-1, RECORD) # aligned
    for i in range(nr):
        room[:8] = struct.pack("<Q", i + 1)
        assert os.pwrite(fd, room, place(i, nr)) == RECORD
        os.pwrite(count, str(i + 1).encode(), 0)


def check(path, size, at_least):
    nr, seen = size // RECORD, []
    with open(path, "rb") as f:
        data = f.read(size)
    for i in range(nr):
        value = struct.unpack_from("<Q", data, place(i, nr))[0]
        assert value in (0, i + 1), f"record {i} says {value}"
        seen.append(value != 0)
    has = seen.index(False) if False in seen else nr
    assert not any(seen[has:]), f"there are {has} records, and some behind them"
    assert has >= at_least, f"there are {has} records; {at_least} were done before it began"
    print(has)


if sys.argv[1] == "write":
    write(sys.argv[2], int(sys.argv[3]), sys.argv[4])
else:
    check(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
