"""Requests for several nodes, with the whole program over real HTTP: all nodes are shown, or nobody decides in Teams."""

import json
from collections.abc import AsyncIterator, Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.card_text import shown
from tests.fakes.people import HANAKO, TARO
from tests.fakes.product import UNPACED, Product, product

NAMES = ("web-prod-01", "factory-gw-osaka")
CONTEXT = "/aws/accessrequest/context"


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Product]:
    """AWS and Teams; the bot is not started."""
    async with product(monkeypatch, tmp_path, rates=UNPACED) as world:
        yield world


def has_buttons(card: object) -> bool:
    """True if the card has a button to approve or reject."""
    return "'verb': 'approve'" in str(card) or "'verb': 'reject'" in str(card)


def with_targets(change: Callable[[list[str]], object]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a change of GetOpsItem's answer that writes the targets in another form, given the nodes' ARNs."""

    def rewrite(answer: dict[str, Any]) -> dict[str, Any]:
        item = answer["OpsItem"]
        context = json.loads(item["OperationalData"][CONTEXT]["Value"])
        if "instanceIds" not in context["targets"]:
            return answer  # a request for one node
        value = json.dumps({**context, "targets": change(context["targets"]["instanceIds"])})
        return {"OpsItem": {**item, "OperationalData": {**item["OperationalData"], CONTEXT: {"Value": value}}}}

    return rewrite


async def test_card_note_and_direct_message_of_a_request_for_several_nodes_name_every_node(world: Product) -> None:
    """Card and direct message have the name and id of every node, the note has the names. One signal is sent.

    All facts on the card are grouped by node.

    The direct message has a command to connect to each node.
    """
    ids = [world.aws.world.nodes[name] for name in NAMES]
    async with world.running():
        request = await world.ask(",".join(NAMES))
        card = await world.card(request)
        await world.until(lambda: all(each in str(world.cards(request)[0].card) for each in NAMES))
        text = shown(world.cards(request)[0].card)
        first, second = text.partition("Node 1\n")[2].split("Node 2\n")
        assert (ids[0] in first, ids[1] in first, ids[0] in second, ids[1] in second) == (True, False, False, True)
        assert ("172.31.10.21" in first, "10.20.30.40" in second) == (True, True)
        await world.click(HANAKO, world.cards(request)[0], "approve", "ok")
        await world.until(lambda: any("start-session" in str(each.card) for each in world.direct_messages(TARO)))
        await world.until(lambda: bool(world.replies(card)))
    message = str(world.direct_messages(TARO)[0].card)
    assert all(f"--target {each}" in message for each in ids)
    assert all(each in message for each in (*NAMES, *ids))
    assert all(each in shown(world.replies(card)[0].card) for each in NAMES)
    assert world.signals() == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda arns: {"instanceIds": [*arns, *arns]},
        lambda arns: {"instanceIds": [*arns, arns[0].rpartition("/")[2]]},
        lambda arns: [{"Key": "InstanceIds", "Values": [each]} for each in arns],
        lambda arns: json.dumps({"InstanceIds": arns}),
        lambda arns: {"instanceIds": [None, "", *arns, []]},
    ],
    ids=["duplicates", "an id beside its ARN", "one target for each", "JSON in a text", "empty values"],
)
async def test_card_has_each_node_once_if_aws_lists_nodes_twice_or_in_another_form(
    world: Product, change: Callable[[list[str]], object]
) -> None:
    """The card has both nodes and its buttons, and the decision is sent."""
    world.aws.faults.rewrite("GetOpsItem", with_targets(change))
    async with world.running():
        request = await world.ask(",".join(NAMES))
        await world.until(lambda: any(all(each in str(card.card) for each in NAMES) for card in world.cards(request)))
        card = await world.card(request)
        assert [shown(card.card).count(world.aws.world.nodes[each]) for each in NAMES] == [1, 1]
        await world.click(HANAKO, card, "approve", "ok")
    assert world.signals() == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda arns: {"instanceIds": [*arns, "production"]},
        lambda arns: {"instanceId": arns[0], "tag:Environment": "production"},
        lambda arns: [{"Key": "InstanceIds", "Values": arns}, {"Key": "tag:Team", "Values": ["web"]}],
        lambda arns: {"instanceIds": [arns[0], arns[1].replace("111122223333", "444455556666")]},
        lambda arns: {"count": len(arns)},
        lambda arns: {"instanceIds": [*arns, *(f"i-{number:017x}" for number in range(4))]},
        lambda arns: {"instanceIds": []},
        lambda arns: None,
        lambda arns: [{"Key": "ResourceGroup", "Values": arns}],
        lambda arns: {"instanceIds": [arns[0], arns[1].replace("ap-northeast-1", "us-east-1")]},
        lambda arns: {"instanceIds": [arns[0], arns[1].upper()]},
        lambda arns: {"instanceIds": [arns[0], arns[1].replace("i-", "i\u2010")]},
        lambda arns: {"instanceIds": [*arns, "*"]},
    ],
    ids=[
        "a word",
        "a tag",
        "a tag as a target",
        "a node of another account",
        "a number",
        "six nodes",
        "an empty list",
        "nothing",
        "a resource group",
        "a node of another Region",
        "upper case",
        "a look-alike",
        "all nodes",
    ],
)
async def test_request_whose_nodes_are_uncertain_cannot_be_decided_in_teams(
    world: Product, change: Callable[[list[str]], object]
) -> None:
    """The card shows no node, has no buttons and says why. A forged click sends no signal."""
    world.aws.faults.rewrite("GetOpsItem", with_targets(change))
    async with world.running():
        request = await world.ask(",".join(NAMES))
        card = await world.card(request)
        assert not has_buttons(card.card)
        assert "which nodes this request is for" in shown(card.card)
        assert not any(each in shown(card.card) for each in (*NAMES, *world.aws.world.nodes.values()))
        other = await world.ask()
        forged = deepcopy(await world.card(other))
        forged.id, forged.root = card.id, card.root
        forged.activity = json.loads(json.dumps(forged.activity).replace(other, request))
        answer = await world.click(HANAKO, forged, "approve", "ok")
        assert "which nodes this request is for. Nothing was sent" in shown(answer["value"])
    assert world.signals() == 0
