"""The figures that proofs print: their sizes, what was measured, and which test turned red without a guard.

A proof runs at the size that fits continuous integration; `make chaos` runs it at the size of the promise. Figures are
printed after the run and, in the long form, kept in `.sandbox/figures.jsonl`, from which tests/README.md is written.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

LONG = os.environ.get("RELIABILITY") == "long"
KEPT = Path(".sandbox/figures.jsonl")
FIGURES = pytest.StashKey[list[dict[str, object]]]()
REDS = pytest.StashKey[dict[str, str]]()

Figure = Callable[..., None]
"""`figure(5, seeds=10_000, double_effects=0)`: the number in the table of tests/README.md, and what was measured."""


def size(*, ci: int, long: int) -> int:
    """Return how many rounds, seeds or requests a proof is made with in this run."""
    return long if LONG else ci


def tell(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was measured, and keep it in the long form."""
    _tell_reds(terminalreporter, config.stash.get(REDS, {}))
    told = config.stash.get(FIGURES, None)
    if not told:
        return
    figures = sorted(told, key=lambda each: (str(each["figure"]).zfill(2), str(each["test"])))
    terminalreporter.section("figures")
    for each in figures:
        measured = ", ".join(f"{name}={value}" for name, value in each.items() if name not in {"figure", "test"})
        terminalreporter.line(f"figure {each['figure']:>2}: {measured}  [{each['test']}]")
    if LONG:
        KEPT.parent.mkdir(exist_ok=True)
        with KEPT.open("a") as kept:
            kept.writelines(json.dumps(each, default=str) + "\n" for each in figures)


def _tell_reds(terminalreporter: pytest.TerminalReporter, reds: dict[str, str]) -> None:
    if reds:
        terminalreporter.section("without it -> what turned red")
    for guard, test in sorted(reds.items()):
        terminalreporter.line(f"{guard:<{max(map(len, reds))}} -> {test.removeprefix('tests/')}")
