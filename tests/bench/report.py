#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What tests/run bench measured, against what is committed, and as a document.

usage: report.py compare KERNEL LOG...     the gate: exit status 1 when a row got worse
       report.py update KERNEL COMMAND LOG...
                                           writes docs/performance/KERNEL.json, then as write;
                                           COMMAND is what people run to have it again
       report.py write                     docs/performance.md and its plots, from those files
       report.py --check                   fails when they are not what those files say

LOG is the output of measure.py on one kind of machine. The committed table is
docs/performance/KERNEL.json; of measure.py --targets it is docs/performance/targets/KERNEL.json.
"""
import json
import pathlib
import statistics
import subprocess
import sys

import draw
import plan
import targets

TOP = pathlib.Path(__file__).resolve().parents[2]
DOCS = TOP / "docs"
TOLERANCE = 0.02
# Where one of these differs, other code was counted: only ratios can be compared.
TOOLS = ("kernel", "fio", "qemu", "compiler")


class Family:
    """What one kind of run measures, and where its table is."""

    def __init__(self, tables, folder, groups, names):
        self.rows, self.columns, self.ours = tables.ROWS, tables.COLUMNS, tables.ours
        self.folder, self.groups, self.names = folder, groups, names

    def reference(self, column):
        """What ratios of this column are to."""
        mine = (group for group in self.groups if column in group.columns)
        return next(mine, self.groups[0]).reference


FAMILIES = {
    "devices": Family(plan, DOCS / "performance", (targets.Group(
        None, plan.REFERENCE, (*plan.COLUMNS, plan.PEER), list(plan.ROWS)),), ("names", "tables")),
    "targets": Family(targets, DOCS / "performance/targets", targets.GROUPS,
                      ("names of targets", "tables of targets")),
}


class Log:
    """One run of measure.py."""

    def __init__(self, text, name="log"):
        self.facts, self.skipped = {}, {}
        self.rounds = {}  # (row, column): {round: us}
        for line in text.splitlines():
            words = line.split(maxsplit=2)
            if words[:1] == ["fact"]:
                self.facts[words[1]] = words[2]
            elif words[:1] == ["skipped"]:
                self.skipped[words[1]] = words[2]
            elif words[:1] == ["sample"]:
                number, column, row, us = line.split()[1:]
                self.rounds.setdefault((row, column), {})[int(number)] = float(us)
        if self.facts.get("complete") != "yes":
            last = "\n    ".join(text.splitlines()[-5:])
            raise SystemExit(f"report.py: {name} ended before its end:\n    {last}")

    @classmethod
    def of_file(cls, path):
        return cls(pathlib.Path(path).read_text(), pathlib.Path(path).stem)

    @property
    def family(self):
        return FAMILIES[self.facts.get("family", "devices")]

    @property
    def machine(self):
        """The name of its table among the committed ones."""
        return "wall" if self.facts["clock"] == "wall" else f"icount-{self.facts['cpus']}"

    def us(self, row, column):
        return statistics.median(self.rounds[row, column].values())

    def ratios(self, row, column):
        """To the reference's of the same round; none where that was not measured."""
        reference = self.rounds.get((row, self.family.reference(column)), {})
        return [us / reference[number] for number, us in self.rounds[row, column].items()
                if number in reference]

    def table(self):
        """{row: {column: [smallest, middle, largest ratio, median us]}}"""
        table = {}
        for row, column in self.rounds:
            ratios = self.ratios(row, column)
            if not ratios:
                continue
            # Of instructions, the rounds have nothing in common that a ratio could take out.
            middle = statistics.median(ratios) if self.machine == "wall" else \
                self.us(row, column) / self.us(row, self.family.reference(column))
            table.setdefault(row, {})[column] = [
                round(min(ratios), 4), round(middle, 4), round(max(ratios), 4),
                round(self.us(row, column), 3)]
        return table


# --- the gate -------------------------------------------------------------------


def judge(seen, committed):
    """A ratio or a time against the committed one: "worse", "better" or "same"."""
    if seen > committed * (1 + TOLERANCE):
        return "worse"
    return "better" if seen < committed * (1 - TOLERANCE) else "same"


