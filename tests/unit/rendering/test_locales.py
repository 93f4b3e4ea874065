"""The words of cards/locales."""

import json
import re
from collections import defaultdict
from importlib.resources import files

import pytest

from bot.rendering import render, summary
from bot.rendering.i18n import LOCALES, Phrase, Words, words
from tests.fakes.views import every_view

_WORDS_OF_TEMPLATES = {  # which group a template's fixed words are taken from
    "request": "card",
    "decided": "card",
    "direct-message": "direct",
    "help": "help",
    "pending": "pending",
    "setup": "setup",
}


def test_the_locales_are_the_files() -> None:
    """Every file of words is a locale that can be chosen, and every locale has its file."""
    found = {entry.name for entry in (files("cards") / "locales").iterdir()}
    assert found == {f"{locale}.json" for locale in LOCALES}


@pytest.mark.parametrize("locale", LOCALES)
def test_locales_have_the_same_keys_and_places(locale: str) -> None:
    """A phrase that exists in one language exists in all, with the same places to fill."""
    theirs, english = words(locale).phrases, words("en").phrases
    assert theirs.keys() == english.keys()
    assert {key: _places(phrase) for key, phrase in theirs.items()} == {
        key: _places(phrase) for key, phrase in english.items()
    }


def _places(phrase: Phrase) -> set[str]:
    return {piece.text for piece in phrase if piece.place}


@pytest.mark.parametrize("locale", LOCALES)
def test_no_key_is_there_twice(locale: str) -> None:
    """JSON lets the last of two equal keys win silently; here that is a mistake."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert len(dict(pairs)) == len(pairs), [key for key, _ in pairs]
        return dict(pairs)

    json.loads((files("cards") / "locales" / f"{locale}.json").read_text("utf-8"), object_pairs_hook=unique)


@pytest.mark.parametrize("locale", LOCALES)
def test_every_word_is_used_and_none_is_missing(locale: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every view finds its words, and no words are left that no view says."""
    said: set[str] = set()
    real = Words.phrase

    def recorded(self: Words, key: str) -> Phrase:
        said.add(key)
        return real(self, key)

    monkeypatch.setattr(Words, "phrase", recorded)
    for view, notice in every_view():
        render(view, locale=locale, timezone="Asia/Tokyo", notice=notice)
        summary(view, locale=locale)
    assert set(words(locale).phrases) - said - _said_by_templates() == set()


def _said_by_templates() -> set[str]:
    said: dict[str, set[str]] = defaultdict(set)
    for template, group in _WORDS_OF_TEMPLATES.items():
        source = (files("cards") / f"{template}.json").read_text("utf-8")
        said[group] |= set(re.findall(r"\bwords\.(\w+)", source))
    return {f"{group}.{name}" for group, names in said.items() for name in names}
