"""The log configuration, and every event that the program logs. Only bot.app configures the logs.

One line per event on stderr (stdout is for the output of commands). Events are named `noun_verb`; the context is in
fields. ReconcileLoop and the click handler bind `request`, so that the lines of adapters have it too.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, TextIO

import regex
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from bot.telemetry.lines import LineLogger
from bot.text.invisible import OVERRIDES

REDACTED = "[redacted]"
_SECRET_KEY = re.compile(
    r"token|secret|authorization|password|credential|assertion|cookie|signature|api_?key|private_?key", re.IGNORECASE
)
_SECRET_TEXT = re.compile(
    r"(?i:\bbearer\s+)[\w.~+/=-]+"  # an Authorization header
    r"|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"  # a JSON Web Token
    r"|(?i:\b(?:client_secret|client_assertion|access_token|password)=)[^&\s]+"  # a form or query
)
# Matches in each text of ASCII in lower case in which _SECRET_TEXT matches, and costs a fraction of it.
_MAY_BE_SECRET = re.compile("bearer|eyj|client_secret=|client_assertion=|access_token=|password=")
# Characters that terminals and log viewers interpret: control characters, Unicode line ends, direction overrides.
_LIVE = regex.compile(rf"(?V1)[\p{{Cc}}--[\t\n]]|[\p{{Zl}}\p{{Zp}}]|{OVERRIDES}")

EVENTS: Mapping[str, str] = {
    "account_not_configured": "a list has a request of an account or Region that is not configured; it gets no card",
    "accounts_wait_for_restart": "[[accounts]] of node-access.toml has changed; it takes effect at the next start",
    "activity_refused": "a request to /api/messages was refused: its token does not verify, or it is not an activity; "
    "as a warning, its signature is valid, and the line has the audience, tenant or host that was wrong",
    "activity_turned_away": "too many activities arrived at once; this one was refused, and the sender may try again",
    "answer_not_delivered_privately": "the answer for one person did not reach their chat; the thread says so",
    "app_secret_changed": "Secrets Manager has a new client secret; the bot uses it from now on",
    "app_secret_unavailable": "the client secret could not be read from Secrets Manager; the known one stays in use",
    "approvers_missing": "node-access.toml allows no one to decide in a channel, or at one step of it; add approvers",
    "approvers_unreadable": "the bot cannot parse a policy's approvers; AWS decides who may vote",
    "arrival_noted": "the bot was added or upgraded in a team, or a channel or team came back; what waits for Teams "
    "is sent at once",
    "audit_given_up": "more clicks wait for the store than the audit trail keeps; this one is only in the log",
    "audit_not_stored": "the store did not accept clicks for the audit trail; they wait, and `audit_noted` has them",
    "audit_noted": "an entry of the audit trail: `what` was done, by which person, where, and the result",
    "aws_throttled": "AWS throttled a call; calls of that kind slow down",
    "aws_unavailable": "AWS does not answer at startup (`address`, if there is no connection); retried for a minute",
    "background_failed": "work after an answer failed; the next reconcile continues from the stored row",
    "bot_started": "every loop runs and every socket listens; the line says what runs where, and with which `login`",
    "bot_stopped": "shutdown is complete",
    "bot_stopping": "shutdown has begun; work in progress is finished first",
    "card_adopted": "a click came from a card that was in no stored row; the bot keeps the card up to date from now on",
    "card_missing": "a card was deleted in Teams",
    "card_not_adopted": "a click names one request on the card of another; the bot leaves that card alone",
    "check_failed": "a check of the installation failed with an unexpected error; see the stack trace",
    "check_unfinished": "a check has read a part of the approval policies; it continues in a minute",
    "click_answered": "a person clicked a button and got the answer `outcome`",
    "click_not_understood": "a button carries data that no card of the bot contains",
    "configuration_read": "node-access.toml has changed and is now active, or was read from S3 at the start (then "
    "`at_start` is true); in S3, `version` is its version id, or its ETag if the bucket keeps no versions",
    "configuration_refused": "node-access.toml has changed and is invalid, or cannot be read; the previous version "
    "stays active",
    "connector_call_repeated": "Teams throttled a call or failed; the call is repeated",
    "connector_token_renewed": "the token for calls to Teams, or to Microsoft Graph, was renewed; `api` says which",
    "connector_token_unavailable": "no token for calls to Teams or Microsoft Graph (`api`) could be fetched; check the "
    "app's credential",
    "conversation_closed": "calls to a conversation fail or are throttled (`why`): paused for `seconds`, then probed",
    "delivery_impossible": "Teams permanently refuses a card, note or direct message; the bot does not try again",
    "delivery_postponed": "Teams could not take a card, note or direct message; it is retried after `seconds`",
    "delivery_refused": "Teams refuses a card, note or direct message; see `problem` and `consequence` (the reaction)",
    "digest_not_posted": "Teams did not take the weekly digest of a channel; see `code`; tried again for a day",
    "digest_posted": "the weekly digest of a channel is in Teams",
    "digest_skipped": "the digest of this week is more than a day late, or its setting is new; it is not posted",
    "drain_cut_short": "shutdown did not wait for all work (`still`); the next process continues from the stored rows",
    "earlier_access_not_read": "the store did not return earlier access to a node; the card does not show it",
    "event_ignored": "an event is not about a request of a configured account and Region, and was ignored",
    "event_not_deleted": "a message stays in the queue and will be delivered again; its request was marked anyway",
    "event_taken": "an event marked its request as due for a reconcile",
    "event_unreadable": "a message of the queue is not an event; the queue's redrive policy removes it",
    "execution_foreign": "an OpsItem names an automation execution that is not its approval; the bot does not trust it",
    "execution_unreadable": "the approval's execution could not be read; the card is completed later",
    "graph_page_refused": "Microsoft Graph named a next page at another address; no token was sent to it",
    "group_unavailable": "the members of an Entra group could not be read; decisions that need it are refused",
    "identity_center_unreadable": "an IAM Identity Center user could not be read; only [people] identifies such users",
    "invoke_unknown": "Teams requested an operation that the bot does not offer",
    "list_unreadable": "one of AWS's lists could not be read; the sweep uses the others",
    "look_failed": "a reconcile failed with an unexpected error; see the stack trace",
    "member_unavailable": "one person's membership could not be read; decisions that need it are refused",
    "message_cut": "Teams rejected a message as too large; it is sent again in its shortest form",
    "message_of_nobody_ignored": "a message without an author was ignored",
    "node_unreadable": "a node's name or tags could not be read; the card is completed later",
    "notice_told_in_thread": "the answer to a click could not be sent as a direct message; the thread has it",
    "people_incomplete": "a roster could not be read; people who are only in that roster are unknown for now",
    "person_not_completed": "Teams does not give a person's addresses in their own chat; the bot works without them",
    "personal_chat_not_forgotten": "the store did not accept that a person removed the bot",
    "personal_chat_not_read": "the store did not return where a person can be reached",
    "personal_chat_not_stored": "the store did not accept where a person can be reached",
    "policy_unreadable": "an approval policy could not be read; the card is completed later",
    "post_capped": "answers to a post were lost, so several copies may be in Teams; the bot retries once an hour",
    "problem_began": "a check failed with this code for the first time; `advice` says what to do, and /readyz on the "
    "metrics port lists it",
    "problem_ended": "a check that had failed succeeded",
    "queue_unavailable": "the queue did not answer; the sweep still finds requests",
    "reply_not_delivered": "the answer to a message did not reach Teams",
    "request_served": "an HTTP request was answered",
    "request_escalated": "a level waited too long; a second channel may now decide it, too",
    "request_unreadable": "AWS does not show a request at the moment; the bot tries again",
    "role_not_assumed": "a role could not be assumed; check its trust policy",
    "roster_degraded": "Teams refuses a channel's members, or returns them without what the bot needs; see `problem`",
    "roster_unavailable": "a roster could not be read; no new member is accepted from it",
    "rows_forgotten": "expired rows and old audit entries were deleted; `count` is their number",
    "rows_not_forgotten": "the store did not delete old rows; the bot tries again a day later",
    "sandbox_operation_failed": "the sandbox's AWS could not answer a call",
    "service_host_refused": "a service address is not one of SERVICE_HOSTS; no token was sent to it",
    "service_url_not_read": "the store did not return the service address of a conversation; the default is used",
    "service_url_not_stored": "the store did not accept the service address of a conversation",
    "service_url_refused": "an activity or the store names a service address that is not one of SERVICE_HOSTS",
    "session_end_settled": "a session that a person ends: ended, unconfirmed, or AWS refused the call; tried again",
    "session_ending_delayed": "AWS or Teams does not answer, so that no session is ended; tried again for an hour",
    "session_ending_stopped": "no more sessions are ended for a click; `why` says the reason",
    "session_stale": "AWS denied a session that it accepted before, or that is not new; the role is assumed again",
    "sessions_denied": "AWS denies the list of sessions; cards do not show how access was used; tried again in an hour",
    "sessions_unclear": "the access of all requests could not be read, so that whose new sessions are stays unclear",
    "sessions_unreadable": "the sessions on nodes could not be read; after several failures, cards say so",
    "signal_sent": "a decision was sent to AWS; `result` says how AWS answered",
    "signing_keys_loaded": "Microsoft's signing keys were fetched",
    "signing_keys_unavailable": "Microsoft's signing keys could not be fetched; known keys stay valid",
    "state_unreadable": "the approval's state could not be read, so nothing was sent; the bot retries for a minute",
    "step_status_unknown": "AWS reports a step status that the bot does not know",
    "steps_unreadable": "the approval's steps could not be read; the card is completed later",
    "store_created": "the store was empty at the start; if there was one before, stop the bot and restore it",
    "surface_delivered": "a card, note or direct message reached Teams",
    "sweep_done": "the requests of an account and Region were compared with the stored rows",
    "sweep_failed": "a sweep of an account and Region failed: a list or a stored row is unreadable; others continue",
    "sweep_skipped": "another process sweeps an account and Region; this one tries again every few seconds",
    "targeted_message_refused": "Teams refused a message for one person in a channel; the person's chat gets it",
    "team_group_not_stored": "the store did not accept or return the group of a channel's team",
    "team_group_unknown": "Teams did not return the group of a channel's team, so messages have no links to its cards",
    "turn_failed": "an activity failed with an unexpected error; see the stack trace",
    "values_known_by_all": "the replicas that run can now all read this many new stored values",
    "votes_unreadable": "the bot cannot parse a step's votes; the card does not show them",
    "write_repeated": "the store failed during a decision; the bot repeats this write until the store answers",
}


def configure_logging(
    *,
    format: Literal["json", "console"],  # noqa: A002  # as its setting is named
    level: str,
    stream: TextIO | None = None,
) -> None:
    """Configure the logs of the process. `level` is debug, info, warning or error; `stream` is stderr by default.

    Libraries log at warning or above, because the debug lines of botocore and aiohttp contain signed headers.
    """
    stream = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *_processors(), _renderer(format)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=LineLogger(stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *_processors()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(format)],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def silence_logging() -> None:
    """Log nothing in this process, for a command that prints its findings itself."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.basicConfig(handlers=[logging.NullHandler()], level=logging.CRITICAL, force=True)