def compare_tables(machine, seen, committed, same_tools, columns, family=FAMILIES["devices"]):
    """(verdict, words) for every cell of ours that was to be measured: both tables as
    Log.table() makes them. A verdict is "worse", "better", "same", "new" or "gone"."""
    for row in family.rows:
        for column in columns:
            reference = family.reference(column)
            now, before = (table.get(row, {}).get(column) for table in (seen, committed))
            where = f"{machine}: {row}, {column}"
            if now is None and before is None:
                continue
            if now is None:
                yield "gone", f"{where}: committed {before[1]:.3f} x {reference}, not measured now"
                continue
            words = f"{now[1]:.3f} x {reference}, {now[3]:.2f} us"
            if before is None:
                yield "new", f"{where}: {words}, not in the committed table"
                continue
            verdicts = [judge(now[1], before[1])]
            if same_tools:
                verdicts.append(judge(now[3], before[3]))
            verdict = next((v for v in ("worse", "better") if v in verdicts), "same")
            yield verdict, f"{where}: {words}; committed {before[1]:.3f} x, {before[3]:.2f} us"


def version(command):
    return subprocess.run([command, "--version"], check=True, capture_output=True,
                          text=True).stdout.splitlines()[0]


def tools_here(log):
    """The versions of what was measured with. tests/run builds with gcc what it installs."""
    return {"kernel": log.facts["kernel"], "fio": log.facts["fio"],
            "qemu": version("qemu-system-x86_64").removeprefix("QEMU emulator version "),
            "compiler": version("gcc")}


def committed_file(kernel, family):
    return family.folder / f"{kernel}.json"


def compare(kernel, logs):
    family = logs[0].family
    path = committed_file(kernel, family)
    if not path.exists():
        print(f"skip bench {kernel}: there is no {path.relative_to(TOP)}: tests/run bench --update")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    committed = json.loads(path.read_text())
    tools = tools_here(logs[0])
    other = [name for name in TOOLS if tools[name] != committed["tools"][name]]
    if other:
        print(f"only ratios are compared: other {', '.join(other)} than when the table was made")
    passed = failed = better = 0
    for log in logs:
        for column, reason in log.skipped.items():
            print(f"left out: {log.machine}: {column}: {reason}")
        if log.machine == "wall":
            continue
        columns = [name for name in log.facts["columns"].split(",") if family.ours(name)]
        rows = log.facts["rows"].split(",")
        before = {row: cells for row, cells in committed["tables"].get(log.machine, {}).items()
                  if row in rows}
        for verdict, words in compare_tables(log.machine, log.table(), before, not other, columns,
                                             family):
            bad = verdict in ("worse", "gone")
            print(f"{'not ok' if bad else 'ok'} bench {kernel}, {words}"
                  + (f": {verdict}" if verdict != "same" else ""))
            passed, failed, better = passed + (not bad), failed + bad, better + (verdict == "better")
    if better:
        print(f"{better} better by more than {TOLERANCE:.0%}: tests/run bench --update takes them over")
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


# --- the document ---------------------------------------------------------------


def rounds_of(log):
    return max(len(rounds) for rounds in log.rounds.values())


def update(kernel, logs, command):
    result = {
        "command": command,
        "cpu": logs[0].facts["cpu"],
        "tools": tools_here(logs[0]),
        "rounds": {log.machine: rounds_of(log) for log in logs},
        "skipped": list(dict.fromkeys(column for log in logs for column in log.skipped)),
        "tables": {log.machine: log.table() for log in logs},
    }
    path = committed_file(kernel, logs[0].family)
    path.parent.mkdir(exist_ok=True)
    path.write_text(to_json(result))
    print(f"wrote {path.relative_to(TOP)}")


def to_json(result):
    """Cells on one line each, so that a change reads well."""
    text = json.dumps(result, indent=1, sort_keys=False)
    lines, cell = [], None
    for line in text.splitlines():
        if line.endswith("["):
            cell = line
        elif cell is not None:
            cell += (" " if cell[-1] == "," else "") + line.strip()
            if line.strip() in ("]", "],"):
                lines.append(cell)
                cell = None
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


MACHINES = {
    "icount-1": "Instructions, 1 CPU",
    "icount-2": "Instructions, 2 CPUs",
    "wall": "Wall clock, 2 CPUs",
}


