"""Whole stories in a browser: simulated AWS, the Playground as Teams, the bot as in production.

Each test starts one sandbox and opens one page for each person. Then it tells one story after another, each with its
own request.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.sandbox.aws.event_bus import Delivery
from bot.sandbox.sandbox import Options, Sandbox, running_sandbox
from bot.sandbox.stories import MACHINE
from bot.sandbox.teams.people import HANAKO, ICHIRO, MEI, PRIYA, READER, TARO, Person
from tests.e2e.browser import Browser, Page

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
Starter = Callable[[str], AbstractAsyncContextManager[Sandbox]]
LAPTOP = (1440, 900)
TALL = (1280, 1300)  # fits a whole card; otherwise the Playground's header covers a part of it in pictures
HOSTILE = "決済 API の 5xx が増えたため調査します。*至急* [チケット](https://evil.example) <at>all</at> INC-20481"
PLAIN = "Orders have failed with HTTP 502 since 06:30, and the connection pool looks exhausted. Ticket INC-20481"
SECONDS = timedelta(seconds=10)  # of a level, and of the access that it approves


@pytest.fixture
def start_sandbox(tmp_path: Path, playground_directory: Path) -> Starter:
    """Return a function that starts the sandbox as `make sandbox` does, with its files in the test's own folder."""

    def start(locale: str) -> AbstractAsyncContextManager[Sandbox]:
        return running_sandbox(
            Options(folder=tmp_path, installation=playground_directory, locale=locale, sweep_seconds=2.0)
        )

    return start


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A sandbox, the pages of its people, and the folder for pictures."""

    sandbox: Sandbox
    pictures: Path
    approver: Page  # Hanako or Ichiro, in the channel
    late: Page  # of Mei, in the channel
    requester: Page  # Taro, in the personal chat with the bot

    async def ask(self, reason: str, *, node: str = "web-prod-01", by: str = TARO.upn) -> str:
        """Request access, and wait until the approver's page has the card. Return the request's id."""
        request = await ask(self.sandbox, reason, node=node, by=by)
        await self.approver.wait_for(node, of=reason)
        return request

    async def shoot(self, page: Page, name: str, *, of: str) -> None:
        """Save a picture of a card."""
        await page.shoot_card(self.pictures / f"{name}.png", of=of)

    @asynccontextmanager
    async def held(self, page: Page) -> AsyncIterator[None]:
        """Send a page no messages meanwhile. At each message, the Playground draws all cards again, without open forms."""
        self.sandbox.teams.hold_updates(page.url)
        await page.settle()
        try:
            yield
        finally:
            self.sandbox.teams.release_updates(page.url)

    @property
    def signals(self) -> int:
        """How many signals AWS received."""
        return len(self.sandbox.aws.calls("SendAutomationSignal"))

    @property
    def effects(self) -> list[tuple[str, str]]:
        """Kind and step of each signal or stop that took effect."""
        return [(each.kind, each.step) for each in self.sandbox.aws.effects()]


async def ask(sandbox: Sandbox, reason: str, *, node: str = "web-prod-01", by: str = TARO.upn) -> str:
    """Request access, as the sample requester or another session. Return the request's id."""
    return await asyncio.to_thread(sandbox.aws.control.request_access, node=node, reason=reason, by=by)


async def decide(sandbox: Sandbox, request: str, verdict: str, comment: str = "") -> None:
    """Decide a request in the AWS console."""
    await asyncio.to_thread(sandbox.aws.control.decide, request, verdict, comment=comment)


async def open_session(sandbox: Sandbox, request: str) -> None:
    """Open the requester's session on the node of a request."""
    await asyncio.to_thread(sandbox.aws.control.use, request, "open")


def late_url(sandbox: Sandbox) -> str:
    """Return the address of Mei's page."""
    return sandbox.teams.channel_url_for(MEI, page="late")


async def in_channel(sandbox: Sandbox, browser: Browser, person: Person) -> Page:
    """Return the page of a person who has the approvers' channel open."""
    return await browser.open(sandbox.teams.channel_url_for(person), size=TALL)


