"""The whole product in a browser: simulated AWS, the Playground as Teams, the bot as in production."""

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
LAPTOP = (1440, 900)
TALL = (1280, 1300)  # fits a whole card; otherwise the Playground's header covers a part of it in pictures
REASON = "決済 API の 5xx が増えたため調査します。*至急* [チケット](https://evil.example) <at>all</at> INC-20481"
PLAIN_REASON = "Orders have failed with HTTP 502 since 06:30, and the connection pool looks exhausted. Ticket INC-20481"


@pytest.fixture
def start_sandbox(tmp_path: Path, playground_directory: Path) -> Starter:
    """Return a function that starts the sandbox as `make sandbox` does, with its files in the test's own folder."""

    def start(locale: str) -> AbstractAsyncContextManager[Sandbox]:
        return running_sandbox(
            Options(folder=tmp_path, installation=playground_directory, locale=locale, sweep_seconds=2.0)
        )

    return start


@pytest.fixture
async def sandbox(start_sandbox: Starter) -> AsyncIterator[Sandbox]:
    """The sandbox with a Japanese channel."""
    async with start_sandbox("ja") as sandbox:
        yield sandbox
        assert sandbox.aws.mistakes == []


async def ask(sandbox: Sandbox, node: str = "web-prod-01", reason: str = REASON, by: str = TARO.upn) -> str:
    """Request access, as the sample requester or another session. Return the request's id."""
    return await asyncio.to_thread(sandbox.aws.control.request_access, node=node, reason=reason, by=by)


async def channel_page(sandbox: Sandbox, browser: Browser, person: Person, *, page: str = "") -> Page:
    """Return the page of a person who has the approvers' channel open."""
    opened = await browser.open(sandbox.teams.browser_url_for(person, page=page), size=TALL)
    await opened.select("approvers")
    return opened


def signals(sandbox: Sandbox) -> int:
    """Return how many signals AWS received."""
    return len(sandbox.aws.calls("SendAutomationSignal"))


async def test_late_click_after_a_rejection_shows_who_decided(
    sandbox: Sandbox, browser: Browser, pictures: Path
) -> None:
    """A late click after a rejection with a comment shows who decided, and sends nothing to AWS."""
    requester = await browser.open(sandbox.teams.browser_url_for(TARO))
    await ask(sandbox)
    page = await channel_page(sandbox, browser, ICHIRO)
    late = await channel_page(sandbox, browser, MEI, page="late")
    for each in (page, late):
        await each.wait_for("web-prod-01")
        await each.wait_for_cards()
    text = await page.card_text()
    assert REASON in text
    assert "山田 太郎" in text
    await page.shoot_card(pictures / "waiting-ja.png")

    sandbox.teams.hold_updates(sandbox.teams.browser_url_for(MEI, page="late"))
    await page.click("却下…")
    await page.comment("作業チケットがありません。起票してから再申請してください。")
    await page.click("却下")
    await page.wait_for("さんが却下")  # until AWS has answered, the card says who clicked
    await page.wait_for("作業チケットがありません")
    await page.shoot_card(pictures / "rejected-ja.png")
    assert signals(sandbox) == 1

    await late.click("コメントを付けて承認…")
    await late.comment("問題なさそうです")
    await late.click("承認")
    await late.wait_for("作業チケットがありません")
    await late.shoot_card(pictures / "late-click-ja.png")
    text = await late.card_text()
    assert "田中 一郎" in text
    assert signals(sandbox) == 1
    assert len(sandbox.aws.effects()) == 1

    await requester.wait_for("作業チケットがありません")
    await requester.shoot_card(pictures / "dm-rejected-ja.png")


