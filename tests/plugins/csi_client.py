#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a client of the CSI driver sees, with a real store: run by 22-csi-client.sh.

usage: csi_client.py SOCKET

The pool has 100M. Prints "ok ..." for each part; fails with what was not as expected.
"""
import socket
import sys
import threading
import time

import grpc

from csi import Driver, messages

MIB = 1 << 20
BLOCK = {"block": {}, "access_mode": {"mode": "SINGLE_NODE_WRITER"}}


def refused(code, method, request, words=""):
    try:
        answer = driver.call(method, request)
    except grpc.RpcError as e:
        assert e.code().name == code and words in e.details(), f"{method}: {e.code()}: {e.details()}"
        return
    raise AssertionError(f"{method} {request}: not {code}, but {answer}")


def asked(name, size=MIB, **more):
    return {"name": name, "capacity_range": {"required_bytes": size}, "volume_capabilities": [BLOCK], **more}


def create(name, size=MIB, **more):
    return driver.call("Controller/CreateVolume", asked(name, size, **more)).volume


def room():
    return driver.call("Controller/GetCapacity").available_capacity


def pages(method, most):
    token, rows = "", []
    while True:
        answer = driver.call(method, {"max_entries": most, "starting_token": token})
        assert len(answer.entries) <= most
        rows += answer.entries
        token = answer.next_token
        if not token:
            return rows


def test_capacity():
    """Right through a hundred volumes, which are all the pool has room for."""
    assert room() == 100 * MIB, room()
    made = [create(f"pvc-{i:03}").volume_id for i in range(30)]
    assert room() == 70 * MIB, room()
    refused("RESOURCE_EXHAUSTED", "Controller/CreateVolume", asked("big", 71 * MIB))
    # Many at once: the store takes eight of a user at a time, and no caller sees that.
    calls = [driver.begin("Controller/CreateVolume", asked(f"pvc-{i:03}"), 120) for i in range(30, 100)]
    made += [call.result().volume.volume_id for call in calls]
    assert room() == 0, room()
    refused("RESOURCE_EXHAUSTED", "Controller/CreateVolume", asked("one-more"))
    refused("INVALID_ARGUMENT", "Controller/GetCapacity",
            {"parameters": [{"key": "pool", "value": "nowhere"}]}, "nowhere")
    elsewhere = {"accessible_topology": {"segments": [{"key": "topology.ublk-oci.io/node", "value": "b"}]}}
    assert driver.call("Controller/GetCapacity", elsewhere).available_capacity == 0
    names = [e.volume.volume_id for e in pages("Controller/ListVolumes", 7)]
    assert names == made, names
    calls = [driver.begin("Controller/DeleteVolume", {"volume_id": name}, 120) for name in made]
    for call in calls:
        call.result()
    assert room() == 100 * MIB and not pages("Controller/ListVolumes", 7)


def test_content():
    """Snapshots and clones are listed as what they are, and outlive what they are of."""
    create("pvc-1", 8 * MIB)
    snapshot = driver.call("Controller/CreateSnapshot", {"name": "snapshot-1", "source_volume_id": "pvc-1"}).snapshot
    assert snapshot.size_bytes == 8 * MIB and abs(snapshot.creation_time.seconds - time.time()) < 600
    clone = create("pvc-2", 16 * MIB, volume_content_source={"snapshot": {"snapshot_id": "snapshot-1"}})
    assert clone.content_source.snapshot.snapshot_id == "snapshot-1"
    assert clone.capacity_bytes == 16 * MIB
    assert [e.volume.volume_id for e in pages("Controller/ListVolumes", 1)] == ["pvc-1", "pvc-2"]
    assert [e.snapshot.snapshot_id for e in pages("Controller/ListSnapshots", 1)] == ["snapshot-1"]
    for volume in "pvc-1", "pvc-2":
        driver.call("Controller/DeleteVolume", {"volume_id": volume})
    driver.call("Controller/DeleteSnapshot", {"snapshot_id": "snapshot-1"})


def test_errors():
    refused("UNIMPLEMENTED", "Controller/ControllerGetCapabilities".replace("Controller/", "Nobody/"), {})
    refused("NOT_FOUND", "Controller/ControllerGetVolume", {"volume_id": "../../etc/passwd"})
    refused("INVALID_ARGUMENT", "Controller/CreateVolume", {"name": "x" * 129, "volume_capabilities": [BLOCK]})
    refused("PERMISSION_DENIED", "Controller/CreateVolume",
            {"name": "x", "capacity_range": {"required_bytes": 4096 * MIB}, "volume_capabilities": [BLOCK]},
            "the policy refuses it")
    many = [{"key": f"csi.storage.k8s.io/{i}", "value": "v" * 4096} for i in range(300)]
    refused("RESOURCE_EXHAUSTED", "Controller/CreateVolume", {"name": "x", "parameters": many}, "too large")


def test_deadline():
    """A call that takes longer is ended, and the next one starts afresh."""
    try:
        driver.call("Controller/CreateVolume", {"name": "pvc-1", "capacity_range": {"required_bytes": 64 * MIB},
                    "volume_capabilities": [{"mount": {"fs_type": "ext4"},
                                             "access_mode": {"mode": "SINGLE_NODE_WRITER"}}]}, 0.05)
    except grpc.RpcError as e:
        assert e.code().name == "DEADLINE_EXCEEDED", e
    deadline = time.monotonic() + 60
    while True: # until the store has seen that nobody waits
        try:
            create("pvc-1", 64 * MIB)
            break
        except grpc.RpcError as e:
            # made before its time was over, it is there, with a file system: a block device may have that
            assert e.code().name == "ABORTED" and time.monotonic() < deadline, e
            time.sleep(0.2)
    driver.call("Controller/DeleteVolume", {"volume_id": "pvc-1"})
    assert room() == 100 * MIB


def outcome(call):
    try:
        call.result()
    except grpc.RpcError as e:
        return e.code().name
    except grpc.FutureCancelledError:
        return "CANCELLED"
    return "OK"


def test_together():
    """Calls about one volume at a time: one of them works, and others are told so."""
    request = {"name": "pvc-1", "capacity_range": {"required_bytes": 64 * MIB}, "volume_capabilities": [
        {"mount": {"fs_type": "ext4"}, "access_mode": {"mode": "SINGLE_NODE_WRITER"}}]}
    outcomes = [outcome(call) for call in [driver.begin("Controller/CreateVolume", request) for _ in range(4)]]
    assert "OK" in outcomes and set(outcomes) <= {"OK", "ABORTED"}, outcomes
    assert "ABORTED" in outcomes, outcomes
    driver.call("Controller/DeleteVolume", {"volume_id": "pvc-1"})
    # Taken back: what was half made is removed, so that there is room for it again.
    call = driver.begin("Controller/CreateVolume", request)
    time.sleep(0.1)
    call.cancel()
    deadline = time.monotonic() + 60
    while outcome(driver.begin("Controller/DeleteVolume", {"volume_id": "pvc-1"})) != "OK" or room() != 100 * MIB:
        assert time.monotonic() < deadline, room()
        time.sleep(0.2)


def test_others():
    """Connections that say nothing, or nonsense, are in nobody's way."""
    idle = []
    for text in (b"", b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 64):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(30)
        s.connect(sys.argv[1])
        s.sendall(text)
        idle.append(s)
    driver.call("Identity/Probe")
    for s in idle: # the silent one after ten seconds
        try:
            while s.recv(4096):
                pass
        except ConnectionResetError:
            pass
    done = []
    threads = [threading.Thread(target=lambda: done.append(
        Driver(sys.argv[1], driver.csi).call("Identity/GetPluginInfo").name)) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert done == ["csi.ublk-oci.io"] * 8, done


driver = Driver(sys.argv[1], messages())
for test, what in ((test_capacity, "the capacity is right, and lists come in pages"),
                   (test_content, "snapshots and clones"), (test_errors, "errors"),
                   (test_deadline, "a call that takes too long is ended"),
                   (test_together, "one call at a time works on a volume, and one taken back leaves nothing"),
                   (test_others, "who says nothing or nonsense is in nobody's way")):
    test()
    print(f"ok csi: {what}", flush=True)
