#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Where the instructions of an I/O go, exactly: by layer, or by function of the kernel.

usage: profile.py [--kernel 6.12|7.3] [--smp N] [--targets] [--columns NAME,...]
                  [--row NAME] [--functions N]

Runs measure.py in the guest under QEMU 7.2 (Debian 12's) with a plug-in that counts, and
prints a table per layer: instructions per I/O of each column. The first column is what
the others go through as well (raw: fio, its start and the disk behind). With --functions
also the N functions in which the last two columns differ most. With --targets columns and row
are those of targets.py; not a first write, which cannot be made twice. Needs what is installed
in build/root, as after tests/run bench.
"""
import argparse
import bisect
import collections
import pathlib
import re
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
USER = 1 << 63  # addresses below are a program's

# The first that matches a name, or a module in brackets, is the layer.
LAYERS = [
    ("the worker's program", r"^worker$"),
    ("other programs: fio", r"^program$"),
    ("ublk driver", r"\[ublk_drv\]$|^ublk_"),
    ("loop driver", r"\[loop\]$|^kthread_associate_blkcg|work_on|^worker_thread|kick_pool|pwq_|"
                    r"^process_one_work|^worker_enter|move_linked_works|insert_work|__queue_work"),
    ("null_blk, and its copies of data", r"\[null_blk\]$|radix_tree|^memcpy"),
    ("io_uring", r"^_*io_(?!schedule)|io_uring"),
    ("block layer", r"^_*(blk|bio|bdev|blkdev|disk|rq_|submit_bio|sbitmap|wbt|elv|dd_|part_|"
                    r"update_io_ticks|errno_to_blk)|_rq_qos|iov_iter|_pages_dirty"),
    ("permission of each I/O", r"security_|aa_|apparmor|common_file_perm|rw_verify|seccomp"),
    ("switches between processes", r"sched|psi_|_fair|_entity|_load_avg|switch_|update_curr|"
                                   r"pick_|wake|vruntime|eevdf|_task|fpregs|rq_lock|resched|cpuacct|"
                                   r"record_times|deadline|update_se|dequeue|enqueue|asid|prepare_to"),
    ("entry and exit", r"syscall|entry_|exit_to|asm_|irqentry|SYSCALL"),
    ("pages of fio's buffers", r"gup_|folio|_page|pte|pgd|pmd|pud"),
]
REST = "everything else"


def count(kernel, smp, columns, options):
    """(lines of measure.py, lines of count.c, lines of kallsyms)"""
    with tempfile.TemporaryDirectory() as name:
        there = pathlib.Path(name)
        subprocess.run(["gcc", "-std=gnu11", "-O2", "-shared", "-fPIC", "-o", there / "count.so",
                        TOP / "tests/bench/count.c"], check=True)
        (there / "guest").mkdir()
        out = subprocess.run(
            [TOP / "tests/vm/run", "--kernel", kernel, "--icount", "--smp", str(smp), "--cpu",
             "max,-erms,-fsrm", "--timeout", "1800", "--rw", there / "guest", "--plugin",
             f"{there}/count.so,out={there}/counts", "--", "tests/bench/measure.py", "--profile",
             there / "guest", "--columns", ",".join(columns), *options],
            check=False, stdout=subprocess.PIPE, text=True, cwd=TOP).stdout
        if "fact complete yes" not in out:
            raise SystemExit(f"profile.py: the guest did not measure:\n{out}")
        return (out.splitlines(), (there / "counts").read_text().splitlines(),
                (there / "guest/kallsyms").read_text().splitlines())


class Names:
    """Of addresses."""

    def __init__(self, measured, kallsyms):
        self.worker = [(int(begin, 16), int(end, 16)) for what, begin, end, *_ in
                       (line.split() for line in measured if line.startswith("text "))]
        symbols = sorted((int(address, 16), name + (f" {module[0]}" if module else ""))
                         for address, kind, name, *module in map(str.split, kallsyms)
                         if kind in "tTwW")
        self.addresses = [address for address, _ in symbols]
        self.names = [name for _, name in symbols]

    def of(self, address):
        if address >= USER:
            return self.names[bisect.bisect_right(self.addresses, address) - 1]
        mine = any(begin <= address < end for begin, end in self.worker)
        return "worker" if mine else "program"


def per_io(measured, counts, kallsyms):
    """{column: {function: instructions per I/O}}"""
    names = Names(measured, kallsyms)
    marks = {int(number): (column, int(ios)) for _, number, column, _, ios in
             (line.split() for line in measured if line.startswith("mark "))}
    result = {column: collections.Counter() for column, _ in marks.values()}
    for line in counts:
        number, address, _, instructions = line.split()
        column, ios = marks[int(number)]
        result[column][names.of(int(address, 16))] += int(instructions) / ios
    return result


def layer_of(function):
    return next((layer for layer, pattern in LAYERS if re.search(pattern, function)), REST)


def print_layers(columns):
    layers = {name: collections.Counter() for name in columns}
    for name, functions in columns.items():
        for function, n in functions.items():
            layers[name][layer_of(function)] += n
    first = next(iter(columns))
    print("| | " + " | ".join(columns) + " |")
    print("|---|" + "--:|" * len(columns))
    for layer in [layer for layer, _ in LAYERS] + [REST]:
        print(f"| {layer} | " + " | ".join(f"{layers[name][layer]:.0f}" for name in columns) + " |")
    print("| **in all** | " + " | ".join(f"{sum(layers[name].values()):.0f}" for name in columns) + " |")
    more = [sum(layers[name].values()) - sum(layers[first].values()) for name in columns]
    print(f"| **more than {first}** | " + " | ".join(f"{n:.0f}" for n in more) + " |")


def print_functions(columns, n):
    before, after = list(columns)[-2:]
    differ = sorted(((columns[after][f] - columns[before][f], f)
                     for f in columns[before].keys() | columns[after].keys()),
                    key=lambda pair: -abs(pair[0]))
    print(f"\n{after} - {before}:")
    for difference, function in differ[:n]:
        print(f"{difference:8.0f}  {function} ({layer_of(function)})")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", default="7.3")
    parser.add_argument("--smp", type=int, default=1)
    parser.add_argument("--targets", action="store_true")
    parser.add_argument("--columns", default="raw,loop,file-zc")
    parser.add_argument("--row", default="randread-4k-qd32")
    parser.add_argument("--functions", type=int, default=0)
    ask = parser.parse_args()
    options = ["--rows", ask.row] + (["--targets"] if ask.targets else [])
    columns = per_io(*count(ask.kernel, ask.smp, ask.columns.split(","), options))
    print_layers(columns)
    if ask.functions:
        print_functions(columns, ask.functions)


if __name__ == "__main__":
    sys.exit(main())
