#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws the pictures of docs/pictures from their text.

  draw.py             writes NAME.svg beside each NAME.txt
  draw.py --check     fails when a picture is not what its text says

A text has one thing per line, coordinates in steps of 10 pixels:

  size W H
  band X Y W H STYLE LABEL       a background: "root", "user" or "sealed"
  box ID X Y W H LABEL|LABEL...  lines of text, the first one bold
  arrow ID ID [LABEL]            from the edge of one box to the edge of another
  wall X Y LENGTH LABEL          a boundary, drawn from left to right
  note X Y TEXT
"""
import pathlib
import sys
from xml.sax.saxutils import escape

STEP = 10
BANDS = {"root": "#fde8e6", "user": "#eef3fb", "sealed": "#e9f6ec", "kernel": "#f1f1f1"}
FONT = 'font-family="DejaVu Sans, Verdana, sans-serif"'


def text(x, y, words, size=13, weight="normal", anchor="middle", fill="#222"):
    return (f'<text x="{x:g}" y="{y:g}" {FONT} font-size="{size}" font-weight="{weight}" '
            f'text-anchor="{anchor}" fill="{fill}">{escape(words)}</text>')


class Picture:
    def __init__(self, source):
        self.boxes = {}
        self.below, self.above = [], []
        for number, line in enumerate(source.splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            try:
                getattr(self, words[0])(*words[1:])
            except (AttributeError, TypeError, ValueError, KeyError) as e:
                raise SystemExit(f"line {number}: {line.strip()}: {e}") from e

    def size(self, w, h):
        self.w, self.h = int(w) * STEP, int(h) * STEP

    def band(self, x, y, w, h, style, *label):
        x, y, w, h = (int(n) * STEP for n in (x, y, w, h))
        self.below.append(f'<rect x="{x}" y="{y}" width="{w}" height="{h}" fill="{BANDS[style]}"/>')
        self.below.append(text(x + 12, y + 20, " ".join(label), 12, "bold", "start", "#555"))

    def box(self, name, x, y, w, h, *label):
        x, y, w, h = (int(n) * STEP for n in (x, y, w, h))
        self.boxes[name] = (x, y, w, h)
        self.above.append(f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="6" fill="#fff" '
                          'stroke="#333" stroke-width="1.4"/>')
        lines = " ".join(label).split("|")
        top = y + h / 2 - (len(lines) - 1) * 8.5 + 4.5
        for i, words in enumerate(lines):
            self.above.append(text(x + w / 2, top + 17 * i, words.strip(), 13 if i == 0 else 12,
                                   "bold" if i == 0 else "normal"))

    @staticmethod
    def edge(box, towards):
        """Where the line from the middle of a box to another middle leaves it."""
        x, y, w, h = box
        cx, cy = x + w / 2, y + h / 2
        dx, dy = towards[0] - cx, towards[1] - cy
        scale = min(abs(w / 2 / dx) if dx else 9e9, abs(h / 2 / dy) if dy else 9e9)
        return cx + dx * scale, cy + dy * scale

    def arrow(self, start, end, *label):
        a, b = self.boxes[start], self.boxes[end]
        x1, y1 = self.edge(a, (b[0] + b[2] / 2, b[1] + b[3] / 2))
        x2, y2 = self.edge(b, (a[0] + a[2] / 2, a[1] + a[3] / 2))
        self.above.append(f'<line x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}" '
                          'stroke="#333" stroke-width="1.4" marker-end="url(#head)"/>')
        for i, words in enumerate(" ".join(label).split("|") if label else []):
            self.above.append(text((x1 + x2) / 2 + 8, (y1 + y2) / 2 + 4 + 15 * i, words.strip(), 11,
                                   anchor="start", fill="#444"))

    def wall(self, x, y, length, *label):
        x, y, length = (int(n) * STEP for n in (x, y, length))
        self.above.append(f'<line x1="{x}" y1="{y}" x2="{x + length}" y2="{y}" stroke="#b3261e" '
                          'stroke-width="3" stroke-dasharray="9 5"/>')
        self.above.append(text(x + length - 6, y - 6, " ".join(label), 11, "bold", "end", "#b3261e"))

    def note(self, x, y, *words):
        self.above.append(text(int(x) * STEP, int(y) * STEP, " ".join(words), 12, anchor="start",
                               fill="#444"))

    def svg(self):
        return "\n".join([
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.w} {self.h}" '
            f'width="{self.w}" height="{self.h}">',
            '<defs><marker id="head" markerWidth="9" markerHeight="7" refX="8" refY="3.5" '
            'orient="auto"><path d="M0,0 L9,3.5 L0,7 z" fill="#333"/></marker></defs>',
            f'<rect width="{self.w}" height="{self.h}" fill="#fff"/>',
            *self.below, *self.above, "</svg>", ""])


def main():
    here = pathlib.Path(__file__).parent
    wrong = 0
    for source in sorted(here.glob("*.txt")):
        picture = Picture(source.read_text()).svg()
        target = source.with_suffix(".svg")
        if "--check" not in sys.argv:
            target.write_text(picture)
        elif not target.exists() or target.read_text() != picture:
            print(f"{target.name} is not what {source.name} says: run docs/pictures/draw.py")
            wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
