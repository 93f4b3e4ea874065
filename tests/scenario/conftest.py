"""Fixtures of the scenarios over fakes. Scenarios with the whole program define their own `world`."""

import pytest

from tests.fakes.world import World, new_world


@pytest.fixture
def world() -> World:
    """Return a new world: one channel, and no request so far."""
    return new_world()
