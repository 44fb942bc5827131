#!/usr/bin/python3 -I
# SPDX-License-Identifier: Apache-2.0
"""A back end that means harm, in the way its name says; 50-backend.sh copies it to several names.
It listens at the socket that it has as descriptor 3, or makes one of the name it is given.

Where it serves at all a read gives what it has found out, as text, behind which are zeroes.
"""
import array
import os
import socket
import struct
import sys
import threading
import time

SIZE = 1 << 20
said = b""


def recv(c, n):
    data = b""
    while len(data) < n:
        part = c.recv(n - len(data))
        if not part:
            raise SystemExit
        data += part
    return data


def greet(c, size):
    """Agrees on whatever is asked for, by one export of that size."""
    c.sendall(b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3))
    recv(c, 4)
    while True:
        _, option, length = struct.unpack(">QII", recv(c, 16))
        recv(c, length)

        def reply(kind, data=b"", to=option):
            c.sendall(struct.pack(">QIII", 0x3e889045565a9, to, kind, len(data)) + data)
        if option not in (6, 7):
            reply(0x80000001)
            continue
        reply(3, struct.pack(">HQH", 0, size, 1))
        reply(1)
        if option == 7:
            return


def answer(c, send):
    while True:
        _, _, kind, cookie, off, size = struct.unpack(">IHHQQI", recv(c, 28))
        if kind == 1:
            recv(c, size)
        data = (said + bytes(SIZE))[off:off + size] if kind == 0 else b""
        send(c, struct.pack(">IIQ", 0x67446698, 0, cookie) + data)


def plainly(c, data):
    c.sendall(data)


def with_descriptors(c, data):
    """As many as fit, with each answer; the first of them is the one it listens on."""
    fds = array.array("i", [3] * 250)
    sent = c.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    c.sendall(data[sent:])


def lying(c, data):
    """Answers what nobody asked."""
    c.sendall(data[:15] + bytes([data[15] ^ 1]) + data[16:])


def slowly(c, data):
    time.sleep(0.2)
    c.sendall(data)


def eater(c):
    greet(c, SIZE)
    recv(c, 28)
    eaten = []
    while True:
        eaten.append(bytearray(b"x") * (1 << 20))


def threads(c):
    global said
    greet(c, SIZE)
    started, why = 0, "all were started"
    threading.stack_size(1 << 16)
    for _ in range(20000):
        try:
            threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
            started += 1
        except (RuntimeError, MemoryError) as e:
            why = str(e)
            break
    try:
        os.fork()
        why += "; it has forked"
    except OSError as e:
        why += "; fork: " + e.strerror
    said = f"{started} threads: {why}\n".encode()
    answer(c, plainly)


def garbage(c):
    while True:
        c.sendall(os.urandom(4096))


def serve(size, send=plainly):
    def run(c):
        greet(c, size)
        answer(c, send)
    return run


WAYS = {
    "plain": serve(SIZE),
    "silent": lambda c: time.sleep(1000),
    "garbage": garbage,
    "small": serve(4096),
    "endless": serve((1 << 64) - 1),
    "negative": serve(1 << 63),
    "descriptors": serve(SIZE, with_descriptors),
    "slow": serve(SIZE, slowly),
    "liar": serve(SIZE, lying),
    "eater": eater,
    "threads": threads,
}

if len(sys.argv) > 1:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(sys.argv[1])
    listening.listen(8)
else:
    listening = socket.socket(fileno=3)


def run(c):
    """Without a word when the other side has gone: what a back end says is what attach says."""
    try:
        WAYS[os.path.basename(sys.argv[0])](c)
    except OSError:
        pass


while True:
    threading.Thread(target=run, args=(listening.accept()[0],), daemon=True).start()
