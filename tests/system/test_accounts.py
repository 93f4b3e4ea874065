"""Several accounts and Regions with the whole program over real HTTP: the bot's own account and two others.

The third account is the delegated administrator's, where AWS keeps a replica of every request.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.sandbox.aws.event_bus import Delivery
from bot.sandbox.aws.world import ACCOUNT, REGION
from bot.service.sources.sweep import Sweep
from tests.fakes.other_place import OtherPlace
from tests.fakes.people import HANAKO
from tests.fakes.product import TOML, UNPACED, Product, product
from tests.fakes.store import all_watched

ELSEWHERE, OTHER, ADMINISTRATOR = "us-east-2", "444455556666", "777788889999"
READER = "NodeAccessReader"
ACCOUNTS = f"""
[[accounts]]
id = "{ACCOUNT}"
regions = ["{REGION}", "{ELSEWHERE}"]

[[accounts]]
id = "{OTHER}"
regions = ["{REGION}"]
reader_role = "arn:aws:iam::{OTHER}:role/{READER}"

[[accounts]]
id = "{ADMINISTRATOR}"
regions = ["{REGION}"]
reader_role = "arn:aws:iam::{ADMINISTRATOR}:role/{READER}"
"""


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Product]:
    """An organization's AWS and Teams. The bot's file has the sample account in two Regions and two other accounts.

    Each test sets up the other accounts and Regions with `branch`.
    """
    async with product(monkeypatch, tmp_path, rates=UNPACED, administrator=(ADMINISTRATOR, REGION)) as world:
        world.toml = TOML + ACCOUNTS
        world.sweep_seconds = 0.5
        yield world


def branch(world: Product, account: str, region: str, *roles: str) -> OtherPlace:
    """Set up an account and Region with these roles; return the place."""
    made = OtherPlace(world.aws, account, region)
    made.set_up(*roles)
    return made


async def approve(world: Product, place: OtherPlace, request: str) -> None:
    """Approve a request on its card, which names the place; wait until the card shows the approval."""
    card = await world.card(request)
    assert place.account in str(card.card)
    assert f"gw-{place.account}-{place.region}" in str(card.card)
    await world.click(HANAKO, card, "approve")
    await world.until(lambda: "Approved by" in str(world.cards(request)[0].card))


async def test_each_decision_reaches_the_account_and_region_of_its_request(world: Product) -> None:
    """One channel has the cards of two requests: one in another Region, one in another account.

    Each signal goes to the account and Region of its request, in the approver role of that account.
    """
    places = [branch(world, ACCOUNT, ELSEWHERE), branch(world, OTHER, REGION, READER)]
    branch(world, ADMINISTRATOR, REGION, READER)
    async with world.running():
        requests = {place: await place.ask() for place in places}
        for place, request in requests.items():
            await approve(world, place, request)
    calls = world.aws.calls("SendAutomationSignal")
    assert [(call.caller, call.region) for call in calls] == [
        (f"arn:aws:sts::{each.account}:assumed-role/NodeAccessApprover/{HANAKO.upn}", each.region) for each in places
    ]
    assert [effect.ops_item_id for effect in world.aws.effects("Approve")] == list(requests.values())


async def test_bot_reads_its_own_account_with_its_own_credentials_and_other_accounts_with_reader_roles(
    world: Product,
) -> None:
    """Both the reads of requests (GetOpsItem) and the lists of the sweep (DescribeOpsItems) are called in this way."""
    places = [branch(world, ACCOUNT, ELSEWHERE), branch(world, OTHER, REGION, READER)]
    branch(world, ADMINISTRATOR, REGION, READER)
    async with world.running():
        for place in places:
            await world.card(await place.ask())
    readers = {(call.caller, call.region) for call in world.aws.calls("GetOpsItem")}
    assert readers == {
        (world.aws.world.bot.arn, ELSEWHERE),
        (f"arn:aws:sts::{OTHER}:assumed-role/{READER}/node-access-bot", REGION),
    }
    assert {(call.caller, call.region) for call in world.aws.calls("DescribeOpsItems")} == {
        *readers,
        (world.aws.world.bot.arn, REGION),
        (f"arn:aws:sts::{ADMINISTRATOR}:assumed-role/{READER}/node-access-bot", REGION),
    }


async def test_replica_in_the_delegated_administrator_account_gets_no_row_and_no_card(world: Product) -> None:
    """The only row is that of the request in its own account. Two sweeps make no GetOpsItem call for the replica."""
    other = branch(world, OTHER, REGION, READER)
    branch(world, ADMINISTRATOR, REGION, READER)
    world.aws.events.deliver(Delivery.NEVER)
    async with world.running() as program:
        request = await other.ask()
        await world.card(request)
        replicas = [each for each in world.aws.state.all(account=ADMINISTRATOR, region=REGION) if each.replica_of]
        assert [each.replica_of for each in replicas] == [(OTHER, REGION, request)]
        sweep = next(each for each in program.sources if isinstance(each, Sweep))
        await sweep.sweep()
        await sweep.sweep()
        rows = (await all_watched(program.services.rows.store)).rows
    assert [(row.key.account, row.key.ops_item_id) for row in rows] == [(OTHER, request)]
    assert world.cards(replicas[0].id) == []
    assert [c for c in world.aws.calls("GetOpsItem") if c.params["OpsItemId"] == replicas[0].id] == []


async def test_missing_reader_role_of_one_account_does_not_delay_cards_of_another_account(world: Product) -> None:
    """Later requests in the bot's own account get their cards.

    The request in the account without the role gets its card once the role exists.
    """
    here, other = branch(world, ACCOUNT, ELSEWHERE), branch(world, OTHER, REGION)
    branch(world, ADMINISTRATOR, REGION, READER)
    async with world.running():
        late = await other.ask()
        early = await here.ask()
        await world.card(early)
        await world.card(await world.ask())
        assert world.cards(late) == []
        assert any(call.error == "AccessDenied" for call in world.aws.calls("AssumeRole"))
        world.aws.callers.add_role(other.role(READER))
        await world.card(late)


async def test_event_of_an_account_that_is_not_in_the_file_creates_no_row_and_no_card(world: Product) -> None:
    """The bot does not call GetOpsItem for the request. A later request in the bot's own account gets its card."""
    foreign = branch(world, "999988887777", REGION)
    branch(world, ADMINISTRATOR, REGION, READER)
    branch(world, OTHER, REGION, READER)
    async with world.running() as program:
        unseen = await foreign.ask()
        request = await world.ask()
        await world.card(request)
        rows = await program.services.rows.store.find(unseen)
    assert [call for call in world.aws.calls("GetOpsItem") if call.params["OpsItemId"] == unseen] == []
    assert (list(rows), world.cards(unseen)) == ([], [])


async def test_card_displays_a_console_decision_in_another_account_without_an_event(world: Product) -> None:
    """The sweep finds the decision, and the card loses its buttons. AWS gets no signal but the console's own."""
    other = branch(world, OTHER, REGION, READER)
    branch(world, ADMINISTRATOR, REGION, READER)
    world.aws.events.deliver(Delivery.NEVER)
    async with world.running():
        request = await other.ask()
        await world.card(request)
        await other.decide(request, "Reject")
        await world.until(lambda: "Rejected" in str(world.cards(request)[0].card))
    assert "'verb': 'approve'" not in str(world.cards(request)[0].card)
    assert world.signals() == 1  # the console's own
