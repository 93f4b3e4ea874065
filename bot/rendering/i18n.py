"""Words, dates and durations per locale. Words come from cards/locales/*.json, the rest from CLDR (Babel).

A phrase is plain text with placeholders: `{who}`, `{who:strong}` (emphasised) or `{call:code}` (to be copied). A phrase
with a count can have a text for each plural form of its language: `{"one": "{count} hour", "other": "{count} hours"}`.
This module must not know the cards or the present time: a view has the times that its card shows.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, lru_cache
from importlib.resources import files
from string import Formatter
from typing import Final, Literal, TypedDict
from zoneinfo import ZoneInfo

import babel
from babel.dates import format_skeleton, format_timedelta
from babel.lists import format_list
from babel.numbers import format_decimal

DEFAULT_LOCALE: Final = "en"


def _locales() -> tuple[str, ...]:
    """Return the tags of all files of words, the default first. Another file is another locale."""
    names = (path.name.removesuffix(".json") for path in (files("cards") / "locales").iterdir())
    return tuple(sorted(names, key=lambda name: (name != DEFAULT_LOCALE, name)))


LOCALES: Final = _locales()


def matching_locale(tag: str) -> str | None:
    """Return the locale for a language tag such as `en-US`: that of the tag, else of its language, else None."""
    spelled = {locale.casefold(): locale for locale in LOCALES}
    return spelled.get(tag.casefold()) or spelled.get(tag.partition("-")[0].casefold())


def known_timezone(name: str) -> str | None:
    """Return the name if the tz database has such a time zone, else None."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown zone, invalid path, a directory of zones
        return None
    return name


class WordsError(LookupError):
    """A locale or phrase is missing, a phrase is not well-formed, or a placeholder has no value."""


class Run(TypedDict):
    """A piece of a phrase, in the shape of an Adaptive Cards TextRun. Cards show outside text in Runs and mentions."""

    text: str
    weight: str  # "Default" or "Bolder"
    font: str  # "Default" or "Monospace"


@dataclass(frozen=True, slots=True)
class Piece:
    """Fixed text, or the name of a placeholder."""

    text: str
    place: bool = False
    weight: str = "Default"
    font: str = "Default"

    def filled(self, values: Mapping[str, str]) -> str:
        """Return the fixed text, or the placeholder's value; raise WordsError if it has none."""
        if not self.place:
            return self.text
        try:
            return values[self.text]
        except KeyError:
            raise WordsError(f"no value for {{{self.text}}}") from None


Phrase = tuple[Piece, ...]
_STYLES: Final = {"": ("Default", "Default"), "strong": ("Bolder", "Default"), "code": ("Default", "Monospace")}


def parse_phrase(text: str) -> Phrase:
    """Split a phrase into pieces; raise WordsError for one that is not well-formed."""
    try:
        return tuple(_pieces(text))
    except ValueError as error:
        raise WordsError(f"{text!r}: {error}") from None


def _pieces(text: str) -> Iterable[Piece]:
    for fixed, place, style, conversion in Formatter().parse(text):
        if fixed:
            yield Piece(fixed)
        if place is None:
            continue
        if not place.isidentifier() or conversion or style not in _STYLES:
            raise WordsError(f"{text!r} has a place that is not understood")
        weight, font = _STYLES[style]
        yield Piece(place, place=True, weight=weight, font=font)


Forms = Mapping[str, Phrase]  # by plural form of CLDR; "other" is the form without a count
_OTHER: Final = "other"


@dataclass(frozen=True, slots=True)
class Words:
    """The phrases of one locale by `group.name`, each in all its plural forms."""

    phrases: Mapping[str, Forms]
    groups: Mapping[str, Mapping[str, str]]

    def phrase(self, key: str, form: str = _OTHER) -> Phrase:
        """Return a phrase in a plural form, or in the form `other` if it has only that; raise WordsError for no phrase.

        https://www.unicode.org/cldr/charts/latest/supplemental/language_plural_rules.html
        """
        try:
            forms = self.phrases[key]
            return forms.get(form) or forms[_OTHER]
        except KeyError:
            raise WordsError(f"no words for {key}") from None


@cache
def words(locale: str) -> Words:
    """Load the phrases of a locale once; raise WordsError for an unknown locale."""
    if locale not in LOCALES:
        raise WordsError(f"no locale {locale}")
    groups = json.loads((files("cards") / "locales" / f"{locale}.json").read_text("utf-8"))
    return Words(
        {f"{group}.{name}": _forms(said) for group, each in groups.items() for name, said in each.items()}, groups
    )


def _forms(said: str | Mapping[str, str]) -> Forms:
    forms = {_OTHER: said} if isinstance(said, str) else said
    return {form: parse_phrase(text) for form, text in forms.items()}


