"""The sandbox's Teams with a stub bot: it shows the bot's messages, and signs and delivers people's activities."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from bot.sandbox.teams.inbound import Received
from bot.sandbox.teams.people import (
    BOT_NAME,
    HANAKO,
    ICHIRO,
    MEI,
    PLACES,
    SAMPLE_APP_ID,
    SAMPLE_TENANT,
    TARO,
    Person,
    playground_configuration,
)
from bot.sandbox.teams.playground import Playground, PlaygroundFailed
from bot.sandbox.teams.server import SandboxTeams
from tests.e2e.browser import Browser
from tests.e2e.stub_bot import APP_SECRET, StubBot, activities, card, message, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest_asyncio.fixture(loop_scope="session")
async def teams(playground_directory: Path) -> AsyncIterator[SandboxTeams]:
    """Run the sandbox's Teams with the Playground."""
    teams = await SandboxTeams.start(
        app_id=SAMPLE_APP_ID, app_secret=APP_SECRET, tenant_id=SAMPLE_TENANT, directory=playground_directory
    )
    yield teams
    await teams.stop()


@pytest.fixture
def own_directory(playground_directory: Path, tmp_path: Path) -> Path:
    """A separate folder with the same installation."""
    for installed in playground_directory.glob("playground-*"):
        (tmp_path / installed.name).symlink_to(installed)
    return tmp_path


def names_in(directory: Path) -> set[str]:
    return {entry.name for entry in directory.iterdir()}


@pytest_asyncio.fixture(loop_scope="session")
async def bot(teams: SandboxTeams) -> AsyncIterator[StubBot]:
    """Run the stub bot."""
    async with running(teams) as bot:
        yield bot


async def test_click_with_a_comment_reaches_the_bot_and_its_answer_is_displayed(
    teams: SandboxTeams, bot: StubBot, browser: Browser, pictures: Path
) -> None:
    """A page shows a card that was posted before. A click reaches the bot with the comment and the page's person."""
    thread, activity_id = await bot.post_card(teams, PLACES.channel, card("ノードへのアクセス申請"))
    page = await browser.open(teams.browser_url_for(MEI))
    await page.select("approvers")
    await page.wait_for_cards()
    await page.shoot(pictures / "playground-waiting.png")
    await page.comment("確認しました")
    await page.click("承認")
    await page.wait_for("鈴木 芽依さんが決めました")
    assert await page.count_buttons("承認") == 0
    assert "確認しました" in await page.card_text()
    await page.shoot_card(pictures / "playground-answered.png")

    click = bot.activities[-1]
    assert click["value"] == {
        "trigger": "manual",
        "action": {
            "type": "Action.Execute",
            "title": "承認",
            "verb": "approve",
            "data": {"request": "r", "step": "Level1", "comment": "確認しました"},
        },
    }
    assert (click["from"]["id"], click["from"]["aadObjectId"]) == (MEI.mri, MEI.object_id)
    assert click["channelData"]["tenant"]["id"] == SAMPLE_TENANT
    assert (click["conversation"]["id"], click["replyToId"]) == (thread, activity_id)
    assert teams.received[-1].status == 200


async def test_content_security_policy_of_a_page_allows_only_its_own_address_and_loopback(teams: SandboxTeams) -> None:
    """Besides it, the content security policy allows only `data:`, `blob:` and WebSockets on loopback."""
    async with aiohttp.ClientSession() as http, http.get(teams.browser_url) as response:
        policy = dict(each.split(" ", 1) for each in response.headers["Content-Security-Policy"].split("; "))
    sources = {source for each in policy.values() for source in each.split()}
    assert {"default-src", "connect-src", "base-uri", "form-action"} <= policy.keys()
    assert {source for source in sources if not source.startswith("'")} == {
        *("data:", "blob:"),
        *("ws://127.0.0.1:*", "ws://localhost:*"),
    }


