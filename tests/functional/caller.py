#!/usr/bin/env python3
"""A caller that does as it is told, a line at a time, with the descriptors it has.

  pin NAME PID            a pidfd          thread NAME        one of a thread of its own
  open NAME MODE PATH     ro, rw, wo or path
  close NAME
  attach [pin=NAME] [fd=NAME] [ro]         without pin a device for the host
  detach GENERATION
  list
  counters NAME GENERATION      of a device        ask NAME       what may be done with them

Answers each with one line: "0 WORDS" or "-ERRNO WORDS"; -1000: the helper hung up. The
layout of packets is driver/wire/wire.h, written down a second time on purpose.
"""
import array
import ctypes
import os
import socket
import struct
import sys
import threading

MAGIC, VERSION = 0x6F6B6275, 1
ATTACH, DETACH, LIST, STATS = 1, 2, 3, 6
REPLY, DEVICE, COUNTERS = 64, 65, 68
READ_ONLY, HOST = 1, 2
TARGET_MEMORY, TARGET_FILE = 2, 3
MODES = {"ro": os.O_RDONLY, "rw": os.O_RDWR, "wo": os.O_WRONLY, "path": os.O_PATH}
PIDFD_THREAD = os.O_EXCL
HUNG_UP = -1000

fds = {}


def head(kind, size, nr_fds=0):
    return struct.pack("<IHHII", MAGIC, VERSION, kind, size, nr_fds)


def send(packet, rights=()):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(40)
    s.connect("/run/ublk-oci/helper.sock")
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", rights))] if rights else []
    s.sendmsg([packet], ancillary)
    return s


def reply(data):
    """(status, generation, reason) of a struct wire_reply."""
    status, _, generation = struct.unpack("<iIQ", data[16:32])
    return status, generation, data[40:].rstrip(b"\0").decode()


def answer(s):
    data = s.recv(4096)
    return reply(data) if data else (HUNG_UP, 0, "")


def attach(*words):
    flags, rights, target = HOST, [], TARGET_MEMORY
    container, path, size = b"", b"", 1 << 20
    for word in words:
        key, _, name = word.partition("=")
        if key == "pin":
            rights.insert(0, fds[name])
            container, path, flags = b"box", b"/dev/data", flags & ~HOST
        elif key == "fd":
            rights.append(fds[name])
            target, size = TARGET_FILE, 0
        elif key == "ro":
            flags |= READ_ONLY
    body = struct.pack("<IIQHHIIIII", target, flags, size, 0, 0, 0, 0, 0o660, 0, 0)
    body += container.ljust(136, b"\0") + b"".ljust(16, b"\0") + path.ljust(256, b"\0") + bytes(24 + 392)
    status, generation, reason = answer(send(head(ATTACH, 16 + len(body), len(rights)) + body, rights))
    return status, f"{generation:x}" if not status else reason


def detach(generation):
    body = struct.pack("<QII", int(generation, 16), 0, 0)
    status, _, reason = answer(send(head(DETACH, 16 + len(body)) + body))
    return status, reason


def listing():
    """How many devices this caller is shown."""
    s = send(head(LIST, 16))
    nr = 0
    while True:
        data = s.recv(4096)
        if not data:
            return HUNG_UP, ""
        if struct.unpack("<IHH", data[:8])[2] == REPLY:
            return reply(data)[0], str(nr)
        nr += 1


def counters(name, generation):
    s = send(head(STATS, 24) + struct.pack("<Q", int(generation, 16)))
    data, ancillary, _, _ = s.recvmsg(4096, socket.CMSG_LEN(64))
    if not data:
        return HUNG_UP, ""
    if struct.unpack("<IHH", data[:8])[2] != COUNTERS:
        return reply(data)[::2]
    fds[name], = array.array("i", ancillary[0][2])
    return 0, ""


def ask(name):
    """Bytes that can be read, and what of writing, cutting and opening again is allowed."""
    fd, words = fds[name], [str(len(os.pread(fds[name], 1 << 20, 0)))]
    for word, act in (("write", lambda: os.pwrite(fd, b"x", 0)),
                      ("cut", lambda: os.ftruncate(fd, 0)),
                      ("open", lambda: os.close(os.open(f"/proc/self/fd/{fd}", os.O_RDWR)))):
        try:
            act()
            words.append(word)
        except OSError:
            pass
    return 0, " ".join(words)


def pidfd_open(pid, flags):
    fd = ctypes.CDLL(None, use_errno=True).syscall(434, pid, flags)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "pidfd_open")
    return fd


def pin_thread(name):
    """Of a thread that is not its process's first, and stays."""
    started, ids = threading.Event(), []

    def live():
        ids.append(threading.get_native_id())
        started.set()
        threading.Event().wait()

    threading.Thread(target=live, daemon=True).start()
    started.wait()
    fds[name] = pidfd_open(ids[0], PIDFD_THREAD)
    return 0, ""


def serve(verb, *words):
    if verb == "pin":
        fds[words[0]] = pidfd_open(int(words[1]), 0)
    elif verb == "thread":
        return pin_thread(*words)
    elif verb == "open":
        fds[words[0]] = os.open(words[2], MODES[words[1]] | os.O_CLOEXEC)
    elif verb == "close":
        os.close(fds.pop(words[0]))
    else:
        return {"attach": attach, "detach": detach, "list": listing, "counters": counters,
                "ask": ask}[verb](*words)
    return 0, ""


for line in sys.stdin:
    try:
        status, text = serve(*line.split())
    except OSError as why:
        status, text = -(why.errno or 1), f"caller: {why}"
    print(status, text, flush=True)
