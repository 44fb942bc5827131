#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes, flushes, and keeps what was acknowledged (durable.py).

    durable_write.py raw DEVICE ACKS FIRST END [DM]      past the page cache, to a block device
    durable_write.py files DIRECTORY ACKS FIRST END [DM] files and names, to a file system

Each of some lanes does the rounds from FIRST to before END, each ends with a flush. Who goes on
with what is there begins with a FIRST above all that was before. DM is a dm-log-writes device that
gets a mark after each.
"""
import mmap
import os
import random
import sys
import threading

from durable import BLOCK_BYTES, Acks, block, content

LANES = 4
BURST = 12
MOST_BLOCKS = 16
FILE_BYTES = 64 << 10
FILES_KEPT = 40  # of each lane; so that no disk gets full
MAP_BLOCKS = 16
FAILED = []


def write_blocks(fd, buffer, offset, nr_blocks, seq, flags=0):
    length = nr_blocks * BLOCK_BYTES
    for place in range(0, length, BLOCK_BYTES):
        buffer[place:place + BLOCK_BYTES] = block(offset + place, seq)
    if os.pwritev(fd, [memoryview(buffer)[:length]], offset, flags) != length:
        raise OSError("a short write")


def raw_lane(device, lane, rounds, acks):
    rand = random.Random(lane)
    fd = os.open(device, os.O_RDWR | os.O_DIRECT)
    buffer = mmap.mmap(-1, MOST_BLOCKS * BLOCK_BYTES)
    part = os.lseek(fd, 0, os.SEEK_END) // LANES // BLOCK_BYTES
    seq = rounds.start * BURST
    for n in rounds:
        things = []
        # By one flush for all, or each by itself.
        flags = rand.choice((0, 0, os.RWF_DSYNC))
        for _ in range(rand.randint(1, BURST)):
            seq += 1
            blocks = rand.randint(1, MOST_BLOCKS)
            offset = (lane * part + rand.randrange(part - blocks)) * BLOCK_BYTES
            write_blocks(fd, buffer, offset, blocks, seq, flags)
            things.append({"kind": "block", "offset": offset, "len": blocks * BLOCK_BYTES,
                           "seq": seq})
        if not flags:
            os.fdatasync(fd)
        acks.add(lane, n, things)


def sync_directory(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)


def write_file(path, length, seq):
    with open(path, "wb") as file:
        file.write(content(length, seq))
        file.flush()
        os.fsync(file.fileno())


def file_new(top, lane, n, rand):
    """Files stay as they are; one of the oldest is replaced."""
    path = f"{lane}/file-{n % FILES_KEPT}"
    length = rand.randint(16, FILE_BYTES)
    if n >= FILES_KEPT:
        write_file(f"{top}/{lane}/next", length, n)
        os.rename(f"{top}/{lane}/next", f"{top}/{path}")
    else:
        write_file(f"{top}/{path}", length, n)
    sync_directory(f"{top}/{lane}")
    return {"kind": "renamed", "path": path, "len": length, "seq": n}


def file_rename(top, lane, n, rand):
    length = rand.randint(16, FILE_BYTES)
    write_file(f"{top}/{lane}/new", length, n)
    os.rename(f"{top}/{lane}/new", f"{top}/{lane}/current")
    sync_directory(f"{top}/{lane}")
    return {"kind": "renamed", "path": f"{lane}/current", "len": length, "seq": n}


def file_in_place(top, lane, n, rand):
    """Where nothing has to be allocated the file system sends FUA, and no flush."""
    fd = os.open(f"{top}/{lane}/map", os.O_RDWR | os.O_DIRECT | os.O_DSYNC)
    with mmap.mmap(-1, BLOCK_BYTES) as buffer:
        offset = rand.randrange(MAP_BLOCKS) * BLOCK_BYTES
        write_blocks(fd, buffer, offset, 1, n)
    os.close(fd)
    return {"kind": "block", "path": f"{lane}/map", "offset": offset, "len": BLOCK_BYTES, "seq": n}


def files_lane(top, lane, rounds, acks):
    rand = random.Random(lane)
    os.makedirs(f"{top}/{lane}", exist_ok=True)
    if not os.path.exists(f"{top}/{lane}/map"):
        write_file(f"{top}/{lane}/map", MAP_BLOCKS * BLOCK_BYTES, 0)
    sync_directory(f"{top}/{lane}")
    sync_directory(top)
    for n in rounds:
        way = rand.choice((file_new, file_rename, file_in_place))
        acks.add(lane, n, [way(top, lane, n, rand)])


def run_lane(function, *args):
    try:
        function(*args)
    except OSError as error:
        FAILED.append(error)
        print(f"lane {args[1]}: {error}", file=sys.stderr)


def main(how, place, acks_path, first, end, dm_name=""):
    function = {"raw": raw_lane, "files": files_lane}[how]
    acks = Acks(acks_path, dm_name)
    rounds = range(int(first), int(end))
    lanes = [threading.Thread(target=run_lane, args=(function, place, lane, rounds, acks))
             for lane in range(LANES)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    return bool(FAILED)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
