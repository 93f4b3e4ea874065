"""Parses the inputs and outputs of an `aws:approve` step: approvers, required approvals, votes. Sans-IO.

A policy document has the inputs as values; a step execution has the same inputs as texts.
https://docs.aws.amazon.com/systems-manager/latest/userguide/automation-action-approve.html
"""

import re
import reprlib
from collections.abc import Iterable, Mapping

import structlog

from bot.aws.jit.assumptions import (
    APPROVER_TYPE_PARTS,
    APPROVER_TYPES,
    COMMENT_NAMES,
    TIME_NAMES,
    VERDICT_NAMES,
    VERDICT_WORDS,
    VOTER_NAMES,
)
from bot.boto.fields import decoded, mapping, moment, rows, sequence, text, whole
from bot.domain.request import Approver, ApproverKind, Vote

ACTION = "aws:approve"
_SSO_ROLE = re.compile(r"arn:aws[\w-]*:iam::\d{12}:role/(?:aws-reserved/.*/)?AWSReservedSSO_.*", re.DOTALL)
_ROLE = re.compile(r"arn:aws[\w-]*:(?:iam::\d{12}:role|sts::\d{12}:assumed-role)/.+", re.DOTALL)
_OTHER_ARN = re.compile(r"arn:aws[\w-]*:iam::\d{12}:(?:user|group)/.+", re.DOTALL)
_IDENTITY_CENTER_ID = re.compile(r"(?:[0-9a-f]{10}-)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_RAW = reprlib.Repr()  # limits raw values in the log
_RAW.maxstring = _RAW.maxother = 2000
_RAW.maxlist = _RAW.maxdict = 50
log = structlog.get_logger(__name__)


def required(inputs: Mapping[str, object]) -> int | None:
    """Return the number of approvals that a step needs; None if its inputs have no valid number."""
    return whole(inputs.get("MinRequiredApprovals")) or None


def approvers(inputs: Mapping[str, object]) -> tuple[Approver, ...] | None:
    """Return the approvers of a step; None if none is listed, or if one cannot be parsed: it could be anyone."""
    listed = _listed(inputs)
    found = [_approver(each) for each in listed]
    if not listed or None in found:
        log.debug("approvers_unreadable", raw=_RAW.repr(listed))
        return None
    return tuple(each for each in found if each)


def _listed(inputs: Mapping[str, object]) -> list[object]:
    enhanced = mapping(_decoded(inputs.get("EnhancedApprovals")))
    return sequence(_decoded(enhanced.get("Approvers"))) or sequence(_decoded(inputs.get("Approvers")))


def _decoded(value: object) -> object:
    """Decode JSON text; other values are returned unchanged."""
    return decoded(value) if isinstance(value, str) else value


def _approver(entry: object) -> Approver | None:
    named = mapping(entry)
    who = text(named.get("approver")) or text(entry)
    kind = _kind(who, text(named.get("type")) or "") if who else None
    return Approver(kind, who) if who and kind else None


def _kind(who: str, word: str) -> ApproverKind | None:
    if _SSO_ROLE.fullmatch(who) or _OTHER_ARN.fullmatch(who):
        return ApproverKind.OTHER  # no API lets a bot act for a permission set's role or an IAM user
    if _ROLE.fullmatch(who):
        return ApproverKind.ROLE
    if kind := _kind_by_type(word.casefold()):
        return kind
    return ApproverKind.USER if _IDENTITY_CENTER_ID.fullmatch(who) else None


def _kind_by_type(word: str) -> ApproverKind | None:
    parts = (kind for part, kind in APPROVER_TYPE_PARTS.items() if part in word)
    return APPROVER_TYPES.get(word) or next(parts, None)


def votes(outputs: Mapping[str, object]) -> tuple[Vote, ...] | None:
    """Return the votes; None if they cannot be parsed. An empty list means no votes yet."""
    raw = outputs.get("ApproverDecisions")
    if not isinstance(raw, list):
        return None
    found = [_vote(each) for element in raw for each in _decisions(element)]
    if None in found:
        log.debug("votes_unreadable", raw=_RAW.repr(raw))
        return None
    return tuple(each for each in found if each)


def _decisions(element: object) -> Iterable[object]:
    """Yield the decisions of one element: a map, a list of maps, or either as JSON."""
    decisions = _decoded(element)
    return decisions if isinstance(decisions, list) else (decisions,)


def _vote(raw: object) -> Vote | None:
    named = {str(name).casefold(): value for name, value in mapping(raw).items()}
    by, word = text(_first(named, VOTER_NAMES)), text(_first(named, VERDICT_NAMES))
    verdict = VERDICT_WORDS.get(word.casefold()) if word else None
    if by is None or verdict is None:
        return None
    return Vote(by, verdict, at=moment(_first(named, TIME_NAMES)), comment=_comment(_first(named, COMMENT_NAMES)))


def _comment(value: object) -> str | None:
    """Return a comment, given as a text or as a list of texts like in a signal's payload."""
    return text(value) or text(next(iter(sequence(value)), None))


def _first(named: Mapping[str, object], names: Iterable[str]) -> object:
    return next((named[name] for name in names if named.get(name)), None)


def approval_status(outputs: Mapping[str, object]) -> str | None:
    """Return the output ApprovalStatus (`Approved`, `Rejected` or `Waiting`); None if there is none."""
    return text(next(iter(sequence(outputs.get("ApprovalStatus"))), None))


def steps(value: object) -> list[Mapping[str, object]]:
    """Return the approval steps of a list of steps. The member is `action` in a document, `Action` in an execution."""
    return [each for each in rows(value) if (each.get("action") or each.get("Action")) == ACTION]
