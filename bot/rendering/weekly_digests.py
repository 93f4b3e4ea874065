"""Makes the data for the template `weekly-digest`: what happened to the requests of a channel in a week."""

from datetime import timedelta

from bot.domain.shown.replies.reply_views import DigestCount, WeeklyDigestView
from bot.rendering.formatter import CardFormatter, Data


def digest_data(view: WeeklyDigestView, formatter: CardFormatter) -> Data:
    """Return the data for the template `weekly-digest`."""
    say = formatter.say
    since, until = say.moment(view.since), say.moment(view.until, beside=view.since)
    began = [say.text("digest.began", at=say.moment(view.began))] if view.began else []
    quiet = [say.text("digest.quiet")] if view.is_quiet else []
    too_many = [] if view.complete else [say.text("digest.too_many")]
    return {
        "words": {"title": say.text("digest.title")},
        "span": say.text("digest.span", since=since, until=until),
        "rows": [*_counts(view, formatter), *_waits(view, formatter)],
        "notes": [{"text": each} for each in (*quiet, *began, *too_many)],
    }


def digest_summary(view: WeeklyDigestView, formatter: CardFormatter) -> str:
    """Return the line of a notification: how many requests were made."""
    return formatter.say.text("summary.digest", dict(view.counts).get(DigestCount.REQUESTS, 0))


def _counts(view: WeeklyDigestView, formatter: CardFormatter) -> list[Data]:
    say = formatter.say
    return [
        {"label": say.text(f"digest.{each}"), "text": say.text("digest.count", number)} for each, number in view.counts
    ]


def _waits(view: WeeklyDigestView, formatter: CardFormatter) -> list[Data]:
    """Return how long the decisions of people took; [] if there were none."""
    spans: dict[str, timedelta | None] = {"median": view.median, "longest": view.longest}
    say = formatter.say
    return [
        {"label": say.text(f"digest.{name}"), "text": say.duration(span)}
        for name, span in spans.items()
        if span is not None
    ]
