"""Changes of node-access.toml while the bot runs: a valid file takes effect as a whole, an invalid one is ignored."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs

from bot.config.file import parse_configuration
from bot.config.file_source import FileSource
from bot.domain.decision import DecisionState, Outcome
from bot.domain.identity import IdentityRules
from bot.domain.record import Record
from bot.domain.request import RequestKey, Status
from bot.domain.routing import Channel
from bot.domain.rules.permission import Refusal
from bot.ports.aws import AwsThrottled, AwsUnavailable, SignalRefused, SignalThrottled
from bot.ports.store import StoreUnavailable
from bot.sandbox.sandbox import free_port
from bot.service.clicks.click import Verb
from bot.service.incoming import IncomingMessage
from tests.fakes.aws import ACCOUNT, REGION
from tests.fakes.chat import CHANNEL, HANAKO, ICHIRO, TARO_PERSON
from tests.fakes.people import HANAKO as HANAKO_IN_TEAMS
from tests.fakes.product import product
from tests.fakes.store import MemoryStore
from tests.fakes.watching import TOML, WatchingBot
from tests.fakes.world import APPROVALS, CANCEL_ROLE, World, code_of, new_world

PAUSED = TOML.replace("approvers =", "decide = false\napprovers =")
NOBODY = TOML.replace('["members"]', "[]")
LEADS = '\n[[channels]]\nname = "leads"\nconversation = "19:leads@thread.tacv2"\napprovers = ["members"]\n'
MATCHING = TOML.replace('name = "approvals"', 'name = "approvals"\nmatch = {}')


class FileBot(WatchingBot):
    """A bot over fakes that reloads a configuration file."""

    def __init__(self, world: World, path: Path) -> None:
        super().__init__(world, FileSource(path), path.read_bytes())
        self.path = path

    async def settle(self) -> None:
        """Check the file often enough that a change takes effect, and let the bot update the cards."""
        for _ in range(3):
            await self.reloading.check()
        await self.world.clock.advance(1)

    async def put(self, text: str | bytes) -> None:
        """Write the file in place and let the bot read it."""
        self.path.write_bytes(text.encode() if isinstance(text, str) else text)
        await self.settle()


@asynccontextmanager
async def _running(tmp_path: Path, text: str) -> AsyncIterator[FileBot]:
    path = tmp_path / "node-access.toml"
    path.write_text(text)
    async with new_world().running() as world:
        bot = FileBot(world, path)
        await bot.settle()
        yield bot


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[FileBot]:
    """A running bot with a valid file."""
    async with _running(tmp_path, TOML) as running:
        yield running


async def test_approver_who_is_removed_from_the_file_is_refused_without_a_restart(bot: FileBot) -> None:
    """A click is checked against the current list of approvers."""
    key = await bot.posted()
    await bot.put(TOML.replace('["members"]', f'["user:{ICHIRO.object_id}"]'))
    assert await bot.code(key) is Refusal.NOT_APPROVER
    assert bot.world.aws.count("signal") == 0
    await bot.code(key, ICHIRO)
    assert bot.world.aws.count("signal") == 1


async def test_file_change_while_a_click_reads_the_roster_applies_to_this_click(bot: FileBot) -> None:
    """The click arrived before the change, but it is checked against the new file."""
    key = await bot.posted()
    bot.world.people.before_member.append(lambda: bot.put(NOBODY))
    assert await bot.code(key) is Refusal.NOBODY
    assert bot.world.aws.count("signal") == 0


async def test_pause_of_a_channel_removes_the_buttons_of_open_cards_until_the_pause_ends(bot: FileBot) -> None:
    """Open cards lose their buttons and say why, and clicks on old cards are refused.

    After the pause, the buttons return, and a click decides.
    """
    key = await bot.posted()
    assert "approve" in _verbs(bot.card())
    await bot.put(PAUSED)
    assert "approve" not in _verbs(bot.card())
    assert "decide = false" in str(bot.card())
    for verb in (Verb.APPROVE, Verb.REJECT):
        assert await bot.code(key, verb=verb) is Refusal.PAUSED
    assert bot.world.aws.count("signal") == 0
    await bot.put(TOML)
    assert "approve" in _verbs(bot.card())
    await bot.code(key)
    assert bot.world.aws.count("signal") == 1


async def test_card_in_a_paused_channel_shows_an_approval_from_outside_teams(bot: FileBot) -> None:
    """A pause stops decisions in Teams, not the updates of cards."""
    await bot.put(PAUSED)
    key = await bot.posted()
    bot.world.aws.end(key, Status.APPROVED)
    await bot.world.rows.requeue(key)
    await bot.world.clock.advance(1)
    assert "decide = false" not in bot.card()
    assert "Approved" in bot.card()


def _verbs(card: str) -> set[str]:
    return {verb for verb in ("approve", "reject") if f"'{verb}'" in str(card)}


@pytest.mark.parametrize(
    "broken",
    ["[[channels", "", NOBODY + "approvers = 5", NOBODY.replace("trusted_roles", "trusted"), b"\xff", "channels = 1"],
)
async def test_invalid_configuration_file_has_no_effect_and_is_reported(bot: FileBot, broken: str | bytes) -> None:
    """Not even its valid parts take effect; a valid file clears the problem."""
    key = await bot.posted()
    with capture_logs() as logs:
        await bot.put(broken)
    (refused,) = [each for each in logs if each["event"] == "configuration_refused"]
    assert refused["problems"]
    assert bot.problem is not None
    assert await bot.code(key) is None
    assert bot.world.aws.count("signal") == 1
    await bot.put(TOML)
    assert bot.problem is None


async def test_missing_configuration_file_leaves_the_configuration_unchanged_and_is_reported(bot: FileBot) -> None:
    """Decisions continue under the last valid file."""
    bot.path.unlink()
    await bot.settle()
    assert bot.problem is not None
    assert await bot.code(await bot.posted()) is None


async def test_changed_configuration_file_takes_effect_after_two_identical_reads(bot: FileBot) -> None:
    """A half-written file may be valid too, so a single read has no effect on a click."""
    key = await bot.posted()
    bot.path.write_text(NOBODY)
    await bot.reloading.check()
    assert await bot.code(key) is None
    bot.path.write_text(TOML)
    await bot.reloading.check()
    bot.path.write_text(NOBODY)
    await bot.reloading.check()
    assert approvers_of(bot) == ("members",)
    await bot.reloading.check()
    assert approvers_of(bot) == ()


def approvers_of(bot: FileBot) -> tuple[str, ...]:
    """Return the approvers of the first channel in the active configuration."""
    return bot.world.configuration.value.channels[0].approvers


@pytest.mark.parametrize("how", ["rename", "symlink"])
async def test_configuration_file_can_be_replaced_by_rename_or_symbolic_link(
    bot: FileBot, how: str, tmp_path: Path
) -> None:
    """Editors rename a new file into place; Kubernetes switches a symbolic link."""
    other = tmp_path / "other.toml"
    other.write_text(NOBODY)
    if how == "rename":
        other.replace(bot.path)
    else:
        (tmp_path / "link").symlink_to(other)
        os.replace(tmp_path / "link", bot.path)  # noqa: PTH105  # replaces the link, not its target
    await bot.settle()
    assert await bot.code(await bot.posted()) is Refusal.NOBODY


async def test_new_comment_in_the_configuration_file_makes_no_request_due(bot: FileBot) -> None:
    """A file that differs only in a comment and in its modification time is not a change."""
    key = await bot.posted()
    version = (await bot.world.row(key)).version
    await bot.put("# a comment\n" + TOML)
    assert (await bot.world.row(key)).version == version


async def test_new_way_of_private_answers_takes_effect_without_an_update_of_cards(bot: FileBot) -> None:
    """Nothing else in the file changes. A command in the channel is then answered for its person alone."""
    await bot.posted()
    reads = bot.world.aws.count("observe")
    await bot.put(TOML + '[teams]\nprivate_replies = "targeted"\n')
    reply = await bot.world.commands.answer(IncomingMessage("pending", HANAKO, CHANNEL, personal=False))
    assert (reply.private, bot.world.aws.count("observe")) == (True, reads)


async def test_only_changed_accounts_wait_for_a_restart(bot: FileBot) -> None:
    """Other changes take effect immediately. The pending restart is reported for as long as the accounts differ."""
    key = await bot.posted()
    accounts = f'\n[[accounts]]\nid = "{ACCOUNT}"\nregions = ["{REGION}", "us-east-2"]\n'
    with capture_logs() as logs:
        await bot.put(NOBODY + accounts)
    assert "accounts_wait_for_restart" in {each["event"] for each in logs}
    assert "restart" in str(bot.problem)
    assert await bot.code(key) is Refusal.NOBODY
    await bot.put(TOML)
    assert bot.problem is None


async def test_role_that_is_no_longer_trusted_identifies_no_requester(bot: FileBot) -> None:
    """Until the request is reconciled under the new rules, clicks are refused.

    After that, its requester is unidentified.
    """
    key = await bot.posted()
    bot.world.aws.gates["observe"] = gate = asyncio.Event()
    await bot.put(TOML.replace('["Operator"]', '["Another"]'))
    click = asyncio.create_task(bot.code(key))
    await bot.world.clock.advance(3)
    gate.set()
    assert click.result() is Refusal.RECONFIGURED
    await bot.world.clock.advance(1)
    assert await bot.code(key) is Refusal.UNIDENTIFIED
    assert bot.world.aws.count("signal") == 0


async def test_reload_of_the_configuration_file_keeps_the_cancel_role_of_an_account(bot: FileBot) -> None:
    """[[accounts]] waits for a restart as a whole: requesters can still cancel after another change."""
    key = await bot.posted()
    accounts = bot.world.configuration.value.accounts
    assert [account.cancel_role for account in accounts] == [CANCEL_ROLE]
    await bot.put(PAUSED)
    assert bot.world.configuration.value.accounts == accounts
    await bot.world.click_handler.click(bot.world.withdrawn(key))
    assert [str(signal.action) for signal in bot.world.aws.signals] == ["cancel"]


ELSEWHERE = TOML.replace('name = "approvals"', 'name = "leads"').replace(CHANNEL, "19:leads@thread.tacv2")


@pytest.mark.parametrize("rerouted", [False, True])
@pytest.mark.parametrize("verb", [Verb.APPROVE, Verb.REJECT])
async def test_decision_is_withdrawn_if_its_channel_is_removed_before_the_signal_is_sent(
    rerouted: bool, verb: Verb
) -> None:
    """The permission was for that channel, so no other channel's role and no credentials of the bot send the decision."""
    world = new_world()
    key = await world.posted()
    world.aws.before["prepare"].append(SignalThrottled("ThrottlingException"))
    click = asyncio.create_task(world.press(key, HANAKO, verb))
    await world.aws.arrived["prepare"].wait()
    other = parse_configuration(ELSEWHERE.encode())
    world.configuration.value = replace(world.configuration.value, channels=other.channels)
    if rerouted:
        await world.shown(key)
    await world.clock.advance(10)
    await click
    await world.click_handler.drain()
    (decision,) = (await world.row(key)).decisions
    assert (decision.state, decision.outcome) == (DecisionState.RELEASED, Outcome.NOT_ROUTED)
    assert world.aws.signals == []