def _processors() -> list[Processor]:
    """Return the processors of every line. `redact` comes last, so that it also redacts stack traces."""
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,  # without local variables, which may hold a token
        redact,
    ]


def _renderer(format: Literal["json", "console"]) -> Processor:  # noqa: A002  # as its setting is named
    """Return the processor that turns an event into a line."""
    if format == "json":
        encode = json.JSONEncoder(ensure_ascii=False).encode
        return lambda _logger, _method, event: encode(event)  # `redact` has left only what JSON knows
    return structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Redact values that look like secrets or have such a name, at any depth; escape terminal control characters."""
    return {key: _redacted(key, value) for key, value in event.items()}


def _redacted(key: object, value: Any) -> Any:
    if isinstance(key, str) and key != "event" and _is_secret(key):
        return REDACTED
    match value:
        case str():
            return _text(str(value))
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


@lru_cache(maxsize=1024)  # the names of the fields of log events
def _is_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


def _text(text: str) -> str:
    """Redact and escape a text. One of printable ASCII that none of the patterns can match is returned as it is."""
    if text.isascii() and text.isprintable() and not _MAY_BE_SECRET.search(text.lower()):
        return text
    return _LIVE.sub(lambda found: ascii(found[0])[1:-1], _SECRET_TEXT.sub(REDACTED, text))