async def in_chat(sandbox: Sandbox, browser: Browser, person: Person) -> Page:
    """Return the page of a person who has the chat with the bot open, with its first message.

    Until then, the bot may not have handled the installation, which tells it the person's language.
    """
    page = await browser.open(sandbox.teams.browser_url_for(person), size=TALL)
    await page.wait_for_cards()
    return page


def shorten(sandbox: Sandbox) -> None:
    """Let the policy of cache-stg-01 last for seconds."""
    policies = sandbox.aws.state.policies[sandbox.aws.world.account, sandbox.aws.world.region]
    policy = policies.pop("One-Minute-Nodes")
    levels = tuple(replace(each, timeout=SECONDS) for each in policy.levels)
    policies["Seconds"] = replace(policy, name="Seconds", access_duration=SECONDS, levels=levels)


async def test_stories_of_an_english_channel(start_sandbox: Starter, browser: Browser, pictures: Path) -> None:
    """Views, one level, two levels, a rejection at the second, a cancellation, an expiry, and the end of access.

    Mei's Teams is in Japanese.
    """
    async with start_sandbox("en") as sandbox:
        shorten(sandbox)
        await ask(sandbox, PLAIN)
        approver = await browser.open(sandbox.browser_url, size=LAPTOP, hide_log=False)
        await first_address_opens_on_the_card(approver, pictures)
        stage = Stage(
            sandbox=sandbox,
            pictures=pictures,
            approver=approver,
            late=await browser.open(late_url(sandbox), size=TALL),
            requester=await in_chat(sandbox, browser, TARO),
        )
        await each_person_sees_their_own_view(stage, await in_channel(sandbox, browser, READER))
        await access_is_approved_and_revoked(stage)
        await ask(sandbox, "Flush the cache", node="cache-stg-01")
        used = await ask(sandbox, "Flush the sessions", node="cache-stg-01")
        await decide(sandbox, used, "approve")
        await open_session(sandbox, used)
        await two_people_approve_two_levels(stage)
        await request_is_rejected_at_the_second_level(stage)
        await requester_cancels(stage)
        await approver_requests_access(stage)
        await machine_requests_access(stage)
        await request_expires_and_access_ends(stage)
        await session_outlives_its_access(stage, "Flush the sessions")
        assert sandbox.aws.mistakes == []


async def first_address_opens_on_the_card(page: Page, pictures: Path) -> None:
    """Without a click, the page shows the beginning of the card in the channel, and every word of it is English."""
    await page.wait_for("web-prod-01", of=PLAIN)
    text = await page.card_text()
    assert "Taro Yamada" in text
    assert "Mei Suzuki" in text
    assert [each for each in text if ord(each) > 0x2FFF] == []
    await page.shoot(pictures / "first-address-en.png")
    top, bottom = await page.card_in_sight()
    assert 0 <= top < bottom
    assert bottom - top > 300


async def each_person_sees_their_own_view(stage: Stage, reader: Page) -> None:
    """Approvers see buttons, in their own language. A reader and the requester see none."""
    await stage.late.wait_for("承認待ち", of=PLAIN)
    assert await stage.late.count_buttons("承認", of=PLAIN) == await stage.approver.count_buttons("Approve", of=PLAIN)
    await reader.wait_for("Waiting for approval", of=PLAIN)
    await stage.requester.select("approvers")
    await stage.requester.wait_for("This is your request", of=PLAIN)
    for page in (reader, stage.requester):
        assert await page.count_buttons("Approve", of=PLAIN) == await page.count_buttons("Reject…", of=PLAIN) == 0
    for page, name in ((stage.late, "approver"), (reader, "reader"), (stage.requester, "requester")):
        await stage.shoot(page, f"view-{name}", of=PLAIN)
    assert [await page.count_buttons("Approve", of=PLAIN) for page in (stage.approver, reader)] == [1, 0]
    await stage.requester.select("Personal Chat")


