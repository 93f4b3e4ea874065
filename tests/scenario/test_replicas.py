"""Two bots on one DynamoDB table act as one, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from copy import deepcopy
from pathlib import Path

import boto3
import pytest

from bot.store.dynamodb.table import definition
from tests.fakes.dynamodb import shared
from tests.fakes.people import HANAKO, ICHIRO
from tests.fakes.product import Product, product

TABLE = "node-access"


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Product]:
    """AWS with the bots' table, and Teams; no bot is started."""
    async with product(monkeypatch, tmp_path) as world:
        client = shared().client(boto3.session.Session())  # with the bot's own credentials
        await asyncio.to_thread(client.create_table, TableName=TABLE, **definition())
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", shared().endpoint)
        world.changed["store"] = f"dynamodb:{TABLE}"
        yield world
        await asyncio.to_thread(client.delete_table, TableName=TABLE)


async def test_replicas_post_one_card_and_send_one_signal(world: Product) -> None:
    """One bot gets the decision; a late click at the other bot shows who decided."""
    async with world.running():
        first = world.bot_url
        async with world.running():
            second = world.bot_url
            card = deepcopy(await world.card(await world.ask()))  # as both people see it
            world.bot_url = first
            answers = [await world.click(HANAKO, card, "reject", "no ticket")]
            world.bot_url = second
            answers.append(await world.click(ICHIRO, card, "approve"))
            await world.until(lambda: len(world.replies(card)) == 1)
    assert first != second
    assert world.signals() == 1
    for answer in answers:
        assert "佐藤 花子" in str(answer["value"])
        assert "no ticket" in str(answer["value"])


async def test_next_replica_decides_on_the_card_of_a_stopped_one(world: Product) -> None:
    """The first bot has stopped. A click on its card decides at the next bot, which posts no second card."""
    async with world.running():
        request = await world.ask()
        card = await world.card(request)
    async with world.running():
        await world.click(HANAKO, card, "approve")
        await world.until(lambda: len(world.replies(card)) == 1)
    assert len(world.cards(request)) == world.signals() == 1
