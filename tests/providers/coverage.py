"""`python -m tests.providers.coverage [REPORT.xml …]`: which upstream was tried with what, as a table in Markdown.

Every mark comes from a test that has run: of the reports of `pytest --junitxml` that are named, or else of a run of its
own. A row is a test, by its name and its case; a column an adapter, or a captured stream of one.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from tests.upstreams.capture import CAPTURES
from tests.upstreams.rigs import RIGS

SUITES = {
    "tests.providers.test_contract": "Against the protocol's simulator",
    "tests.providers.test_captures": "Against the captured stream",
    "tests.providers.test_cut_captures": "Against the captured stream, cut",
    "tests.providers.test_token_counts": "Against the captured stream with other counts of tokens",
    "tests.providers.test_quirks": "Against the captured stream with what real servers do to it",
    "tests.providers.test_aimock": "Against aimock",
}
GOOD, BAD, MIXED = "✓", "✗", "✓✗"

_NAME = re.compile(r"test_(\w+?)(?:\[(.*)\])?", re.DOTALL)
_NUMBER = re.compile(r"#\d+$")
"""Of one of a fixture's refusals or objects, which have no names."""

Marks = Mapping[str, Mapping[str, str]]
"""By row, then by column."""


def marks_of(reports: Iterable[Path], columns: Sequence[str]) -> dict[str, Marks]:
    """By suite. Tests of no column are left out."""
    outcomes: dict[str, dict[str, dict[str, set[bool]]]] = {suite: {} for suite in SUITES}
    for report in reports:
        for case in ElementTree.parse(report).iter("testcase"):  # ours
            suite = case.get("classname", "")
            place = placed(case.get("name", ""), columns)
            if suite not in outcomes or place is None or case.find("skipped") is not None:
                continue
            row, column = place
            good = case.find("failure") is None and case.find("error") is None
            outcomes[suite].setdefault(row, defaultdict(set))[column].add(good)
    return {
        suite: {row: {column: _mark(seen) for column, seen in cells.items()} for row, cells in rows.items()}
        for suite, rows in outcomes.items()
    }


def _mark(seen: set[bool]) -> str:
    return MIXED if len(seen) == 2 else GOOD if True in seen else BAD


def placed(name: str, columns: Sequence[str]) -> tuple[str, str] | None:
    """Row and column of a test by its name; None for one that is about no upstream."""
    match = _NAME.fullmatch(name)
    if match is None or match[2] is None:
        return None
    sentence = match[1].replace("_", " ")
    for column in sorted(columns, key=len, reverse=True):
        if match[2] == column:
            return sentence, column
        for case in (match[2].removeprefix(f"{column}-"), match[2].removesuffix(f"-{column}")):
            if case != match[2]:
                case = _NUMBER.sub("", case)
                return (f"{sentence}: {case}" if case else sentence), column
    return None


def table(suite: str, marks: Marks, columns: Sequence[str]) -> str:
    used = [column for column in columns if any(column in cells for cells in marks.values())]
    lines = [
        f"### {SUITES[suite]}",
        "",
        f"| what is tried | {' | '.join(used)} |",
        f"| --- |{' :-: |' * len(used)}",
        *(f"| {_cell(row)} | {' | '.join(cells.get(column, '') for column in used)} |"
          for row, cells in marks.items()),
    ]  # fmt: skip
    return "\n".join(lines)


def _cell(text: str) -> str:
    """On one line, and readable: pytest writes what is not ASCII in escapes."""
    shown = text.encode("ascii", "backslashreplace").decode("unicode_escape")
    return "".join(letter if letter.isprintable() or letter == "\u200d" else " " for letter in shown).replace(
        "|", "\\|"
    )


def document(reports: Iterable[Path], columns: Sequence[str]) -> str:
    """✓: every such test passed; ✗: none; ✓✗: some; nothing: it does not apply."""
    found = marks_of(reports, columns)
    return "\n\n".join(table(suite, marks, columns) for suite, marks in found.items() if marks) + "\n"


def run(report: Path) -> int:
    files = [f"{suite.replace('.', '/')}.py" for suite in SUITES]
    files = [name for name in files if Path(name).exists()]
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *files]
    return subprocess.run(command, stdout=sys.stderr).returncode


def main(arguments: Sequence[str]) -> int:
    columns = list(dict.fromkeys([*RIGS, *CAPTURES]))
    if arguments:
        sys.stdout.write(document([Path(name) for name in arguments], columns))
        return 0
    with tempfile.TemporaryDirectory(prefix="chat-coverage-") as directory:
        report = Path(directory) / "report.xml"
        code = run(report)
        sys.stdout.write(document([report], columns))
        return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
