#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Volumes on a node, as a client of the CSI driver sees them.

usage: node.py SOCKET DIRECTORY

DIRECTORY is one the driver may publish below. Prints what was tried.
"""
import os
import stat
import subprocess
import sys

import grpc

from csi import Driver

MIB = 1 << 20


def capability(block=False, mode="SINGLE_NODE_MULTI_WRITER", flags=()):
    kind = {"block": {}} if block else {"mount": {"fs_type": "ext4", "mount_flags": list(flags)}}
    return {**kind, "access_mode": {"mode": mode}}


class Node:
    def __init__(self, socket, directory):
        self.driver, self.directory = Driver(socket), directory

    def call(self, method, **request):
        return self.driver.call(method, request)

    def refused(self, codes, method, **request):
        try:
            self.call(method, **request)
        except grpc.RpcError as e:
            assert e.code().name in codes, (method, e.code(), e.details())
            return e.details()
        raise AssertionError(f"{method} went well: {request}")

    def create(self, name, block=False):
        return self.call("Controller/CreateVolume", name=name,
                         volume_capabilities=[capability(block)],
                         capacity_range={"required_bytes": 16 * MIB}).volume.volume_id

    def target(self, name):
        return os.path.join(self.directory, name)

    def staged(self, volume, block=False):
        return {"volume_id": volume, "staging_target_path": self.directory,
                "volume_capability": capability(block)}

    def published(self, volume, name, block=False, **more):
        return {"target_path": self.target(name), **self.staged(volume, block), **more}

    def unpublish(self, volume, name):
        self.call("Node/NodeUnpublishVolume", volume_id=volume, target_path=self.target(name))
        assert not os.path.lexists(self.target(name)), f"{name} is left"

    def unstage(self, volume):
        self.call("Node/NodeUnstageVolume", volume_id=volume, staging_target_path=self.directory)

    def remove(self, volume):
        self.unstage(volume)
        self.call("Controller/DeleteVolume", volume_id=volume)

    def bytes_at(self, volume, name):
        answer = self.call("Node/NodeGetVolumeStats", volume_id=volume,
                           volume_path=self.target(name))
        assert not answer.volume_condition.abnormal, answer
        return next(u.total for u in answer.usage if u.unit == 1), len(answer.usage)


def claims(node):
    answer = node.call("Node/NodeGetCapabilities")
    return {c.rpc.type for c in answer.capabilities}


def case_targets(node):
    """one file system at three targets, one of them read-only"""
    volume = node.create("targets")
    publish = "Node/NodePublishVolume"
    node.call("Node/NodeStageVolume", **node.staged(volume))
    for name, more in (("a", {}), ("b", {}), ("c", {"readonly": True})) * 2:
        node.call(publish, **node.published(volume, name, **more))
    with open(node.target("a") + "/word", "w") as f:
        f.write("hello")
    for name in "bc":
        with open(node.target(name) + "/word") as f:
            assert f.read() == "hello"
    try:
        os.mkdir(node.target("c") + "/made")
        raise AssertionError("what is read-only can be written")
    except OSError:
        pass
    node.refused(["ALREADY_EXISTS"], publish, **node.published(volume, "c"))
    node.refused(["FAILED_PRECONDITION"], "Node/NodeUnstageVolume", volume_id=volume,
                 staging_target_path=node.directory)
    node.refused(["FAILED_PRECONDITION"], "Controller/DeleteVolume", volume_id=volume)
    single = {"volume_capability": capability(mode="SINGLE_NODE_SINGLE_WRITER")}
    node.refused(["FAILED_PRECONDITION"], publish, **{**node.published(volume, "d"), **single})
    total, nr = node.bytes_at(volume, "b")
    assert nr == 2 and 8 * MIB < total <= 16 * MIB, (total, nr)
    with subprocess.Popen(["sleep", "1000"], cwd=node.target("a")) as user:
        node.refused(["ABORTED"], "Node/NodeUnpublishVolume", volume_id=volume,
                     target_path=node.target("a"))
        user.kill()
    for name in "aabc":
        node.unpublish(volume, name)
    node.call(publish, **{**node.published(volume, "d"), **single})
    node.unpublish(volume, "d")
    node.remove(volume)


def case_refused(node):
    """what is refused makes nothing"""
    volume = node.create("refused")
    publish = "Node/NodePublishVolume"
    whole = node.published(volume, "a")
    for codes, change in ((["FAILED_PRECONDITION"], {"staging_target_path": ""}),
                          (["INVALID_ARGUMENT"], {"target_path": ""}),
                          (["INVALID_ARGUMENT"], {"target_path": "a"}),
                          (["INVALID_ARGUMENT"], {"target_path": node.target("../../../../etc/a")}),
                          (["PERMISSION_DENIED"], {"target_path": "/srv/a"}),
                          (["FAILED_PRECONDITION"], {"target_path": node.target("none/a")}),
                          (["NOT_FOUND"], {"volume_id": "other"}),
                          (["INVALID_ARGUMENT"], {"volume_capability": capability(flags=["suid"])}),
                          (["INVALID_ARGUMENT"],
                           {"volume_capability": capability(mode="MULTI_NODE_MULTI_WRITER")})):
        node.refused(codes, publish, **{**whole, **change})
    node.refused(["NOT_FOUND"], "Node/NodeGetVolumeStats", volume_id=volume,
                 volume_path=node.target("a"))
    assert not os.listdir(node.directory), os.listdir(node.directory)
    assert not os.path.exists("/srv/a")
    node.remove(volume)


def case_block(node):
    """a device on two files"""
    volume = node.create("block", block=True)
    node.call("Node/NodeStageVolume", **node.staged(volume, block=True))
    for name in "aab":
        node.call("Node/NodePublishVolume", **node.published(volume, name, block=True))
        assert stat.S_ISBLK(os.stat(node.target(name)).st_mode)
    assert node.bytes_at(volume, "a") == (16 * MIB, 1)
    node.refused(["ABORTED", "FAILED_PRECONDITION"], "Node/NodePublishVolume",
                 **node.published(volume, "c", block=True, readonly=True))
    assert not os.path.lexists(node.target("c")), "a target of nothing"
    for name in "ab":
        node.unpublish(volume, name)
    node.call("Node/NodePublishVolume", **node.published(volume, "a", block=True, readonly=True))
    fd = os.open(node.target("a"), os.O_RDWR)
    try:
        os.write(fd, bytes(4096))
        raise AssertionError("what is read-only can be written")
    except PermissionError:
        pass
    finally:
        os.close(fd)
    node.unpublish(volume, "a")
    node.remove(volume)


def case_inline(node):
    """a volume that comes with a pod, and goes with it"""
    def volumes():
        return [e.volume.volume_id for e in node.call("Controller/ListVolumes").entries]

    context = [{"key": "csi.storage.k8s.io/ephemeral", "value": "true"},
               {"key": "csi.storage.k8s.io/pod.name", "value": "pod"},
               {"key": "size", "value": "16M"}]
    name = "csi-" + "0123456789abcdef" * 4
    request = {**node.published(name, "a"), "staging_target_path": "", "volume_context": context}
    bad = [*context, {"key": "colour", "value": "red"}]
    node.refused(["INVALID_ARGUMENT"], "Node/NodePublishVolume", **{**request, "volume_context": bad})
    assert not volumes()
    for _ in range(2):
        node.call("Node/NodePublishVolume", **request)
    assert len(volumes()) == 1 and volumes()[0].startswith("csi-i-"), volumes()
    assert node.bytes_at(name, "a")[1] == 2
    for _ in range(2):
        node.unpublish(name, "a")
    assert not volumes(), volumes()


def case_expand(node):
    """a volume grows where it is mounted, on kernels that can"""
    volume = node.create("grows")
    node.call("Node/NodeStageVolume", **node.staged(volume))
    node.call("Node/NodePublishVolume", **node.published(volume, "a"))
    request = {"volume_id": volume, "volume_path": node.target("a"),
               "capacity_range": {"required_bytes": 32 * MIB}}
    if 3 in claims(node):
        for _ in range(2):
            assert node.call("Node/NodeExpandVolume", **request).capacity_bytes == 32 * MIB
        assert node.bytes_at(volume, "a")[0] > 20 * MIB, node.bytes_at(volume, "a")
    else:
        node.refused(["UNIMPLEMENTED"], "Node/NodeExpandVolume", **request)
    node.unpublish(volume, "a")
    node.remove(volume)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    node = Node(sys.argv[1], sys.argv[2])
    for case in (case_targets, case_refused, case_block, case_inline, case_expand):
        case(node)
        print(case.__doc__, flush=True)


if __name__ == "__main__":
    main()
