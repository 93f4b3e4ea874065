"""Selects a random sample of the guards for `make controls SAMPLE=12`, which continuous integration runs.

The environment variable SAMPLE holds the number of guards; empty or unset means all. SAMPLE_SEED repeats a sample.
"""

import os
import random
from typing import Final

import pytest

SAMPLE: Final = int(os.environ.get("SAMPLE") or 0)
SEED: Final = int(os.environ.get("SAMPLE_SEED") or random.SystemRandom().randrange(10_000))
SAMPLED: Final = "test_test_of_each_guard_fails_without_the_guard"  # one item for each guard
WHOLE_TABLE: Final = "test_tests_of_all_guards_pass_with_every_guard_in_place"  # `make test` runs the same tests


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """If SAMPLE is set, run `test_test_of_each_guard_fails_without_the_guard` for a random sample of the guards only."""
    guards = [each for each in items if each.name.startswith(f"{SAMPLED}[")]
    if not SAMPLE or not guards:
        return
    chosen = random.Random(SEED).sample(guards, min(SAMPLE, len(guards)))
    dropped = [each for each in items if (each in guards and each not in chosen) or each.name == WHOLE_TABLE]
    config.hook.pytest_deselected(items=dropped)
    items[:] = [each for each in items if each not in dropped]


def pytest_report_collectionfinish() -> list[str]:
    """Print the size of the sample and the seed that repeats it."""
    return [f"a sample of {SAMPLE} guards; SAMPLE_SEED={SEED} repeats it"] if SAMPLE else []
