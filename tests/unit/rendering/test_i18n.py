"""Tests for dates, durations and the parsing of phrases."""

from datetime import UTC, datetime, timedelta

import pytest

from bot.rendering.i18n import LOCALES, Localizer, WordsError, parse_phrase, words

MOMENT = datetime(2026, 11, 30, 5, 19, tzinfo=UTC)


def no_break(text: str) -> str:
    """Return the text with no-break spaces in place of tildes, and word joiners in place of underscores."""
    return text.replace("~", "\N{NO-BREAK SPACE}").replace("_", "\N{WORD JOINER}")


@pytest.mark.parametrize(
    ("locale", "timezone", "shown"),
    [
        ("en", "Asia/Tokyo", "Mon,~Nov~30,~14:19~JST"),
        ("ja", "Asia/Tokyo", "11_月_30_日_(月)~14:19~JST"),
        ("en", "UTC", "Mon,~Nov~30,~05:19~UTC"),
        ("en", "America/Sao_Paulo", "Mon,~Nov~30, 02:19~UTC-03:00"),
        ("en", "Asia/Kathmandu", "Mon,~Nov~30, 11:04~UTC+05:45"),
    ],
)
def test_shown_time_has_day_time_and_zone(locale: str, timezone: str, shown: str) -> None:
    """The zone is a common abbreviation or, without one, the offset from UTC. Only a long one can break."""
    assert Localizer(locale, timezone).moment(MOMENT, beside=MOMENT) == no_break(shown)


def test_year_of_a_time_is_shown_unless_a_time_beside_it_has_the_same_year() -> None:
    """The year is left out only if `beside` has the same year in the card's time zone."""
    tokyo, utc = Localizer("en", "Asia/Tokyo"), Localizer("en", "UTC")
    assert tokyo.moment(MOMENT) == no_break("Mon,~Nov~30,~2026, 14:19~JST")
    new_year = datetime(2026, 12, 31, 20, tzinfo=UTC)
    assert utc.moment(new_year, beside=MOMENT) == no_break("Thu,~Dec~31,~20:00~UTC")
    assert tokyo.moment(new_year, beside=MOMENT) == no_break("Fri,~Jan~1,~2027, 05:00~JST")


@pytest.mark.parametrize(
    ("span", "en", "ja"),
    [
        (timedelta(hours=1), "1~hour", "1~時間"),
        (timedelta(hours=4), "4~hours", "4~時間"),
        (timedelta(minutes=90), "1~hour 30~minutes", "1~時間 30~分"),
        (timedelta(hours=24), "1~day", "1~日"),
        (timedelta(hours=25), "1~day 1~hour", "1~日 1~時間"),
        (timedelta(days=7), "7~days", "7~日"),
        (timedelta(hours=336), "14~days", "14~日"),
        (timedelta(days=400), "400~days", "400~日"),
        (timedelta(seconds=3), "1~minute", "1~分"),
    ],
)
def test_durations_are_shown_in_days_hours_and_minutes(span: timedelta, en: str, ja: str) -> None:
    """Parts of zero, such as "0 hours", are left out. Less than a minute is shown as one minute. A number stays with its unit."""
    assert Localizer("en", "UTC").duration(span) == no_break(en)
    assert Localizer("ja", "UTC").duration(span) == no_break(ja)


def test_phrases_have_plain_emphasized_and_code_placeholders() -> None:
    """The phrase itself defines the style of each placeholder."""
    pieces = parse_phrase("{a} b {c:strong} {d:code}{{e}}")
    assert "".join(piece.filled({"a": "1", "c": "2", "d": "3"}) for piece in pieces) == "1 b 2 3{e}"
    assert [(piece.weight, piece.font) for piece in pieces if piece.place] == [
        ("Default", "Default"),
        ("Bolder", "Default"),
        ("Default", "Monospace"),
    ]


@pytest.mark.parametrize("phrase", ["{", "{}", "{a.b}", "{a!r}", "{a:>10}", "}"])
def test_malformed_phrase_of_a_language_is_refused(phrase: str) -> None:
    """Braces must be paired. A placeholder must have a name and no other format than a known style."""
    with pytest.raises(WordsError):
        parse_phrase(phrase)


def test_missing_phrase_value_or_locale_is_refused() -> None:
    """Rendering fails instead of showing a key or an empty placeholder."""
    with pytest.raises(WordsError):
        Localizer("en", "UTC").text("card.no_such_words")
    with pytest.raises(WordsError):
        parse_phrase("{who}")[0].filled({})
    with pytest.raises(WordsError):
        words("de")


@pytest.mark.parametrize(
    ("count", "en", "ja"),
    [
        (1, "1 approval needed", "1 名の承認が必要"),
        (2, "2 approvals needed", "2 名の承認が必要"),
        (0, "0 approvals needed", "0 名の承認が必要"),
    ],
)
def test_count_chooses_the_plural_form_of_the_language(count: int, en: str, ja: str) -> None:
    """The rules are those of CLDR. A phrase without plural forms is used for every count."""
    assert Localizer("en", "UTC").text("value.approvals_needed", count) == en
    assert Localizer("ja", "UTC").text("value.approvals_needed", count) == ja
    assert Localizer("en", "UTC").text("pending.more", 1234) == "and 1,234 more"


def test_values_are_never_parsed_as_phrases() -> None:
    """Braces in a value are shown as text."""
    assert parse_phrase("{a}")[0].filled({"a": "{a} {b}"}) == "{a} {b}"


@pytest.mark.parametrize("locale", LOCALES)
def test_every_locale_has_the_group_of_fixed_words_for_cards(locale: str) -> None:
    """The templates of the card take their fixed words from the group `card`."""
    assert Localizer(locale, "UTC").group("card")
