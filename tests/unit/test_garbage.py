"""Tests for bot.garbage: full collections leave out what lives as long as the program."""

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from bot.garbage import PAUSES, freeze_long_lived
from tests.fakes.clock import ManualClock, settled


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    """Freeze nothing of these tests for others, only what tests/conftest.py has frozen."""
    yield
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def is_frozen(wanted: object) -> bool:
    """Return whether collections leave out an object: the collector does not list it."""
    return all(each is not wanted for each in gc.get_objects())


async def test_objects_are_frozen_at_the_start_and_twice_in_the_first_minute() -> None:
    """The models of AWS's services are loaded by the first calls, after the start."""
    clock, kept = ManualClock(), list[object]()
    freezing = asyncio.create_task(freeze_long_lived(clock))
    for pause in PAUSES:
        kept.append([kept])
        assert not is_frozen(kept[-1])
        await clock.advance(pause)
        assert is_frozen(kept[-1])
    await freezing
    assert sum(PAUSES) == 60


async def test_garbage_is_not_frozen() -> None:
    """Objects that refer to each other and to nothing else would stay in memory."""

    class Node:
        """Refers to itself."""

        def __init__(self) -> None:
            self.itself = self

    gc.disable()
    try:
        garbage = weakref.ref(Node())
        freezing = asyncio.create_task(freeze_long_lived(ManualClock()))
        await settled()
        freezing.cancel()
    finally:
        gc.enable()
    assert garbage() is None