@pytest.mark.parametrize(
    ("before", "after", "outcome", "roles"),
    [
        ("NodeAccessApprover", None, Outcome.NOT_ROUTED, []),
        ("NodeAccessApprover", "NodeAccessLead", None, ["arn:aws:iam::111122223333:role/NodeAccessLead"]),
        (None, None, None, [None]),
    ],
)
async def test_decision_is_sent_in_the_current_role_or_not_at_all(
    before: str | None, after: str | None, outcome: Outcome | None, roles: list[str | None]
) -> None:
    """A new role is used, a removed one stops the decision, and a channel that never had a role sends without one."""

    def channel(role: str | None) -> Channel:
        return replace(APPROVALS, approver_role=role and f"arn:aws:iam::{{account}}:role/{role}")

    world = new_world(channel(before))
    key = await world.posted()
    world.aws.before["prepare"].append(SignalThrottled("ThrottlingException"))
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.aws.arrived["prepare"].wait()
        world.configuration.replace(replace(world.configuration.value, channels=(channel(after),)))
        await world.clock.advance(5)
        await click
    (decision,) = (await world.row(key)).decisions
    assert (decision.outcome, [each.session and each.session.role for each in world.aws.signals]) == (outcome, roles)


async def test_decision_in_a_channel_that_is_renamed_before_the_signal_is_sent(bot: FileBot) -> None:
    """AWS throttled the decision, and it is sent after the row has the channel's new name.

    The conversation identifies the channel.
    """
    key = await bot.posted()
    world = bot.world
    world.aws.before["prepare"].append(SignalThrottled("ThrottlingException"))
    click = asyncio.create_task(world.press(key, HANAKO))
    await world.aws.arrived["prepare"].wait()
    bot.path.write_text(TOML.replace('name = "approvals"', 'name = "production"'))
    for _ in range(3):
        await bot.reloading.check()
    await world.shown(key)
    await world.clock.advance(10)
    await click
    assert [signal.role for signal in world.aws.signals] == [f"arn:aws:iam::{ACCOUNT}:role/NodeAccessApprover"]


