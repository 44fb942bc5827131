#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A CSI client: one call, its answer as JSON.

usage: csi.py SOCKET METHOD [JSON [SECONDS]]

METHOD is as in "Controller/CreateVolume", JSON the request. The messages are those of
oci-hook/csi/csi.proto; a map is a list of {"key": ..., "value": ...} there. An answer that
is an error is "CODE: words" on stderr, with exit status 1.
"""
import importlib.util
import os
import subprocess
import sys
import tempfile

import grpc
from google.protobuf import json_format

PROTO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../oci-hook/csi")


def messages():
    """The module protoc makes of the messages, which nothing needs to keep."""
    with tempfile.TemporaryDirectory() as made:
        subprocess.run(["protoc", f"--proto_path={PROTO}", f"--python_out={made}", "csi.proto"],
                       check=True)
        spec = importlib.util.spec_from_file_location("csi_pb2", os.path.join(made, "csi_pb2.py"))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


class Driver:
    """A connection to a driver; call() raises grpc.RpcError."""

    def __init__(self, socket, csi=None):
        self.csi = csi or messages()
        self.channel = grpc.insecure_channel(f"unix://{socket}")

    def call(self, method, request=None, seconds=30):
        return self.begin(method, request, seconds).result()

    def begin(self, method, request=None, seconds=30):
        """The same without waiting: a future."""
        name = method.split("/")[1]
        message = getattr(self.csi, name + "Request")()
        json_format.ParseDict(request or {}, message)
        ask = self.channel.unary_unary(
            f"/csi.v1.{method}", request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=getattr(self.csi, name + "Response").FromString)
        return ask.future(message, timeout=seconds, wait_for_ready=False)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    driver = Driver(os.path.abspath(sys.argv[1]))
    request = json_format.json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    seconds = float(sys.argv[4]) if len(sys.argv) > 4 else 30
    try:
        answer = driver.call(sys.argv[2], request, seconds)
    except grpc.RpcError as e:
        print(f"{e.code().name}: {e.details()}", file=sys.stderr)
        sys.exit(1)
    print(json_format.MessageToJson(answer, preserving_proto_field_name=True))


if __name__ == "__main__":
    main()
