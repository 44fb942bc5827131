#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The seeds that are no text: written from what they mean, so that a change of
a format is a change of a line here.

  seeds.py             writes them to corpus/
  seeds.py --check     fails when one is missing or is not what is said here

What a fuzzer found is put into corpus/ as it is, and is not said here.
"""
import pathlib
import struct
import sys

CORPUS = pathlib.Path(__file__).parent / "corpus"
WIRE_MAGIC, START_MAGIC, STATS_MAGIC = 0x6F6B6275, 0x7774736F, 0x74736F75
KEEP_MAGIC = 0x6B74736F
STORE_MAGIC = 0x6F6B7673
ATTACH, DETACH, LIST, INSPECT, RELOAD, STATS, REPAIR, UPGRADE, CLAIM, RESIZE, SNAPSHOTS, REPLY = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 64
SPEC, PREPARED, SERVE, READY, FAILED = 1, 2, 3, 4, 5
KEEP_STAY, KEEP_PUT, KEEP_GET, KEEP_DROP, KEEP_LIST = 1, 2, 3, 4, 5
NULL, MEMORY, FILE, NBD, FAULT, COW, IMAGE = 1, 2, 3, 4, 5, 6, 7
READ_ONLY, HOST, AHEAD = 1, 2, 256
PACKET_SIZE_MAX = 3072


def head(kind, size, nr_fds=0, version=1, magic=WIRE_MAGIC):
    return struct.pack("<IHHII", magic, version, kind, size, nr_fds)


def attach(target=MEMORY, flags=0, size=1 << 20, mode=0o660, timeout=0, container=b"c1",
           engine=b"crun", path=b"/dev/data", nr_fds=1, version=1,
           fault=(0, 0, 0, 0), filesystem=0, address=b"", export=b"", connections=0,
           formats=(0, 0)):
    return (head(ATTACH, 880, nr_fds, version)
            + struct.pack("<IIQHHIIIII", target, flags, size, 0, 0, 0, 0, mode, timeout, filesystem)
            + container.ljust(136, b"\0") + engine.ljust(16, b"\0") + path.ljust(256, b"\0")
            + struct.pack("<IIQQ", *fault) + address.ljust(256, b"\0")
            + export.ljust(128, b"\0") + struct.pack("<IHH", connections, *formats))


def attach_host(target=FILE, nr_fds=1):
    return attach(target, HOST, container=b"", engine=b"", path=b"", nr_fds=nr_fds)


def attach_mount(path=b"/var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/a/mount", nr_fds=2):
    return attach(FILE, HOST, container=b"", engine=b"", path=path, nr_fds=nr_fds, filesystem=1)


def generation(number):
    return 0x75626F63 << 32 | number


def detach(number, flags=0):
    return head(DETACH, 32) + struct.pack("<QII", generation(number), flags, 0)


def inspect(name, number=0):
    return head(INSPECT, 32) + struct.pack("<QII", name, number, 0)


def stats(number):
    return head(STATS, 24) + struct.pack("<Q", generation(number))


def upgrade(number):
    return head(UPGRADE, 32) + struct.pack("<QII", generation(number), 0, 0)


def resize(number, size=2 << 20):
    return head(RESIZE, 40) + struct.pack("<QQII", generation(number), size, 0, 0)


def snapshots(number, pad=0):
    return head(SNAPSHOTS, 32) + struct.pack("<QII", generation(number), 0, pad)


def claim(number, container=b"c1", nr_fds=1, path=b"", engine=b"crun", filesystem=0, flags=0):
    return (head(CLAIM, 448, nr_fds) + struct.pack("<QIIII", generation(number), 0, filesystem, flags, 0)
            + container.ljust(136, b"\0") + engine.ljust(16, b"\0") + path.ljust(256, b"\0"))


def packets():
    """fuzz_packet.c: descriptors, times, the packet."""
    def seed(nr_fds, packet, times=1):
        return bytes([nr_fds, times - 1]) + packet

    yield "attach", seed(1, attach())
    yield "attach-file", seed(2, attach(FILE, nr_fds=2))
    yield "other-version", seed(1, attach(version=2))
    yield "detach", seed(0, detach(7))
    yield "inspect-twice", seed(0, inspect(generation(7)), 2)
    yield "list", seed(0, head(LIST, 16))
    yield "empty", seed(0, b"")
    yield "empty-with-fds", seed(2, b"")
    yield "empty-thrice", seed(3, b"", 3)
    yield "empty-with-sixteen-fds", seed(16, b"", 2)
    yield "four-fds", seed(4, b"x")
    yield "five-fds", seed(5, b"x")
    yield "sixteen-fds", seed(16, b"x")
    yield "largest", seed(0, b"\xaa" * PACKET_SIZE_MAX)
    yield "too-large", seed(3, b"\xaa" * (PACKET_SIZE_MAX + 1), 2)


def requests():
    """fuzz_request.c: who (by place in its uids[]), descriptors and their kinds, the packet."""
    root, owner, stranger, hook = range(4)
    (file, read_only, container, process, directory, null, sock, epoll, memfd,
     path) = range(10)

    def seed(who, kinds, packet):
        return bytes([who, len(kinds)]) + bytes(kinds).ljust(4, b"\0") + packet

    yield "attach-memory", seed(root, [container], attach())
    yield "attach-memory-as-owner", seed(owner, [container], attach())
    yield "attach-memory-as-hook", seed(hook, [container], attach())
    yield "attach-file", seed(root, [container, file], attach(FILE, nr_fds=2))
    yield "attach-file-read-only", seed(root, [container, read_only],
                                        attach(FILE, READ_ONLY, size=0, nr_fds=2))
    yield "attach-file-opened-read-only", seed(root, [container, read_only],
                                               attach(FILE, nr_fds=2))
    yield "attach-own-process", seed(owner, [process], attach())
    yield "attach-file-as-process", seed(owner, [file], attach())
    yield "attach-epoll-as-process", seed(owner, [epoll], attach())
    yield "attach-host-null", seed(root, [], attach_host(NULL, 0))
    for name, kind in (("file", file), ("directory", directory), ("char-device", null),
                       ("socket", sock), ("memfd", memfd), ("path-only", path),
                       ("pidfd", process), ("epoll", epoll)):
        yield f"attach-host-{name}", seed(root, [kind], attach_host())
    for name, kind in (("directory", directory), ("file", file), ("pidfd", process),
                       ("socket", sock), ("path-only", path)):
        yield f"attach-host-mount-on-{name}", seed(root, [kind, file], attach_mount())
    yield "attach-host-mount-as-owner", seed(owner, [directory, file], attach_mount())
    yield "attach-host-mount-nowhere", seed(root, [file], attach_mount(nr_fds=1))
    yield "attach-host-mount-up", seed(root, [directory, file], attach_mount(b"/srv/../etc"))
    yield "attach-fault", seed(root, [container, file], attach(
        FAULT, size=0, nr_fds=2, fault=(5000, 1000000, 1 << 20, 4096)))
    yield "attach-fault-too-often", seed(root, [container, file], attach(
        FAULT, size=0, nr_fds=2, fault=(0, 1000001, 0, 0)))
    yield "attach-fault-wraps", seed(root, [container, file], attach(
        FAULT, size=0, nr_fds=2, fault=(0, 1, 4096, (1 << 64) - 1)))
    yield "attach-memory-that-fails", seed(root, [container], attach(fault=(1, 0, 0, 0)))
    for name, address, connections in (
            ("unix", b"unix:/run/x.sock", 0), ("tcp", b"tcp:[::1]:10809", 4),
            ("no-address", b"", 0), ("unended", b"unix:/" + b"a" * 250, 1),
            ("too-many", b"tcp:a:1", 5)):
        yield f"attach-nbd-{name}", seed(root, [container], attach(
            NBD, size=0, address=address, export=b"disk", connections=connections))
    for name, files, formats in (("image", [file], (2, 0)), ("image-over-base", [file, read_only], (2, 1)),
                                 ("image-of-directory", [directory], (2, 0)), ("image-no-format", [file], (0, 0)),
                                 ("image-format-unknown", [file], (99, 0)),
                                 ("image-base-missing", [file], (2, 1)),
                                 ("image-base-format-unknown", [file, read_only], (2, 99))):
        yield f"attach-{name}", seed(root, [container] + files, attach(
            IMAGE, nr_fds=1 + len(files), formats=formats))
    yield "attach-memory-with-format", seed(root, [container], attach(formats=(2, 0)))
    yield "attach-memory-with-address", seed(root, [container], attach(address=b"tcp:a:1"))
    yield "attach-impatient", seed(root, [container], attach(timeout=1))
    yield "attach-no-container-id", seed(root, [container], attach(container=b""))
    yield "attach-id-unended", seed(root, [container], attach(container=b"a" * 136))
    yield "attach-path-up", seed(root, [container], attach(path=b"/dev/../etc/x"))
    yield "attach-size-odd", seed(root, [container], attach(size=1000))
    yield "attach-set-uid-node", seed(root, [container], attach(mode=0o4755))
    yield "attach-short", seed(root, [container], attach()[:-1])
    yield "attach-long", seed(root, [container], attach() + b"x")
    yield "four-fds", seed(root, [file, null, sock, directory], attach(nr_fds=4))
    yield "detach-own", seed(owner, [], detach(0))
    yield "detach-of-root", seed(owner, [], detach(1))
    yield "detach-force", seed(root, [], detach(1, 1))
    yield "detach-unknown-flag", seed(root, [], detach(1, 128))
    yield "detach-unknown", seed(root, [], detach(7))
    yield "detach-with-fd", seed(root, [null], detach(1))
    for name, who in (("root", root), ("owner", owner), ("stranger", stranger)):
        yield f"list-as-{name}", seed(who, [], head(LIST, 16))
        yield f"inspect-as-{name}", seed(who, [], inspect(generation(0)))
        yield f"reload-as-{name}", seed(who, [], head(RELOAD, 16))
        yield f"repair-as-{name}", seed(who, [], head(REPAIR, 32) + bytes(16))
        yield f"repair-container-as-{name}", seed(who, [], head(REPAIR, 32) + bytes(8)
                                                  + struct.pack("<Q", generation(0)))
        yield f"stats-as-{name}", seed(who, [], stats(0))
        yield f"upgrade-as-{name}", seed(who, [], upgrade(0))
        yield f"resize-as-{name}", seed(who, [], resize(0))
        yield f"snapshots-as-{name}", seed(who, [], snapshots(0))
        yield f"claim-as-{name}", seed(who, [container], claim(0))
    yield "claim-of-nothing", seed(root, [container], claim(7))
    yield "claim-as-hook", seed(hook, [container], claim(1))
    yield "claim-elsewhere", seed(root, [container], claim(0, path=b"/dev/disk/a"))
    yield "claim-no-device-path", seed(root, [container], claim(0, path=b"/etc/passwd"))
    yield "claim-own-process", seed(owner, [process], claim(0))
    yield "claim-without-process", seed(root, [], claim(0, nr_fds=0))
    for name, who, kind in (("root", root, directory), ("owner", owner, directory),
                            ("no-directory", root, file)):
        yield f"claim-host-mount-{name}", seed(who, [kind], claim(
            0, b"", path=b"/srv/a", engine=b"", filesystem=1, flags=HOST))
    for name, kind in (("file", file), ("directory", directory), ("pidfd", process)):
        yield f"claim-host-file-{name}", seed(root, [kind], claim(
            0, b"", path=b"/srv/a", engine=b"", flags=HOST | READ_ONLY))
    yield "claim-flags-of-a-container", seed(root, [container], claim(0, flags=READ_ONLY))
    yield "claim-no-container-id", seed(root, [container], claim(0, container=b""))
    yield "attach-ahead", seed(root, [], attach(flags=AHEAD, container=b"", engine=b"", nr_fds=0))
    yield "attach-ahead-for-a-container", seed(root, [container], attach(flags=AHEAD))
    yield "attach-ahead-no-name", seed(root, [], attach(flags=AHEAD, container=b"", nr_fds=0,
                                                        path=b"/dev/a/b"))
    yield "upgrade-of-nothing", seed(root, [], upgrade(7))
    yield "resize-of-nothing", seed(root, [], resize(7))
    yield "resize-out-of-range", seed(root, [], resize(0, 1 << 63))
    yield "snapshots-of-nothing", seed(root, [], snapshots(7))
    yield "snapshots-with-padding", seed(root, [], snapshots(0, 1))
    yield "stats-without-counters", seed(root, [], stats(1))
    yield "stats-of-nothing", seed(root, [], stats(7))
    yield "inspect-by-number", seed(root, [], inspect(0, 1))
    yield "other-version", seed(root, [], head(LIST, 16, version=2))
    yield "an-answer", seed(root, [], head(REPLY, 360) + b"\0" * 344)
    yield "empty", seed(root, [], b"")


def starts():
    """fuzz_start.c: who reads, descriptors, the packet."""
    def step(kind, nr_fds=0, version=1):
        return head(kind, 16, nr_fds, version, START_MAGIC)

    def spec(target=NULL, flags=0, size=1 << 20, queues=2, depth=32, block=512, nr_filter=10,
             nr_fds=1, said=1624, piece=65536, cpus=b"",
             nbd=(0, 0)):
        return ((head(SPEC, said, nr_fds, magic=START_MAGIC)
                + struct.pack("<IIQHHIIIHHI", target, flags, size, queues, depth, 65536, block,
                              piece, nr_filter, 0, 0).ljust(64, b"\0")
                + struct.pack("<II", *nbd)).ljust(600, b"\0") + cpus).ljust(1624, b"\0")

    def failed(words, rest=b"\0"):
        return (head(FAILED, 184, magic=START_MAGIC) + struct.pack("<iI", -22, 0)
                + words.ljust(160, rest))

    def worker(nr_fds, packet):
        return bytes([0, nr_fds]) + packet

    def helper(nr_fds, packet):
        return bytes([1, nr_fds]) + packet

    yield "spec-null", worker(1, spec())
    yield "spec-memory", worker(1, spec(MEMORY, nr_fds=1))
    yield "spec-file-read-only-direct", worker(1, spec(FILE, 3, nr_fds=1, block=4096))
    yield "spec-zero-copy-link", worker(1, spec(FILE, 0x28, block=4096))
    yield "spec-zero-copy-batch-by-hand", worker(1, spec(FILE, 0x58, block=4096))
    yield "spec-threads", worker(1, spec(FILE, 0x80, block=4096, cpus=b"\1\2" * 512))
    yield "spec-threads-of-a-third-queue", worker(1, spec(FILE, 0x80, cpus=b"\1\2\3"))
    yield "spec-cpus-without-threads", worker(1, spec(FILE, 0x20, cpus=b"\1\2"))
    yield "spec-nbd", worker(2, spec(NBD, nr_fds=2, nbd=(0x3e, 30000)))
    yield "spec-nbd-without-time", worker(1, spec(NBD, nbd=(0x3e, 0)))
    yield "spec-nbd-of-five", worker(4, spec(NBD, nr_fds=5, nbd=(0x3e, 1)))
    yield "spec-file-with-a-server", worker(1, spec(FILE, nbd=(1, 1)))
    yield "spec-by-hand-alone", worker(1, spec(FILE, 0x40, block=4096))
    yield "spec-fd-missing", worker(0, spec(FILE, nr_fds=1))
    yield "spec-unknown-flag", worker(1, spec(flags=1 << 31))
    yield "spec-filter-empty", worker(1, spec(nr_filter=0))
    yield "spec-filter-too-long", worker(1, spec(nr_filter=65))
    yield "spec-blocks-odd", worker(1, spec(block=513))
    yield "spec-size-wraps", worker(1, spec(size=(1 << 64) - 512))
    yield "spec-queues-17", worker(1, spec(queues=17))
    yield "spec-depth-257", worker(1, spec(depth=257))
    yield "spec-short", worker(1, spec()[:-1])
    yield "spec-understated", worker(1, spec(said=568))
    yield "serve", worker(2, step(SERVE, 2))
    yield "serve-without-counters", worker(1, step(SERVE, 1))
    yield "serve-without-fd", worker(0, step(SERVE))
    yield "ready", helper(0, step(READY))
    yield "ready-with-fds", helper(3, step(READY, 3))
    yield "prepared-instead", helper(0, step(PREPARED))
    yield "other-version", helper(0, step(READY, version=2))
    yield "half-a-head", helper(0, step(READY)[:8])
    yield "nothing", helper(0, b"")
    yield "failed", helper(0, failed(b"target file: Input/output error"))
    yield "failed-escapes", helper(0, failed(b"\x1b]0;owned\x07\n<3>helper: all is well%n%s",
                                             b"\xff"))


def nbds():
    """fuzz_nbd.c: how long pieces are, less one; what a server says. Of each connection the
    requests are 0, 2, ... and 1, 3, ..., in the order read, write, flush, discard."""
    def cookie(tag):
        return (tag + 1) << 16 | tag

    def reply(tag, error=0, magic=0x67446698, data=b"", bits=0):
        return struct.pack(">IIQ", magic, error, cookie(tag) ^ bits) + data

    full = bytes([255])
    yield "answered", bytes([15]) + reply(2) + reply(1) + reply(6) + reply(3)
    yield "data", full + reply(0, data=b"x" * 4096) + reply(2)
    yield "data-in-bytes", bytes([0]) + reply(0, data=b"x" * 64)
    yield "data-cut-off", full + reply(0, data=b"x" * 100)
    yield "errors", bytes([15]) + reply(0, 5) + reply(1, 28) + reply(2, 22) + reply(3, 95)
    yield "error-unknown", full + reply(0, 2)
    yield "goes", full + reply(0, 108)
    yield "twice", bytes([31]) + reply(2) + reply(2)
    yield "magic", full + reply(0, magic=0x668E33EF)
    yield "nobodys-request", full + reply(0, bits=1 << 40)
    yield "no-tag", full + reply(0, bits=0xFF00)
    yield "another-connection", full + reply(1)
    yield "half-a-head", full + reply(0)[:7]


def keeps():
    """fuzz_keep.c: rows of descriptors, size, packet."""
    def ask(kind, name=7, nr_fds=None, version=1, magic=KEEP_MAGIC, size=24, sent_fds=None):
        if nr_fds is None:
            nr_fds = int(kind == KEEP_PUT)
        return row(nr_fds if sent_fds is None else sent_fds,
                   head(kind, size, nr_fds, version, magic) + struct.pack("<Q", name))

    def row(nr_fds, packet):
        return bytes([nr_fds, len(packet)]) + packet

    yield "stay", ask(KEEP_STAY, 0)
    yield "put-get-drop", b"".join(ask(kind) for kind in (
        KEEP_GET, KEEP_PUT, KEEP_GET, KEEP_GET, KEEP_DROP, KEEP_DROP, KEEP_GET))
    yield "replaced", ask(KEEP_PUT) + ask(KEEP_PUT) + ask(KEEP_GET) + ask(KEEP_DROP)
    yield "many", b"".join(ask(KEEP_PUT, name) for name in range(16))
    yield "first-dropped", (b"".join(ask(KEEP_PUT, name) for name in range(4))
                            + ask(KEEP_DROP, 0) + ask(KEEP_GET, 3) + ask(KEEP_DROP, 1))
    yield "put-without-fd", ask(KEEP_PUT, sent_fds=0) + ask(KEEP_PUT, nr_fds=0) + ask(KEEP_GET)
    yield "put-with-four", ask(KEEP_PUT, nr_fds=4) + ask(KEEP_PUT, sent_fds=2) + ask(KEEP_GET)
    yield "get-with-fd", ask(KEEP_GET, nr_fds=1) + ask(KEEP_DROP, sent_fds=1)
    yield "other-version", ask(KEEP_PUT, version=2) + ask(KEEP_GET, version=2) + ask(KEEP_GET)
    yield "other-magic", ask(KEEP_GET, magic=START_MAGIC)
    yield "list", (ask(KEEP_LIST, 0) + b"".join(ask(KEEP_PUT, name) for name in range(3))
                   + ask(KEEP_LIST, 0) + ask(KEEP_LIST, 2) + ask(KEEP_LIST, 1 << 63)
                   + ask(KEEP_LIST, nr_fds=1))
    yield "other-types", ask(0) + ask(6) + ask(64) + ask(65535)
    yield "understated", ask(KEEP_GET, size=23)
    yield "sizes", (row(0, b"") + row(1, b"") + row(0, ask(KEEP_GET)[2:-1])
                    + row(0, ask(KEEP_GET)[2:] + b"x"))


def procs():
    """fuzz_proc.c: what it is, the text."""
    mountinfo, stat, name, point, cgroup, cgroup_name = (bytes([i]) for i in range(6))

    yield "mountinfo-root", mountinfo + (
        b"29 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n")
    yield "mountinfo-escapes", mountinfo + (
        b"36 35 98:0 /a /mnt/with\\040space\\011and\\134 rw master:1 propagate_from:2 - "
        b"fuse.x#y fuse\\040src rw\n")
    yield "mountinfo-no-source-name", mountinfo + b"40 29 0:35 / /mnt rw - tmpfs  rw\n"
    yield "mountinfo-cut", mountinfo + b"36 35 98:0 /a /mnt rw shared:1 -"
    yield "mountinfo-escape-cut", mountinfo + b"36 35 98:0 /a /mnt\\04 rw - ext4 x\\"
    yield "mountinfo-escape-high", mountinfo + b"36 35 98:0 /a /mnt\\777\\000x rw - ext4 x rw"
    yield "stat-plain", stat + (
        b"1 (init) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 42 1 2 3\n")
    yield "stat-ends-at-the-name", stat + b"1 (init)"
    yield "stat-cut", stat + b"1 (init) S 0 1 1 0 "
    yield "stat-negative", stat + (
        b"1 (x) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 -42 1\n")
    yield "name-parentheses", name + b")))) S 1 1 1"
    yield "name-looks-like-a-stat", name + b"a) S 0 1 1 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 9 (b"
    yield "name-newline", name + b"a)\n2 (b) S"
    yield "point-looks-like-a-line", point + b"/x rw - tmpfs y\n1 2 3:4 / / rw - proc p"
    yield "point-backslashes", point + b"/a\\040\\\\b\t"
    yield "point-dash", point + b"-"
    yield "cgroup-v2", cgroup + b"0::/user.slice/user-1000.slice/user@1000.service/c1\n"
    yield "cgroup-v2-behind-v1", cgroup + b"9:devices:/a\n1:name=systemd:/b\n0::/c\n"
    yield "cgroup-v1-only", cgroup + b"9:devices:/a\n"
    yield "cgroup-no-path", cgroup + b"0::\n1:x:/y"
    yield "cgroup-no-newline", cgroup + b"0::/a"
    yield "cgroup-named-as-a-line", cgroup_name + b"0::/x"
    yield "cgroup-named-with-colons", cgroup_name + b"a:0::/b"


def records():
    """fuzz_record.c: changes of a good record: field (by place in its fields[]), length, bytes."""
    names = ("magic version size state generation flags target worker_pid path cgroup container "
             "engine container_pid rule backing dev_id worker_uid made_dirs grants "
             "container_cgroup io failure filesystem base").split()

    def seed(**changes):
        return b"".join(bytes([names.index(n), len(b)]) + b for n, b in changes.items())

    yield "unchanged", b"\0"
    yield "other-magic", seed(magic=b"\1")
    yield "other-version", seed(version=b"\x63")
    yield "other-size", seed(size=b"\1")
    yield "state-none", seed(state=b"\0")
    yield "state-unknown", seed(state=b"\6")
    yield "state-failed", seed(state=b"\5", failure=b"8 workers died")
    yield "failure-with-bytes-behind-its-end", seed(failure=b"a\0b")
    yield "foreign-generation", seed(generation=b"\7" + b"\0" * 7)
    yield "host-without-path", seed(flags=b"\2", path=b"\0" * 10)
    yield "path-up", seed(path=b"/dev/../etc/x\0")
    yield "path-unended", seed(path=b"/dev/" + b"a" * 123)
    yield "cgroup-none", seed(cgroup=b"\0" * 80)
    yield "cgroup-elsewhere", seed(cgroup=b"/etc/workers/x".ljust(80, b"\0"))
    yield "cgroup-up", seed(cgroup=b"/sys/fs/cgroup/a/../workers/b".ljust(80, b"\0"))
    yield "cgroup-up-at-the-end", seed(cgroup=b"/sys/fs/cgroup/a/workers/..".ljust(80, b"\0"))
    yield "cgroup-bytes-behind-the-end", seed(cgroup=b"/sys/fs/cgroup/a/workers/b\0x")
    yield "container-cgroup-up", seed(container_cgroup=b"/a/..")
    yield "container-cgroup-relative", seed(container_cgroup=b"a")
    yield "container-unended", seed(container=b"a" * 136)
    yield "base-with-bytes-behind-its-end", seed(base=b"/srv/a\0b")
    yield "grant-unknown", seed(grants=b"\0\0\0\x80")
    yield "limits", seed(grants=b"\2", io=b"\0\0\1")
    yield "limits-without-grant", seed(io=b"\0\0\1")
    yield "mounted", seed(filesystem=b"\1", path=b"/data\0\0\0\0")
    yield "mounted-as-nothing-known", seed(filesystem=b"\4", path=b"/data\0\0\0\0")
    yield "mounted-up", seed(filesystem=b"\1", path=b"/../etc\0\0")
    yield "mounted-for-the-host", seed(filesystem=b"\1", flags=b"\2", path=b"\0" * 10)
    yield "worker-negative", seed(worker_pid=b"\xff" * 4)


def audits():
    """fuzz_audit.c: groups, flags, then reason, cgroup, rule, container's ID and cgroup, device
    path, backing file."""
    def seed(nr_groups, flags, *words):
        return bytes([nr_groups, flags]) + b"\0".join(words)

    yield "allowed", seed(2, 1, b"", b"/user.slice/user-1000.slice", b"root-containers", b"web",
                          b"/crun-web", b"/dev/disk", b"/srv/ublk-oci/web.img")
    yield "refused", seed(1, 0, b"no rule allows uid 1000 a device of 2G", b"/a", b"", b"c1",
                          b"/c1", b"/dev/data", b"")
    yield "host-device", seed(0, 3, b"", b"", b"root-host", b"", b"", b"",
                              b"/srv/ublk-oci/a.img")
    yield "quotes-and-newlines", seed(0, 0, b'"1"\\2\n3\t4\x1b[31m', b'/x","uid":0,"y":"', b"",
                                      b'c\n{"verdict":"allowed"}', b"", b"", b"")
    yield "utf-8", seed(0, 0, "Gr\u00fc\u00dfe \u20ac \U0001f600".encode(), "/\u00e4".encode(),
                        b"", b"", b"", b"", b"")
    yield "not-utf-8", seed(0, 0, b"\xff\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82", b"\x80",
                            b"", b"", b"", b"", b"")
    yield "longest", seed(65, 0, b"\1" * 319, b"\2" * 511, b"r" * 63, b"\3" * 135, b"\4" * 511,
                          b"\5" * 127, b"\6" * 255)


def counters():
    """fuzz_counters.c: how many queues, less one; two pages, the older one first."""
    reads, writes, flushes = 1, 2, 3

    def queue(rows=None, rest=(0, 0, 0, 0), latency=None):
        words = [0] * 20 + list(rest) + [0] * 224
        for row, numbers in (rows or {}).items():
            words[4 * row:4 * row + 4] = numbers
        for bucket, n in (latency or {}).items():
            words[24 + bucket] = n
        return struct.pack("<248Q", *words)

    def page(*queues, magic=STATS_MAGIC, version=1, begun=1):
        return struct.pack("<IIQ48x", magic, version, begun) + b"".join(queues)

    def seed(before, now, nr_queues=1):
        return bytes([nr_queues - 1]) + before + now

    idle, most = queue(), b"\xff" * 1984
    busy = queue({reads: (9, 36864, 0, 900000), writes: (160, 655360, 1, 5500000),
                  flushes: (3, 0, 0, 9)},
                 (175, 4, 1, 0), {20: 9, 112 + 40: 11})
    yield "idle", seed(page(idle), page(idle))
    yield "busy", seed(page(idle), page(busy))
    yield "two-queues", seed(page(idle, busy), page(busy, busy), 2)
    yield "sixteen-queues", seed(page(*[idle] * 16), page(*[busy] * 16), 16)
    yield "backwards", seed(page(busy), page(idle))
    yield "most", seed(page(idle), page(most))
    yield "most-of-two", seed(page(most, idle), page(most, most, begun=(1 << 64) - 1), 2)
    yield "timed-but-none-done", seed(page(idle), page(queue(latency={111: 1 << 63,
                                                                      110: 1 << 63})))
    yield "short", seed(page(idle)[:-8], page(busy)[:-8])
    yield "other-magic", seed(page(idle, magic=1), page(busy, magic=1))
    yield "other-version", seed(page(idle, version=2), page(busy, version=2))
    yield "gone", seed(b"", b"")


def notices():
    """fuzz_notice.c: rows of a size and so many bytes."""
    read, write, flush, discard = range(1, 5)
    eio, enospc = 5, 28

    def notice(op, error, off=0, size=512, magic=0x6E74736F):
        packet = struct.pack("<IHHQQ", magic, op, error, off, size)
        return bytes([len(packet)]) + packet

    yield "write-full", notice(write, enospc, 4096, 8192)
    yield "again", notice(read, eio) + notice(read, eio)
    yield "after-a-while", notice(read, eio) + b"\0" * 60 + notice(read, eio)
    yield "every-kind", b"".join(notice(flush, error, 0, 0) for error in range(1, 140))
    yield "discard-the-last", notice(discard, 95, (1 << 30) - 512)
    yield "over-the-end", notice(write, eio, 1 << 30)
    yield "wraps", notice(write, eio, 512, (1 << 64) - 512)
    yield "no-operation", notice(0, eio) + notice(5, eio) + notice(65535, eio)
    yield "no-error", notice(read, 0) + notice(read, 4096) + notice(read, 65535)
    yield "other-magic", notice(read, eio, magic=0)
    yield "short", bytes([23]) + notice(read, eio)[1:24]


def stores():
    """fuzz_store.c: how many fds, the packet."""
    (LIST, INSPECT, CREATE, SNAPSHOT, RESIZE, EXPORT, DELETE, ATTACH, DETACH, FORMAT, CHECK,
     CAPACITY) = range(1, 13)

    def ask(kind, name=b"", source=b"", pool=b"", size=0, flags=0, device_flags=0, mode=0, nr_fds=0,
            version=1, magic=STORE_MAGIC, filesystem=0):
        return (bytes([nr_fds]) + head(kind, 248, nr_fds, version, magic)
                + struct.pack("<QIIIIIHHII", size, flags, device_flags, 0, 0, mode, 0, 0, filesystem, 0)
                + name.ljust(64, b"\0") + source.ljust(64, b"\0") + pool.ljust(64, b"\0"))

    yield "list", ask(LIST)
    yield "inspect", ask(INSPECT, b"pg-data")
    yield "create", ask(CREATE, b"pg-data", size=1 << 30, pool=b"fast")
    yield "create-of-an-image", ask(CREATE, b"a", nr_fds=1)
    yield "create-of-both", ask(CREATE, b"a", b"b", nr_fds=1)
    yield "create-ext4", ask(CREATE, b"a", size=1 << 20, filesystem=1)
    yield "create-no-filesystem", ask(CREATE, b"a", size=1 << 20, filesystem=9)
    yield "clone-ext4", ask(CREATE, b"a", b"b", filesystem=1)
    yield "clone", ask(CREATE, b"a", b"b")
    yield "snapshot", ask(SNAPSHOT, b"a", b"b")
    yield "resize", ask(RESIZE, b"a", size=8192)
    yield "resize-odd", ask(RESIZE, b"a", size=8191)
    yield "export", ask(EXPORT, b"a", nr_fds=1)
    yield "delete-wipe", ask(DELETE, b"a", flags=1)
    yield "attach", ask(ATTACH, b"a", mode=0o660, device_flags=READ_ONLY)
    yield "attach-to-the-host", ask(ATTACH, b"a", mode=0o660, device_flags=HOST)
    yield "detach", ask(DETACH, b"a")
    yield "inspect-and-look", ask(INSPECT, b"a", flags=2)
    yield "format", ask(FORMAT, b"a", filesystem=2)
    yield "format-nothing", ask(FORMAT, b"a")
    yield "check", ask(CHECK, b"a")
    yield "capacity", ask(CAPACITY, pool=b"fast")
    yield "name-without-an-end", ask(INSPECT, b"a" * 64)
    yield "name-with-dots", ask(INSPECT, b"../a")
    yield "other-version", ask(LIST, version=2)
    yield "other-magic", ask(LIST, magic=WIRE_MAGIC)
    yield "short", ask(LIST)[:-1]


def probes():
    """fuzz_probe.c: struct probe_answer."""
    def answer(content, kind=b"", label=b"", uuid=b"", reason=b"", version=1):
        return (struct.pack("<4sIII", b"prob", version, content, 0) + kind.ljust(32, b"\0")
                + label.ljust(64, b"\0") + uuid.ljust(40, b"\0") + reason.ljust(120, b"\0"))

    yield "blank", answer(1)
    yield "ext4", answer(2, b"ext4", b"data", b"285f8742-88e1-42c3-b5e5-8ffc01a803be")
    yield "partitions", answer(2, b"gpt")
    yield "unknown", answer(0, reason=b"it cannot be read: Input/output error")
    yield "unknown-why", answer(0)
    yield "used-by-what", answer(2)
    yield "blank-with-a-type", answer(1, b"ext4")
    yield "label-with-an-escape", answer(2, b"ext4", b"\x1b[2J")
    yield "type-without-an-end", answer(2, b"e" * 32)
    yield "other-version", answer(1, version=2)
    yield "short", answer(1)[:-1]


def cows():
    """fuzz_cow.c: mended or not and the file's size, length of the changes: place and byte; the map."""
    def seed(changes, bits=b"", mode=1):
        rows = b"".join(struct.pack("<HB", *change) for change in changes)
        return bytes([mode, len(rows)]) + rows + bits

    yield "empty", seed([])
    yield "some-clusters", seed([], b"\x01\x80\xff\x00\xf0")
    yield "all-clusters", seed([], b"\xff" * 32)
    yield "bits-behind-the-end", seed([], b"\0" * 32 + b"\1")
    yield "short-file", seed([], mode=3)
    yield "other-version", seed([(8, 2)])
    yield "unknown-flag", seed([(16, 0x80)])
    yield "ephemeral", seed([(16, 1)])
    yield "cluster-of-three", seed([(20, 3), (21, 0)])
    yield "cluster-of-64k", seed([(21, 0), (22, 1), (49, 0x10), (50, 0)])
    yield "device-odd", seed([(24, 1)])
    yield "device-largest", seed([(31, 0xff)])
    yield "map-elsewhere", seed([(32, 1)])
    yield "map-longer", seed([(41, 0x20)])
    yield "data-in-the-map", seed([(48, 1)])
    yield "base-unended", seed([(1079, 65)])
    yield "no-magic", seed([(0, 0)])
    yield "raw", seed([], b"ublkcow\n" + b"\0" * 100, mode=0)


