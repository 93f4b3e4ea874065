"""The sizes of the proofs, and the figures and results of controls that are printed after the run.

The environment variable RELIABILITY sets the size of every proof. `make test` leaves it empty, `make proofs` sets
`proofs`, `make chaos` sets `long`. tests/README.md has the table of the proofs.

Each figure is kept in the report of its test (pytest's `user_properties`), because pytest-xdist sends reports, but no
global state, from its workers.
"""

import json
import os
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import pytest

KEPT: Final = Path(".sandbox/figures.jsonl")  # the figures of `make chaos`, one JSON object per line
FIGURE: Final = "figure"  # name of a user property that holds a figure as JSON
RED: Final = "red"  # name of a user property that holds a guard and the test that failed without it, as JSON

Figure = Callable[..., None]
"""`figure(5, seeds=10_000, double_effects=0)`: the number in the table of tests/README.md, and what was measured."""


class Size(StrEnum):
    """The size of the proofs in this run: the value of RELIABILITY."""

    SHORT = ""  # `make test`: the junk, parser and injection proofs run a tenth of their cases, authorisation a sixth
    PROOFS = "proofs"  # `make proofs`: the sizes for continuous integration
    LONG = "long"  # `make chaos`: full size


SIZE: Final = Size(os.environ.get("RELIABILITY", ""))
LONG: Final = SIZE is Size.LONG


def size(*, ci: int, long: int, short: int | None = None) -> int:
    """Return how many rounds, seeds or requests a proof has in this run. `short` defaults to `ci`."""
    match SIZE:
        case Size.SHORT:
            return ci if short is None else short
        case Size.PROOFS:
            return ci
        case Size.LONG:
            return long


def print_figures(terminal: pytest.TerminalReporter) -> None:
    """Print the results of the controls and the measured figures after the run.

    `make test` prints figures only with -v. `make chaos` also appends them to a file.
    """
    _print_reds(terminal, dict(_collected(terminal, RED)))
    figures = sorted(_collected(terminal, FIGURE), key=lambda each: (str(each["figure"]).zfill(2), each["test"]))
    if not figures or (SIZE is Size.SHORT and terminal.config.option.verbose < 1):
        return
    terminal.section("figures")
    for each in figures:
        measured = ", ".join(f"{name}={value}" for name, value in each.items() if name not in {"figure", "test"})
        terminal.line(f"figure {each['figure']:>2}: {measured}  [{each['test']}]")
    if LONG:
        KEPT.parent.mkdir(exist_ok=True)
        with KEPT.open("a") as kept:
            kept.writelines(json.dumps(each) + "\n" for each in figures)


def _collected(terminal: pytest.TerminalReporter, name: str) -> Iterator[Any]:
    """Yield the values of a user property from the reports of all tests, passed or failed."""
    for reports in terminal.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                yield from (json.loads(value) for key, value in report.user_properties if key == name)


def _print_reds(terminal: pytest.TerminalReporter, reds: dict[str, str]) -> None:
    if reds:
        terminal.section("without it -> what turned red")
    for guard, test in sorted(reds.items()):
        terminal.line(f"{guard:<{max(map(len, reds))}} -> {test.removeprefix('tests/')}")
