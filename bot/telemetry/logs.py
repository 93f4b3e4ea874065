"""How the program logs, and every event that it logs. Set up by app and cli alone.

One line per event on stderr (stdout belongs to a command's answer): `noun_verb`, with what it is about as fields.
"""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Literal, TextIO

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
# What a terminal or a log viewer acts upon: control characters, line ends of other scripts, overrides of the direction.
_LIVE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

EVENTS: Mapping[str, str] = {
    "account_not_configured": "a request of an account or Region that is not configured was seen in a list; no card",
    "accounts_wait_for_restart": "[[accounts]] of node-access.toml has changed; it takes effect at the next start",
    "activity_refused": "a caller of /api/messages did not prove who it is, or sent what is no activity",
    "activity_turned_away": "more activities came at once than are answered in time; they are to come again",
    "app_secret_changed": "the client secret in Secrets Manager is another one; it is used from now on",
    "app_secret_unavailable": "the client secret could not be read from Secrets Manager; the one known serves on",
    "approvers_unreadable": "a policy's approvers have a shape that nobody has seen yet; AWS decides who may vote",
    "arrival_noted": "the bot was put into a team; cards that Teams refused are tried again at once",
    "audit_given_up": "more clicks wait for the store than are kept for the audit trail; this one is in the log alone",
    "audit_not_stored": "the store did not take clicks for the audit trail; they wait, and `audit_noted` has them",
    "audit_noted": "an entry of the audit trail: `what` was done, by whom, from where, and what came of it",
    "aws_throttled": "AWS asked for patience; calls of that kind are slowed down",
    "aws_unavailable": "AWS does not answer at the start; it is asked again for a minute",
    "background_failed": "work that went on after an answer failed; the next look goes on from the row",
    "bot_started": "every loop runs and every socket listens",
    "bot_stopped": "everything came to its end",
    "bot_stopping": "told to stop; what is under way is finished",
    "card_adopted": "a click told of a card that no row knew; it is kept up to date from now on",
    "card_missing": "somebody deleted a card in Teams",
    "card_not_adopted": "a click names one request on the card of another; that card is left as it is",
    "click_answered": "somebody pressed a button and was told `outcome`",
    "click_not_understood": "a button's data is not what a card of ours carries",
    "configuration_read": "node-access.toml has changed and is in force",
    "configuration_refused": "node-access.toml has changed and cannot be used; the former one stays in force",
    "connector_call_repeated": "Teams asked for patience or stumbled; the call is made again",
    "connector_token_renewed": "the token for calls to Teams was fetched",
    "connector_token_unavailable": "the token for calls to Teams could not be fetched; check the app's credential",
    "conversation_closed": "calls into a conversation come to nothing; it is left alone for `seconds`",
    "delivery_impossible": "a card, note or direct message is left as it is; Teams refuses it for good",
    "delivery_postponed": "Teams could not take something now; it is tried again after `seconds`",
    "delivery_refused": "Teams refuses something for good; `problem` says why, `consequence` what follows",
    "drain_cut_short": "decisions or looks (`still`) did not end in time; the next process goes on from the row",
    "event_ignored": "an event that is not about a request of a configured account and Region",
    "event_not_deleted": "a message stays in the queue and comes again; its request was marked all the same",
    "event_taken": "an event marked its request to be looked at",
    "event_unreadable": "a message of the queue is no event; the queue's redrive takes it away",
    "execution_foreign": "an OpsItem names an execution that is not its approval; it is not believed",
    "execution_unreadable": "the approval's execution could not be read; the card is completed later",
    "identity_center_unreadable": "who an IAM Identity Center user is cannot be read; [people] alone places them",
    "invoke_unknown": "Teams asked for something that the bot does not offer",
    "list_unreadable": "one of AWS's lists could not be read; the others make up for it",
    "look_failed": "a request could not be looked at for a reason that nobody foresaw; the trace helps",
    "member_unavailable": "somebody's membership could not be read; who is asked for counts as nobody",
    "message_cut": "Teams finds a message too large; it is sent once more, cut as short as it can be",
    "message_of_nobody_ignored": "a message without an author",
    "node_unreadable": "a node's name or tags could not be read; the card is completed later",
    "notice_told_in_thread": "a click could not be answered any more; its person is told in the thread",
    "people_incomplete": "some roster could not be read; who is only in there is not known now",
    "person_not_completed": "Teams does not tell a person's addresses in their own chat; they are known without",
    "personal_chat_not_forgotten": "the store did not take that somebody removed the bot",
    "personal_chat_not_read": "the store did not tell where somebody can be reached",
    "personal_chat_not_stored": "the store did not take where somebody can be reached",
    "policy_unreadable": "an approval policy could not be read; the card is completed later",
    "post_capped": "several copies of a message may be in Teams, as its answers are lost; one an hour is tried",
    "queue_unavailable": "the queue did not answer; the sweep makes up for it",
    "reply_not_delivered": "the answer to a message did not reach Teams",
    "request_served": "an HTTP request was answered",
    "request_unreadable": "AWS does not show a request, not yet or not now; it is looked at again",
    "role_not_assumed": "a role could not be assumed; check its trust policy",
    "roster_unavailable": "a roster could not be read; nobody new is believed to be in it",
    "rows_forgotten": "rows were dropped a year after their end",
    "rows_not_forgotten": "the store did not drop old rows; tried again a day later",
    "sandbox_operation_failed": "the sandbox's AWS could not answer a call",
    "service_host_refused": "a service address is not one of SERVICE_HOSTS; no token was sent to it",
    "service_url_not_read": "the store did not tell where a conversation's messages go; the default is used",
    "service_url_not_stored": "the store did not take where a conversation's messages go",
    "service_url_refused": "an activity or the store names a service address that is not one of SERVICE_HOSTS",
    "signal_sent": "a decision was sent to AWS and came back with `result`",
    "signing_keys_loaded": "Microsoft's signing keys were fetched",
    "signing_keys_unavailable": "Microsoft's signing keys could not be fetched; known ones serve on",
    "state_unreadable": "the approval's state could not be read, so nothing was sent; tried again for a minute",
    "step_status_unknown": "AWS has a word for a step's status that nobody has seen yet",
    "steps_unreadable": "the approval's steps could not be read; the card is completed later",
    "surface_delivered": "a card, note or direct message reached Teams",
    "sweep_done": "an account and Region were compared with the rows",
    "sweep_failed": "an account and Region could not be listed, or a stored row of it cannot be read; others go on",
    "sweep_skipped": "another process sweeps an account and Region; this one asks again every few seconds",
    "turn_failed": "an activity could not be handled for a reason that nobody foresaw; the trace helps",
    "votes_unreadable": "a step's votes have a shape that nobody has seen yet; they are not shown",
}


def configure_logging(
    *,
    format: Literal["json", "console"],  # noqa: A002  # as its setting is named
    level: str,
    stream: TextIO | None = None,
) -> None:
    """Set up the logs of the process, on stderr unless another stream is given.

    `level`: debug, info, warning or error; libraries only from warning on.

    Libraries are kept at warning because botocore's and aiohttp's debug lines carry signed headers.
    """
    stream = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *processors(), renderer(format)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
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
    """Blank what is named like a secret or looks like one, at any depth, and spell out what a terminal acts upon."""
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
            return _text(value.decode(errors="replace"))
        case _:
            return _text(str(value))


def _text(text: str) -> str:
    return _LIVE.sub(lambda found: ascii(found[0])[1:-1], _SECRET_TEXT.sub(REDACTED, text))
