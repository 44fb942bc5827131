#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a text names exists, and what must be listed is.

- A manual page that is referred to, as in ublk-oci(1), is in docs/man/; all of
  them are built by docs/meson.build.
- Files and folders of this tree that a document names are there.
- Every test_NAME.c and fuzz_NAME.c is in its meson.build, every folder of the
  fuzzers' corpus has a fuzzer.
- Every term of docs/glossary.md is still a word of the tree.

usage: names.py [TOP]
"""
import glob
import os
import re
import subprocess
import sys

FOLDERS = ("driver", "oci-hook", "targets", "policy", "tests", "docs")
PAGE = re.compile(r"\b(ublk-oci[a-z-]*)[*_]*\((\d)\)")
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
BARE = re.compile(r"[a-z0-9_.-]+\.(c|h|py|sh|scd|svg)$")
# Words that stand for a name: NAME, NN. A path with one of them names no file.
PATTERN = re.compile(r"[A-Z]{2,}|[<>*…]")


def text_of(top, path):
    with open(os.path.join(top, path), encoding="utf-8", errors="replace") as f:
        return f.read()


def line_of(text, place):
    return text.count("\n", 0, place) + 1


def spans_of(text):
    """(place, words) of every `code span`; blocks of code are commands, not names."""
    blank = re.sub(r"^(?: {4}|\t).*$", lambda m: " " * len(m.group()), text, flags=re.M)
    for match in SPAN.finditer(blank):
        yield match.start(), match.group(1)


def braces(name):
    """a/{b,c}.h is two names."""
    match = re.search(r"\{([^{}]*)\}", name)
    if not match:
        return [name]
    return [n for part in match.group(1).split(",")
            for n in braces(name[:match.start()] + part.strip() + name[match.end():])]


def check_pages(top, files):
    pages = {os.path.basename(p)[:-4] for p in files if p.startswith("docs/man/")}
    built = text_of(top, "docs/meson.build")
    for page in sorted(pages):
        if f"'{page}'" not in built:
            yield f"docs/meson.build:1: {page} is not built"
    for path in files:
        if not path.endswith((".md", ".scd", ".c", ".h", ".in")):
            continue
        text = text_of(top, path)
        for match in PAGE.finditer(text):
            if ".".join(match.groups()) not in pages:
                yield f"{path}:{line_of(text, match.start())}: no manual page {match.group()}"


def check_files(top, files):
    names = {os.path.basename(p) for p in files}
    for path in (p for p in files if p.endswith(".md")):
        text = text_of(top, path)
        folder = os.path.dirname(path)
        for match in LINK.finditer(text):
            if not os.path.exists(os.path.join(top, folder, match.group(1))):
                yield f"{path}:{line_of(text, match.start())}: the link leads to no file: {match.group(1)}"
        for place, span in spans_of(text):
            for name in braces(span.split(" ")[0]):
                if PATTERN.search(name):
                    continue
                if name.startswith(tuple(f + "/" for f in FOLDERS)):
                    found = glob.glob(os.path.join(top, name))
                elif BARE.match(name):
                    found = name in names
                else:
                    continue
                if not found:
                    yield f"{path}:{line_of(text, place)}: there is no {name}"


def check_lists(top, files):
    for folder, prefix in (("tests/unit", "test_"), ("tests/fuzz", "fuzz_")):
        listed = text_of(top, f"{folder}/meson.build")
        for path in files:
            name = os.path.basename(path)
            if os.path.dirname(path) != folder or not re.fullmatch(prefix + r".*\.c", name):
                continue
            if f"'{name[len(prefix):-2]}':" not in listed:
                yield f"{path}:1: it is not in {folder}/meson.build"
    for seeds in {p.split("/")[3] for p in files if p.startswith("tests/fuzz/corpus/")}:
        if f"tests/fuzz/fuzz_{seeds}.c" not in files:
            yield f"tests/fuzz/corpus/{seeds}:1: seeds of no fuzzer"


def glossary_terms(text):
    """(line number, term): first column of the rows, terms apart by commas."""
    for number, line in enumerate(text.splitlines(), 1):
        cells = [c.strip() for c in line.split("|")]
        if len(cells) < 4 or cells[1] in ("", "term") or set(cells[1]) <= set("-:"):
            continue
        for term in cells[1].split(","):
            yield number, term.strip().strip("`")


def check_glossary(top, files):
    path = "docs/glossary.md"
    tree = "\n".join(text_of(top, p) for p in files
                     if p != path and not p.startswith("tests/")
                     and p.endswith((".c", ".h", ".md", ".scd")))
    terms = list(glossary_terms(text_of(top, path)))
    for number, term in terms:
        if not re.search(r"(?<![a-z])" + re.escape(term).replace(r"\ ", "[ _-]"), tree, re.I):
            yield f"{path}:{number}: nothing in the tree says {term}"
    if not terms:
        yield f"{path}:1: no terms"


def main():
    top = sys.argv[1] if len(sys.argv) > 1 else "."
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "files.sh")
    files = subprocess.run([script, top, "*"], check=True, capture_output=True,
                           text=True).stdout.split("\n")
    files = [p for p in files if p.startswith(tuple(f + "/" for f in FOLDERS)) or p == "README.md"]
    errors = [e for check in (check_pages, check_files, check_lists, check_glossary)
              for e in check(top, files)]
    print("\n".join(errors + [f"{len(files)} files, {len(errors)} wrong"]))
    return 1 if errors or not files else 0


if __name__ == "__main__":
    sys.exit(main())
