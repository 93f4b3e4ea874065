"""The figures that proofs print: how large a run is, what was measured, where it is kept.

A proof runs at the size that fits continuous integration; `make chaos` runs it at the size of the promise.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

LONG = os.environ.get("RELIABILITY") == "long"
KEPT = Path(".sandbox/figures.jsonl")
_FIGURES = pytest.StashKey[list[dict[str, object]]]()

Figure = Callable[..., None]


def size(*, ci: int, long: int) -> int:
    """Return how many rounds, seeds or requests a proof is made with in this run."""
    return long if LONG else ci


def figure_of(request: pytest.FixtureRequest) -> Figure:
    """Return what takes the figures of one test."""
    figures = request.config.stash.setdefault(_FIGURES, [])

    def tell(number: int, **measured: object) -> None:
        figures.append({"figure": number, "test": request.node.nodeid, **measured})

    return tell


def tell_figures(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was measured, and keep it in the long form."""
    told = config.stash.get(_FIGURES, None)
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
