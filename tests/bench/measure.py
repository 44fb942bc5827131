#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures block devices, in the test guest.

usage: measure.py [--clock icount|wall] [--short|--targets] [--rounds N] [--columns NAME,...]
                  [--rows NAME,...] [--peer COMMAND] [--profile DIRECTORY]

One column is one device; it is made, one fio runs all rows on it, it is taken away. With
--targets devices and rows are those of targets.py, and a device is written meanwhile. A round
is every column once, each round begins with another column. Before every row fio runs a
part of it that does not count, so all that is touched or translated for the first time is.

Prints lines of words:
  fact NAME VALUE...              a version
  skipped COLUMN REASON...
  sample ROUND COLUMN ROW US      microseconds per I/O
With --profile, for profile.py, which counts instructions by address meanwhile:
  mark NUMBER COLUMN ROW IOS      what the number stands for
  text BEGIN END                  where a worker of ours has its code
and the kernel's symbols in DIRECTORY/kallsyms.
"""
import argparse
import ctypes
import contextlib
import json
import mmap
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import plan
import rivals
import targets
from guest import Refused, attach, fill, null_blk, run, settled, wait_for

TOP = pathlib.Path(__file__).resolve().parents[2]
POLICY = {
    "version": 1,
    "worker_ids": {"first": 2100000000, "count": 1000},
    "rules": [{"id": "bench", "principal": {"uid": 0}, "host": True,
               "targets": ["null", "memory", "file"], "backing": ["/dev/"], "zero_copy": True,
               "max_size": "1G"}],
}
WARM_PART = 8  # of a row's bytes
THEIRS = ("nbd", plan.PEER, "nbd_client", "qemu_nbd")  # kinds
FIO_CPU, SERVER_CPU = 0, os.cpu_count() - 1


def say(*words):
    print(*words, flush=True)


def mark(number):
    """An instruction that means nothing but to the plug-in count.c."""
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(bytes([0x0f, 0x1f, 0x80, number, 0xad, 0xbe, 0x5e, 0xc3]))  # and a return
    ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()


def settle():
    """Whatever would be another way at the next boot: where fio, the kernel's work and our
    children run, and where in memory things are. What fio's parent or a loop's worker does on
    the other's processor, or a buffer that is in one piece or not, is worth 2 to 4 %."""
    os.sched_setaffinity(0, {SERVER_CPU})
    pathlib.Path("/sys/devices/virtual/workqueue/cpumask").write_text(f"{1 << SERVER_CPU:x}")
    pathlib.Path("/proc/sys/kernel/randomize_va_space").write_text("0")
    pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled").write_text("never")


def read_ahead():
    """What will be executed, from the host's files into memory. Where time is counted in
    instructions a guest that waits for its host is idle, and an idle guest's clock jumps: a
    second is over before a slow disk has answered, and so is a deadline of the helper's."""
    programs = [f"/usr/libexec/ublk-oci/ublk-oci-{name}" for name in ("worker", "keeper")]
    programs += [shutil.which(name) for name in ("ublk-ocid", "ublk-oci", "losetup", "fio")]
    for program in programs:
        linked = run("ldd", program)
        for path in [program, *re.findall(r"/\S+", linked)]:
            pathlib.Path(path).read_bytes()


class Helper:
    """ublk-ocid under a policy that allows what is measured."""

    def __init__(self, directory, rules):
        policy = directory / "policy.json"
        policy.write_text(json.dumps(rules))
        self.log = open(directory / "helper.log", "wb")
        self.process = subprocess.Popen(["/usr/sbin/ublk-ocid", "--policy", policy],
                                        stdin=subprocess.DEVNULL, stderr=self.log)
        wait_for("the helper", lambda: subprocess.run(
            ["ublk-oci", "list"], capture_output=True, check=False).returncode == 0)

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


# --- one context manager per kind of column: a device while it lasts -------------