async def test_cards_show_a_change_of_the_file_made_during_a_store_outage(bot: FileBot) -> None:
    """Requests that differ from the new file become due once the store works again."""
    await bot.posted()
    store = bot.world.store
    assert isinstance(store, MemoryStore)
    store.broken = True
    await bot.put(PAUSED)
    store.broken = False
    await bot.world.clock.advance(5)
    await bot.settle()
    assert "decide = false" in str(bot.card())


async def test_only_requests_of_a_changed_channel_are_reconciled(tmp_path: Path) -> None:
    """A change of one channel does not read AWS for the requests of another."""
    async with _running(tmp_path, MATCHING + LEADS + "fallback = true\n") as bot:
        await bot.posted()
        world, path = bot.world, bot.path
        reads = world.aws.count("observe")
        await bot.put(path.read_text().replace("fallback = true", 'fallback = true\nlocale = "ja"'))
        assert world.aws.count("observe") == reads
        await bot.put(path.read_text().replace("match = {}", 'match = {}\nlocale = "ja"'))
        assert world.aws.count("observe") == reads + 1


async def test_escalation_begins_when_the_pause_of_the_second_channel_ends(tmp_path: Path) -> None:
    """Its time was over during the pause. The second channel has no card yet, and its own entry alone changes."""
    home = 'name = "approvals"\nfallback = true\nescalate_after = "2h"\nescalate_to = "leads"'
    text = TOML.replace('name = "approvals"', home) + LEADS
    async with _running(tmp_path, text + "decide = false\n") as bot:
        await bot.posted()
        await bot.world.clock.advance(3 * 3600)
        assert [sent.where for sent in bot.world.chat.of("post")] == [CHANNEL]
        await bot.put(text)
        assert [sent.where for sent in bot.world.chat.of("post")] == [CHANNEL, "19:leads@thread.tacv2"]