def markdown_table(head, rows):
    yield "| " + " | ".join(head) + " |"
    yield "|---|" + "--:|" * (len(head) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def icount_cell(cell):
    return f"{cell[3]:.1f} ({cell[1]:.2f})" if cell else ""


def wall_cell(cell):
    if not cell:
        return ""
    return f"{cell[1]:.2f}" + (f" ({cell[0]:.2f}-{cell[2]:.2f})" if cell[0] != cell[2] else "")


def group_section(group, table, cell, reference_too):
    """A table of what of a group was measured, below its title when it has one."""
    columns = [c for c in group.columns if any(c in table.get(row, {}) for row in group.rows)
               and (reference_too or c != group.reference)]
    if not columns:
        return
    if group.title:
        yield f"**{group.title}**; ratios are to {group.reference}."
        yield ""
    yield from markdown_table(
        ["", *columns], ([row, *(cell(table[row].get(c)) for c in columns)]
                         for row in group.rows if any(c in table.get(row, {}) for c in columns)))


def machine_section(name, title, result, family):
    to = plan.REFERENCE if len(family.groups) == 1 else "the reference"
    wall = name == "wall"
    rounds = result["rounds"][name]
    medians = f"medians of {rounds} rounds" if rounds > 1 else "one round"
    spread = f"median (smallest-largest) of {rounds} rounds" if rounds > 1 else "one round"
    yield f"### {title}, Linux {result['tools']['kernel']}"
    yield ""
    if wall:
        yield (f"Time per I/O as a ratio to {to}'s of the same round: {spread}.")
    else:
        yield (f"Thousands of instructions per I/O, in brackets the ratio to {to}; {medians}.")
    yield ""
    for group in family.groups:
        yield from group_section(group, result["tables"][name], wall_cell if wall else icount_cell,
                                 not wall)


def tables_text(results, family):
    for kernel, result in results.items():
        if family is FAMILIES["devices"]:
            yield f"## Linux {kernel}"
            yield ""
            yield f"![Instructions per I/O on {kernel}](performance/{kernel}.svg)"
            yield ""
        for name, title in MACHINES.items():
            if name in result["tables"]:
                yield from machine_section(name, title, result, family)
        tools = result["tools"]
        yield (f"Made by `{result['command']}` with fio {tools['fio'].removeprefix('fio-')}, QEMU "
               f"{tools['qemu']} and {tools['compiler']}, on a {result['cpu']}.")
        if result["skipped"]:
            yield ""
            what = "What attach refused" if family is FAMILIES["devices"] else "Not measured"
            yield f"{what}: {', '.join(result['skipped'])}."
        yield ""


def names_text(family):
    for what, table in (("column", family.columns), ("row", family.rows)):
        yield from markdown_table([what, "what"], ([name, words[0]] for name, words in table.items()))


def between_markers(text, name, lines):
    """The text with what is between its two markers replaced."""
    begin, end = f"<!-- {name}: by tests/bench/report.py -->\n", f"<!-- end of {name} -->\n"
    before, found, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise SystemExit(f"docs/performance.md has no '{begin.strip()}' ... '{end.strip()}'")
    return before + begin + "\n" + "\n".join([*lines, ""]).lstrip("\n") + end + after


def results_of(family):
    """{kernel: its committed table}, the newest first"""
    return {path.stem: json.loads(path.read_text())
            for path in sorted(family.folder.glob("*.json"), reverse=True)}


def documents():
    """{path: what it has to be}"""
    page = DOCS / "performance.md"
    text = page.read_text()
    for family in FAMILIES.values():
        names, tables = family.names
        text = between_markers(text, names, names_text(family))
        text = between_markers(text, tables, tables_text(results_of(family), family))
    wanted = {page: text}
    for kernel, result in results_of(FAMILIES["devices"]).items():
        wanted[DOCS / "performance" / f"{kernel}.svg"] = draw.plot(kernel, result)
    return wanted


def write():
    for path, text in documents().items():
        path.write_text(text)
        print(f"wrote {path.relative_to(TOP)}")


def check():
    wrong = [path for path, text in documents().items()
             if not path.exists() or path.read_text() != text]
    for path in wrong:
        print(f"{path.relative_to(TOP)} is not what docs/performance/*.json say: "
              "run tests/bench/report.py write")
    return 1 if wrong else 0


def main(arguments):
    match arguments:
        case ["compare", kernel, *paths] if paths:
            return compare(kernel, [Log.of_file(p) for p in paths])
        case ["update", kernel, command, *paths] if paths:
            update(kernel, [Log.of_file(p) for p in paths], command)
            write()
        case ["write"]:
            write()
        case ["--check"]:
            return check()
        case _:
            raise SystemExit(__doc__)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
