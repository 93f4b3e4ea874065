"""`make controls SAMPLE=12`: a random sample of the guards, for continuous integration.

The environment variable SAMPLE holds the number of guards; empty or unset means all. SAMPLE_SEED repeats a sample.
"""

import os
import random
from typing import Final

import pytest

SAMPLE: Final = int(os.environ.get("SAMPLE") or 0)
SEED: Final = int(os.environ.get("SAMPLE_SEED") or random.SystemRandom().randrange(10_000))
WHOLE_TABLE: Final = "test_same_tests_pass_with_every_guard_in_place"  # those tests run in `make test`


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep only a random sample of the guards if SAMPLE is set."""
    guards = [each for each in items if "guard" in getattr(getattr(each, "callspec", None), "params", {})]
    if not SAMPLE or not guards:
        return
    chosen = random.Random(SEED).sample(guards, min(SAMPLE, len(guards)))
    dropped = [each for each in items if (each in guards and each not in chosen) or each.name == WHOLE_TABLE]
    config.hook.pytest_deselected(items=dropped)
    items[:] = [each for each in items if each not in dropped]


def pytest_report_collectionfinish() -> list[str]:
    """Print how to repeat the sample."""
    return [f"a sample of {SAMPLE} guards; SAMPLE_SEED={SEED} repeats it"] if SAMPLE else []
