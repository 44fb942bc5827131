#!/usr/bin/env python3
"""Says wrong things to the helper, as no front-end of ours would.

  wire.py CASE [ARGUMENT...]    prints what came back; exit 0 when the helper behaved

The layout is driver/wire/wire.h, written down a second time on purpose.
"""
import array
import os
import signal
import socket
import struct
import sys
import time

MAGIC, VERSION = 0x6F6B6275, 1
ATTACH, DETACH, LIST, INSPECT, RELOAD, UPGRADE, CLAIM, SNAPSHOTS = 1, 2, 3, 4, 5, 8, 9, 11
REPLY, IMAGE_SAYS = 64, 73
HOST, AHEAD, CLAIMED = 2, 256, 512
TARGET_MEMORY, TARGET_FILE, TARGET_IMAGE = 2, 3, 7
FORMAT_RAW, FORMAT_QCOW2 = 1, 2


def connect():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(40)
    s.connect("/run/ublk-oci/helper.sock")
    return s


def head(kind, size, fds=0, version=VERSION):
    return struct.pack("<IHHII", MAGIC, version, kind, size, fds)


def attach_packet(target=TARGET_MEMORY, flags=HOST, size=1 << 20, path=b"", fds=0, timeout_ms=0,
                  formats=(0, 0)):
    body = struct.pack("<IIQHHIIIII", target, flags, size, 0, 0, 0, 0, 0o660, timeout_ms, 0)
    body += b"".ljust(136, b"\0") + b"".ljust(16, b"\0") + path.ljust(256, b"\0") + bytes(24 + 388)
    body += struct.pack("<HH", *formats)
    return head(ATTACH, 16 + len(body), fds) + body


def send(packet, fds=()):
    s = connect()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    s.sendmsg([packet], rights)
    return s


def answer(s):
    """None when the helper closed the connection, else (status, reason)."""
    data = s.recv(4096)
    if not data:
        return None
    assert struct.unpack("<IHHI", data[:12])[2] == REPLY, "not a reply"
    return struct.unpack("<i", data[16:20])[0], data[40:].rstrip(b"\0").decode()


def list_works():
    s = send(head(LIST, 16))
    while True:
        data = s.recv(4096)
        assert data, "no end of the list"
        if struct.unpack("<IHH", data[:8])[2] == REPLY:
            return


def closed(packet, fds=()):
    got = answer(send(packet, fds))
    assert got is None, f"expected a closed connection, got {got}"


def case_silence():
    """A client that says nothing is let go of, and bothers nobody meanwhile."""
    s = connect()
    begin = time.monotonic()
    list_works()
    assert time.monotonic() - begin < 5, "another client had to wait"
    assert s.recv(10) == b"", "it got words"
    took = time.monotonic() - begin
    assert took < 20, f"it was held for {took:.0f} s"


def case_many_silent():
    """Many silent clients of one user do not keep others out."""
    crowd = [connect() for _ in range(40)]
    list_works()
    del crowd


def case_half_packet():
    closed(attach_packet()[:100])
    closed(head(LIST, 16)[:7])


def case_sizes():
    closed(attach_packet() + b"\0")
    closed(head(LIST, 20) + b"\0\0\0\0")
    closed(head(99, 16))
    closed(b"x" * 3000)


def case_version():
    status, reason = answer(send(head(LIST, 16, 0, VERSION + 1)))
    assert status == -93, (status, reason)


def case_fds():
    """Too many fds, fewer than announced, fds where none belong, more than fit."""
    null = os.open("/dev/null", os.O_RDONLY)
    closed(attach_packet(fds=4), [null] * 4)
    closed(attach_packet(fds=2), [null])
    closed(head(LIST, 16, 1), [null])
    closed(attach_packet(fds=2), [null] * 50)
    status, reason = answer(send(attach_packet(fds=1), [null]))
    assert status == -22, (status, reason)


def case_not_a_pidfd():
    null = os.open("/dev/null", os.O_RDONLY)
    packet = bytearray(attach_packet(flags=0, path=b"/dev/x", fds=1))
    packet[56:58] = b"c1"
    status, reason = answer(send(bytes(packet), [null]))
    assert status == -22 and "pidfd" in reason, (status, reason)


