"""Tests for the words in cards/locales."""

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import pytest

from bot.app_package.manifest import translation
from bot.rendering import render, summary
from bot.rendering.i18n import LOCALES, Localizer, Phrase, Words, words
from bot.rendering.render import presentation
from tests.fakes.views import every_view
from tests.unit.app_package.packages import DETAILS


def test_every_locale_has_a_file_of_words() -> None:
    """Every file of words is a locale, and every locale has its file."""
    found = {entry.name for entry in (files("cards") / "locales").iterdir()}
    assert found == {f"{locale}.json" for locale in LOCALES}


@pytest.mark.parametrize("locale", LOCALES)
def test_locales_have_the_same_keys_and_placeholders(locale: str) -> None:
    """If a phrase exists in one language, it exists in all, with the same placeholders."""
    theirs, english = words(locale).phrases, words("en").phrases
    assert theirs.keys() == english.keys()
    assert {key: _placeholders(phrase) for key, phrase in theirs.items()} == {
        key: _placeholders(phrase) for key, phrase in english.items()
    }


def _placeholders(phrase: Phrase) -> set[str]:
    return {piece.text for piece in phrase if piece.place}


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

    def recorded_phrase(self: Words, key: str) -> Phrase:
        used.add(key)
        return phrase(self, key)

    def recorded_group(self: Localizer, name: str) -> Mapping[str, str]:
        groups.add(name)
        return group(self, name)

    monkeypatch.setattr(Words, "phrase", recorded_phrase)
    monkeypatch.setattr(Localizer, "group", recorded_group)
    for view, notice in every_view():
        groups.clear()
        render(view, locale=locale, timezone="Asia/Tokyo", notice=notice)
        summary(view, locale=locale)
        used |= {f"{name}.{word}" for name in groups for word in _words_of(presentation(view).template)}
    translation(DETAILS, locale)
    unused = set(words(locale).phrases) - used
    assert unused == set(), "no view and no template uses these words: remove them, or add a sample to the gallery"


@cache
def _words_of(template: str) -> frozenset[str]:
    """Return the keys of a template's fixed words, such as `title` for `${words.title}`."""
    return frozenset(re.findall(r"\bwords\.(\w+)", (files("cards") / f"{template}.json").read_text("utf-8")))
