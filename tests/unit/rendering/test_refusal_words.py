"""Tests for the words of refusals in every language: a reason, then that nothing was sent, then advice."""

import pytest

from bot.domain.rules.permission import Refusal
from bot.domain.shown.views import REASONS, Notice
from bot.rendering import summary
from bot.rendering.i18n import LOCALES

NOTHING_SENT = {"en": "Nothing was sent", "ja": "AWS には送信していません"}
ACTIONS = {
    "en": ("ry again", "sk ", "use the", "use its", "open that", "Use the"),
    "ja": ("もう一度お試しください", "依頼してください", "使ってください", "取り下げてください", "使い、"),
}


@pytest.mark.parametrize("locale", NOTHING_SENT)
@pytest.mark.parametrize("refusal", Refusal)
def test_words_of_every_refusal_have_a_reason_and_advice(refusal: Refusal, locale: str) -> None:
    """Between the two, the text says that nothing was sent."""
    text = summary(Notice(refusal), locale=locale)
    reason, sent, action = text.partition(NOTHING_SENT[locale])
    assert len(reason) > 10
    assert sent
    assert any(each in action for each in ACTIONS[locale]), text


@pytest.mark.parametrize("locale", LOCALES)
def test_no_two_notices_have_the_same_words(locale: str) -> None:
    """People who ask for help can therefore say which notice they saw."""
    texts = [summary(Notice(code), locale=locale) for code in REASONS]
    assert len(set(texts)) == len(texts)