def case_own_process():
    """A process of the host is no container."""
    pidfd = os.pidfd_open(os.getpid())
    packet = bytearray(attach_packet(flags=0, path=b"/dev/x", fds=1))
    packet[56:58] = b"c1"
    status, reason = answer(send(bytes(packet), [pidfd]))
    assert status == -1 and "not in a container" in reason, (status, reason)


def claim_packet(container=b"c1", fds=1, generation=0x75626F6300000001, path=b"", flags=0):
    body = struct.pack("<QIIII", generation, 0, 0, flags, 0) + container.ljust(136, b"\0") + bytes(16) + path.ljust(256, b"\0")
    return head(CLAIM, 16 + len(body), fds) + body


def case_claim():
    """What is no container claims nothing, nor does what has no name."""
    null = os.open("/dev/null", os.O_RDONLY)
    own = os.pidfd_open(os.getpid())
    closed(claim_packet(fds=2), [null, null])
    closed(claim_packet()[:-8], [null])
    for packet, fds, wanted in ((claim_packet(fds=0), [], -22), (claim_packet(), [null], -22),
                                (claim_packet(b"../c1"), [own], -22),
                                (claim_packet(path=b"/dev/../x"), [own], -22),
                                (claim_packet(path=b"/etc/x"), [own], -22),
                                (claim_packet(flags=1), [own], -22), (claim_packet(flags=HOST), [own], -22),
                                (claim_packet(b"", flags=HOST | AHEAD, path=b"/srv/a"), [null], -22),
                                (claim_packet(b"", flags=HOST, path=b"/srv/a"), [null], -22),
                                (claim_packet(b""), [own], -22), (claim_packet(), [own], -1)):
        status, reason = answer(send(packet, fds))
        assert status == wanted, (status, reason)


def case_fields():
    for kwargs in ({"target": 0}, {"target": 77}, {"size": 1000}, {"flags": HOST | 1 << 31},
                   {"path": b"/dev/x"}, {"size": 0}, {"flags": HOST | AHEAD},
                   {"flags": AHEAD, "path": b"/dev/a/b"}, {"flags": AHEAD, "path": b""},
                   {"flags": HOST | CLAIMED}):
        status, reason = answer(send(attach_packet(**kwargs)))
        assert status == -22, (kwargs, status, reason)


def case_formats():
    """A format is an image's, is one of the list, and a second one comes with a second file."""
    null = os.open("/dev/null", os.O_RDWR)
    for target, fds, formats in ((TARGET_MEMORY, 0, (FORMAT_RAW, 0)), (TARGET_FILE, 1, (FORMAT_RAW, 0)),
                                 (TARGET_FILE, 1, (0, FORMAT_RAW)), (TARGET_IMAGE, 1, (0, 0)),
                                 (TARGET_IMAGE, 1, (99, 0)), (TARGET_IMAGE, 2, (FORMAT_QCOW2, 99)),
                                 (TARGET_IMAGE, 1, (FORMAT_QCOW2, FORMAT_RAW)),
                                 (TARGET_IMAGE, 2, (FORMAT_QCOW2, 0)), (TARGET_IMAGE, 0, (FORMAT_QCOW2, 0))):
        packet = attach_packet(target=target, fds=fds, formats=formats)
        status, reason = answer(send(packet, [null] * fds))
        assert status == -22, (target, fds, formats, status, reason)


def case_leave():
    """A client that asks and leaves at once: what it asked for is done, or is not, but not half."""
    send(attach_packet()).close()


