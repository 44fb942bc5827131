#!/usr/bin/env python3
"""Asks the store for many volumes, faster than a program for each.

  store_wire.py create|delete PREFIX FIRST LAST [POOL]    1 MiB each; prints the last status
  store_wire.py list PREFIX                               prints how many there are, and their bytes

The layout is driver/wire/store.h, written down a second time on purpose.
"""
import socket
import struct
import sys

MAGIC, VERSION = 0x6F6B7673, 1
LIST, CREATE, DELETE = 1, 3, 7
REPLY, VOLUME = 64, 65


def ask(kind, name="", size=0, pool=""):
    """The status, and the volumes as (name, bytes)."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(60)
    s.connect("/run/ublk-oci-store/store.sock")
    s.send(struct.pack("<IHHII", MAGIC, VERSION, kind, 248, 0)
           + struct.pack("<QIIIIIHHII", size, 0, 0, 0, 0, 0, 0, 0, 0, 0)
           + name.encode().ljust(64, b"\0") + bytes(64) + pool.encode().ljust(64, b"\0"))
    rows = []
    while True:
        data = s.recv(4096)
        kind = struct.unpack("<IHH", data[:8])[2]
        if kind == REPLY:
            return struct.unpack("<i", data[16:20])[0], rows
        if kind == VOLUME:
            rows.append((data[64:128].rstrip(b"\0").decode(), struct.unpack("<Q", data[16:24])[0]))


def main():
    verb, prefix = sys.argv[1:3]
    if verb == "list":
        rows = [row for row in ask(LIST)[1] if row[0].startswith(prefix)]
        print(len(rows), sum(size for _, size in rows))
        return
    status = 0
    for i in range(int(sys.argv[3]), int(sys.argv[4]) + 1):
        if verb == "create":
            status = ask(CREATE, f"{prefix}{i}", 1 << 20, *sys.argv[5:6])[0]
        else:
            status = ask(DELETE, f"{prefix}{i}")[0]
        if status:
            break
    print(status)


main()
