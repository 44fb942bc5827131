#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A volume published and unpublished again and again, while the driver may die at any moment.

usage: roll.py SOCKET DIRECTORY CYCLES

Each call is made until it goes well, as kubelet does. What is written in one cycle is there in
the next. Prints how many calls had to be made again.
"""
import os
import sys
import time

import grpc

from csi import Driver, messages

AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED, grpc.StatusCode.CANCELLED,
         grpc.StatusCode.DEADLINE_EXCEEDED)
CAPABILITY = {"mount": {"fs_type": "ext4"}, "access_mode": {"mode": "SINGLE_NODE_MULTI_WRITER"}}


class Roll:
    def __init__(self, socket, directory):
        self.socket, self.directory = socket, directory
        self.csi = messages()
        self.again = 0

    def call(self, method, **request):
        end = time.monotonic() + 60
        while True:
            driver = Driver(self.socket, self.csi)
            try:
                return driver.call(method, request, 15)
            except grpc.RpcError as e:
                if e.code() not in AGAIN or time.monotonic() > end:
                    raise
                self.again += 1
                time.sleep(0.1)
            finally:
                driver.channel.close()

    def target(self, n):
        return os.path.join(self.directory, f"target-{n}")

    def publish(self, volume, n):
        self.call("Node/NodePublishVolume", volume_id=volume, target_path=self.target(n),
                  staging_target_path=self.directory, volume_capability=CAPABILITY)

    def unpublish(self, volume, n):
        self.call("Node/NodeUnpublishVolume", volume_id=volume, target_path=self.target(n))
        assert not os.path.exists(self.target(n)), "the target is left"

    def cycle(self, volume, i):
        self.call("Node/NodeStageVolume", volume_id=volume, staging_target_path=self.directory,
                  volume_capability=CAPABILITY)
        self.publish(volume, i % 2)
        self.publish(volume, 2)
        with open(os.path.join(self.target(i % 2), "log"), "a") as f:
            f.write(f"{i}\n")
        with open(os.path.join(self.target(2), "log")) as f:
            found = f.read().split()
        assert found == [str(n) for n in range(i + 1)], found
        self.unpublish(volume, i % 2)
        self.unpublish(volume, 2)
        self.call("Node/NodeUnstageVolume", volume_id=volume, staging_target_path=self.directory)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    roll = Roll(sys.argv[1], sys.argv[2])
    volume = roll.call("Controller/CreateVolume", name="rolled", volume_capabilities=[CAPABILITY],
                       capacity_range={"required_bytes": 16 << 20}).volume.volume_id
    for i in range(int(sys.argv[3])):
        roll.cycle(volume, i)
    roll.call("Controller/DeleteVolume", volume_id=volume)
    print(roll.again)


if __name__ == "__main__":
    main()
