"""Facts on the card that help approvers to judge a request, and the way to the AWS console."""

from dataclasses import replace

import pytest

from bot.domain.request import RequestKey
from bot.domain.routing import Account
from bot.domain.shown.card import card_view
from bot.rendering import render
from bot.rendering.template import Card
from tests.fakes.card_text import nodes, shown
from tests.fakes.world import APPROVALS, World


@pytest.mark.parametrize(("locale", "label"), [("en", "Runs on"), ("ja", "稼働環境")])
async def test_card_says_in_which_cloud_a_machine_runs(world: World, locale: str, label: str) -> None:
    """Otherwise only its id would distinguish a machine in Azure or Google Cloud from other nodes."""
    key = world.aws.add()
    request = world.aws.requests[key]
    world.aws.requests[key] = replace(request, node=replace(request.node, host="Azure (japaneast)"))
    text = shown(await _card(world, key, locale=locale))
    assert f"{label}\nAzure (japaneast)" in text


@pytest.mark.parametrize(
    ("region", "site"),
    [
        ("ap-northeast-1", "https://ap-northeast-1.console.aws.amazon.com/"),
        ("us-gov-west-1", "https://us-gov-west-1.console.amazonaws-us-gov.com/"),
        ("us-gov-east-1", "https://us-gov-east-1.console.amazonaws-us-gov.com/"),
        ("cn-north-1", "https://cn-north-1.console.amazonaws.cn/"),
        ("cn-northwest-1", "https://cn-northwest-1.console.amazonaws.cn/"),
    ],
)
async def test_console_link_leads_to_the_requests_ops_item_in_the_console_of_its_partition(
    world: World, region: str, site: str
) -> None:
    """GovCloud and China have their own consoles."""
    key = _moved(world, region)
    (link,) = [each["url"] for each in nodes(await _card(world, key)) if each.get("type") == "Action.OpenUrl"]
    assert link == f"{site}systems-manager/opsitems/{key.ops_item_id}/workbench?region={region}"


@pytest.mark.parametrize("locale", ["en", "ja"])
async def test_card_names_the_account_whose_console_has_the_request(world: World, locale: str) -> None:
    """The browser may be signed in to another account. The same line names the console's tab "Requests for me"."""
    key = await world.posted()
    lines = shown(await _card(world, key, locale=locale)).splitlines()
    (line,) = [each for each in lines if "Requests for me" in each]
    assert key.account in line


def _moved(world: World, region: str) -> RequestKey:
    """Add a request in another Region."""
    first = world.aws.add()
    request = world.aws.requests.pop(first)
    key = replace(first, region=region)
    world.aws.requests[key] = replace(request, key=key)
    accounts = (Account(key.account, (region,)),)
    world.configuration.replace(replace(world.configuration.value, accounts=accounts))
    return key


async def _card(world: World, key: RequestKey, *, locale: str = "en") -> Card:
    """Return the card of a request, after a reconcile."""
    record = await world.shown(key)
    view = card_view(record, APPROVALS, world.configuration.value, world.clock.now())
    return render(view, locale=locale, timezone="UTC")
