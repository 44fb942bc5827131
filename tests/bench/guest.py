# SPDX-License-Identifier: Apache-2.0
"""Commands, disks and devices of ours in the test guest, for measure.py and rivals.py."""
import os
import pathlib
import subprocess
import time

PATIENCE_S = 3600  # for one command; counted in instructions, idle time passes quickly


class Refused(RuntimeError):
    """This column cannot be had here."""


def run(*command):
    """What the command prints; its complaint as an exception."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    try:
        out, complaint = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired as slow:
        process.kill()  # not awaited: what waits for a dead device does not end
        raise RuntimeError(f"{' '.join(command)}: still running after {PATIENCE_S} s") from slow
    if process.returncode:
        lines = (complaint or out).strip().splitlines() or ["no word"]
        raise RuntimeError(f"{' '.join(command)}: {lines[0]}")
    return out


def wait_for(what, ready, seconds=30):
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise RuntimeError(f"waited in vain for {what}")
        time.sleep(0.01)


def fill(path, mib):
    """Every page of it is there before anything is measured."""
    run("dd", "if=/dev/zero", f"of={path}", "bs=1M", f"count={mib}", "oflag=direct")


def null_blk(name, mib):
    config = pathlib.Path("/sys/kernel/config/nullb") / name
    config.mkdir()
    for key, value in (("size", mib), ("memory_backed", 1), ("blocksize", 4096),
                       ("no_sched", 1), ("submit_queues", os.cpu_count()), ("power", 1)):
        (config / key).write_text(str(value))
    device = f"/dev/{name}"
    wait_for(device, pathlib.Path(device).is_block_device)
    fill(device, mib)
    return device


def attach(*options):
    return run("ublk-oci", "attach", "--host", *options).strip()


def settled(device):
    """Of a device with one queue the scheduler is taken away behind the answer."""
    scheduler = pathlib.Path("/sys/block") / pathlib.Path(device).name / "queue/scheduler"
    wait_for(f"no scheduler on {device}", lambda: "[none]" in scheduler.read_text())
