#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keeps docs/hostile.md and the hostile suite together.

  table.py --check TOP                 every attempt is in the page, as attacks.inc has it
  table.py --write TOP 6.12=ENDS 7.3=ENDS    the tables, from what the suite saw

The ends are what 10-worker.sh wrote to $HOSTILE_ENDS, e.g.

  tests/vm/run --kernel 7.3 --rw "$PWD/build/logs" -- \\
      env HOSTILE_ENDS="$PWD/build/logs/ends-7.3" tests/hostile/suite worker

The text around the tables is written by hand and stays.
"""
import re
import sys

BEGIN, END = "<!-- made by tests/hostile/table.py: {} -->", "<!-- end -->"
ROW = re.compile(r'^X\((\w+), "([^"]*)", "([^"]*)"\)$|^/\* (.*) \*/$', re.M)
LINE = re.compile(r"attack (\S+) (\w+): (.*)$", re.M)
RUNS = ["no-seccomp", "no-restrictions", "no-walls", "outside"]
KERNELS = ["6.12", "7.3"]


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def attempts(top):
    """(heading, None, None) or (name, end, what), in the order of the file."""
    rows = []
    for name, end, what, heading in ROW.findall(read(f"{top}/tests/hostile/attacks.inc")):
        if heading and not heading.startswith("SPDX"):
            rows.append((heading, None, None))
        elif name:
            rows.append((name, end, what))
    return rows


def words(end):
    """What a reader wants to see of how it ended."""
    if end == "status 200":
        return "done"
    kind, number = end.split()
    if kind == "signal":
        return {"31": "SIGSYS", "11": "SIGSEGV", "9": "SIGKILL", "15": "SIGTERM"}.get(number, end)
    names = {"1": "EPERM", "2": "ENOENT", "3": "ESRCH", "9": "EBADF", "11": "EAGAIN",
             "13": "EACCES", "14": "EFAULT", "16": "EBUSY", "20": "ENOTDIR", "22": "EINVAL", "25": "ENOTTY", "27": "EFBIG",
             "30": "EROFS", "38": "ENOSYS", "77": "EBADFD", "62": "ETIME", "88": "ENOTSOCK", "106": "EISCONN", "95": "EOPNOTSUPP",
             "111": "ECONNREFUSED"}
    return names.get(number, f"errno {number}" if number != "0" else "ended")


def table_of_attempts(rows, seen):
    lines = []
    for name, end, what in rows:
        if end is None:
            lines += ["", f"### {name[0].upper()}{name[1:]}", "",
                      "| attempt | what it tries | expected | 6.12 | 7.3 |", "|---|---|---|---|---|"]
            continue
        got = [words(seen[k]["sealed"][name]) for k in KERNELS]
        lines.append(f"| {name} | {what} | {words(end)} | {' | '.join(got)} |")
    return lines[1:]


def table_of_walls(rows, seen):
    """Of 7.3: which attempts end otherwise when a wall is left out."""
    lines = ["| attempt | whole | no seccomp | no ring restrictions | none of the worker's own | "
             "and none of its birth |", "|---|---|---|---|---|---|"]
    runs = seen["7.3"]
    for name, end, _ in rows:
        if end is None:
            continue
        ends = [runs.get(run, {}).get(name) for run in RUNS]
        if any(e and e != end for e in ends):
            cells = ["" if e is None else "same" if e == end else words(e) for e in ends]
            lines.append(f"| {name} | {words(end)} | {' | '.join(cells)} |")
    return lines


def put(page, what, lines):
    begin = BEGIN.format(what)
    head, rest = page.split(begin, 1)
    return head + "\n".join([begin, "", *lines, ""]) + "\n" + END + rest.split(END, 1)[1]


def write(top, logs):
    rows = attempts(top)
    seen = {}
    for kernel, path in (log.split("=", 1) for log in logs):
        seen[kernel] = {}
        for run, name, end in LINE.findall(read(path)):
            seen[kernel].setdefault(run, {})[name] = end.strip()
    page = read(f"{top}/docs/hostile.md")
    page = put(page, "attempts", table_of_attempts(rows, seen))
    page = put(page, "walls", table_of_walls(rows, seen))
    with open(f"{top}/docs/hostile.md", "w", encoding="utf-8") as f:
        f.write(page)
    return check(top)


def check(top):
    page = read(f"{top}/docs/hostile.md")
    begin = BEGIN.format("attempts")
    table = page[page.index(begin):page.index(END, page.index(begin))]
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in table.splitlines()
             if line.startswith("| ") and not line.startswith("| attempt ")]
    said = [tuple(row) for row in cells]
    real = [(name, what, words(end), words(end), words(end))
            for name, end, what in attempts(top) if end is not None]
    wrong = [row for row in said if row not in real] + [row for row in real if row not in said]
    for row in wrong:
        print("docs/hostile.md and tests/hostile/attacks.inc disagree:", *row)
    return 1 if wrong else 0


def main():
    if len(sys.argv) >= 3 and sys.argv[1] == "--check":
        return check(sys.argv[2])
    if len(sys.argv) == 5 and sys.argv[1] == "--write":
        return write(sys.argv[2], sys.argv[3:])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