def varint(n):
    out = b""
    while n > 0x7F:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def pb(**fields):
    """A message, of fields f1=, f2=, ...: a number, bytes, or a list of those."""
    out = b""
    for name, values in fields.items():
        number = int(name[1:])
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, int):
                out += varint(number << 3) + varint(value)
            else:
                out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def csi():
    """fuzz_csi.c: which call, how often, the message."""
    (info, _, probe, create, delete, validate, volumes, capacity, _, expand, get, snapshot, _,
     snapshots, _, _, unpublish) = range(17)
    mount = pb(f2=pb(f1=b"ext4", f2=[b"nosuid"]), f3=pb(f1=1))
    block = pb(f1=b"", f3=pb(f1=7))

    def seed(call, message, times=1):
        return bytes([call, times - 1]) + message

    yield "info", seed(info, b"")
    yield "probe", seed(probe, b"")
    yield "create", seed(create, pb(f1=b"pvc-1", f2=pb(f1=16 << 20, f2=32 << 20), f3=[mount],
                                    f4=[pb(f1=b"pool", f2=b"default")]), 2)
    yield "create-block", seed(create, pb(f1=b"a b" * 40, f3=[block, block]), 3)
    yield "create-xfs", seed(create, pb(f1=b"x", f3=pb(f2=pb(f1=b"xfs"), f3=pb(f1=6))))
    yield "create-source", seed(create, pb(f1=b"y", f3=[mount], f6=pb(f1=pb(f1=b"snapshot-1"))))
    yield "create-clone", seed(create, pb(f1=b"y", f3=[mount], f6=pb(f2=pb(f1=b"pvc-1"))))
    yield "create-topology", seed(create, pb(f1=b"z", f3=[block], f7=pb(
        f1=pb(f1=pb(f1=b"topology.ublk-oci.io/node", f2=b"node")))))
    yield "create-range", seed(create, pb(f1=b"z", f2=pb(f1=1 << 62, f2=5), f3=[block]))
    yield "delete", seed(delete, pb(f1=b"pvc-1"))
    yield "validate", seed(validate, pb(f1=b"pvc-1", f3=[mount]))
    yield "list", seed(volumes, pb(f1=3, f2=b"after:pvc-1"))
    yield "list-bad-token", seed(volumes, pb(f2=b"invalid"))
    yield "capacity", seed(capacity, pb(f1=[mount], f2=[pb(f1=b"pool", f2=b"nowhere")]))
    yield "expand", seed(expand, pb(f1=b"pvc-1", f2=pb(f1=1 << 30), f4=block))
    yield "get", seed(get, pb(f1=b"../x"))
    yield "snapshot", seed(snapshot, pb(f1=b"pvc-1", f2=b"snapshot-1"))
    yield "snapshots", seed(snapshots, pb(f1=1, f3=b"pvc-1", f4=b"snapshot-1"))
    yield "unpublish", seed(unpublish, pb(f1=b"pvc-1", f2=b"/var/lib/kubelet/x"))
    yield "no-message", seed(create, b"\xff\xff\xff")


