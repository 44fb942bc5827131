# SPDX-License-Identifier: Apache-2.0
"""What writers were told is durable, and whether it is still there.

A writer has a lane of its own: a part of a device, or a directory. When a flush has returned it
adds one line of JSON, an ack, for each thing that is durable from then on, and says so with a
mark: a message to dm-log-writes, or nothing where the acks themselves are kept.

    {"lane": L, "n": N, "kind": KIND, ...}    acknowledged with mark N of lane L
    block     offset, len, seq        this, or a later seq of the same blocks
    renamed   path, len, seq          this, or a later one
"""
import fcntl
import json
import mmap
import os
import struct

BLOCK_BYTES = 4096
DM_CONTROL = "/dev/mapper/control"
DM_TARGET_MSG = 3 << 30 | 312 << 16 | 0xfd << 8 | 14


class Lost(Exception):
    """Something acknowledged is not there."""


def block(place, seq):
    """What a block holds: where it belongs, and which write it was."""
    return struct.pack("<QQ", place, seq) * (BLOCK_BYTES // 16)


def content(length, seq):
    """What a file holds; its first 16 bytes tell both."""
    return b"".join(block(length, seq) for _ in range(0, length, BLOCK_BYTES))[:length]


class Acks:
    """Kept in a file; one line is one write, whoever else writes to it."""

    def __init__(self, path, dm_name=""):
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.control = os.open(DM_CONTROL, os.O_RDWR) if dm_name else -1
        self.dm_name = dm_name

    def add(self, lane, n, things):
        os.write(self.fd, b"".join(json.dumps({"lane": lane, "n": n, **thing}).encode() + b"\n"
                                   for thing in things))
        if self.control >= 0:
            self.mark(f"{lane}.{n}")

    def mark(self, name):
        message = struct.pack("<Q", 0) + b"mark " + name.encode() + b"\0"
        head = struct.pack("<8I2IQ128s129s7x", 4, 0, 0, 312 + len(message), 312, 0, 0, 0, 0, 0, 0,
                           self.dm_name.encode(), b"")
        fcntl.ioctl(self.control, DM_TARGET_MSG, bytearray(head + message))


def acks_read(path):
    """A line cut off was never acknowledged."""
    with open(path, "rb") as file:
        return [json.loads(line) for line in file if line.endswith(b"\n")]


class Expected:
    """All that was acknowledged up to some moment."""

    def __init__(self):
        self.blocks = {}  # offset: seq
        self.files = {}  # path: ack

    def add(self, ack):
        if ack["kind"] != "block":
            self.files[ack["path"]] = ack
            return
        for offset in range(ack["offset"], ack["offset"] + ack["len"], BLOCK_BYTES):
            self.blocks[ack.get("path", ""), offset] = ack["seq"]

    def check(self, root):
        """root: a directory, or a device or file that holds the blocks themselves."""
        for path in {path for path, _ in self.blocks}:
            self.check_blocks(path, os.path.join(root, path) if path else root)
        for path, ack in self.files.items():
            check_file(os.path.join(root, path), ack)

    def check_blocks(self, path, place):
        try:
            fd = os.open(place, os.O_RDONLY)
        except OSError as error:
            raise Lost(f"{path}: {error}") from error
        with open(fd, "rb") as file, mmap.mmap(
                file.fileno(), os.lseek(fd, 0, os.SEEK_END), prot=mmap.PROT_READ) as there:
            for (of, offset), seq in self.blocks.items():
                if of == path:
                    check_block(place, offset, seq, there[offset:offset + BLOCK_BYTES])


def check_block(place, offset, seq, data):
    if len(data) != BLOCK_BYTES:
        raise Lost(f"{place}: it ends before block {offset}")
    where, got = struct.unpack_from("<QQ", data)
    if where == offset and got >= seq and data == block(offset, got):
        return
    what = "zeroes" if not any(data) else f"write {got} of block {where}"
    raise Lost(f"{place}: block {offset} holds {what}, write {seq} was acknowledged")


def check_file(place, ack):
    try:
        with open(place, "rb") as file:
            data = file.read()
    except OSError as error:
        raise Lost(f"{ack['path']}: {error}") from error
    got_len, got = struct.unpack_from("<QQ", data) if len(data) >= 16 else (0, 0)
    same = got_len == ack["len"] and got == ack["seq"]
    if (same or got > ack["seq"]) and data == content(got_len, got):
        return
    raise Lost(f"{ack['path']}: {len(data)} bytes of write {got}, {ack['len']} bytes of write "
               f"{ack['seq']} were acknowledged")
