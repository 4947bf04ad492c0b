"""A table and a plot of what was measured: Markdown and SVG."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from html import escape
from math import log2
from pathlib import Path

from benchmarks.bars import Measured

HEAD = ("bar", "must", "aim", "measured", "spread", "", "how")
_WIDTH, _LINE, _LEFT, _RIGHT = 860, 26, 420, 90
_OCTAVES = 4
"""The axis reaches from a quarter of what must be to four times it."""


def machine() -> str:
    """Return what was measured on."""
    cores, python = os.cpu_count(), platform.python_version()
    return f"{platform.machine()}, {cores} cores, Python {python}"


def markdown(measured: Sequence[Measured], told: str) -> str:
    """Return the table, below a line that tells of the run."""
    rows = [each.cells() for each in measured]
    lines = [_row(HEAD), _row(["---"] * len(HEAD)), *map(_row, rows)]
    return f"{told}\n\n" + "\n".join(lines) + "\n"


def svg(measured: Sequence[Measured]) -> str:
    """Return a line for each bar: its rounds and their median on an axis in shares of `must`."""
    its = [each for each in measured if each.bar.must is not None and each.figures]
    height = _LINE * (len(its) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
    ]
    for octave in range(-_OCTAVES // 2, _OCTAVES // 2 + 1):
        x, name = _x(2.0**octave), f"{2.0**octave:g} x must"
        color = "#c33" if octave == 0 else "#ddd"
        parts.append(f'<path d="M{x:.0f} 24V{height - 8}" stroke="{color}"/>')
        parts.append(f'<text x="{x:.0f}" y="16" text-anchor="middle">{name}</text>')
    for number, each in enumerate(its):
        y = _LINE * (number + 1.6)
        shares = sorted(filter(None, map(each.bar.share, each.figures)))
        middle = each.bar.share(each.median) or 0.0
        title, _, _, figure, *_ = each.cells()
        color = "#2a7" if middle >= 1 else "#c33"
        first, last = _x(shares[0]), _x(shares[-1])
        parts.append(f'<text x="8" y="{y + 4:.0f}">{escape(title)}</text>')
        parts.append(
            f'<path d="M{first:.1f} {y:.1f}H{last:.1f}" stroke="{color}" stroke-width="3"/>'
        )
        parts.append(f'<circle cx="{_x(middle):.1f}" cy="{y:.1f}" r="5" fill="{color}"/>')
        parts.append(f'<text x="{_WIDTH - _RIGHT + 12}" y="{y + 4:.0f}">{escape(figure)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def write(measured: Sequence[Measured], told: str, folder: Path) -> None:
    """Write both to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bars.md").write_text(markdown(measured, told))
    (folder / "bars.svg").write_text(svg(measured))


def _x(share: float) -> float:
    octave = min(max(log2(max(share, 1e-9)), -_OCTAVES / 2), _OCTAVES / 2)
    return _LEFT + (octave / _OCTAVES + 0.5) * (_WIDTH - _LEFT - _RIGHT)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
