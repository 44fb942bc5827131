# SPDX-License-Identifier: Apache-2.0
"""The plot of one kernel's table: bars, one per row and column, as ratios to the loop device."""
from xml.sax.saxutils import escape

import plan

FONT = 'font-family="DejaVu Sans, Verdana, sans-serif"'
PANELS = (("icount-1", "1 CPU"), ("icount-2", "2 CPUs"))
COLOURS = {"raw": "#b5b5b5", "loop": "#555555", "nbd": "#c08a3e", "ours": "#2f7d4f",
           plan.PEER: "#7a5aa6"}
BAR, GAP, HEAD = 13, 10, 18  # pixels: a bar, below a group, above its bars
LABELS, PANEL, NUMBER = 120, 360, 40  # of which NUMBER is what a number needs
LARGEST = 2.5  # a longer bar ends here, with its number


def text(x, y, words, size=11, weight="normal", anchor="start", fill="#222"):
    return (f'<text x="{x:g}" y="{y:g}" {FONT} font-size="{size}" font-weight="{weight}" '
            f'text-anchor="{anchor}" fill="{fill}">{escape(words)}</text>')


def bar(x, y, column, ratio):
    kind = plan.COLUMNS[column][1] if column in plan.COLUMNS else plan.PEER
    width = min(ratio, LARGEST) / LARGEST * (PANEL - NUMBER)
    yield (f'<rect x="{x:g}" y="{y:g}" width="{width:.1f}" height="{BAR - 2}" '
           f'fill="{COLOURS[kind]}"/>')
    yield text(x + width + 4, y + BAR - 4, f"{ratio:.2f}", 10, fill="#444")


def groups(tables):
    """(row, its columns in the order of the plan), of what any panel has."""
    for row in plan.ROWS:
        columns = [c for c in (*plan.COLUMNS, plan.PEER)
                   if any(c in tables.get(name, {}).get(row, {}) for name, _ in PANELS)]
        if columns:
            yield row, columns


def plot(kernel, result):
    tables = result["tables"]
    y, shapes = 56, []
    for row, columns in groups(tables):
        shapes.append(text(8, y + HEAD - 6, plan.ROWS[row][0], 12, "bold"))
        y += HEAD
        for column in columns:
            shapes.append(text(LABELS - 6, y + BAR - 4, column, 10, anchor="end", fill="#444"))
            for i, (name, _) in enumerate(PANELS):
                cell = tables.get(name, {}).get(row, {}).get(column)
                if cell:
                    shapes += bar(LABELS + i * PANEL, y, column, cell[1])
            y += BAR
        y += GAP
    width = LABELS + len(PANELS) * PANEL
    head = [text(8, 20, f"Linux {kernel}: instructions per I/O, loop device = 1 (shorter is better)",
                 14, "bold")]
    for i, (_, title) in enumerate(PANELS):
        x = LABELS + i * PANEL
        one = x + (PANEL - NUMBER) / LARGEST
        head.append(text(x, 44, title, 12, "bold"))
        head.append(f'<line x1="{one:g}" y1="50" x2="{one:g}" y2="{y - GAP}" stroke="#b3261e" '
                    'stroke-width="1" stroke-dasharray="4 3"/>')
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" '
        f'height="{y}">',
        f'<rect width="{width}" height="{y}" fill="#fff"/>', *head, *shapes, "</svg>", ""])
