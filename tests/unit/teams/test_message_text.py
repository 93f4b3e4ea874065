"""Tests for bot.teams.wire.message_text: the text of a message without the mention of the bot."""

import html
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.teams.wire.activity import Inbound, parse
from bot.teams.wire.message_text import LONGEST_TEXT, is_personal, message_text, stated_locale, stated_timezone
from tests.fakes import activities
from tests.fakes.activities import Place
from tests.fakes.people import APP_ID, BOT_NAME, HANAKO

CHANNEL = Place(id="19:approvers@thread.tacv2;messageid=1", kind="channel", team="19:team@thread.tacv2")
CHAT = Place(id="a:1-personal-hanako", kind="personal")
BOT = {"type": "mention", "text": f"<at>{BOT_NAME}</at>", "mentioned": {"id": f"28:{APP_ID}", "name": BOT_NAME}}
OTHER = {"type": "mention", "text": "<at>花子</at>", "mentioned": {"id": HANAKO.id, "name": "花子"}}


def _said(text: str, place: Place = CHANNEL, **fields: Any) -> Inbound:
    body = activities.message("", sender=HANAKO, place=place, service_url="https://example.com/", **fields)
    return parse(json.dumps({**body, "text": text}).encode())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"<at>{BOT_NAME}</at> pending", "pending"),
        (f"<at>{BOT_NAME}</at>&nbsp;pending\n", "pending"),
        (f"<at>{BOT_NAME}</at>\u00a0 status   oi-0123456789ab \r\n", "status oi-0123456789ab"),
        (f"status <at>{BOT_NAME}</at> oi-0123456789ab", "status oi-0123456789ab"),
        (f"<at>{BOT_NAME}</at>", ""),
        (f"<at>花子</at> <at>{BOT_NAME}</at> pending", "pending"),
        (f"<at>{BOT_NAME}</at> <at>花子</at> pending", "pending"),
        ("<at>Node</at>&nbsp;<at>Access Bot</at> pending", "pending"),
        (f'<at id="0">{BOT_NAME}</at> pending', "pending"),
        ("pending", "pending"),
        ("", ""),
    ],
)
def test_mentions_are_left_out_of_the_text_of_a_message(text: str, words: str) -> None:
    """Mentions of the bot or of people may be anywhere in the text, in one or several tags, with any spaces."""
    assert message_text(_said(text, entities=[BOT, OTHER])) == words


@pytest.mark.parametrize("name", ["R&D Access", 'Access <"A">', "Zugriff & mehr’s"])
@pytest.mark.parametrize("tag", ["<at>{}</at>", "{}"])
@pytest.mark.parametrize("form", [str, html.escape])
def test_mention_of_a_bot_name_with_markup_is_left_out(name: str, tag: str, form: Callable[[str], str]) -> None:
    """Teams may encode `&` in the text, in the entity, in both or in neither."""
    for entity in (name, html.escape(name)):
        bot = {**BOT, "text": tag.format(entity)}
        assert message_text(_said(f"{tag.format(form(name))} pending", entities=[bot])) == "pending"


def test_text_that_only_resembles_a_mention_stays_in_the_message() -> None:
    """Teams encodes what people type, so only a tag that is not encoded is a mention."""
    assert message_text(_said("&lt;at&gt;花子&lt;/at&gt; help", entities=[BOT])) == "<at>花子</at> help"
    assert message_text(_said("Node Access Bot help", entities=[BOT])) == "Node Access Bot help"
    assert message_text(_said("a &amp; b &lt; c", entities=[BOT])) == "a & b < c"


@pytest.mark.parametrize("change", [{"type": 7}, {"text": 5}, {"text": ""}, {"text": None}, {"mentioned": "28:x"}])
def test_malformed_mention_entities_are_ignored(change: dict[str, Any]) -> None:
    """A mention without a tag is removed, but not if its entity is malformed."""
    bare = {**BOT, "text": BOT_NAME}
    assert message_text(_said(f"{BOT_NAME} help", entities=[bare])) == "help"
    assert message_text(_said(f"{BOT_NAME} help", entities=[{**bare, **change}])) == f"{BOT_NAME} help"


def test_only_the_beginning_of_a_long_message_is_used() -> None:
    """A body has room for thousands of mentions, so only the first 2,000 characters of the text are used."""
    mention = f"<at>{BOT_NAME}</at>"
    assert message_text(_said(f"{mention}{'a' * LONGEST_TEXT}", entities=[BOT])) == "a" * (LONGEST_TEXT - len(mention))
    behind = f"{'a' * LONGEST_TEXT}{mention}"
    assert message_text(_said(behind, entities=[BOT])) == "a" * LONGEST_TEXT


@given(st.text(max_size=300))
def test_any_text_of_a_message_becomes_one_short_line(text: str) -> None:
    """The result has no line ends or repeated spaces, and its length is limited."""
    words = message_text(_said(text * 20, CHAT))

    assert words == " ".join(words.split())
    assert len(words) <= LONGEST_TEXT


@pytest.mark.parametrize(
    ("sent", "locale"), [("ja-JP", "ja"), ("ja", "ja"), ("JA-jp", "ja"), ("en-GB", "en"), ("de-DE", None), (None, None)]
)
def test_the_language_of_the_client_is_used_if_it_is_supported(sent: str | None, locale: str | None) -> None:
    """A missing language, or one that is not supported, is unknown."""
    assert stated_locale(_said("help", CHAT, locale=sent)) == locale


@pytest.mark.parametrize(
    ("sent", "timezone"),
    [
        ("Asia/Tokyo", "Asia/Tokyo"),
        ("America/Argentina/ComodRivadavia", "America/Argentina/ComodRivadavia"),
        ("", None),
        ("Asia", None),
        ("Mars/Base", None),
        ("../etc/passwd", None),
        ("/etc/passwd", None),
        ("Asia/Tokyo\0", None),
        ("x" * 5000, None),
        (None, None),
        (9, None),
        ([], None),
        ({"name": "Asia/Tokyo"}, None),
    ],
)
def test_the_time_zone_of_the_client_is_used_if_the_tz_database_has_it(sent: object, timezone: str | None) -> None:
    """Anything else is ignored: the activity is still accepted."""
    assert stated_timezone(_said("help", CHAT, localTimezone=sent)) == timezone


def test_only_a_message_in_a_personal_chat_is_personal() -> None:
    """The type of the conversation shows whether it is a personal chat."""
    assert is_personal(_said("help", CHAT))
    assert not is_personal(_said("help"))
