#!/usr/bin/env python3
"""Makes a process spin: the instruction it comes to next, in all its threads, becomes a jump to
itself. As root, through ptrace(2); x86-64 only.

  spin.py PID
"""
import ctypes
import os
import sys

PTRACE_PEEKTEXT, PTRACE_POKETEXT, PTRACE_PEEKUSER, PTRACE_POKEUSER = 1, 4, 3, 6
PTRACE_ATTACH, PTRACE_DETACH = 16, 17
RIP, ORIG_RAX = 16 * 8, 15 * 8
WALL = 0x40000000
JUMP_TO_ITSELF = 0xFEEB

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long] * 4


def ptrace(request, pid, address=0, data=0):
    ctypes.set_errno(0)
    result = libc.ptrace(request, pid, address, data)
    if result == -1 and ctypes.get_errno():
        raise OSError(ctypes.get_errno(), f"ptrace {request} of {pid}")
    return result


def spin(thread):
    ptrace(PTRACE_ATTACH, thread)
    os.waitpid(thread, WALL)
    rip = ptrace(PTRACE_PEEKUSER, thread, RIP)
    word = ptrace(PTRACE_PEEKTEXT, thread, rip)
    ptrace(PTRACE_POKETEXT, thread, rip, (word & ~0xFFFF) | JUMP_TO_ITSELF)
    ptrace(PTRACE_POKEUSER, thread, ORIG_RAX, -1)  # the call it was in is not made again
    ptrace(PTRACE_DETACH, thread)


for name in os.listdir(f"/proc/{sys.argv[1]}/task"):
    spin(int(name))
