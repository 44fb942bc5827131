#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keeps docs/compatibility.md and what the matrix suite saw together.

  table.py --check                      the page has a table with every cell in it
  table.py compare [--seen] 6.12=LOG [7.3=LOG]
                                        fails where a kernel's cell is not what the page says;
                                        with --seen of the cells that are in the logs
  table.py update 6.12=LOG 7.3=LOG      writes the table

The logs are those of tests/matrix/suite. A line of them is one cell:

  ok cell: ENGINE: COLUMN: works[: NOTE]
  ok cell: ENGINE: COLUMN: cannot: BECAUSE

The text around the table is written by hand and stays.
"""
import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = os.path.join(TOP, "docs", "compatibility.md")
BEGIN, END = "<!-- made by tests/matrix/table.py -->", "<!-- end -->"
ENGINES = {"crun": "crun", "runc": "runc", "podman": "podman",
           "podman-rootless": "podman, rootless", "containerd": "containerd (ctr)"}
COLUMNS = ["hook", "CDI", "live attach", "live detach", "mount", "user namespace", "cgroup v2",
           "cgroup v1", "container end", "engine update", "kept apart"]
KERNELS = ["6.12", "7.3"]
CELL = re.compile(r"^(?:\[[\d.]+\] )?ok cell: ([^:]+): ([^:]+): (works|cannot)(?:: (.*))?$", re.M)
NOT_SEEN = ("not shown", "")


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def cells_of(log):
    """{(engine, column): (word, note)}; a cell said twice in different words is an error."""
    cells = {}
    for engine, column, verdict, note in CELL.findall(log):
        if engine not in ENGINES or column not in COLUMNS:
            raise SystemExit(f"table.py: no such cell: {engine}, {column}")
        cell = ("yes" if verdict == "works" else "no", note)
        if cells.setdefault((engine, column), cell) != cell:
            raise SystemExit(f"table.py: two answers for {engine}, {column}")
    return cells


def words_of(seen, place):
    """What the kernels say, each (word, note) with the kernels that say so."""
    answers = {}
    for kernel in KERNELS:
        answers.setdefault(seen[kernel].get(place, NOT_SEEN), []).append(kernel)
    return answers


def render(seen):
    notes = []

    def cell(place):
        answers, parts = words_of(seen, place), []
        for (word, note), kernels in answers.items():
            if note and note not in notes:
                notes.append(note)
            parts.append(("" if len(answers) == 1 else f"{', '.join(kernels)}: ") + word +
                         (f" [{notes.index(note) + 1}]" if note else ""))
        return "; ".join(parts)

    lines = ["| | " + " | ".join(ENGINES.values()) + " |", "|---" * (len(ENGINES) + 1) + "|"]
    for column in COLUMNS:
        lines.append(f"| {column} | " + " | ".join(cell((e, column)) for e in ENGINES) + " |")
    lines += [""] + [f"{number}. {note}" for number, note in enumerate(notes, 1)]
    return "\n".join(lines)


def parts_of(page):
    """What is before the table, the table, and what is behind it."""
    before, rest = page.split(BEGIN + "\n", 1)
    table, after = rest.split("\n" + END, 1)
    return before + BEGIN + "\n", table, "\n" + END + after


def parse(page):
    """The table again as {kernel: {(engine, column): (word, note)}}."""
    table = parts_of(page)[1]
    notes = dict(re.findall(r"^(\d+)\. (.*)$", table, re.M))
    said = {kernel: {} for kernel in KERNELS}
    for line in table.splitlines():
        texts = [text.strip() for text in line.strip("|").split("|")]
        if texts[0] not in COLUMNS:
            continue
        for engine, text in zip(ENGINES, texts[1:]):
            for part in text.split("; "):
                match = re.fullmatch(r"(?:((?:[\d.]+(?:, )?)+): )?([^\[]*?)(?: \[(\d+)\])?", part)
                cell = (match.group(2), notes.get(match.group(3), ""))
                for kernel in (match.group(1) or ", ".join(KERNELS)).split(", "):
                    said[kernel][engine, texts[0]] = cell
    return said


def compare(seen, all_cells=True):
    said, wrong, right = parse(read(PAGE)), 0, 0
    for kernel, cells in seen.items():
        for place in ((e, c) for c in COLUMNS for e in ENGINES if all_cells or (e, c) in cells):
            page, now = (x.get(place, NOT_SEEN) for x in (said[kernel], cells))
            if page == now and now != NOT_SEEN:
                right += 1
                continue
            wrong += 1
            print(f"not ok {place[0]}, {place[1]}: docs/compatibility.md says "
                  f"\"{': '.join(filter(None, page))}\", {kernel} \"{': '.join(filter(None, now))}\"")
    print(f"{right} passed, {wrong} failed, 0 skipped")
    return 1 if wrong or not right else 0


def check():
    said = parse(read(PAGE))
    wrong = [f"{place} on {kernel}" for kernel in KERNELS
             for place in ((e, c) for e in ENGINES for c in COLUMNS) if place not in said[kernel]]
    if not wrong and render(said) != parts_of(read(PAGE))[1]:
        wrong = ["the table is not as table.py writes it"]
    print("\n".join(wrong) or "all cells are there")
    return 1 if wrong else 0


def update(seen):
    if sorted(seen) != sorted(KERNELS):
        raise SystemExit("table.py: the table is of both kernels")
    before, _, after = parts_of(read(PAGE))
    with open(PAGE, "w", encoding="utf-8") as f:
        f.write(before + render(seen) + after)
    return 0


def main(arguments):
    if arguments == ["--check"]:
        return check()
    seen, some = {}, "--seen" in arguments
    for argument in arguments[2 if some else 1:]:
        kernel, path = argument.split("=", 1)
        seen[kernel] = cells_of(read(path))
    if not seen or not set(seen) <= set(KERNELS):
        raise SystemExit(__doc__)
    if arguments[0] == "compare":
        return compare(seen, not some)
    if arguments[0] == "update" and not some:
        return update(seen)
    raise SystemExit(__doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