def grpc():
    """fuzz_grpc.c: how it is fed and answered, and what a client sends."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    data, headers, reset, settings, ping, window, continuation = 0, 1, 3, 4, 6, 8, 9
    end_stream, end_headers = 1, 4

    def frame(kind, flags, stream, payload=b""):
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

    def field(name, value):
        return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value

    def fields(*more, path=b"/csi.v1.Identity/Probe", method=b"POST", kind=b"application/grpc"):
        return b"".join(field(*f) for f in (
            (b":method", method), (b":scheme", b"http"), (b":path", path),
            (b":authority", b"localhost"), (b"content-type", kind), (b"te", b"trailers"), *more))

    def message(body=b"", compressed=0, size=None):
        return bytes([compressed]) + (len(body) if size is None else size).to_bytes(4, "big") + body

    def call(stream, body, *more, **kw):
        return (frame(headers, end_headers, stream, fields(*more, **kw))
                + frame(data, end_stream, stream, body))

    def seed(*frames, how=0xFF):
        return bytes([how]) + preface + frame(settings, 0, 0) + b"".join(frames)

    now, late, never, bytewise = 0xFD, 0xFE, 0xFC, 1
    yield "call", seed(call(1, message()), how=now)
    yield "call-bytewise", seed(call(1, message(b"x" * 20)), how=bytewise)
    yield "calls-late", seed(call(1, message()), call(3, message(b"y"), (b"grpc-timeout", b"10S")), how=late)
    yield "calls-reset", seed(call(1, message()), frame(reset, 0, 1, b"\0\0\0\x08"), call(3, message()), how=never)
    yield "compressed", seed(call(1, message(b"z", 1)))
    yield "two-messages", seed(call(1, message() + message()))
    yield "short-message", seed(call(1, message(b"z", 0, 9)))
    yield "no-message", seed(frame(headers, end_headers | end_stream, 1, fields()))
    yield "get", seed(call(1, message(), method=b"GET"))
    yield "no-grpc", seed(call(1, message(), kind=b"text/html"))
    yield "bad-timeout", seed(call(1, message(), (b"grpc-timeout", b"tenS")))
    yield "trailers", seed(frame(headers, end_headers, 1, fields()), frame(data, 0, 1, message()),
                           frame(headers, end_headers | end_stream, 1, field(b"x", b"y")))
    yield "continued", seed(frame(headers, end_stream, 1, fields()), frame(continuation, end_headers, 1,
                                                                         field(b"x", b"y")))
    yield "ping-window", seed(frame(ping, 0, 0, b"12345678"), frame(window, 0, 0, b"\x7f\xff\xff\xff"))
    yield "no-preface", b"\xffGET / HTTP/1.1\r\n\r\n"


FUZZERS = {"counters": counters, "cow": cows, "keep": keeps, "packet": packets, "request": requests,
           "start": starts, "proc": procs, "record": records, "audit": audits,
            "nbd": nbds, "notice": notices, "store": stores, "probe": probes, "csi": csi, "grpc": grpc}


def main():
    check = sys.argv[1:] == ["--check"]
    wrong = total = 0
    for fuzzer, seeds in FUZZERS.items():
        for name, content in seeds():
            path = CORPUS / fuzzer / name
            total += 1
            if not check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            elif not path.exists() or path.read_bytes() != content:
                print(f"{path}: not what seeds.py says: run it")
                wrong += 1
    print(f"{total} seeds, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
