"""Prints which of a random sample of mutants no test notices, and the score: `make mutants SAMPLE=500`.

It uses the data of `make coverage`, which has to be of the same code. Each mutant runs with tests that ran the changed
line: at most those of FEW, and if it survives, at most those of MANY.
"""

import argparse
import importlib
import math
import os
import random
import sys
from functools import partial
from pathlib import Path
from typing import Final

from tests.mutation.equivalent import EQUIVALENT
from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.running import survivors
from tests.mutation.selection import Selection

FEW: Final = (30, 60.0)  # how many tests, and the seconds that they took together in `make coverage`
MANY: Final = (100, 120.0)
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
    parser.add_argument("places", nargs="*", help="bot/domain/claims.py, or bot/domain/claims.py:150 for one line")
    options = parser.parse_args()
    mutants = [each for each in _all_mutants() if not options.places or _is_at(each, options.places)]
    sample = random.Random(options.seed).sample(mutants, len(mutants))[: options.sample or None]
    selection = Selection()
    _import_libraries()
    left: list[Mutant] = []
    for first in range(0, len(sample), PART):
        part = sample[first : first + PART]
        for most, seconds in FEW, MANY:
            part = list(survivors(part, partial(selection.tests, most=most, seconds=seconds), jobs=options.jobs))
        for mutant in part:
            reason = EQUIVALENT.get(mutant.name)
            print(f"equivalent: {mutant} ({reason})" if reason else f"survived: {mutant}")
        left += part
        print(f"{min(first + PART, len(sample))} of {len(sample)} done, {len(left)} survived", flush=True)
    for package in PACKAGES:
        _print_score(package, mutants=mutants, sample=sample, left=left)


def _all_mutants() -> list[Mutant]:
    return [mutant for package in PACKAGES for path in sorted(package.rglob("*.py")) for mutant in mutants_of(path)]


def _is_at(mutant: Mutant, places: list[str]) -> bool:
    return any(mutant.path.is_relative_to(each) or f"{mutant.path}:{mutant.line}" == each for each in places)


def _import_libraries() -> None:
    """Import libraries once for all mutants. Each mutant imports the program and its tests again."""
    for name in ("bot.app", "bot.cli", "bot.sandbox.sandbox"):
        importlib.import_module(name)
    for name in [each for each in sys.modules if each.split(".")[0] in {"bot", "cards", "tests"}]:
        del sys.modules[name]


def _print_score(package: Path, *, mutants: list[Mutant], sample: list[Mutant], left: list[Mutant]) -> None:
    made, here, survived = (
        [each for each in some if each.path.is_relative_to(package)] for some in (mutants, sample, left)
    )
    same = sum(each.name in EQUIVALENT for each in survived)
    noticed, total = len(here) - len(survived), len(here) - same
    low, high = _interval(noticed, total)
    print(
        f"{package}: {len(made)} mutants, {len(here)} in the sample, {noticed} noticed, {len(survived) - same} survived, "
        f"{same} equivalent: {noticed / max(total, 1):.1%} (95 % interval {low:.1%} to {high:.1%})"
    )


def _interval(hits: int, total: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share."""
    if total == 0:
        return 0.0, 1.0
    z, share = 1.96, hits / total
    centre, width = share + z * z / (2 * total), z * math.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2)
    return (centre - width) / (1 + z * z / total), (centre + width) / (1 + z * z / total)


if __name__ == "__main__":
    main()
