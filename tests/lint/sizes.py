#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How much code runs where, to be read, not to fail: budgets are for people.

Lines that are neither empty nor a comment, per folder; then the files and the
functions that grew beyond what reads well.

usage: sizes.py [TOP]
"""
import os
import re
import sys

FOLDERS = {
    "driver/privileged": "runs as root; about 4,000 at most",
    "policy": "runs as root, pure but for loading",
    "driver/wire": "on both sides of the wall",
    "driver/base": "everywhere",
    "driver/worker": "sandboxed",
    "driver/keeper": "sandboxed",
    "targets": "sandboxed",
    "oci-hook": "the caller",
}
FILE_LINES = 600
FUNCTION_LINES = 70

COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)


def text_of(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def code_lines(text):
    return sum(1 for line in COMMENT.sub("", text).splitlines() if line.strip())


def functions(text):
    """(line, length) of every function: from a '{' to a '}' in the first column."""
    begin = None
    for number, line in enumerate(text.splitlines(), 1):
        if line == "{":
            begin = number
        elif line == "}" and begin is not None:
            yield begin, number - begin + 1
            begin = None


def main():
    top = sys.argv[1] if len(sys.argv) > 1 else "."
    long_ones = []
    for folder, where in FOLDERS.items():
        lines = 0
        for base, _, names in os.walk(os.path.join(top, folder)):
            if os.path.basename(base) == "uapi":
                continue
            for name in sorted(n for n in names if n.endswith((".c", ".h"))):
                path = os.path.join(base, name)
                text = text_of(path)
                lines += code_lines(text)
                shown = os.path.relpath(path, top)
                if text.count("\n") > FILE_LINES:
                    long_ones.append(f"{shown}: {text.count(chr(10))} lines")
                long_ones += [f"{shown}:{line}: a function of {size} lines"
                              for line, size in functions(text) if size > FUNCTION_LINES]
        print(f"{lines:6} {folder:18} {where}")
    print("\n".join(long_ones))


if __name__ == "__main__":
    main()
