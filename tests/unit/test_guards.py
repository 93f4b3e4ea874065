"""The guards that the negative controls take out: every target and every named test exists."""

import re
from pathlib import Path

import pytest

from tests.reliability.guards import GUARDS
from tests.reliability.replacing import Guard, find

ROOT = Path(__file__).parents[2]


def test_names_are_unique() -> None:
    """A guard is named in the environment of a run, so its name must be unique."""
    assert len({guard.name for guard in GUARDS}) == len(GUARDS)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_guard_fits_the_program_and_its_tests(guard: Guard) -> None:
    """A renamed function or test fails here at once, and not only when the controls run."""
    for target in guard.without:
        find(target)
    path, _, name = guard.red.partition("::")
    function = name.partition("[")[0]
    assert re.search(rf"^(async )?def {function}\(", (ROOT / path).read_text(), re.MULTILINE)
