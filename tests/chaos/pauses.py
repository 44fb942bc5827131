#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How long a device does not answer, seen by one who only reads from it.

    pauses.py watch DEVICE FILE      reads 4 KiB after 4 KiB, past the page cache, until a
                                     SIGTERM; each read that took 2 ms goes to FILE
    pauses.py report FILE MOMENTS    the longest wait after each moment (seconds, one a line)

Exit status of watch is 1 when a read failed.
"""
import mmap
import os
import signal
import sys
import time

BLOCK_BYTES = 4096
SLOW_S = 0.002
NEAR_S = 1.0  # a read that begins later than this after the moment has nothing to do with it


class End(Exception):
    pass


def end(_signal, _frame):
    raise End


def watch(device, path):
    fd = os.open(device, os.O_RDONLY | os.O_DIRECT)
    blocks = os.lseek(fd, 0, os.SEEK_END) // BLOCK_BYTES
    buffer = mmap.mmap(-1, BLOCK_BYTES)
    block = 0
    signal.signal(signal.SIGTERM, end)
    with open(path, "w", encoding="ascii") as out:
        try:
            while True:
                begun = time.time()
                if os.preadv(fd, [buffer], block * BLOCK_BYTES) != BLOCK_BYTES:
                    raise OSError("a short read")
                ended = time.time()
                if ended - begun >= SLOW_S:
                    print(f"{begun:.6f} {ended:.6f}", file=out)
                block = (block + 1) % blocks
                time.sleep(0.001)  # it is to see the load, not to be it
        except End:
            return 0
        except OSError as error:
            print(f"{device}: {error}", file=sys.stderr)
            return 1


def report(path, moments_path):
    with open(path, encoding="ascii") as file:
        reads = [tuple(map(float, line.split())) for line in file]
    with open(moments_path, encoding="ascii") as file:
        moments = [float(line) for line in file]
    waits = sorted(max((ended - max(begun, moment) for begun, ended in reads
                        if ended > moment and begun < moment + NEAR_S), default=SLOW_S)
                   for moment in moments)
    print(f"median {1000 * waits[len(waits) // 2]:.0f} ms, longest {1000 * waits[-1]:.0f} ms "
          f"of {len(waits)}")
    return 0


if __name__ == "__main__":
    sys.exit({"watch": watch, "report": report}[sys.argv[1]](*sys.argv[2:]))
