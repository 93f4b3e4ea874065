"""Shutdown ends in time, even if work in progress hangs."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from bot import app
from bot.ports.aws import AwsThrottled
from bot.web import server
from tests.fakes.chat import HANAKO
from tests.fakes.clock import settled
from tests.fakes.processes import ENDS_WITHIN
from tests.fakes.world import World


def program_of(world: World) -> Any:
    """Return a program that consists only of the world's services."""
    services = SimpleNamespace(
        click_handler=world.click_handler,
        reconciler=world.reconciler,
        reconcile_loop=world.reconcile_loop,
        auditing=world.auditing,
    )
    return SimpleNamespace(sockets=(), services=services, sources=())


async def test_drain_that_runs_out_of_time_leaves_no_reconcile_in_progress(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A throttled decision uses up the time of the drain. A reconcile whose post hangs is then cancelled.

    The post may still arrive. So the lease is kept, and other processes wait for its end before they write to Teams.
    """
    monkeypatch.setattr(app, "DRAIN_SECONDS", 0.3)
    monkeypatch.setattr(app, "LAST_SECONDS", 0.1)
    stuck = world.aws.add(1)
    await world.shown(stuck)
    world.aws.before["execution"].extend([AwsThrottled("ThrottlingException")] * 100)
    reconcile_loop = asyncio.create_task(world.reconcile_loop.run())
    click = asyncio.create_task(world.press(stuck, HANAKO))
    await settled()
    other = world.aws.add(2)
    gate = world.chat.gates["post"] = asyncio.Event()
    await world.rows.requeue(other)
    await world.chat.arrived["post"].wait()  # its post is in progress
    await app._drain(program_of(world), [], reconcile_loop)
    await settled()
    in_progress = set(world.reconcile_loop._active)
    lease = (await world.row(other)).lease
    gate.set()
    click.cancel()
    reconcile_loop.cancel()
    await asyncio.gather(click, reconcile_loop, return_exceptions=True)
    assert in_progress == set()
    assert lease is not None
    assert lease.until > world.clock.now()


async def test_drain_without_decisions_in_progress_waits_for_a_slow_reconcile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow post may take longer than LAST_SECONDS, and is finished."""
    monkeypatch.setattr(app, "LAST_SECONDS", 0.0)
    reconcile_loop = asyncio.create_task(world.reconcile_loop.run())
    key = world.aws.add(1)
    gate = world.chat.gates["post"] = asyncio.Event()
    await world.rows.requeue(key)
    await world.chat.arrived["post"].wait()
    drain = asyncio.create_task(app._drain(program_of(world), [], reconcile_loop))
    await settled()
    gate.set()
    await drain
    await asyncio.gather(reconcile_loop, return_exceptions=True)
    assert len(world.chat.of("post")) == 1


def test_time_limits_of_the_shutdown_leave_room_for_http_handlers_that_hang() -> None:
    """The server waits for handlers in the drain and again at the close. Even so, the shutdown takes below ENDS_WITHIN."""
    handlers = 2 * server.SHUTDOWN_TIMEOUT  # aiohttp waits, cancels them, and waits again
    assert handlers < app.DRAIN_SECONDS - app.LAST_SECONDS
    assert app.DRAIN_SECONDS + handlers < ENDS_WITHIN
