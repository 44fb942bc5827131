#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The direction of includes, as a table; whoever breaks it fails the build.

    UNPRIVILEGED   oci-hook/*
    ================================ a message, never an include
    ROOT           driver/privileged -> policy, targets/catalog.h
    ================================ a message, never an include
    SANDBOXED      driver/worker -> targets/target.h <- targets/*
                   driver/keeper -> driver/worker/sandbox.h
    all            -> driver/wire -> driver/base

Only includes in double quotes are looked at: they are paths from the top of
the tree. An include in angle brackets that is one of our headers is refused.

usage: layers.py [TOP]
"""
import os
import re
import sys

# A layer is a folder with everything below it; a file may be a layer of its
# own. The longest name that fits a file is its layer. What a layer may include
# besides itself: layers, or single files.
LAYERS = {
    "driver/base": [],
    "driver/wire": ["driver/base"],
    "driver/privileged": ["driver/base", "driver/wire", "policy", "targets/catalog.h", "targets/image_format.h",
                          "driver/worker/uapi"],
    "driver/worker": ["driver/base", "driver/wire/notice.h", "driver/wire/start.h",
                      "driver/wire/stats.h", "driver/wire/packet.h", "driver/worker/uapi", "targets/target.h"],
    "driver/keeper": ["driver/base", "driver/wire/keep.h", "driver/wire/packet.h",
                      "driver/worker/sandbox.h"],
    # It executes somebody else's program, and is nobody's friend.
    "driver/backend": ["driver/base", "driver/wire/backend.h", "driver/wire/start.h",
                       "driver/wire/packet.h", "targets/image_format.h"],
    "driver/connector": ["driver/base", "driver/wire/connect.h", "driver/wire/packet.h",
                         "driver/wire/start.h"],
    # The kernel's own header, vendored: constants for both sides of the wall.
    "driver/worker/uapi": [],
    "targets": ["driver/base", "targets/catalog.h", "targets/cow_format.h"],
    # The format of a delta, for the command line too; no code of the target.
    "targets/cow_format.h": ["driver/base"],
    "targets/cow_format.c": ["driver/base", "targets/cow_format.h"],
    # Constant facts for everybody, so it must not lead to the code of a target.
    "targets/catalog.h": [],
    "targets/catalog.c": ["driver/base", "targets/catalog.h"],
    "targets/image_format.h": [],
    "targets/image_format.c": ["targets/image_format.h"],
    # start.h has the limits of queues and depth, which rules are checked against.
    "policy": ["driver/base", "driver/wire/start.h", "targets/catalog.h", "targets/image_format.h"],
    "oci-hook": ["driver/base", "driver/wire/wire.h", "driver/wire/packet.h",
                 "driver/wire/pool.h", "driver/wire/stats.h", "driver/wire/store.h",
                 "driver/wire/timing.h",
                 "targets/catalog.h", "targets/cow_format.h", "targets/image_format.h",
                 "policy/policy.h"],
    "oci-hook/store": ["driver/base", "driver/wire/wire.h", "driver/wire/packet.h",
                       "driver/wire/pool.h", "driver/wire/store.h", "policy/policy.h", "oci-hook/auto_json.h",
                       "oci-hook/client.h", "oci-hook/options.h",
                       "oci-hook/probe.h", "oci-hook/quote.h", "targets/catalog.h"],
    # It reads what strangers wrote, so it has nothing to ask anybody with.
    "oci-hook/probe": ["driver/base", "oci-hook/probe.h", "targets/catalog.h"],
    # Tests look into everything; nothing looks into tests.
    "tests": ["driver/base", "driver/wire", "driver/privileged", "driver/worker",
              "driver/keeper", "driver/backend", "driver/connector", "driver/worker/uapi", "targets",
              "targets/catalog.h", "targets/cow_format.h", "targets/image_format.h", "policy",
              "oci-hook", "oci-hook/probe", "oci-hook/store"],
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')


def layer_of(path):
    fits = [layer for layer in LAYERS if path == layer or path.startswith(layer + "/")]
    return max(fits, key=len, default=None)


def allowed(path, included):
    """May this file include that one?"""
    own, other = layer_of(path), layer_of(included)
    return other is not None and (other == own or other in LAYERS[own] or included in LAYERS[own])


def sources(top):
    for folder in sorted({layer.split("/")[0] for layer in LAYERS}):
        for where, folders, files in os.walk(os.path.join(top, folder)):
            folders.sort()
            for name in sorted(files):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(where, name), top)


def check_file(top, path):
    """The violations in one file, as lines of text."""
    if layer_of(path) is None:
        yield f"{path}:1: {path} is in no layer of tests/lint/layers.py"
        return
    with open(os.path.join(top, path), encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            mark, included = match.groups()
            if mark == "<":
                if os.path.exists(os.path.join(top, included)):
                    yield f'{path}:{number}: {included} is ours: include it in double quotes'
            elif not os.path.exists(os.path.join(top, included)):
                yield f"{path}:{number}: {included} is no path from the top of the tree"
            elif not allowed(path, included):
                yield f"{path}:{number}: {layer_of(path)} may not include {included}"


def self_check():
    """The table must say no to what the design forbids, whatever else changes in it."""
    for path, included in (
            ("targets/null.c", "driver/privileged/attach.h"),
            ("driver/worker/main.c", "driver/privileged/spawn.h"),
            ("driver/worker/main.c", "driver/wire/wire.h"),
            ("driver/keeper/main.c", "driver/privileged/keep.h"),
            ("driver/backend/main.c", "driver/privileged/backend.h"),
            ("driver/privileged/backend.c", "driver/backend/filter.h"),
            ("driver/connector/serve.c", "driver/privileged/nbd.h"),
            ("driver/keeper/main.c", "driver/worker/queue.h"),
            ("driver/privileged/main.c", "driver/keeper/table.h"),
            ("driver/privileged/main.c", "targets/target.h"),
            ("driver/privileged/main.c", "driver/worker/queue.h"),
            ("driver/privileged/main.c", "oci-hook/client.h"),
            ("driver/privileged/attach.c", "targets/cow_format.h"),
            ("policy/policy.c", "driver/wire/wire.h"),
            ("policy/policy.c", "driver/privileged/server.h"),
            ("oci-hook/hook.c", "driver/privileged/server.h"),
            ("oci-hook/hook.c", "driver/wire/start.h"),
            ("oci-hook/cli/policy.c", "policy/rule.h"),
            ("oci-hook/store/main.c", "oci-hook/keys.h"),
            ("oci-hook/store/serve.c", "oci-hook/probe/look.h"),
            ("oci-hook/probe/look.c", "oci-hook/client.h"),
            ("oci-hook/cli/volume.c", "oci-hook/store/change.h"),
            ("driver/base/err.c", "driver/wire/packet.h"),
            ("driver/base/err.c", "tests/fake/clock.h")):
        if allowed(path, included):
            yield f"{path}:1: the table allows {included}, which the design forbids"


def main():
    top = sys.argv[1] if len(sys.argv) > 1 else "."
    paths = list(sources(top))
    errors = list(self_check())
    for path in paths:
        errors.extend(check_file(top, path))
    print("\n".join(errors + [f"{len(paths)} files, {len(errors)} wrong"]))
    return 1 if errors or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