async def test_requester_receives_the_connect_commands_after_an_approval(
    sandbox: Sandbox, browser: Browser, pictures: Path
) -> None:
    """The requester gets the commands in a direct message. Later, `pending` lists the requester's next request."""
    await ask(sandbox)
    page = await channel_page(sandbox, browser, HANAKO)
    await page.wait_for("web-prod-01")
    await page.wait_for_cards()

    own = await browser.open(sandbox.teams.browser_url_for(TARO))
    await page.click("コメントを付けて承認…")
    await page.comment("了解しました。終わったら連絡してください。")
    await page.click("承認")
    await page.wait_for("承認済み")
    await page.click("AWS の記録")
    await page.wait_for("AWS API 呼び出し")
    await page.shoot(pictures / "approved-thread-ja.png")
    assert [effect.kind for effect in sandbox.aws.effects()] == ["Approve"]
    (call,) = sandbox.aws.calls("SendAutomationSignal")
    assert call.caller.endswith(f"assumed-role/NodeAccessApprover/{HANAKO.upn}")
    await own.wait_for("start-session")
    await own.wait_for(f"{HANAKO.name} さんが承認")
    await own.shoot_card(pictures / "dm-approved-ja.png")
    second = await ask(sandbox, node="factory-gw-osaka")
    await page.wait_for("factory-gw-osaka")
    await own.say("pending")
    await own.wait_for(second)
    await own.shoot(pictures / "pending-ja.png")


async def test_late_click_on_the_first_of_two_levels_only_updates_the_card(
    start_sandbox: Starter, browser: Browser, pictures: Path
) -> None:
    """The sandbox is English. The next click on the card approves the second level."""
    async with start_sandbox("en") as sandbox:
        await ask(sandbox, node="db-prod-01", reason=PLAIN_REASON)
        page = await channel_page(sandbox, browser, ICHIRO)
        late = await channel_page(sandbox, browser, MEI, page="late")
        for each in (page, late):
            await each.wait_for("db-prod-01")
            await each.wait_for_cards()
        await page.shoot_card(pictures / "waiting-en.png")
        sandbox.teams.hold_updates(sandbox.teams.browser_url_for(MEI, page="late"))
        await page.click("Approve")
        await page.wait_for("level 2 of 2")
        await late.click("Approve")
        await late.wait_for("level 2 of 2")
        await late.shoot_card(pictures / "step-passed-en.png")
        assert signals(sandbox) == 1
        await late.click("Approve")
        await late.wait_until_gone("Waiting for level 2")
        await late.shoot_card(pictures / "approved-en.png")
        assert [effect.step for effect in sandbox.aws.effects()] == ["Level1", "Level2"]
        assert sandbox.aws.mistakes == []


async def test_card_shows_a_decision_that_was_made_while_the_bot_was_down(sandbox: Sandbox, browser: Browser) -> None:
    """An approver decides in the AWS console, and no event arrives. After the restart, the card shows the decision."""
    request = await ask(sandbox)
    page = await channel_page(sandbox, browser, ICHIRO)
    await page.wait_for("web-prod-01")
    await sandbox.bot.kill()
    sandbox.aws.events.deliver(Delivery.NEVER)
    await asyncio.to_thread(sandbox.aws.control.decide, request, "reject", comment="コンソールで却下")
    await sandbox.bot.start()
    await page.wait_for("コンソールで却下")
    await page.wait_until_gone("承認待ち")
    assert await page.count_buttons("承認") == 0
    assert signals(sandbox) == 1


async def test_first_address_of_an_english_sandbox_opens_on_the_card(
    start_sandbox: Starter, browser: Browser, pictures: Path
) -> None:
    """Without a click, the page shows the beginning of the card in the channel, and every word of it is English."""
    async with start_sandbox("en") as sandbox:
        await ask(sandbox, reason=PLAIN_REASON)
        page = await browser.open(sandbox.browser_url, size=LAPTOP, hide_log=False)
        await page.wait_for("web-prod-01")
        await page.wait_for_cards()
        text = await page.card_text()
        assert "Taro Yamada" in text
        assert "Mei Suzuki" in text
        assert [each for each in text if ord(each) > 0x2FFF] == []
        await page.shoot(pictures / "first-address-en.png")
        top, bottom = await page.card_in_sight()
        assert 0 <= top < bottom
        assert bottom - top > 300


async def test_colleague_with_another_language_gets_the_refusal_in_that_language(
    start_sandbox: Starter, browser: Browser, pictures: Path
) -> None:
    """The channel of the sandbox is English, and the colleague who clicks on the own request has Teams in Japanese."""
    async with start_sandbox("en") as sandbox:
        await ask(sandbox, reason=PLAIN_REASON, by=MEI.upn)
        page = await channel_page(sandbox, browser, MEI)
        await page.wait_for("web-prod-01")
        await page.wait_for_cards()
        await page.click("Approve")
        await page.wait_for("ご自身")
        await page.shoot_card(pictures / "own-request-colleague.png")
        assert signals(sandbox) == 0
