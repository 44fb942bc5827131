#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a disk would hold had the power gone at each mark, and whether that is enough.

    power_replay.py LOG BYTES ACKS LAYER...

LOG is the log of a dm-log-writes device of BYTES that began as zeroes; its format is in the kernel's
Documentation/admin-guide/device-mapper/log-writes.rst. It holds a write only when the device was told to
flush after it, or with FUA. At each mark the disk is taken as it is by then: all that was
acknowledged with this mark or one before it must be there. Where it is, the layers say, from
the outside:

    ext4        a file system: mounted, which replays its journal, and clean to e2fsck afterwards
    FILE        in it, the file with what follows
    cow BASE    a delta over that file: made an image with it, which has what follows
    files       the files of durable_write.py files, in an ext4
    raw         the blocks of durable_write.py raw
"""
import ctypes
import errno
import fcntl
import mmap
import os
import shutil
import struct
import subprocess
import sys
import time

from durable import Expected, Lost, acks_read

MAGIC = 0x6a736677736872
LIBC = ctypes.CDLL(None, use_errno=True)
LOOP_SET_FD, LOOP_CLR_FD, LOOP_CTL_GET_FREE = 0x4C00, 0x4C01, 0x4C82
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8


def entries(path):
    """(flags, offset, length in bytes, data) of each."""
    with open(path, "rb") as log:
        magic, version, count, sector = struct.unpack("<QQQI", log.read(28))
        if magic != MAGIC or version != 1:
            raise SystemExit(f"{path} is no log of dm-log-writes")
        log.seek(sector)
        for _ in range(count):
            head = log.read(sector)
            first, sectors, flags, data_bytes = struct.unpack_from("<QQQQ", head)
            if flags & MARK:
                yield flags, 0, 0, head[32:32 + data_bytes]
                continue
            data = b"" if flags & DISCARD else log.read(sectors * sector)
            yield flags, first * sector, sectors * sector, data


def system(result, what):
    if result < 0:
        raise Lost(f"{what}: {os.strerror(ctypes.get_errno())}")


class Mounted:
    """A file system in a file. By system calls: a program takes an emulated machine very long."""

    def __init__(self, image, directory):
        self.image, self.directory = image, directory

    def __enter__(self):
        os.makedirs(self.directory, exist_ok=True)
        with open("/dev/loop-control", "rb") as control:
            path = f"/dev/loop{fcntl.ioctl(control, LOOP_CTL_GET_FREE)}"
        self.loop = os.open(path, os.O_RDWR)
        with open(self.image, "r+b") as image:
            fcntl.ioctl(self.loop, LOOP_SET_FD, image.fileno())
        try:
            system(LIBC.mount(path.encode(), self.directory.encode(), b"ext4", 0, None),
                   f"{self.image} cannot be mounted")
        except Lost:
            self.let_go()
            raise
        return self

    def let_go(self):
        fcntl.ioctl(self.loop, LOOP_CLR_FD)
        os.close(self.loop)

    def __exit__(self, *_):
        # What was closed a moment ago may be held by the kernel for another one.
        until = time.monotonic() + 10
        while LIBC.umount2(self.directory.encode(), 0) < 0:
            if ctypes.get_errno() != errno.EBUSY or time.monotonic() > until:
                system(-1, f"{self.directory} cannot be unmounted")
            time.sleep(0.05)
        self.let_go()


def check_ext4(image, layers, expected, depth):
    """image: a file, which is changed."""
    with Mounted(image, f"{os.getcwd()}/mnt{depth}") as mounted:
        if layers[0] == "files":
            expected.check(mounted.directory)
        else:
            check(f"{mounted.directory}/{layers[0]}", layers[1:], expected, depth + 1)
    done = subprocess.run(("e2fsck", "-fn", image), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise Lost(f"e2fsck -fn: {done.stdout.decode(errors='replace')[-2000:]}")


def check_cow(delta, layers, expected, depth):
    """The command line reads it as it is: no worker has seen it since the power went."""
    image = f"{os.getcwd()}/committed{depth}"
    if os.path.exists(image):
        os.unlink(image)
    done = subprocess.run(("ublk-oci", "cow", "commit", delta, "--base", layers[0], image),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise Lost(f"cow commit: {done.stdout.decode(errors='replace')}")
    check(image, layers[1:], expected, depth + 1)


def check(place, layers, expected, depth=0):
    if layers[0] == "cow":
        check_cow(place, layers[1:], expected, depth)
    elif layers[0] == "ext4":
        check_ext4(place, layers[1:], expected, depth)
    else:
        expected.check(place)


def check_at_mark(image, layers, expected):
    if layers[0] == "raw":
        expected.check(image)
        return
    copy = f"{os.getcwd()}/copy"
    shutil.copyfile(image, copy)
    check(copy, layers, expected)


def main(log, size, acks_path, *layers):
    by_mark = {}
    for ack in acks_read(acks_path):
        by_mark.setdefault(f"{ack['lane']}.{ack['n']}", []).append(ack)
    expected = Expected()
    counts = {"writes": 0, "fua": 0, "flushes": 0, "marks": 0}
    with open("image", "w+b") as image:
        image.truncate(int(size))
        disk = mmap.mmap(image.fileno(), int(size))
        for flags, offset, length, data in entries(log):
            if not flags & MARK:
                counts["writes"] += bool(data)
                counts["flushes"] += bool(flags & FLUSH)
                counts["fua"] += bool(flags & FUA)
                disk[offset:offset + length] = data or bytes(length)
                continue
            name = data.rstrip(b"\0").decode()
            if name not in by_mark:
                continue  # dm-log-writes's own at its end
            for ack in by_mark.pop(name):
                expected.add(ack)
            counts["marks"] += 1
            try:
                check_at_mark("image", layers, expected)
            except Lost as lost:
                print(f"lost at mark {name} (the {counts['marks']}th): {lost}")
                return 1
    if by_mark:
        print(f"marks that are not in the log: {' '.join(by_mark)[:200]}")
        return 1
    print("{marks} marks, {writes} writes, {flushes} flushes, {fua} FUA".format(**counts))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