async def access_is_approved_and_revoked(stage: Stage) -> None:
    """The requester's message shows the commands to connect until the approver revokes the access."""
    await stage.approver.click("Approve", of=PLAIN)
    await stage.requester.wait_for("start-session")
    await stage.shoot(stage.requester, "approved-message-en", of="start-session")
    async with stage.held(stage.approver):
        await stage.approver.click("Revoke access…", of=PLAIN)
        await stage.approver.comment("Incident is over", of=PLAIN)
        await stage.approver.click("Revoke", of=PLAIN)
    await stage.requester.wait_for("Your access was revoked")
    await stage.requester.wait_until_gone("start-session")
    await stage.approver.wait_for("Access revoked", of=PLAIN)
    await stage.shoot(stage.approver, "revoked-en", of=PLAIN)
    assert stage.effects == [("Approve", "ManualApproval"), ("Revoke", "")]


async def two_people_approve_two_levels(stage: Stage) -> None:
    """A late click on the first level only updates the card. The next click of this person approves the second."""
    reason = "Slow queries on orders since the release. Ticket INC-20482"
    await stage.ask(reason, node="db-prod-01")
    await stage.shoot(stage.approver, "waiting-en", of=reason)
    await stage.late.wait_for("レベル 1", of=reason)
    async with stage.held(stage.late):
        before = stage.signals
        await stage.approver.click("Approve", of=reason)
        await stage.approver.wait_for("level 2 of 2", of=reason)
        await stage.late.click("承認", of=reason)
        await stage.late.wait_for("レベル 2", of=reason)
        await stage.shoot(stage.late, "step-passed-ja", of=reason)
        assert stage.signals == before + 1
        await stage.late.click("承認", of=reason)
        await stage.approver.wait_for("Level 2: Approved by Mei Suzuki", of=reason)
    await stage.shoot(stage.approver, "approved-en", of=reason)
    assert stage.effects[-2:] == [("Approve", "Level1"), ("Approve", "Level2")]


async def request_is_rejected_at_the_second_level(stage: Stage) -> None:
    """The requester and the first approver read the comment."""
    reason = "Drop the old index"
    await stage.ask(reason, node="db-prod-01")
    await stage.approver.click("Approve", of=reason)
    await stage.late.wait_for("レベル 2", of=reason)
    async with stage.held(stage.late):
        await stage.late.click("却下…", of=reason)
        await stage.late.comment("Not before the freeze ends", of=reason)
        await stage.late.click("却下", of=reason)
    await stage.approver.wait_for("Not before the freeze ends", of=reason)
    await stage.requester.wait_for("Not before the freeze ends", of="Your request was rejected")
    await stage.shoot(stage.approver, "rejected-at-level-2-en", of=reason)
    assert stage.effects[-2:] == [("Approve", "Level1"), ("Reject", "Level2")]


async def requester_cancels(stage: Stage) -> None:
    """The button is in the requester's message. The card loses its buttons."""
    reason = "Read the access log"
    node = "factory-gw-osaka"
    await stage.ask(reason, node=node)
    await stage.requester.wait_for("waiting for approval", of=node)
    async with stage.held(stage.requester):
        await stage.requester.click("Cancel request…", of=node)
        await stage.shoot(stage.requester, "cancelling-en", of=node)
        await stage.requester.click("Cancel request now", of=node)
    await stage.approver.wait_for("Cancelled", of=reason)
    await stage.requester.wait_for("Your request was cancelled", of=node)
    assert await stage.approver.count_buttons("Approve", of=reason) == 0
    assert stage.effects[-1][0] == "Stop"


async def approver_requests_access(stage: Stage) -> None:
    """The approver sees no buttons on their own request, and a colleague does."""
    reason = "Rotate the TLS certificate"
    await stage.ask(reason, by=HANAKO.upn)
    await stage.approver.wait_for("This is your request", of=reason)
    assert await stage.approver.count_buttons("Approve", of=reason) == 0
    await stage.late.wait_for("承認待ち", of=reason)
    assert await stage.late.count_buttons("承認", of=reason) == 1


async def machine_requests_access(stage: Stage) -> None:
    """The bot cannot identify the requester: nobody gets a message, and the card says that nobody can decide."""
    reason = "Nightly deployment"
    request = await stage.ask(reason, by=MACHINE)
    await stage.approver.wait_for("couldn’t match the requester", of=reason)
    await stage.shoot(stage.approver, "unidentified-en", of=reason)
    assert await stage.approver.count_buttons("Approve", of=reason) == 0
    assert request not in await stage.requester.text()


