"""A bar chart of CPU per token, a group of bars for each case: SVG by hand, for light and dark pages."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby
from xml.sax.saxutils import escape

from benchmarks.measurement import Figures

WIDTH, LEFT, RIGHT, TOP = 880, 270, 70, 64
BAR, GAP, CASE_GAP, LINE = 18, 4, 16, 16
"""Heights in px: a bar, the space below it, the further space below a case's last, a line of the words below all."""
LINE_CHARACTERS = 130

_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-size: 16px; font-weight: 600; }
.small { font-size: 11px; fill: #59636e; }
.case { font-weight: 600; }
.paper { fill: #ffffff; }
.axis { stroke: #d1d9e0; }
.ours { fill: #0969da; }
.go { fill: #1a7f37; }
.starlette { fill: #9a6700; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .small { fill: #9198a1; }
  .paper { fill: #0d1117; }
  .axis { stroke: #3d444d; }
  .ours { fill: #4493f8; }
  .go { fill: #3fb950; }
  .starlette { fill: #d29922; }
}
"""


def svg(figures: Sequence[Figures], conditions: str) -> str:
    most = max((each.cpu_us_per_token for each in figures), default=1.0) or 1.0
    scale = (WIDTH - LEFT - RIGHT) / most
    parts, y = [], TOP
    for case, members in groupby(figures, key=lambda each: each.case):
        parts.append(f'<text class="case" x="12" y="{y + 14}">{escape(case)}</text>')
        for each in members:
            parts += _bar(each, y, each.cpu_us_per_token * scale)
            y += BAR + GAP
        y += CASE_GAP
    words = textwrap.wrap(conditions, LINE_CHARACTERS)
    height = y + LINE * len(words) + 14
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" role="img">',
            "<title>CPU per token, in microseconds, by case and server</title>",
            f"<style>{_STYLE}</style>",
            f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
            '<text class="title" x="12" y="28">CPU per token, µs</text>',
            '<text class="small" x="12" y="46">Less is better; the server’s user and system time over the tokens that '
            "arrived</text>",
            f'<line class="axis" x1="{LEFT}" y1="{TOP - 6}" x2="{LEFT}" y2="{y - CASE_GAP + 2}"/>',
            *parts,
            *(
                f'<text class="small" x="12" y="{y + 14 + LINE * number}">{escape(line)}</text>'
                for number, line in enumerate(words)
            ),
            "</svg>\n",
        ]
    )


def _bar(each: Figures, y: int, width: float) -> list[str]:
    kind = each.server.split(maxsplit=1)[0].rstrip(",").lower()
    return [
        f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(each.server)}</text>',
        f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{max(width, 1):.1f}" height="{BAR}" rx="2"/>',
        f'<text x="{LEFT + max(width, 1) + 6:.1f}" y="{y + 14}">{each.cpu_us_per_token:.1f}</text>',
    ]
