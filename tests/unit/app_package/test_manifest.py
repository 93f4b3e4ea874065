"""Tests for the manifest of the app: commands, languages, scopes and the permission."""

import json
from dataclasses import replace
from typing import Any

import pytest

from bot.app_package.archive import MANIFEST, contents
from bot.app_package.manifest import LANGUAGE_FILES, manifest, translation
from bot.domain.shown.replies.commands import BotCommand
from bot.domain.shown.replies.reply_views import HelpView
from bot.rendering import render
from bot.rendering.command_names import COMMAND_NAMES
from bot.rendering.i18n import LOCALES
from tests.fakes.card_text import nodes
from tests.unit.app_package.packages import APP_ID, DETAILS, entries


def commands(scope: str, locale: str) -> list[tuple[str, str]]:
    """Return titles and descriptions of the commands that Teams offers in a scope, in a language."""
    document = manifest(DETAILS, version="1.0.0")
    lists: list[dict[str, Any]] = document["bots"][0]["commandLists"]
    place = next(place for place, each in enumerate(lists) if each["scopes"] == [scope])
    if locale == "en":
        return [(each["title"], each["description"]) for each in lists[place]["commands"]]
    texts = translation(DETAILS, locale)
    rows = (f"bots[0].commandLists[{place}].commands[{row}]" for row, _ in enumerate(lists[place]["commands"]))
    return [(texts[f"{row}.title"], texts[f"{row}.description"]) for row in rows]


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize(("scope", "personal"), [("team", False), ("personal", True)])
def test_commands_of_the_manifest_are_those_of_the_help_card(scope: str, personal: bool, locale: str) -> None:
    """The same commands in the same order, with the same explanation; both name them in that language."""
    card = render(HelpView(personal=personal), locale=locale, timezone="UTC")
    runs = [node for node in nodes(card) if node.get("type") == "TextRun"]
    lines = [run["text"] for run in runs if run.get("fontType") == "Monospace"]
    explained = [run["text"] for run in runs if run.get("fontType") != "Monospace"]
    offered = commands(scope, locale)
    assert {title for title, _ in offered} <= set(COMMAND_NAMES[locale].values())
    assert all(f"{line} ".startswith(f"{title} ") for (title, _), line in zip(offered, lines, strict=True))
    assert all(does.startswith(text) for (_, does), text in zip(offered, explained, strict=True))


@pytest.mark.parametrize("locale", LOCALES)
def test_only_the_status_command_of_the_manifest_has_an_example_with_an_argument(locale: str) -> None:
    """Teams writes the title into the message; the description shows what is added to it."""
    does = dict(commands("team", locale))
    name = COMMAND_NAMES[locale][BotCommand.STATUS]
    assert does.pop(name).endswith(f"{name} oi-…")
    assert not any("oi-" in text for text in does.values())


def test_manifest_has_the_setup_command_for_channels_but_not_for_personal_chats() -> None:
    """In a personal chat, `setup` has no meaning."""
    assert ("setup" in dict(commands("team", "en")), "setup" in dict(commands("personal", "en"))) == (True, False)


def test_every_language_of_the_cards_is_in_the_package() -> None:
    """The manifest is in English and names a file for each further language."""
    document = json.loads(entries()[MANIFEST])
    further = document["localizationInfo"]["additionalLanguages"]
    assert {document["localizationInfo"]["defaultLanguageTag"], *(each["languageTag"] for each in further)} == set(
        LOCALES
    )
    assert {each["file"] for each in further} == set(LANGUAGE_FILES.values()) <= entries().keys()


def test_translations_of_the_manifest_have_the_same_keys_in_every_language() -> None:
    """A text that one language lacks would be shown in English."""
    (first, *others) = [translation(DETAILS, locale).keys() for locale in LOCALES]
    assert others
    assert all(keys == first for keys in others)


def test_manifest_has_the_scopes_team_and_personal() -> None:
    """Without `personal`, it cannot write to requesters. It does not work in group chats."""
    (bot,) = manifest(DETAILS, version="1.0.0")["bots"]
    assert (bot["scopes"], bot["botId"], bot["isNotificationOnly"]) == (["team", "personal"], APP_ID, False)


def test_manifest_supports_private_and_shared_channels() -> None:
    """They need the feature level at the top level, and the permission, which needs an app registration."""
    registration = "22222222-2222-4222-8222-222222222222"
    document = manifest(replace(DETAILS, registration_id=registration), version="1.0.0")
    assert document["supportsChannelFeatures"] == "tier1"
    assert document["authorization"]["permissions"]["resourceSpecific"] == [
        {"name": "ChannelMember.Read.Group", "type": "Application"}
    ]
    assert document["webApplicationInfo"]["id"] == registration
    assert document["webApplicationInfo"]["resource"]


def test_name_of_the_app_is_the_same_in_every_language() -> None:
    """People mention the bot by its name, and the documents use it."""
    other = replace(DETAILS, name="Node Access Test")
    files = contents(other, version="1.0.0")
    assert json.loads(files[MANIFEST])["name"]["short"] == "Node Access Test"
    assert {json.loads(files[name])["name.short"] for name in LANGUAGE_FILES.values()} == {"Node Access Test"}