async def request_expires_and_access_ends(stage: Stage) -> None:
    """Both began before the other stories. Their messages say how to request access again."""
    await stage.approver.wait_for("Expired", of="Flush the cache")
    await stage.requester.wait_for("No one decided in time")
    await stage.approver.wait_for("Access ended", of="Flush the sessions")
    await stage.requester.wait_for("Your access has ended")
    await stage.shoot(stage.approver, "expired-en", of="Flush the cache")
    await stage.shoot(stage.requester, "ended-message-en", of="has ended")


async def session_outlives_its_access(stage: Stage, reason: str) -> None:
    """Card and message warn of the open session. The approver ends it from the card, which says so once AWS does."""
    warning = "1 session is still open"
    await stage.approver.wait_for(warning, of=reason)
    await stage.requester.wait_for(warning)
    await stage.shoot(stage.approver, "still-open-en", of=reason)
    async with stage.held(stage.approver):
        await stage.approver.click("End open sessions…", of=reason)
        await stage.approver.comment("The incident is over", of=reason)
        await stage.shoot(stage.approver, "ending-en", of=reason)
        await stage.approver.click("End sessions", of=reason)
    for page in (stage.approver, stage.requester):
        await page.wait_for("1 session ended by Hanako Sato")
        await page.wait_until_gone(warning)
    await stage.shoot(stage.approver, "ended-by-en", of=reason)
    (call,) = stage.sandbox.aws.calls("TerminateSession")
    assert call.caller.endswith(f"NodeAccessEndSessions/{HANAKO.upn}")


async def test_stories_of_a_japanese_channel(start_sandbox: Starter, browser: Browser, pictures: Path) -> None:
    """A late click after a rejection, commands to connect, an English requester, and a restart of the bot."""
    async with start_sandbox("ja") as sandbox:
        stage = Stage(
            sandbox=sandbox,
            pictures=pictures,
            approver=await in_channel(sandbox, browser, ICHIRO),
            late=await browser.open(late_url(sandbox), size=TALL),
            requester=await in_chat(sandbox, browser, TARO),
        )
        await late_click_after_a_rejection_shows_who_decided(stage)
        await requester_gets_the_commands_to_connect(stage)
        await english_requester_reads_english(stage, await in_chat(sandbox, browser, PRIYA))
        await card_shows_a_decision_that_was_made_while_the_bot_was_down(stage)
        assert sandbox.aws.mistakes == []


async def late_click_after_a_rejection_shows_who_decided(stage: Stage) -> None:
    """It sends nothing to AWS. Both pages and the requester's have the comment."""
    await stage.ask(HOSTILE)
    await stage.late.wait_for("web-prod-01", of=HOSTILE)
    text = await stage.approver.card_text()
    assert HOSTILE in text
    assert "山田 太郎" in text
    await stage.shoot(stage.approver, "waiting-ja", of=HOSTILE)

    async with stage.held(stage.late):
        async with stage.held(stage.approver):
            await stage.approver.click("却下…", of=HOSTILE)
            await stage.approver.comment("作業チケットがありません。起票してから再申請してください。", of=HOSTILE)
            await stage.approver.click("却下", of=HOSTILE)
        await stage.approver.wait_for("さんが却下", of=HOSTILE)  # until AWS has answered, the card says who clicked
        await stage.approver.wait_for("作業チケットがありません", of=HOSTILE)
        await stage.shoot(stage.approver, "rejected-ja", of=HOSTILE)
        assert stage.signals == 1

        await stage.late.click("コメントを付けて承認…", of=HOSTILE)
        await stage.late.comment("問題なさそうです", of=HOSTILE)
        await stage.late.click("コメントを付けて承認", of=HOSTILE)
        await stage.late.wait_for("作業チケットがありません", of=HOSTILE)
        await stage.shoot(stage.late, "late-click-ja", of=HOSTILE)
        assert "田中 一郎" in await stage.late.card_text(of=HOSTILE)
        assert (stage.signals, len(stage.effects)) == (1, 1)

    await stage.requester.wait_for("作業チケットがありません")
    await stage.shoot(stage.requester, "dm-rejected-ja", of="作業チケットがありません")


