#!/usr/bin/env python3
"""Says wrong things to the keeper, or is one of another version.

  keep_wire.py strange      what is no request gets no answer, and leaves nothing there
  keep_wire.py silent       connections that say nothing: as many as there may be but a few
  keep_wire.py other        listens in its place and answers as one of another version

The layout is driver/wire/keep.h, written down a second time on purpose.
"""
import array
import os
import socket
import struct
import sys

PATH = "/run/ublk-oci/keeper.sock"
MAGIC, VERSION = 0x6B74736F, 1
STAY, PUT, GET, DROP, LIST, REPLY = 1, 2, 3, 4, 5, 64
CONNECTIONS_MAX = 64
EPROTONOSUPPORT, ENOENT = 93, 2


def request(kind, fds=0, version=VERSION, magic=MAGIC, size=24, generation=77):
    return struct.pack("<IHHIIQ", magic, version, kind, size, fds, generation)


def connect():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(10)
    s.connect(PATH)
    return s


def ask(packet, nr_fds=0):
    """None when it hangs up, else the status."""
    s = connect()
    null = os.open("/dev/null", os.O_RDONLY)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null] * nr_fds))]
    s.sendmsg([packet], rights if nr_fds else [])
    os.close(null)
    try:
        data = s.recv(4096)
    except ConnectionResetError:
        data = b""
    if not data:
        return None
    magic, version, kind, size, _, status, _ = struct.unpack("<IHHIIiI", data)
    assert (magic, version, kind, size) == (MAGIC, VERSION, REPLY, 24), data
    return status


def case_strange():
    good = request(GET)
    assert ask(good) == -ENOENT
    for packet, nr_fds in ((good[:-1], 0), (good + b"\0", 0), (good, 1), (b"x", 0), (b"x" * 3000, 0),
                           (request(GET, magic=1), 0), (request(GET, size=25), 0),
                           (request(GET, fds=1), 1), (request(DROP, fds=1), 1),
                           (request(0), 0), (request(LIST, fds=1), 1), (request(6), 0), (request(REPLY), 0),
                           (request(65535), 0), (request(PUT), 0), (request(PUT, fds=1), 0),
                           (request(PUT, fds=1), 2), (request(PUT, fds=2), 2),
                           (request(PUT, fds=50), 50), (request(STAY, fds=1), 1)):
        got = ask(packet, nr_fds)
        assert got is None, f"{packet[:32]} with {nr_fds} descriptors was answered with {got}"
    for kind, nr_fds in ((GET, 0), (PUT, 1), (STAY, 0), (99, 3)):
        got = ask(request(kind, nr_fds, VERSION + 1), nr_fds)
        assert got == -EPROTONOSUPPORT, got
    assert ask(good) == -ENOENT
    connect().close()
    s = connect()
    s.send(good)
    s.close()


def case_silent():
    crowd = [connect() for _ in range(CONNECTIONS_MAX - 2)]  # the helper's, and this one's
    assert ask(request(GET)) == -ENOENT
    crowd += [connect() for _ in range(10)]  # more than it lets in
    for s in crowd:
        s.close()
    assert ask(request(GET)) == -ENOENT


def case_other():
    if os.path.exists(PATH):
        os.unlink(PATH)
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.bind(PATH)
    s.listen(1)
    print("listens", flush=True)
    c, _ = s.accept()
    c.recv(4096)
    c.send(struct.pack("<IHHIIiI", MAGIC, VERSION + 1, REPLY, 24, 0, -EPROTONOSUPPORT, 0))


if __name__ == "__main__":
    globals()["case_" + sys.argv[1]]()
