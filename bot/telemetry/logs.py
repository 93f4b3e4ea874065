"""How the program logs, and every event that it logs. Set up by app and cli alone.

One line per event on stderr (stdout belongs to a command's answer): `noun_verb`, with what it is about as fields.
"""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED = "[redacted]"
_SECRET_KEY = re.compile(
    r"token|secret|authorization|password|credential|assertion|cookie|signature|api_?key|private_?key", re.IGNORECASE
)
_SECRET_TEXT = re.compile(
    r"(?i:\bbearer\s+)[\w.~+/=-]+"  # an Authorization header
    r"|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"  # a JSON Web Token
    r"|(?i:\b(?:client_secret|client_assertion|access_token|password)=)[^&\s]+"  # a form or query
)

EVENTS: Mapping[str, str] = {
    "activity_refused": "a caller of /api/messages did not prove who it is, or sent what is no activity",
    "audit_not_stored": "the store did not take an entry of the audit trail; the line has it",
    "bot_started": "every loop runs and every socket listens",
    "bot_stopped": "everything came to its end",
    "bot_stopping": "told to stop; what is under way is finished",
    "card_missing": "somebody deleted a card in Teams",
    "card_refused": "Teams refuses a card for good; mostly the bot is not installed in the team",
    "click_answered": "somebody pressed a button and was told `outcome`",
    "connector_call_repeated": "Teams asked for patience or stumbled; the call is made again",
    "connector_token_renewed": "the token for calls to Teams was fetched",
    "connector_token_unavailable": "the token for calls to Teams could not be fetched; check the app's credential",
    "delivery_impossible": "Teams refuses a message for good; the card's thread says so",
    "delivery_postponed": "Teams could not take something now; it is tried again",
    "drain_cut_short": "not everything came to its end in time; the next process goes on from the row",
    "event_ignored": "an event that is not about a request of a configured account and Region",
    "event_taken": "an event marked its request to be looked at",
    "look_failed": "a request could not be looked at for a reason that nobody foresaw; the trace helps",
    "queue_unavailable": "the queue did not answer; the sweep makes up for it",
    "request_served": "an HTTP request was answered",
    "request_unreadable": "AWS does not show a request, not yet or not now; it is looked at again",
    "service_host_refused": "a service address is not one of SERVICE_HOSTS; no token was sent to it",
    "signal_sent": "a decision was sent to AWS and came back with `result`",
    "signing_keys_loaded": "Microsoft's signing keys were fetched",
    "signing_keys_unavailable": "Microsoft's signing keys could not be fetched; known ones serve on",
    "state_unreadable": "the approval's state could not be read, so nothing was sent; tried again for a minute",
    "surface_delivered": "a card, note or direct message reached Teams",
    "sweep_done": "an account and Region were compared with the rows",
    "sweep_failed": "an account and Region could not be listed",
    "turn_failed": "an activity could not be handled for a reason that nobody foresaw; the trace helps",
}


def configure_logging(*, format: Literal["json", "console"], level: str) -> None:  # noqa: A002  # as its setting is named
    """Set up the logs of the process. `level`: debug, info, warning or error; libraries only from warning on.

    Libraries are kept at warning because botocore's and aiohttp's debug lines carry signed headers.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *processors(), renderer(format)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *processors()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, renderer(format)],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def processors() -> list[Processor]:
    """Return what every line goes through; `redact` comes last, so that it sees traces too."""
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,  # traces without local variables, which may hold a token
        redact,
    ]


def renderer(format: Literal["json", "console"]) -> Processor:  # noqa: A002  # as its setting is named
    """Return what makes a line of an event."""
    if format == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Blank what is named like a secret or looks like one, at any depth."""
    return {key: _redacted(key, value) for key, value in event.items()}


def _redacted(key: object, value: Any) -> Any:
    if isinstance(key, str) and key != "event" and _SECRET_KEY.search(key):
        return REDACTED
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {name: _redacted(name, part) for name, part in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_redacted("", part) for part in value]
        case bytes():
            return _SECRET_TEXT.sub(REDACTED, value.decode(errors="replace"))
        case _:
            return _SECRET_TEXT.sub(REDACTED, str(value))