async def requester_gets_the_commands_to_connect(stage: Stage) -> None:
    """In the same message, which names the approver. Later, the requester asks the bot for a list of their requests."""
    reason = "受注テーブルの遅いクエリを調べます"
    request = await stage.ask(reason)
    async with stage.held(stage.approver):
        await stage.approver.click("コメントを付けて承認…", of=reason)
        await stage.approver.comment("了解しました。終わったら連絡してください。", of=reason)
        await stage.approver.click("コメントを付けて承認", of=reason)
    await stage.approver.wait_for("承認済み", of=reason)
    note = "申請を承認しました"
    await stage.approver.wait_for(note)
    async with stage.held(stage.approver):
        await stage.approver.click("AWS の記録", of=note)
        await stage.approver.wait_for("AWS API 呼び出し", of=note)
        await stage.approver.shoot(stage.pictures / "approved-thread-ja.png")
    assert stage.effects[-1][0] == "Approve"
    assert stage.sandbox.aws.calls("SendAutomationSignal")[-1].caller.endswith(f"NodeAccessApprover/{ICHIRO.upn}")
    await stage.requester.wait_for("start-session")
    await stage.requester.wait_for(f"{ICHIRO.name} さんが承認")
    await stage.shoot(stage.requester, "dm-approved-ja", of="start-session")

    await requester_gives_access_back(stage, reason)
    waiting = await stage.ask("ファームウェアを更新します", node="factory-gw-osaka")
    for command, title, ids in (
        ("pending", "承認待ちの申請", [waiting]),
        ("自分の申請", "自分の申請", [waiting, request]),
    ):
        await stage.requester.say(command)
        for each in ids:
            await stage.requester.wait_for(each, of=title)
        await stage.shoot(stage.requester, f"command-{command}-ja", of=title)


async def requester_gives_access_back(stage: Stage, reason: str) -> None:
    """The button is in the message with the commands, which the message then no longer shows."""
    async with stage.held(stage.requester):
        await stage.requester.click("アクセスを返却する…", of="start-session")
        await stage.shoot(stage.requester, "giving-back-ja", of="start-session")
        await stage.requester.click("返却する", of="start-session")
    await stage.requester.wait_for("アクセスを返却しました")
    await stage.requester.wait_until_gone("start-session")
    await stage.approver.wait_for("アクセス返却済み", of=reason)
    await stage.shoot(stage.approver, "given-back-ja", of=reason)
    assert stage.effects[-1][0] == "Revoke"
    assert stage.sandbox.aws.calls("SendAutomationSignal")[-1].caller.endswith(f"NodeAccessGiveBack/{TARO.upn}")


async def english_requester_reads_english(stage: Stage, requester: Page) -> None:
    """The card in the channel is Japanese."""
    reason = "Replace the certificate"
    await stage.ask(reason, by=PRIYA.upn)
    await requester.wait_for("Your request is waiting for approval")
    await stage.approver.wait_for("承認待ち", of=reason)
    await stage.shoot(requester, "dm-waiting-english", of="web-prod-01")


async def card_shows_a_decision_that_was_made_while_the_bot_was_down(stage: Stage) -> None:
    """An approver decides in the AWS console, and no event arrives. After the restart, the card shows the decision."""
    reason, signals = "nginx のログを確認します", stage.signals
    request = await stage.ask(reason)
    await stage.approver.wait_for("承認待ち", of=reason)
    await stage.sandbox.bot.stop()  # a killed process would keep the row's lease for 30 s: figure 4 is about that
    stage.sandbox.aws.events.deliver(Delivery.NEVER)
    await decide(stage.sandbox, request, "reject", "コンソールで却下")
    await stage.sandbox.bot.start()
    await stage.approver.wait_for("コンソールで却下", of=reason)
    await stage.approver.wait_until_gone("承認待ち", of=reason)
    assert await stage.approver.count_buttons("承認", of=reason) == 0
    assert stage.signals == signals + 1
