"""Tests that the gallery has a sample for every kind of view and for every code in a view."""

from collections.abc import Iterable
from typing import get_args

import pytest
import regex

from bot.domain.request import Status
from bot.domain.shown.replies.reply_views import MessageCode, MessageView, View
from bot.domain.shown.views import (
    NO_BUTTONS,
    REASONS,
    Banner,
    CardView,
    DirectKind,
    DirectView,
    NoteKind,
    NoteView,
    Notice,
    UsageState,
)
from bot.ports.teams import ChatProblem
from bot.rendering.gallery import SAMPLES, samples
from bot.rendering.gallery.cards import CARDS, HOME_PROBLEMS
from bot.rendering.gallery.japanese import JAPANESE
from bot.rendering.gallery.messages import DIRECT_PROBLEMS, MESSAGES
from bot.rendering.gallery.notices import NOTICES
from bot.rendering.gallery.sample import COLLEAGUE
from bot.rendering.i18n import words

VIEWS = [sample.view for sample in SAMPLES.values() if not isinstance(sample.view, Notice)]
GIVEN = [each for sample in SAMPLES.values() for each in (sample.view, sample.notice) if isinstance(each, Notice)]
CARD_VIEWS = [view for view in VIEWS if isinstance(view, CardView)]
NOTES = [view for view in VIEWS if isinstance(view, NoteView)]
SHOWN = {
    "class of views": ({type(view) for view in VIEWS}, get_args(View)),
    "banner": ({view.banner for view in CARD_VIEWS}, Banner),
    "reason for missing buttons": ({view.no_buttons for view in CARD_VIEWS if view.no_buttons}, NO_BUTTONS),
    "notice": ({notice.code for notice in GIVEN}, REASONS),
    "direct message": ({view.kind for view in VIEWS if isinstance(view, DirectView)}, DirectKind),
    "note": ({view.kind for view in NOTES}, NoteKind),
    "end outside Teams": ({view.status for view in NOTES if view.kind is NoteKind.OUTSIDE}, Status),
    "use of access": ({view.usage.state for view in CARD_VIEWS if view.usage}, UsageState),
    "reply": ({view.code for view in VIEWS if isinstance(view, MessageView)}, MessageCode),
}


@pytest.mark.parametrize(("shown", "existing"), SHOWN.values(), ids=SHOWN.keys())
def test_every_kind_of_view_and_every_code_has_a_sample(shown: set[object], existing: Iterable[object]) -> None:
    """A designer can print a card for every view class and for every code that changes its words."""
    assert shown == set(existing)


@pytest.mark.parametrize(("codes", "group"), [(HOME_PROBLEMS, "home_problem"), (DIRECT_PROBLEMS, "direct_problem")])
def test_every_refusal_of_teams_with_words_has_a_sample(codes: tuple[str, ...], group: str) -> None:
    """There is a sample for each code with its own words, and at least one for the codes that share the words `other`."""
    explained = {code for code in ChatProblem if f"{group}.{code}" in words("en").phrases}
    assert explained < set(codes) <= set(ChatProblem)


def test_no_two_samples_have_the_same_name() -> None:
    """If two modules used the same name, one sample would replace the other."""
    assert len(SAMPLES) == len(CARDS) + len(NOTICES) + len(MESSAGES)


def test_no_two_samples_are_equal() -> None:
    """An equal sample under a second name would only make the list of `render` longer."""
    assert len(set(SAMPLES.values())) == len(SAMPLES)


def test_english_samples_are_in_english() -> None:
    """English readers can read each sample. One colleague has a Japanese name, as it happens in a team."""
    assert regex.findall(r"[\p{Han}\p{Hiragana}\p{Katakana}]+", repr(dict(samples("en"))).replace(COLLEAGUE, "")) == []


def test_japanese_samples_have_japanese_people_and_texts() -> None:
    """Each English text of the table occurs in the samples, and in no Japanese sample."""
    english, japanese = repr(dict(samples("en"))), repr(samples("ja"))
    assert [text for text in JAPANESE if repr(text) not in english or repr(text) in japanese] == []
    assert [text for text in JAPANESE.values() if repr(text) not in japanese] == []


def test_samples_differ_between_languages_in_the_texts_of_the_table_only() -> None:
    """Names, states, times and ids are the same, so that the pictures of two languages can be compared."""
    changed = repr(dict(samples("en")))
    for text, replacement in JAPANESE.items():
        changed = changed.replace(repr(text), repr(replacement))
    assert changed == repr(samples("ja"))


def test_a_language_without_own_samples_has_the_english_ones() -> None:
    """A new language needs only its file of words."""
    assert samples("fr") == samples("en") == SAMPLES
