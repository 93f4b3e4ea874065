"""Python imports this at startup, in processes that a test without a guard starts."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

import tests.reliability.without_guard  # noqa: F401
