"""Tests for the list of guards in tests/reliability/guards: names are unique, and targets and tests exist."""

import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

from tests.reliability import guards
from tests.reliability.guards import GUARDS
from tests.reliability.replacing import Guard, find

ROOT = Path(__file__).parents[2]


def test_names_of_guards_are_unique() -> None:
    """No two guards have the same name, because an environment variable selects a guard by its name."""
    assert len({guard.name for guard in GUARDS}) == len(GUARDS)


def test_list_of_guards_has_the_guards_of_every_module() -> None:
    """A module that is left out would never be tried."""
    modules = [import_module(f"{guards.__name__}.{each.name}") for each in iter_modules(guards.__path__)]
    assert {guard.name for module in modules for guard in module.GUARDS} == {guard.name for guard in GUARDS}


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_target_and_test_of_every_guard_exist(guard: Guard) -> None:
    """A renamed function or test fails here immediately, not only when the controls run."""
    for target in guard.without:
        find(target)
    path, _, name = guard.red.partition("::")
    function = name.partition("[")[0]
    assert re.search(rf"^(async )?def {function}\(", (ROOT / path).read_text(), re.MULTILINE)
