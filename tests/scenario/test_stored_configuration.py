"""The configuration as an object that keeps versions: a new one takes effect soon, and nothing else changes anything."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from bot.domain.rules.permission import Refusal
from bot.ports.configuration import SourceUnreadable
from tests.fakes.chat import ICHIRO
from tests.fakes.watching import TOML, VersionedPlace, WatchingBot
from tests.fakes.world import new_world
from tests.system.cloudformation import counts
from tests.system.test_templates import bot as bot_template

ONLY_ICHIRO = TOML.replace('["members"]', f'["user:{ICHIRO.object_id}"]')
DELETED = SourceUnreadable("NoSuchKey", "s3://node-access/node-access.toml: there is no such object")
PERIOD = 30.0  # the documented seconds between two reads


class StoredBot(WatchingBot):
    """A bot whose loop reads a versioned place."""

    place: VersionedPlace

    async def reads(self, times: int = 1) -> None:
        """Let the loop read the place this often."""
        await self.world.clock.advance(PERIOD * times)


@pytest.fixture
async def bot() -> AsyncIterator[StoredBot]:
    """A running bot with version 1."""
    async with new_world().running() as world:
        place = VersionedPlace()
        bot = StoredBot(world, place, TOML.encode(), version="1")
        bot.place = place
        loop = asyncio.create_task(bot.reloading.run())
        yield bot
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop


async def test_approver_who_is_removed_from_the_configuration_object_is_refused_after_one_read(bot: StoredBot) -> None:
    """An object is replaced as a whole, so no second read is needed. The approver in the new version decides."""
    key = await bot.posted()
    bot.place.put(ONLY_ICHIRO)
    await bot.reads()
    assert bot.place.reads == 1
    assert await bot.code(key) is Refusal.NOT_APPROVER
    assert bot.world.aws.count("signal") == 0
    await bot.code(key, ICHIRO)
    assert bot.world.aws.count("signal") == 1


async def test_each_new_version_of_the_configuration_object_that_takes_effect_is_logged_once(bot: StoredBot) -> None:
    """A new version is logged even if it differs in a comment only; the version at the start is not logged again.

    The alarm of the template counts each.
    """
    with capture_logs() as logs:
        await bot.reads(2)
        bot.place.put("# a comment\n" + TOML)
        await bot.reads(2)
        bot.place.put(ONLY_ICHIRO)
        await bot.reads(2)
    read = [each for each in logs if each["event"] == "configuration_read"]
    assert [each["version"] for each in read] == ["2", "3"]
    assert all(counts(bot_template(), "ConfigurationRead", each) for each in read)


async def test_invalid_version_of_the_configuration_object_has_no_effect_and_is_reported(bot: StoredBot) -> None:
    """Not even its valid parts take effect. The problem says what is wrong and ends with a valid version."""
    key = await bot.posted()
    with capture_logs() as logs:
        bot.place.put(ONLY_ICHIRO + "approver = 1\n")
        await bot.reads(2)
        bot.place.put(b"\xff" + ONLY_ICHIRO.encode())
        await bot.reads(2)
    assert [each["version"] for each in logs if each["event"] == "configuration_refused"] == ["2", "3"]
    assert bot.problem == (
        "ConfigurationInvalid: s3://node-access/node-access.toml: is not UTF-8; save it as UTF-8; the previous version"
        " stays active"
    )
    assert await bot.code(key) is None
    assert bot.world.aws.count("signal") == 1
    bot.place.put(TOML)
    await bot.reads()
    assert bot.problem is None


@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf"])
async def test_empty_version_of_the_configuration_object_has_no_effect(bot: StoredBot, content: bytes) -> None:
    """An empty upload is reported as a problem. It is not a configuration without channels."""
    key = await bot.posted()
    bot.place.put(content)
    await bot.reads()
    assert bot.problem is not None
    assert await bot.code(key) is None
    assert bot.world.aws.count("signal") == 1


async def test_deleted_configuration_object_leaves_the_configuration_unchanged(bot: StoredBot) -> None:
    """The problem says what to do, is logged once, and ends when the object is back, even with the same content."""
    key = await bot.posted()
    bot.place.unreadable = DELETED
    with capture_logs() as logs:
        await bot.reads(3)
    assert [each["problems"] for each in logs if each["event"] == "configuration_refused"] == [[DELETED.advice]]
    assert bot.problem == f"NoSuchKey: {DELETED.advice}; the previous version stays active"
    assert await bot.code(key) is None
    assert bot.world.aws.count("signal") == 1
    bot.place.unreadable = None
    await bot.reads()
    assert bot.problem is None


async def test_single_failed_read_of_the_configuration_object_is_neither_a_problem_nor_logged(bot: StoredBot) -> None:
    """S3 fails now and then. No call is retried before the next read, and an error in the log raises an alarm."""
    with capture_logs() as logs:
        for _ in range(2):
            bot.place.unreadable = SourceUnreadable("InternalError", "s3://…: S3 failed")
            await bot.reads()
            assert bot.problem is None
            bot.place.unreadable = None
            await bot.reads()
    assert logs == []
    bot.place.unreadable = SourceUnreadable("InternalError", "s3://…: S3 failed")
    await bot.reads(2)
    assert bot.problem is not None


async def test_configuration_object_that_was_unreadable_for_a_while_is_not_logged_as_read(bot: StoredBot) -> None:
    """The version is the same, so an alarm about changes would be wrong. The end of the problem is logged."""
    bot.place.unreadable = SourceUnreadable("NotAnswering", "s3://…: no answer")
    await bot.reads(2)
    bot.place.unreadable = None
    with capture_logs() as logs:
        await bot.reads()
    assert [each["event"] for each in logs if each["event"] != "request_served"] == ["problem_ended"]


async def test_invalid_version_of_the_configuration_object_is_still_reported_after_an_outage(bot: StoredBot) -> None:
    """The object can be read again, but its content is still invalid."""
    bot.place.put("[[channels")
    await bot.reads()
    bot.place.unreadable = SourceUnreadable("NotAnswering", "s3://…: no answer")
    await bot.reads()
    bot.place.unreadable = None
    await bot.reads()
    assert str(bot.problem).startswith("ConfigurationInvalid")


async def test_configuration_object_with_the_content_of_an_earlier_version_takes_effect(bot: StoredBot) -> None:
    """A rollback is a new version with earlier content."""
    bot.place.put(ONLY_ICHIRO)
    await bot.reads()
    bot.place.put(TOML)
    await bot.reads()
    assert await bot.code(await bot.posted()) is None
