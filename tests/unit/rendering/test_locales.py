"""Tests for the words in cards/locales."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files

import babel
import pytest

from bot.app_package.manifest import translation
from bot.boto.regions import region_names
from bot.config.schema import TABLES
from bot.rendering import render, summary
from bot.rendering.gallery.cards import WAITING
from bot.rendering.i18n import LOCALES, Localizer, Phrase, Words, words
from bot.rendering.render import presentation
from tests.fakes.card_text import shown
from tests.fakes.views import every_view
from tests.unit.app_package.packages import DETAILS


def test_every_locale_has_a_file_of_words() -> None:
    """Every file of words is a locale, and every locale has its file."""
    found = {entry.name for entry in (files("cards") / "locales").iterdir()}
    assert found == {f"{locale}.json" for locale in LOCALES}


@pytest.mark.parametrize("locale", LOCALES)
def test_locales_have_the_same_keys_and_placeholders(locale: str) -> None:
    """If a phrase exists in one language, it exists in all, with the same placeholders in each plural form."""
    theirs, english = words(locale).phrases, words("en").phrases
    assert theirs.keys() == english.keys()
    for key, forms in theirs.items():
        assert {_placeholders(phrase) for phrase in forms.values()} == {_placeholders(english[key]["other"])}, key


def _placeholders(phrase: Phrase) -> frozenset[str]:
    return frozenset(piece.text for piece in phrase if piece.place)


@pytest.mark.parametrize("locale", LOCALES)
def test_phrases_with_plural_forms_have_every_form_of_their_language(locale: str) -> None:
    """CLDR says which forms a language has. A phrase with the same text in all forms needs only one."""
    rule = babel.Locale.parse(locale).plural_form
    counted = [set(forms) for forms in words(locale).phrases.values() if len(forms) > 1]
    assert all(forms == {*rule.tags, "other"} for forms in counted)


@pytest.mark.parametrize("locale", LOCALES)
def test_no_file_of_words_has_a_duplicate_key(locale: str) -> None:
    """JSON silently keeps only the last of two equal keys, so a duplicate is a mistake."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert len(dict(pairs)) == len(pairs), [key for key, _ in pairs]
        return dict(pairs)

    json.loads((files("cards") / "locales" / f"{locale}.json").read_text("utf-8"), object_pairs_hook=unique)


@pytest.mark.parametrize("locale", LOCALES)
def test_every_phrase_is_used_and_none_is_missing(locale: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every view finds its words, and every phrase is used by a view, its template or the app package."""
    used: set[str] = set()
    groups: set[str] = set()
    phrase, group = Words.phrase, Localizer.group

    def recorded_phrase(self: Words, key: str, form: str = "other") -> Phrase:
        used.add(key)
        return phrase(self, key, form)

    def recorded_group(self: Localizer, name: str) -> Mapping[str, str]:
        groups.add(name)
        return group(self, name)

    monkeypatch.setattr(Words, "phrase", recorded_phrase)
    monkeypatch.setattr(Localizer, "group", recorded_group)
    for view, notice in every_view():
        groups.clear()
        render(view, locale=locale, timezone="Pacific/Kiritimati", notice=notice)  # no other test: no card is kept
        summary(view, locale=locale)
        used |= {f"{name}.{word}" for name in groups for word in _words_of(presentation(view).template)}
    translation(DETAILS, locale)
    used |= {key for key in words(locale).phrases if key.startswith("command.")}  # for every language at once
    used |= {key for key in words(locale).phrases if key.startswith("region.")}  # AWS has them all
    unused = set(words(locale).phrases) - used
    assert unused == set(), "no view and no template uses these words: remove them, or add a sample to the gallery"


@cache
def _words_of(template: str) -> frozenset[str]:
    """Return the keys of a template's fixed words, such as `title` for `${words.title}`."""
    return frozenset(re.findall(r"\bwords\.(\w+)", (files("cards") / f"{template}.json").read_text("utf-8")))


def test_words_for_regions_are_those_of_aws() -> None:
    """Each code is a Region, and its English words are part of AWS's name."""
    english = Localizer("en", "UTC")
    places = [key.removeprefix("region.") for key in words("en").phrases if key.startswith("region.")]
    assert [code for code in places if english.text(f"region.{code}") not in region_names()[code]] == []


SETTINGS = re.compile(
    r"node-access\.toml|\[\w+\]|user:|\b(?:approvers in|decide =|"
    + "|".join(sorted({name for table in TABLES.values() for name in table.model_fields if "_" in name}))
    + r")\b"
)
FOR_ADMINISTRATORS = ("admin_card.", "admin_click.", "setup.", "message.already_set_up")


def _texts(locale: str) -> Mapping[str, str]:
    """Return the texts of a locale by key and plural form."""
    return {
        f"{key}.{form}": "".join(f"{{{piece.text}}}" if piece.place else piece.text for piece in phrase)
        for key, forms in words(locale).phrases.items()
        for form, phrase in forms.items()
    }


@pytest.mark.parametrize("locale", LOCALES)
def test_only_lines_for_administrators_have_names_of_settings(locale: str) -> None:
    """An approver at night need not know the configuration file."""
    texts = _texts(locale)
    assert SETTINGS.search(texts["admin_card.no_second_approver.other"])
    named = {key for key, text in texts.items() if SETTINGS.search(text)}
    assert {key for key in named if not key.startswith(FOR_ADMINISTRATORS)} == set()


@pytest.mark.parametrize("locale", LOCALES)
def test_texts_have_curly_quotes_and_no_space_before_an_ellipsis(locale: str) -> None:
    """Typewriter quotes and a space before the ellipsis look like a mistake beside those of Teams."""
    assert {key: text for key, text in _texts(locale).items() if re.search("[\"'`]| …|\\.\\.\\.", text)} == {}


def test_japanese_tells_the_withdrawal_of_a_request_from_the_revocation_of_access() -> None:
    """取り下げ is what requesters do to their own requests, 取り消し what approvers do to approved access."""
    texts = _texts("ja")
    withdrawals = {key: text for key, text in texts.items() if "cancel" in key}
    revocations = {key: text for key, text in texts.items() if "revo" in key}
    assert {key for key, text in withdrawals.items() if "取り消" in text} == set()
    assert {key for key, text in revocations.items() if "取り下げ" in text} == set()
    assert any("取り下げ" in text for text in withdrawals.values())
    assert any("取り消" in text for text in revocations.values())


def test_japanese_adds_the_honorific_only_to_names_of_people() -> None:
    """No other phrase has it, so that it never follows the name of a machine's session, which is in brackets."""
    assert {key for key, text in _texts("ja").items() if "さん" in text} == {"name.person.other"}
    machine = replace(WAITING, requester="deploy-agent-7", requester_is_person=False)
    assert "「deploy-agent-7」の申請" in shown(render(machine, locale="ja", timezone="UTC"))
    assert "さん" not in shown(render(machine, locale="ja", timezone="UTC"))
    assert summary(machine, locale="ja") == "「deploy-agent-7」が web-prod-01 へのアクセスを申請しています"
    assert "山田 太郎 さんの申請" in shown(render(replace(WAITING, requester="山田 太郎"), locale="ja", timezone="UTC"))