async def test_late_click_on_a_page_with_held_updates_reaches_the_bot(
    teams: SandboxTeams, bot: StubBot, browser: Browser
) -> None:
    """The page keeps its buttons although the card was updated. Once released, it shows the missed updates."""
    late_url = teams.browser_url_for(ICHIRO, page="late")
    thread, activity_id = await bot.post_card(teams, PLACES.channel, card("申請"))
    late, early = await browser.open(late_url), await browser.open(teams.browser_url_for(MEI))
    for page in (late, early):
        await page.select("approvers")
        await page.wait_for_cards()
    teams.hold_updates(late_url)
    await bot.post(teams, "PUT", activities(thread, activity_id), message(card("却下済み", buttons=False)))
    await early.wait_for("却下済み")
    assert await late.count_buttons("承認") == 1
    bot.decided = "すでに鈴木 芽依さんが却下しました"
    await late.click("承認")
    await late.wait_for("すでに鈴木 芽依さんが却下しました")
    assert bot.activities[-1]["from"]["aadObjectId"] == ICHIRO.object_id
    teams.release_updates(late_url)
    await late.wait_for("却下済み")


async def test_update_of_a_card_reaches_every_open_page_and_is_displayed_after_a_reload(
    teams: SandboxTeams, bot: StubBot, browser: Browser
) -> None:
    """Two open pages show a reply and an updated card. One of them shows both again after a reload."""
    thread, activity_id = await bot.post_card(teams, PLACES.channel, card("申請"))
    page, other = await browser.open(teams.browser_url), await browser.open(teams.browser_url_for(MEI))
    for each in (page, other):
        await each.select("approvers")
        await each.wait_for_cards()
    await bot.post(teams, "POST", activities(thread), message("返信です"))
    await bot.post(teams, "PUT", activities(thread, activity_id), message(card("承認済み", buttons=False)))
    for each in (page, other):
        await each.wait_for("返信です")
        await each.wait_for("承認済み")
    await page.reload()
    await page.select("approvers")
    await page.wait_for("返信です")
    assert await page.count_cards() == 1
    assert "承認済み" in await page.card_text()


@pytest.mark.parametrize("recipient", [HANAKO, TARO], ids=["current-user", "another-person"])
async def test_direct_message_is_displayed_only_on_the_page_of_its_recipient(
    teams: SandboxTeams, bot: StubBot, browser: Browser, recipient: Person
) -> None:
    """A direct message to an object id appears only on that person's page; a reply to it comes from that person."""
    page = await browser.open(teams.browser_url_for(recipient))
    other = await browser.open(teams.browser_url_for(MEI))
    await bot.direct(teams, recipient, card("申請が承認されました", buttons=False))
    await page.wait_for("申請が承認されました")
    assert "申請が承認されました" not in await other.text()
    await page.say("pending")
    typed = (await teams.wait_received(is_message)).activity
    assert (typed["text"], typed["from"]["aadObjectId"]) == ("pending", recipient.object_id)
    assert typed["conversation"]["conversationType"] == "personal"


def is_message(received: Received) -> bool:
    return bool(received.activity["type"] == "message")


async def test_command_in_the_channel_reaches_the_bot_with_the_mention_and_its_author(
    teams: SandboxTeams, bot: StubBot, browser: Browser
) -> None:
    """The sender is the person whose page it is."""
    page = await browser.open(teams.browser_url_for(ICHIRO))
    await page.select("approvers")
    await page.say(" pending", mention=BOT_NAME)
    typed = (await teams.wait_received(is_message)).activity
    assert typed["text"].endswith("pending")
    assert typed["entities"][0]["mentioned"]["name"] == BOT_NAME
    assert typed["from"]["aadObjectId"] == ICHIRO.object_id


