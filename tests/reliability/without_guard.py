"""A pytest plugin that takes out the guard that the environment variable WITHOUT_GUARD names.

Use it as `WITHOUT_GUARD=… pytest -p tests.reliability.without_guard`. pytest loads it before it imports a test.
`in_children/sitecustomize.py` loads it in Python processes that a test starts.
"""

import os
from pathlib import Path

from tests.reliability.controls import WITHOUT_GUARD
from tests.reliability.guards import GUARDS
from tests.reliability.replacing import DoesNotFit, Guard

IN_CHILDREN = Path(__file__).parent / "in_children"


def named_guard() -> Guard:
    """Return the guard that the environment names. Raises DoesNotFit."""
    name = os.environ[WITHOUT_GUARD]
    for guard in GUARDS:
        if guard.name == name:
            return guard
    raise DoesNotFit(f"there is no guard named {name!r}")


os.environ["PYTHONPATH"] = str(IN_CHILDREN)
named_guard().take_out()
