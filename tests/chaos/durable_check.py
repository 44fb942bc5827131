#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Is all that was acknowledged there? (durable.py)

    durable_check.py PLACE ACKS...    ACKS in the order in which they were written
"""
import sys

from durable import Expected, Lost, acks_read


def main(place, *paths):
    expected = Expected()
    acks = [ack for path in paths for ack in acks_read(path)]
    for ack in acks:
        expected.add(ack)
    try:
        expected.check(place)
    except Lost as lost:
        print(f"lost: {lost}")
        return 1
    print(len(acks))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