async def test_post_of_a_person_is_shown_on_other_pages_and_after_a_reload(
    teams: SandboxTeams, bot: StubBot, browser: Browser
) -> None:
    """Another page shows a person's post and the bot's reply. After a reload, the author's page shows both once."""
    author = await browser.open(teams.browser_url_for(ICHIRO))
    other = await browser.open(teams.browser_url_for(MEI))
    for page in (author, other):
        await page.select("approvers")
    await author.say(" setup", mention=BOT_NAME)
    typed = (await teams.wait_received(is_message)).activity
    await bot.post(teams, "POST", activities(typed["conversation"]["id"]), message("設定はこちら"))
    await author.wait_for("設定はこちら")
    await other.wait_for("設定はこちら")
    assert "setup" in await other.text()
    await author.reload()
    await author.select("approvers")
    await author.wait_for("設定はこちら")
    shown = await author.text()
    assert (shown.count("setup"), shown.count("設定はこちら")) == (1, 1)


async def test_page_shows_replies_in_its_thread_while_the_bot_writes_to_other_people(
    teams: SandboxTeams, bot: StubBot, browser: Browser
) -> None:
    """A page shows all replies in its open thread, although the bot also sends direct messages to other people."""
    thread, _ = await bot.post_card(teams, PLACES.channel, card("申請"))
    page = await browser.open(teams.browser_url_for(MEI))
    await page.select("approvers")
    for number in range(3):
        await bot.direct(teams, TARO, f"太郎さんへ {number}")
        await bot.direct(teams, HANAKO, f"花子さんへ {number}")
        await bot.post(teams, "POST", activities(thread), message(f"返信 {number} です"))
    for number in range(3):
        await page.wait_for(f"返信 {number} です")


async def test_installation_in_the_sandbox_sends_installation_and_conversation_updates(
    teams: SandboxTeams, bot: StubBot
) -> None:
    """As from Teams, the bot gets an installationUpdate with the person's object id, and a conversationUpdate, once."""
    await teams.install()
    assert {activity["type"] for activity in bot.activities} == {"installationUpdate", "conversationUpdate"}
    assert {activity["from"]["aadObjectId"] for activity in bot.activities} == {HANAKO.object_id}
    await teams.install()
    assert len(bot.activities) == 2


async def test_invalid_configuration_of_the_playground_is_reported_with_its_reason(own_directory: Path) -> None:
    """The reason, which the Playground writes only to its log file, is in the error. No files remain."""
    configuration = playground_configuration(app_id="app", tenant_id=SAMPLE_TENANT)
    del configuration["team"]
    before = names_in(own_directory)
    with pytest.raises(PlaygroundFailed, match="must have required property 'team'"):
        await Playground.start(
            configuration,
            bot_endpoint="http://127.0.0.1:9/api/messages",
            service_url="http://127.0.0.1:9/amer/",
            directory=own_directory,
        )
    assert names_in(own_directory) == before


PARENT = """
import asyncio, os, pathlib, sys
from bot.sandbox.teams.server import SandboxTeams

async def main():
    teams = await SandboxTeams.start(
        app_id="app", app_secret="secret", tenant_id="tenant", directory=pathlib.Path(sys.argv[1])
    )
    sys.stdout.write(f"{teams.front.connector.playground_url}\\n")
    sys.stdout.flush()
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_playground_ends_when_its_parent_is_killed(own_directory: Path) -> None:
    """After SIGKILL of the sandbox, the Playground no longer listens on its port and leaves no files."""
    before = names_in(own_directory)
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(own_directory)], cwd=root, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline().rpartition(":")[2])
        assert listeners(port) == ["127.0.0.1"]
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    deadline = time.monotonic() + 20
    while listeners(port) and time.monotonic() < deadline:
        pass
    assert listeners(port) == []
    assert names_in(own_directory) == before


def listeners(port: int) -> list[str]:
    """Return the addresses on which a socket listens at this port, as the kernel lists them."""
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, local_port = local.partition(":")
            if state == "0A" and int(local_port, 16) == port:  # 0A: listening
                found.append("127.0.0.1" if address == "0100007F" else address)
    return found
