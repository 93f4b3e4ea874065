"""The whole product in a browser: AWS simulated, Teams as the Playground, the bot as in production."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from bot.sandbox.aws.event_bus import Delivery
from bot.sandbox.sandbox import Options, Sandbox, running_sandbox
from bot.sandbox.teams.people import HANAKO, ICHIRO, MEI, TARO, Person
from tests.e2e.browser import Browser, Page

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
Starter = Callable[[str], AbstractAsyncContextManager[Sandbox]]
TALL = (1280, 1300)  # a whole card fits below the Playground's header, which would else cover a part in pictures
REASON = "決済 API の 5xx が増えたため調査します。*至急* [チケット](https://evil.example) <at>all</at> INC-20481"
PLAIN_REASON = "Orders have failed with HTTP 502 since 06:30, and the connection pool looks exhausted. Ticket INC-20481"


@pytest.fixture
def staged(tmp_path: Path, playground_directory: Path) -> Starter:
    """Starts the local world as `make sandbox` does, with its files in a folder of the test's own."""

    def start(locale: str) -> AbstractAsyncContextManager[Sandbox]:
        return running_sandbox(
            Options(folder=tmp_path, installation=playground_directory, locale=locale, sweep_seconds=2.0)
        )

    return start


@pytest.fixture
async def stage(staged: Starter) -> AsyncIterator[Sandbox]:
    """The local world with a Japanese channel."""
    async with staged("ja") as stage:
        yield stage
        assert stage.aws.mistakes == []


async def ask(stage: Sandbox, node: str = "web-prod-01", reason: str = REASON) -> str:
    """Ask for access as the sample requester."""
    return await asyncio.to_thread(stage.aws.control.request_access, node=node, reason=reason)


async def at_the_channel(stage: Sandbox, browser: Browser, person: Person, *, page: str = "") -> Page:
    """Return a page of a person who looks at the approvers' channel."""
    opened = await browser.open(stage.teams.browser_url_for(person, page=page), size=TALL)
    await opened.select("approvers")
    return opened


def signals(stage: Sandbox) -> int:
    """Return how many signals AWS received."""
    return len(stage.aws.calls("SendAutomationSignal"))


async def test_rejected_then_clicked_late(stage: Sandbox, browser: Browser, pictures: Path) -> None:
    """Rejected with a comment; a click after the decision is told who decided, and AWS hears nothing of it."""
    requester = await browser.open(stage.teams.browser_url_for(TARO))
    await ask(stage)
    page = await at_the_channel(stage, browser, ICHIRO)
    late = await at_the_channel(stage, browser, MEI, page="late")
    for each in (page, late):
        await each.wait_for("web-prod-01")
        await each.wait_for_cards()
    text = await page.card_text()
    assert REASON in text
    assert "山田 太郎" in text
    await page.shoot_card(pictures / "waiting-ja.png")

    stage.teams.hold_updates(stage.teams.browser_url_for(MEI, page="late"))
    await page.comment("作業チケットがありません。起票してから再申請してください。")
    await page.click("却下")
    await page.wait_for("作業チケットがありません")
    await page.shoot_card(pictures / "rejected-ja.png")
    assert signals(stage) == 1

    await late.comment("問題なさそうです")
    await late.click("承認")
    await late.wait_for("作業チケットがありません")
    await late.shoot_card(pictures / "late-click-ja.png")
    text = await late.card_text()
    assert "田中 一郎" in text
    assert signals(stage) == 1
    assert len(stage.aws.effects()) == 1

    await requester.wait_for("作業チケットがありません")
    await requester.shoot_card(pictures / "dm-rejected-ja.png")


async def test_approved_and_connected(stage: Sandbox, browser: Browser, pictures: Path) -> None:
    """A new request is listed as pending, approved, and the requester gets the commands to connect."""
    await ask(stage)
    page = await at_the_channel(stage, browser, HANAKO)
    await page.wait_for("web-prod-01")
    await page.wait_for_cards()

    own = await browser.open(stage.teams.browser_url_for(TARO))
    await page.comment("了解しました。終わったら連絡してください。")
    await page.click("承認")
    await page.wait_for("承認済み")
    await page.wait_for("SendAutomationSignal")
    await page.shoot(pictures / "approved-thread-ja.png")
    assert [effect.kind for effect in stage.aws.effects()] == ["Approve"]
    (call,) = stage.aws.calls("SendAutomationSignal")
    assert call.caller.endswith(f"assumed-role/NodeAccessApprover/{HANAKO.upn}")
    await own.wait_for("start-session")
    await own.wait_for(f"{HANAKO.name} さんが承認")
    await own.shoot_card(pictures / "dm-approved-ja.png")
    second = await ask(stage, node="factory-gw-osaka")
    await page.wait_for("factory-gw-osaka")
    await own.say("pending")
    await own.wait_for(second)
    await own.shoot(pictures / "pending-ja.png")


async def test_english_card_and_two_levels(staged: Starter, browser: Browser, pictures: Path) -> None:
    """In English; a click on the first level's button after that level has passed decides nothing."""
    async with staged("en") as stage:
        await ask(stage, node="db-prod-01", reason=PLAIN_REASON)
        page = await at_the_channel(stage, browser, ICHIRO)
        late = await at_the_channel(stage, browser, MEI, page="late")
        for each in (page, late):
            await each.wait_for("db-prod-01")
            await each.wait_for_cards()
        await page.shoot_card(pictures / "waiting-en.png")
        stage.teams.hold_updates(stage.teams.browser_url_for(MEI, page="late"))
        await page.click("Approve")
        await page.wait_for("Level2")
        await late.click("Approve")
        await late.wait_for("Level2")
        await late.shoot_card(pictures / "step-passed-en.png")
        assert signals(stage) == 1
        await late.click("Approve")
        await late.wait_until_gone("Waiting for approval")
        await late.shoot_card(pictures / "approved-en.png")
        assert [effect.step for effect in stage.aws.effects()] == ["Level1", "Level2"]
        assert stage.aws.mistakes == []


async def test_decided_while_the_bot_was_down(stage: Sandbox, browser: Browser) -> None:
    """The console decides while the bot is down: one sweep after its start the card shows it."""
    request = await ask(stage)
    page = await at_the_channel(stage, browser, ICHIRO)
    await page.wait_for("web-prod-01")
    await stage.bot.kill()
    stage.aws.events.deliver(Delivery.NEVER)
    await asyncio.to_thread(stage.aws.control.decide, request, "reject", comment="コンソールで却下")
    await stage.bot.start()
    await page.wait_for("コンソールで却下")
    assert signals(stage) == 1