class Devices:
    def __init__(self, directory, peer):
        self.directory = directory
        run("modprobe", "-a", "null_blk", "loop", "nbd")
        self.backing = null_blk("benchdata", plan.DEVICE_MIB)
        self.peer_command = peer
        self.peer_device = None

    @contextlib.contextmanager
    def raw(self, _):
        yield self.backing

    @contextlib.contextmanager
    def loop(self, _):
        device = run("losetup", "--find", "--show", "--direct-io=on", self.backing).strip()
        try:
            yield device
        finally:
            run("losetup", "--detach", device)

    @contextlib.contextmanager
    def nbd(self, _):
        image, socket = self.directory / "nbd.img", self.directory / "nbd.sock"
        image.write_bytes(bytes(plan.DEVICE_MIB << 20))
        server = subprocess.Popen(["nbdkit", "--foreground", "--unix", socket, "file", image])
        try:
            wait_for("nbdkit", socket.exists)
            run("nbd-client", "-unix", str(socket), "/dev/nbd0", "-b", "512")
            try:
                yield "/dev/nbd0"
            finally:
                run("nbd-client", "-d", "/dev/nbd0")
        finally:
            server.terminate()
            server.wait()
            image.unlink()
            socket.unlink(missing_ok=True)

    @contextlib.contextmanager
    def ours(self, what):
        target, mode = what
        options = ["--backing", self.backing] if target == "file" else \
            ["--size", f"{plan.DEVICE_MIB}M"]
        try:
            device = attach("--target", target, *options, *plan.MODES[mode])
        except RuntimeError as refusal:
            raise Refused(str(refusal).partition(": ublk-oci: ")[2] or refusal) from refusal
        try:
            settled(device)
            if target == "memory":
                fill(device, plan.DEVICE_MIB)
            yield device
        finally:
            run("ublk-oci", "detach", "--host", device)

    @contextlib.contextmanager
    def peer(self, _):
        """It gets a backing of its own, and stays: nobody knows how to take it away."""
        if not self.peer_device:
            backing = null_blk("benchpeer", plan.DEVICE_MIB)
            # Not until end of file: a server in the background may keep the pipe open.
            peer = subprocess.Popen(
                ["/bin/sh", "-c", f'{self.peer_command} "$@"', "peer", backing],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
            self.peer_device = peer.stdout.readline().strip()
            if not pathlib.Path(self.peer_device).is_block_device():
                raise RuntimeError(f"the peer named no block device, but '{self.peer_device}'")
        yield self.peer_device


# --- fio ----------------------------------------------------------------------


def jobs_of(rows, part):
    """(name, fio's options) of what is run for these rows, one after the other."""
    for row in rows:
        _, options, mib = plan.ROWS[row]
        if "cpus_allowed_policy" in options:
            options += f" cpus_allowed=0-{SERVER_CPU}"
        for name, size in ((f"warm-{row}", mib // WARM_PART), (row, mib // part)):
            yield name, f"{options} size={plan.DEVICE_MIB}m io_size={size}m"


def targets_jobs_of(rows, part):
    """The same of targets.ROWS. A cluster's first write cannot be made twice: the row and what
    comes before it have their own parts of the device."""
    warm = targets.DEVICE_MIB // WARM_PART
    for row in rows:
        _, options, mib, stage = targets.ROWS[row]
        if stage == "first":
            ends = ((f"warm-{row}", 0, warm), (row, warm, targets.DEVICE_MIB - warm))
            for name, begin, size in ends:
                writes = (size << 20) // targets.CLUSTER
                yield name, f"{options} offset={begin}m size={size}m io_size={writes * 4}k"
            continue
        for name, size in ((f"warm-{row}", mib // WARM_PART), (row, mib // part)):
            yield name, f"{options} size={targets.DEVICE_MIB}m io_size={size}m"


def job_file(device, jobs):
    lines = ["[global]", "ioengine=io_uring", "direct=1", "norandommap=1", "group_reporting=1",
             "allow_file_create=0", "disk_util=0", f"filename={device}"]
    for name, options in jobs:
        lines += [f"[{name}]", "stonewall", "new_group", *options.split()]
    return "\n".join(lines) + "\n"


def us_per_io(job):
    """Of one job in fio's words. The I/Os of both directions share the time."""
    sides = [job["read"], job["write"]]
    return max(side["runtime"] for side in sides) * 1000 / sum(side["total_ios"] for side in sides)


def measure(directory, device, rows, jobs):
    """(row, microseconds per I/O) for each."""
    file, out = directory / "fio.job", directory / "fio.json"
    file.write_text(job_file(device, jobs))
    run("taskset", "--cpu-list", str(FIO_CPU), "fio", "--eta=never", "--output-format=json",
        f"--output={out}", str(file))
    for job in json.loads(out.read_text())["jobs"]:
        if job["error"]:
            raise RuntimeError(f"fio: {job['jobname']} on {device}: error {job['error']}")
        if job["jobname"] in rows:
            yield job["jobname"], us_per_io(job)


def measure_rows(directory, device, _, ask):
    return measure(directory, device, ask.rows, jobs_of(ask.rows, plan.PART[ask.clock]))


def measure_stages(directory, device, column, ask):
    """The same of a column of targets.COLUMNS, through its stages."""
    mine = [row for row in ask.rows if row in targets.group_of(column).rows]
    for stage in targets.STAGES:
        rows = [row for row in mine if targets.ROWS[row][3] == stage]
        if stage == "written":
            fill(device, targets.DEVICE_MIB)
        if rows:
            yield from measure(directory, device, rows,
                               targets_jobs_of(rows, plan.PART[ask.clock]))


def worker_text(device):
    """The addresses of a worker's code."""
    is_ = json.loads(run("ublk-oci", "inspect", "--json", device))
    for line in pathlib.Path(f"/proc/{is_['worker']['pid']}/maps").read_text().splitlines():
        span, rights, *_ = line.split()
        if "x" in rights and line.endswith("/ublk-oci-worker"):
            yield span.split("-")


def prepare(device, row, ask):
    """What is run for one row of a profile, on a device in the row's stage."""
    if not ask.targets:
        return list(jobs_of([row], 1))
    if targets.ROWS[row][3] == "written":
        fill(device, targets.DEVICE_MIB)
    return list(targets_jobs_of([row], 1))


def profile(devices, ask):
    """Every row once, alone between two marks: fio's own start is counted too."""
    number = 0
    # Else all programs have their code at the same addresses.
    pathlib.Path("/proc/sys/kernel/randomize_va_space").write_text("2")
    for column in ask.columns:
        _, kind, what = ask.table[column]
        with getattr(devices, kind)(what) as device:
            for begin, end in worker_text(device) if kind.startswith("ours") else []:
                say("text", begin, end)
            for row in ask.rows:
                jobs = prepare(device, row, ask)
                list(measure(devices.directory, device, [row], jobs))
                number += 1
                mark(number)
                list(measure(devices.directory, device, [row], jobs))
                mark(0)
                ios = json.loads((devices.directory / "fio.json").read_text())["jobs"]
                say("mark", number, column, row,
                    sum(job[side]["total_ios"] for job in ios for side in ("read", "write")))
    (pathlib.Path(ask.profile) / "kallsyms").write_bytes(
        pathlib.Path("/proc/kallsyms").read_bytes())


def measure_all(devices, ask):
    columns = list(ask.columns)
    for number in range(ask.rounds):
        begin = number * 3 % len(columns)
        for column in columns[begin:] + columns[:begin]:
            if number and ask.clock == "icount" and column in plan.ONCE:
                continue
            _, kind, what = ask.table.get(column, (None, column, None))
            pathlib.Path("/proc/sys/vm/compact_memory").write_text("1")
            try:
                with getattr(devices, kind)(what) as device:
                    for row, us in (measure_stages if ask.targets else measure_rows)(
                            devices.directory, device, column, ask):
                        say(f"sample {number} {column} {row} {us:.4f}")
            except RuntimeError as reason:
                # Other people's servers do not end the run, nor does one target all others'.
                if not isinstance(reason, Refused) and kind not in THEIRS and not ask.targets:
                    raise
                say("skipped", column, reason)
                columns.remove(column)


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--clock", choices=("icount", "wall"), default="icount")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--targets", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--columns", type=lambda text: text.split(","))
    parser.add_argument("--rows", type=lambda text: text.split(","))
    parser.add_argument("--peer")
    parser.add_argument("--profile")
    ask = parser.parse_args()
    ask.table = targets.COLUMNS if ask.targets else plan.COLUMNS
    ask.rounds = ask.rounds or plan.ROUNDS[ask.clock]
    ask.columns = ask.columns or list(
        targets.COLUMNS if ask.targets else plan.SHORT_COLUMNS if ask.short else
        plan.WALL_COLUMNS if ask.clock == "wall" else plan.COLUMNS)
    ask.rows = ask.rows or list(targets.ROWS if ask.targets else
                                plan.SHORT_ROWS if ask.short else plan.ROWS)
    ask.columns += [plan.PEER] if ask.peer else []
    return ask


def measure_or_profile(directory, ask):
    devices = rivals.Rivals(directory) if ask.targets else Devices(directory, ask.peer)
    (profile if ask.profile else measure_all)(devices, ask)


def main():
    ask = parse()
    run(str(TOP / "tests/guest/setup"))
    settle()
    read_ahead()
    say("fact clock", ask.clock)
    say("fact family", "targets" if ask.targets else "devices")
    say("fact kernel", os.uname().release)
    say("fact cpus", os.cpu_count())
    say("fact cpu", re.search("model name\\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())[1])
    say("fact fio", run("fio", "--version").strip())
    say("fact columns", ",".join(ask.columns))
    say("fact rows", ",".join(ask.rows))
    with tempfile.TemporaryDirectory(dir="/run") as name:
        directory = pathlib.Path(name)
        helper = Helper(directory, rivals.POLICY if ask.targets else POLICY)
        try:
            measure_or_profile(directory, ask)
        except RuntimeError:
            sys.stderr.write((directory / "helper.log").read_text())
            raise
        finally:
            helper.stop()
    say("fact complete yes")


if __name__ == "__main__":
    main()
