# SPDX-License-Identifier: Apache-2.0
"""Devices of targets, and of who else does the same work, for measure.py: a context manager per
kind of column of targets.py. Base, delta and images are files of one ext4 on null_blk."""
import contextlib
import pathlib
import shutil
import subprocess

import targets
from guest import Refused, attach, fill, null_blk, run, settled, wait_for

FILES_MIB = 4 * targets.DEVICE_MIB
CHUNK_SECTORS = targets.CLUSTER // 512
SERVERS = pathlib.Path("/run/ublk-oci-bench")
MOUNT = pathlib.Path("/srv/ublk-oci-bench")

POLICY = {
    "version": 1,
    "worker_ids": {"first": 2100000000, "count": 1000},
    "rules": [{"id": "bench", "principal": {"uid": 0}, "host": True,
               "targets": ["cow", "nbd", "image"], "backing": [f"{MOUNT}/"], "zero_copy": True,
               "nbd": [f"unix:{SERVERS}/"], "formats": ["qcow2"], "max_size": "1G"}],
}


@contextlib.contextmanager
def process(*command):
    """Runs meanwhile. One that is about to end by itself may."""
    running = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL)
    try:
        yield running
    finally:
        running.terminate()
        running.wait()


def socket_of(name):
    """Where a server makes its socket, which is not there yet."""
    path = SERVERS / name
    path.unlink(missing_ok=True)
    return path


@contextlib.contextmanager
def ours(*options):
    try:
        device = attach(*options)
    except RuntimeError as refusal:
        raise Refused(str(refusal).partition(": ublk-oci: ")[2] or refusal) from refusal
    try:
        settled(device)
        yield device
    finally:
        run("ublk-oci", "detach", "--host", device)


@contextlib.contextmanager
def kernel_nbd(socket, connections=1):
    run("nbd-client", "-unix", str(socket), "/dev/nbd0", "-b", "512", "-C", str(connections))
    try:
        yield "/dev/nbd0"
    finally:
        run("nbd-client", "-d", "/dev/nbd0")
        # Said before the kernel has let go of it.
        wait_for("nbd0 to be free", lambda: not pathlib.Path("/sys/block/nbd0/pid").exists())


@contextlib.contextmanager
def loop(path, *options):
    device = run("losetup", "--find", "--show", "--direct-io=on", *options, str(path)).strip()
    try:
        yield device
    finally:
        run("losetup", "--detach", device)


class Rivals:
    """One kind's device at a time."""

    def __init__(self, directory):
        self.directory = directory
        run("modprobe", "-a", "null_blk", "loop", "nbd", "dm_snapshot", "ext4")
        SERVERS.mkdir(mode=0o755)
        MOUNT.mkdir(parents=True)
        self.origin = null_blk("benchbase", targets.DEVICE_MIB)
        self.store = null_blk("benchstore", targets.DEVICE_MIB + 16)
        files = null_blk("benchfiles", FILES_MIB)
        run("mkfs.ext4", "-q", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", files)
        run("mount", files, str(MOUNT))
        self.base, self.delta = MOUNT / "base.img", MOUNT / "delta"
        fill(self.base, targets.DEVICE_MIB)
        self.connector = subprocess.Popen(
            ["/usr/sbin/ublk-oci-nbd"], stdin=subprocess.DEVNULL,
            stderr=open(directory / "connector.log", "wb"))
        wait_for("the connector", pathlib.Path("/run/ublk-oci/nbd.sock").exists)

    # --- cow and its rivals ---------------------------------------------------------

    @contextlib.contextmanager
    def snapshot(self, origin, store):
        # A header of zeroes: a new one is made.
        run("dd", "if=/dev/zero", f"of={store}", "bs=4k", "count=1", "oflag=direct")
        run("dmsetup", "create", "bench", "--noudevsync", "--table",
            f"0 {targets.DEVICE_MIB << 11} snapshot {origin} {store} P {CHUNK_SECTORS}")
        run("dmsetup", "mknodes", "bench")
        try:
            yield "/dev/mapper/bench"
        finally:
            run("dmsetup", "remove", "--noudevsync", "bench")

    def dm_disks(self, _):
        return self.snapshot(self.origin, self.store)

    @contextlib.contextmanager
    def dm_files(self, _):
        with open(self.delta, "wb") as file:
            file.truncate((targets.DEVICE_MIB + 16) << 20)
        try:
            with loop(self.base, "--read-only") as origin, loop(self.delta) as store, \
                    self.snapshot(origin, store) as device:
                yield device
        finally:
            self.delta.unlink()

    @contextlib.contextmanager
    def ours_cow(self, path):
        try:
            with ours("--target", "cow", "--base", str(self.base), "--backing", str(self.delta),
                      "--data-path", path) as device:
                yield device
        finally:
            self.delta.unlink(missing_ok=True)

    # --- nbd --------------------------------------------------------------------------

    @contextlib.contextmanager
    def nbdkit(self):
        """A file in memory, all of it there."""
        image, socket = self.directory / "nbd.img", socket_of("nbdkit")
        image.write_bytes(bytes(targets.DEVICE_MIB << 20))
        with process("nbdkit", "--foreground", "--unix", socket, "file", image):
            wait_for("nbdkit", socket.exists)
            socket.chmod(0o666)
            yield socket
        image.unlink()

    @contextlib.contextmanager
    def nbd_client(self, connections):
        with self.nbdkit() as socket, kernel_nbd(socket, connections) as device:
            yield device

    @contextlib.contextmanager
    def ours_nbd(self, connections):
        with self.nbdkit() as socket, \
                ours("--target", "nbd", "--nbd", f"unix:{socket}", "--connections",
                     str(connections)) as device:
            yield device

    # --- image ------------------------------------------------------------------------

    @contextlib.contextmanager
    def qcow2(self, over=False):
        path = MOUNT / "image.qcow2"
        base = ["-b", str(self.base), "-F", "raw"] if over else []
        run("qemu-img", "create", "-q", "-f", "qcow2", *base, str(path), f"{targets.DEVICE_MIB}M")
        try:
            yield path
        finally:
            path.unlink()

    @contextlib.contextmanager
    def qemu_nbd(self, how):
        if not shutil.which("qemu-nbd"):
            raise Refused("there is no qemu-nbd")
        socket = socket_of("qemu-nbd")
        cache = ["--cache=writethrough"] if how == "writethrough" else []
        with self.qcow2(how == "over") as image, \
                process("qemu-nbd", "--persistent", "--socket", socket, *cache, "--format", "qcow2",
                        image):
            wait_for("qemu-nbd", socket.exists)
            with kernel_nbd(socket) as device:
                yield device

    @contextlib.contextmanager
    def ours_image(self, _):
        with self.qcow2() as image, \
                ours("--target", "image", "--format", "qcow2", "--backing", str(image), "--size",
                     f"{targets.DEVICE_MIB}M") as device:
            yield device
