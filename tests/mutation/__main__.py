"""Prints which of a random sample of mutants no test notices, and the score: `make mutants SAMPLE=500`.

It uses the data of `make coverage`, which has to be of the same code. Each mutant runs with tests that ran the changed
line: at most those of FEW, and if it survives, at most those of MANY.
"""

import argparse
import math
import os
import random
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from hypothesis import strategies

from tests.mutation.equivalent import EQUIVALENT
from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.running import OPTIONS, Collected
from tests.mutation.selection import Selection

FEW: Final = (20, 15.0)  # how many tests, and the seconds that they took together in `make coverage`
MANY: Final = (120, 120.0)
PART: Final = 20  # mutants between two lines of progress
PACKAGES: Final = [Path("bot/domain"), Path("bot/service")]


def main() -> None:
    """Run a sample, and print the surviving mutants and the score of each package."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--sample", type=int, default=0, help="how many mutants; 0 takes all")
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="the same seed takes the same sample of the same code, and a larger one begins with it",
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "places", nargs="*", help="bot/domain/rules/claims.py, or bot/domain/rules/claims.py:150 for one line"
    )
    options = parser.parse_args()
    every = _all_mutants()
    assert EQUIVALENT.keys() <= {each.name for each in every}, "equivalent.py names code that has changed"
    mutants = [each for each in every if not options.places or _is_at(each, options.places)]
    sample = random.Random(options.seed).sample(mutants, len(mutants))[: options.sample or None]
    selection = Selection()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder  # failing examples belong to mutants
        work = partial(_run, sample, selection, jobs=options.jobs)
        sys.exit(pytest.main([*OPTIONS], plugins=[Collected(work)]))


def _run(sample: list[Mutant], selection: Selection, collected: Collected, *, jobs: int) -> None:
    """Run the mutants in parts; print those that survive, and the scores so far."""
    strategies.text().validate()  # takes seconds, which each process would need again
    few = partial(selection.tests, most=FEW[0], seconds=FEW[1])
    many = partial(selection.tests, most=MANY[0], seconds=MANY[1])
    left: list[Mutant] = []

    def more(mutant: Mutant) -> list[str]:
        return [test for test in many(mutant) if test not in few(mutant)]

    for first in range(0, len(sample), PART):
        part = sample[first : first + PART]
        for tests in few, more:
            part = list(collected.survivors(part, tests, jobs=jobs))
        left += part
        for mutant in part:
            reason = EQUIVALENT.get(mutant.name)
            print(f"equivalent: {mutant} ({reason})" if reason else f"survived: {mutant}")
        _print_scores(sample[: first + PART], left)


def _print_scores(sample: list[Mutant], left: list[Mutant]) -> None:
    """Print the counts, and the share of noticed mutants with its 95 % interval."""
    for package in PACKAGES:
        here, survived = ([each for each in some if each.path.is_relative_to(package)] for some in (sample, left))
        same = sum(each.name in EQUIVALENT for each in survived)
        noticed, total = len(here) - len(survived), len(here) - same
        low, high = _interval(noticed, total)
        print(
            f"{package}: {len(here)} run, {noticed} noticed, {len(survived) - same} survived, {same} equivalent: "
            f"{noticed / max(total, 1):.1%} noticed (95 % interval {low:.1%} to {high:.1%})",
            flush=True,
        )


def _all_mutants() -> list[Mutant]:
    return [mutant for package in PACKAGES for path in sorted(package.rglob("*.py")) for mutant in mutants_of(path)]


def _is_at(mutant: Mutant, places: list[str]) -> bool:
    return any(mutant.path.is_relative_to(each) or f"{mutant.path}:{mutant.line}" == each for each in places)


def _interval(hits: int, total: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share."""
    if total == 0:
        return 0.0, 1.0
    z, share = 1.96, hits / total
    centre, width = share + z * z / (2 * total), z * math.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2)
    return (centre - width) / (1 + z * z / total), (centre + width) / (1 + z * z / total)


if __name__ == "__main__":
    main()
