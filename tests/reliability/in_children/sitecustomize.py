"""Takes out the same guard in every Python process that a test starts: Python imports this module at startup."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

import tests.reliability.without_guard  # noqa: F401 - the import takes the guard out
