"""Counts the work of this process independently of the machine: calls of Python functions, the same in every run."""

import sys
from collections.abc import Awaitable
from types import FrameType
from typing import Any


async def function_calls_during(work: Awaitable[object]) -> int:
    """Do the work; return how many Python functions this thread called meanwhile, those of other tasks included."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    former = sys.getprofile()
    sys.setprofile(count)
    try:
        await work
    finally:
        sys.setprofile(former)
    return calls
