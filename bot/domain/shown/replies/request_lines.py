"""Builds one line of a list of requests."""

from datetime import datetime

from bot.domain.record import Record
from bot.domain.shown.card import banner, requester_is_person, requester_name
from bot.domain.shown.replies.reply_views import RequestLine


def request_line(
    record: Record, now: datetime, *, own: bool, turn: bool = False, link: str | None = None
) -> RequestLine:
    """Return the line of a row; raise ValueError for a row without facts.

    `own`: the reader made the request. `turn`: the reader may decide it now. `link` leads to its card, which the reader
    may see.
    """
    request = record.request
    if request is None:
        raise ValueError(record.key)
    return RequestLine(
        ops_item_id=record.key.ops_item_id,
        node=request.shown_node,
        requester=requester_name(record),
        requester_is_person=requester_is_person(record),
        banner=banner(record, request, now),
        reason=request.reason,
        requested_at=request.requested_at,
        deadline=request.deadline,
        own=own,
        turn=turn,
        link=link,
    )