async def test_changed_order_of_channels_takes_effect(tmp_path: Path) -> None:
    """The first match wins, so a file that only changes the order is a change."""
    leads = LEADS + "match = {}\nfallback = true\n"
    async with _running(tmp_path, MATCHING + leads) as bot:
        with capture_logs() as logs:
            await bot.put(leads + MATCHING)
        assert [each.name for each in bot.world.configuration.value.channels] == ["leads", "approvals"]
        assert "configuration_read" in {each["event"] for each in logs}


async def test_configuration_file_that_is_valid_again_is_logged(bot: FileBot) -> None:
    """The event is logged even if the content equals the current configuration."""
    await bot.put("[[channels")
    with capture_logs() as logs:
        await bot.put(TOML)
    assert [each["event"] for each in logs].count("configuration_read") == 1


async def test_row_that_cannot_be_made_due_after_a_file_change_does_not_stop_other_rows(
    bot: FileBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other rows become due immediately; the failed row is retried until the store accepts it."""
    stuck, _ = keys = bot.world.aws.add(1), bot.world.aws.add(2)
    for key in keys:
        await bot.world.rows.requeue(key)
    await bot.world.clock.advance(1)
    requeue = bot.world.rows.requeue

    async def refusing(key: RequestKey) -> Record:
        if key == stuck:
            raise StoreUnavailable("this row alone")
        return await requeue(key)

    with monkeypatch.context() as patched:
        patched.setattr(bot.world.rows, "requeue", refusing)
        await bot.put(PAUSED)
        assert await _paused_cards(bot) == 1
    await bot.settle()
    assert await _paused_cards(bot) == 2


async def _paused_cards(bot: FileBot) -> int:
    await bot.world.clock.advance(1)
    return sum("decide = false" in str(each.card) for each in bot.world.chat.of("post"))


async def test_click_that_waits_for_another_decision_is_checked_again_before_its_claim(bot: FileBot) -> None:
    """An approver who is removed while their click waits is refused."""
    key = await bot.posted()
    gate = bot.world.aws.gates["prepare"] = asyncio.Event()
    bot.world.aws.before["prepare"].append(SignalRefused("AccessDenied", denied=True))
    first = asyncio.create_task(bot.code(key, HANAKO))
    await bot.world.clock.advance(0.1)
    second = asyncio.create_task(bot.code(key, ICHIRO))
    await bot.world.clock.advance(0.1)
    bot.path.write_text(TOML.replace('["members"]', f'["user:{HANAKO.object_id}"]'))
    for _ in range(3):
        await bot.reloading.check()
    gate.set()
    await bot.world.clock.advance(3)
    assert (first.result(), second.result()) == (Outcome.AWS_DENIED, Refusal.NOT_APPROVER)
    assert bot.world.aws.count("signal") == 0


async def test_pause_of_a_channel_stops_revocations(bot: FileBot) -> None:
    """The decided card loses its button until the pause ends; a click on an old card sends no signal."""
    key = await bot.posted()
    await bot.code(key)
    until = bot.world.clock.now() + timedelta(hours=1)
    bot.world.aws.requests[key] = replace(bot.world.aws.requests[key], access_until=until)
    await bot.world.rows.requeue(key)
    await bot.world.clock.advance(1)
    assert "'revoke'" in str(bot.card())
    await bot.put(PAUSED)
    assert "'revoke'" not in str(bot.card())
    assert await bot.code(key, verb=Verb.REVOKE) is Refusal.PAUSED
    assert bot.world.aws.count("signal") == 1
    await bot.put(TOML)
    assert "'revoke'" in str(bot.card())


async def test_requester_can_cancel_a_request_in_a_paused_channel(bot: FileBot) -> None:
    """Cancelling one's own request is not a decision."""
    key = await bot.posted()
    await bot.put(PAUSED)
    cancelling = asyncio.create_task(bot.world.click_handler.click(bot.world.withdrawn(key, TARO_PERSON)))
    await bot.world.clock.advance(3)
    await cancelling
    assert [str(each.action) for each in bot.world.aws.signals] == ["cancel"]


@asynccontextmanager
async def _readiness(url: str) -> AsyncIterator[tuple[int, dict[str, dict[str, str]]]]:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/readyz") as answer:
        yield answer.status, await answer.json()


async def test_program_applies_a_pause_and_stays_ready_with_an_invalid_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Over real HTTP, a click in a paused channel is refused. An invalid file is a problem, but the bot stays ready."""
    monkeypatch.setattr("bot.config.file_source.PERIOD", 0.05)
    port = free_port()
    async with product(monkeypatch, tmp_path) as world, AsyncExitStack() as stack:
        world.changed["metrics_port"] = port
        await stack.enter_async_context(world.running())
        card = await world.card(await world.ask())
        old = type(card)(conversation=card.conversation, root=card.root, id=card.id, activity=dict(card.activity))
        world.file.write_text(world.toml.replace("approvers =", "decide = false\napprovers =", 1))
        await world.until(lambda: "decide = false" in str(card.card))
        answer = await world.click(HANAKO_IN_TEAMS, old, "approve")
        assert "paused" in str(answer)
        assert world.signals() == 0
        world.file.write_text("[[channels")
        async with asyncio.timeout(20):
            while True:
                async with _readiness(f"http://127.0.0.1:{port}") as (status, body):
                    if "configuration" in body["problems"]:
                        break
        assert (status, body["missing"]) == (200, {})


async def test_requester_is_identified_again_after_the_rules_changed_during_downtime() -> None:
    """The rules changed while the bot was down. The new ones do not identify the requester, so the click is refused."""
    world = new_world()
    key = await world.posted()
    other = IdentityRules(trusted_roles=frozenset({"Another"}))
    world.configuration.value = replace(world.configuration.value, identity=other)
    world.build()
    async with world.running():
        answer = await world.press(key, HANAKO)
    assert answer.notice is not None
    assert (answer.notice.code, world.aws.count("signal")) == (Refusal.UNIDENTIFIED, 0)


async def _identified_by_an_earlier_version(world: World, key: RequestKey) -> None:
    """Store the requester with another fingerprint of the same identity rules, as an earlier version would; restart."""

    def marked(row: Record) -> Record:
        assert row.requester is not None
        return replace(row, requester=replace(row.requester, rules="0123456789abcdef"))

    await world.rows.apply(key, marked)
    world.build()


@pytest.mark.parametrize("verb", [Verb.APPROVE, Verb.REJECT, Verb.REVOKE, Verb.CANCEL])
async def test_first_click_after_an_upgrade_of_the_bot_sends_its_signal(verb: Verb) -> None:
    """After an upgrade that changes no rule, no click is lost: the requester is identified again during the click."""
    world = new_world()
    key = await world.posted()
    async with world.running():
        if verb is Verb.REVOKE:
            await world.press(key, ICHIRO)
            await world.clock.advance(5)
        await _identified_by_an_earlier_version(world, key)
    signals = world.aws.count("signal")
    async with world.running():
        cancelled = verb is Verb.CANCEL
        await world.click_handler.click(world.withdrawn(key) if cancelled else world.pressed(key, HANAKO, verb))
    assert world.aws.count("signal") == signals + 1


@pytest.mark.parametrize("problem", [AwsThrottled("ThrottlingException"), AwsUnavailable("InternalServerError")])
async def test_first_click_after_an_upgrade_of_the_bot_sends_its_signal_although_one_read_fails(
    problem: Exception,
) -> None:
    """The read that identifies the requester again fails once. The click is still sent within its three seconds."""
    world = new_world()
    key = await world.posted()
    await _identified_by_an_earlier_version(world, key)
    world.aws.before["observe"] = [problem]
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(2.9)
        assert click.done()
        assert world.aws.count("signal") == 1


async def test_first_click_after_an_upgrade_of_the_bot_is_refused_while_the_roster_cannot_be_read() -> None:
    """The rosters fail at that moment. The click is refused for this cause, and the next one after a minute is sent."""
    world = new_world()
    key = await world.posted()
    await _identified_by_an_earlier_version(world, key)
    world.people.failing = True
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(2.9)
        assert code_of(await click) is Refusal.ROSTER_UNAVAILABLE
        world.people.failing = False
        await world.clock.advance(60)
        await world.press(key, HANAKO)
    assert world.aws.count("signal") == 1


async def test_click_is_refused_if_identifying_the_requester_again_takes_too_long() -> None:
    """The click is answered in time, and refused. Once the requester is identified, the next click is sent."""
    world = new_world()
    key = await world.posted()
    await _identified_by_an_earlier_version(world, key)
    world.aws.gates["observe"] = gate = asyncio.Event()
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO, comment="why"))
        await world.clock.advance(2.6)
        assert code_of(click.result()) is Refusal.RECONFIGURED
        gate.set()
        await world.clock.advance(1)
        await world.press(key, HANAKO)
    assert world.aws.count("signal") == 1


async def test_requester_is_identified_again_before_a_cancellation_is_checked() -> None:
    """Former rules did not identify the requester, the current ones do: the requester's click cancels the request."""
    world = new_world()
    key = await world.posted()

    def unidentified(row: Record) -> Record:
        assert row.requester is not None
        return replace(row, requester=replace(row.requester, identified=False, person=None, rules="former"))

    await world.rows.apply(key, unidentified)
    async with world.running():
        await world.click_handler.click(world.withdrawn(key))
    assert [str(signal.action) for signal in world.aws.signals] == ["cancel"]


@pytest.mark.parametrize(("reader_role", "waits"), [("", False), (f"arn:aws:iam::{ACCOUNT}:role/Reader", True)])
async def test_new_external_id_needs_a_restart_only_if_a_reader_role_uses_the_external_id(
    tmp_path: Path, reader_role: str, waits: bool
) -> None:
    """The roles of decisions use the external id immediately, so without a reader role no restart is needed."""
    account = f'\n[[accounts]]\nid = "{ACCOUNT}"\nregions = ["{REGION}"]\n'
    text = TOML + account + (f'reader_role = "{reader_role}"\n' if reader_role else "")
    async with _running(tmp_path, text) as bot:
        await bot.put(text.replace("[identity]", '[identity]\nexternal_id = "node-access"'))
        assert ("restart" in str(bot.problem)) is waits
        assert bot.world.configuration.value.identity.external_id == "node-access"