def lingering_socket():
    """A socket whose last close waits for a reader that never reads."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(1)
    s = socket.socket()
    s.connect(server.getsockname())
    reader, _ = server.accept()
    s.setblocking(False)
    try:
        while True:
            s.send(b"x" * 65536)
    except BlockingIOError:
        pass
    s.setblocking(True)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 600))
    return s, reader


def unread(packets, sockets):
    """Leaves the helper a socket it never reads; False where it was quicker than we are."""
    s, reader = lingering_socket()
    sockets.append((s, reader))
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [s.fileno()]))]
    with connect() as c:
        try:
            if packets == 2:
                c.send(head(LIST, 16))
            c.sendmsg([b"x"], rights)
        except BrokenPipeError:  # the first packet is answered, and the connection closed
            return False
        os.close(s.detach())
    return True


def case_lingering():
    """Nobody waits for the close of what a client has sent and the helper never read."""
    sockets = []
    for packets in (2, 1):
        left = 0
        for _ in range(30):
            if not unread(packets, sockets):
                continue
            left += 1
            begin = time.monotonic()
            list_works()
            took = time.monotonic() - begin
            print(f"{packets} packets: another client waited {took:.2f} s")
            assert took < 5, "another client had to wait"
            if left == 3:
                break
        assert left == 3, f"the helper answered first: {left} of 3 were left unread"


def case_impatient(generation):
    """A detach whose caller gives up: what is in use stays."""
    packet = head(DETACH, 32) + struct.pack("<QII", int(generation, 16), 0, 500)
    status, reason = answer(send(packet))
    assert status < 0, (status, reason)


def case_reload():
    """Asks for the policy to be read again, and says what came back."""
    print(*answer(send(head(RELOAD, 16))))


def case_upgrade(generation):
    """Asks for another worker, and says why there is none."""
    print(*answer(send(head(UPGRADE, 32) + struct.pack("<QII", int(generation, 16), 0, 0))))


def case_snapshots(generation):
    """Prints what the image's tool says: nobody who has that can change it."""
    closed(head(SNAPSHOTS, 32, 1) + bytes(16), [os.open("/dev/null", os.O_RDONLY)])
    status, reason = answer(send(head(SNAPSHOTS, 32) + struct.pack("<QII", int(generation, 16), 0, 1)))
    assert status == -22, (status, reason)
    s = send(head(SNAPSHOTS, 32) + struct.pack("<QII", int(generation, 16), 0, 0))
    data, ancillary, _, _ = s.recvmsg(4096, socket.CMSG_LEN(64))
    assert struct.unpack("<IHH", data[:8])[2] == IMAGE_SAYS, data[16:].rstrip(b"\0")
    assert struct.unpack("<Q", data[16:24])[0] == int(generation, 16) and len(data) == 24, data
    fd, = array.array("i", ancillary[0][2])
    for act in (lambda: os.pwrite(fd, b"x", 0), lambda: os.ftruncate(fd, 0), lambda: os.ftruncate(fd, 1 << 20)):
        try:
            act()
        except PermissionError:
            continue
        raise AssertionError("what was said can be changed")
    print(os.pread(fd, 1 << 20, 0).rstrip(b"\0").decode())


def case_foreign(generation):
    """Another user's device is not there, whatever is asked of it."""
    for packet in (head(DETACH, 32) + struct.pack("<QII", int(generation, 16), 0, 0),
                   head(INSPECT, 32) + struct.pack("<QII", int(generation, 16), 0, 0),
                   head(SNAPSHOTS, 32) + struct.pack("<QII", int(generation, 16), 0, 0)):
        status, reason = answer(send(packet))
        assert status == -2, (status, reason)


def case_notified(path):
    """Is the service manager: prints what it is told, a line each, until it is killed."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(path)
    while True:
        print(*s.recv(4096).decode().split("\n"), flush=True)


def case_stuck(image):
    """Refused, and this process ends when the filesystem answers again."""
    fd = os.open(image, os.O_RDWR)
    status, reason = answer(send(attach_packet(target=TARGET_FILE, size=0, fds=1), [fd]))
    assert status < 0, (status, reason)
    os._exit(0)


def case_hangs(image, server, most, words):
    """A backing file whose filesystem stops answering: an answer in time, others not disturbed."""
    fd = os.open(image, os.O_RDWR)
    os.kill(int(server), signal.SIGSTOP)
    try:
        begin = time.monotonic()
        s = send(attach_packet(target=TARGET_FILE, size=0, fds=1, timeout_ms=2000), [fd])
        list_works()
        assert time.monotonic() - begin < 2, "another client had to wait"
        status, reason = answer(s)
        took = time.monotonic() - begin
        assert took < float(most), f"the answer took {took:.1f} s"
        assert status < 0 and words in reason, (status, reason)
        list_works()
    finally:
        os.kill(int(server), signal.SIGCONT)  # or closing the file hangs


if __name__ == "__main__":
    case = globals()["case_" + sys.argv[1]]
    case(*sys.argv[2:])
    list_works()