@dataclass(frozen=True, slots=True)
class Localizer:
    """Returns texts, moments and durations in one locale and time zone."""

    locale: str
    timezone: str

    def has(self, key: str) -> bool:
        """True if the locale has words for the key."""
        return key in words(self.locale).phrases

    def text(self, key: str, count: int | None = None, /, **values: str) -> str:
        """Return the phrase `group.name` with its placeholders filled; raise WordsError if it or a value is missing.

        `count` chooses the plural form, and is the value of `{count}`.
        """
        return "".join([piece.filled(values) for piece in self._pieces(key, count, values)])

    def runs(self, key: str, count: int | None = None, /, **values: str) -> list[Run]:
        """Return a phrase as TextRuns: one for each fixed text and each placeholder. Otherwise like `text`."""
        return [
            {"text": piece.filled(values), "weight": piece.weight, "font": piece.font}
            for piece in self._pieces(key, count, values)
        ]

    def _pieces(self, key: str, count: int | None, values: dict[str, str]) -> Phrase:
        """Return the pieces of a phrase in the plural form of the count, and add the count to the values."""
        if count is None:
            return words(self.locale).phrase(key)
        form, values["count"] = _counted(self.locale, count)
        return words(self.locale).phrase(key, form)

    def group(self, name: str) -> Mapping[str, str]:
        """Return a group's phrases by name, with unfilled placeholders, without those that have plural forms.

        Raises KeyError for an unknown group.
        """
        return words(self.locale).groups[name]

    def listed(self, texts: Sequence[str]) -> str:
        """Return several texts as a sentence lists them, such as "A, B, and C"; "" for none."""
        return format_list(texts, locale=_cldr(self.locale))

    def moment(self, at: datetime, *, beside: datetime | None = None) -> str:
        """Return day and time, such as "Mon, Nov 30, 2026, 14:19 JST". A long one can break before the time.

        The same card shows the moment `beside` with its year; if both are in the same year, the year is left out.
        """
        return _moment(self.locale, self.timezone, at, beside)

    def day(self, at: datetime) -> str:
        """Return a day of the last year without its year, such as "Nov 30"."""
        return _day(self.locale, self.timezone, at)

    def duration(self, span: timedelta) -> str:
        """Return a span in days, hours and minutes, such as "1 hour 30 minutes". Less than a minute counts as one."""
        return _duration(self.locale, span)


@cache
def _cldr(locale: str) -> babel.Locale:
    return babel.Locale.parse(locale, sep="-")


@lru_cache(maxsize=1024)
def _counted(locale: str, count: int) -> tuple[str, str]:
    """Return the plural form for a number, and the number as the locale writes it."""
    language = _cldr(locale)
    return language.plural_form(count), format_decimal(count, locale=language)


# where a browser breaks a line, although the text has no space: between a digit and Han or kana
_BETWEEN_SCRIPTS: Final = re.compile(r"(?<=[0-9])(?=[\u3040-\u9fff])|(?<=[\u3040-\u9fff])(?=[0-9(])")
_LONGEST_ZONE: Final = 5  # characters; with a longer name, a moment is wider than the narrowest column


@lru_cache(maxsize=1024)
def _moment(locale: str, timezone: str, at: datetime, beside: datetime | None) -> str:
    language, zone = _cldr(locale), ZoneInfo(timezone)
    local = at.astimezone(zone)
    with_year = beside is None or beside.astimezone(zone).year != local.year
    day = format_skeleton("yMMMEd" if with_year else "MMMEd", local, locale=language)
    time = format_skeleton("Hm", local, locale=language)
    glue, zone_name = str(language.datetime_formats["medium"]), _zone_name(local)
    breaks = with_year or len(zone_name) > _LONGEST_ZONE
    parts = (glue if breaks else _unbroken(glue)).replace("{1}", _unbroken(day))
    return parts.replace("{0}", _unbroken(f"{time} {zone_name}"))


@lru_cache(maxsize=1024)
def _day(locale: str, timezone: str, at: datetime) -> str:
    return _unbroken(format_skeleton("MMMd", at.astimezone(ZoneInfo(timezone)), locale=_cldr(locale)))


def _unbroken(text: str) -> str:
    """Return the text with marks that keep it on one line."""
    return _BETWEEN_SCRIPTS.sub("\N{WORD JOINER}", text).replace(" ", "\N{NO-BREAK SPACE}")


def _zone_name(local: datetime) -> str:
    """Return JST, CET and so on. A zone that the tz database names only by its offset, +03, becomes UTC+03:00."""
    name = local.tzname() or ""
    return f"UTC{local.isoformat()[-6:]}" if name[:1] in {"+", "-"} else name


@lru_cache(maxsize=1024)
def _duration(locale: str, span: timedelta) -> str:
    minutes = max(1, round(span.total_seconds() / 60))
    days, minutes = divmod(minutes, 24 * 60)
    hours, minutes = divmod(minutes, 60)
    parts = (_unit(locale, "day", days), _unit(locale, "hour", hours), _unit(locale, "minute", minutes))
    return " ".join(part for part in parts if part)


def _unit(locale: str, unit: Literal["day", "hour", "minute"], count: int) -> str:
    """Return a whole number of one unit in words; "" for 0."""
    if not count:
        return ""
    # format_unit has no words for Japanese durations in Babel 2.18; format_timedelta has
    span = timedelta(**{f"{unit}s": count})
    return _unbroken(format_timedelta(span, granularity=unit, threshold=10**9, locale=_cldr(locale)))
