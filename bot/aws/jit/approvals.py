"""Parses the inputs and outputs of an `aws:approve` step: approvers, required approvals, votes. Sans-IO.

A policy document has the inputs as values; a step execution has the same inputs as texts.
https://docs.aws.amazon.com/systems-manager/latest/userguide/automation-action-approve.html
"""

import re
import reprlib
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache

import structlog

from bot.aws.jit.assumptions import (
    APPROVER_TYPE_PARTS,
    APPROVER_TYPES,
    COMMENT_NAMES,
    NO_VOTE_PARTS,
    TIME_NAMES,
    VERDICT_NAMES,
    VERDICT_PARTS,
    VERDICT_WORDS,
    VOTER_NAMES,
)
from bot.boto.fields import decoded, mapping, moment, rows, sequence, text, whole
from bot.domain.request import Approver, ApproverKind, Verdict, Vote

ACTION = "aws:approve"
_SSO_ROLE = re.compile(r"arn:aws[\w-]*:iam::\d{12}:role/(?:aws-reserved/.*/)?AWSReservedSSO_.*", re.DOTALL)
_ROLE = re.compile(r"arn:aws[\w-]*:(?:iam::\d{12}:role|sts::\d{12}:assumed-role)/.+", re.DOTALL)
_OTHER_ARN = re.compile(r"arn:aws[\w-]*:iam::\d{12}:(?:user|group)/.+", re.DOTALL)
_IDENTITY_CENTER_ID = re.compile(r"(?:[0-9a-f]{10}-)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ARN = re.compile(r"arn:aws[\w-]*:(?:iam|sts|identitystore)::", re.ASCII)
_MEMBER = re.compile(r"[A-Za-z_]{1,40}", re.ASCII)
MOST_MEMBERS = 20
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
    """Return the votes, none if there are no votes yet; None if they cannot be parsed."""
    raw = outputs.get("ApproverDecisions")
    if not isinstance(raw, list):
        return None
    found = [_vote(each) for element in raw for each in _decisions(element)]
    if None in found:
        log.debug("votes_unreadable", raw=_RAW.repr(raw))
        _warn_once(_members(raw))
        return None
    return tuple(each for each in found if each)


@lru_cache(maxsize=32)
def _warn_once(members: tuple[str, ...]) -> None:
    log.warning("votes_unreadable", members=members)


def _members(raw: Iterable[object]) -> tuple[str, ...]:
    """Return the names of members, which say how AWS writes votes. Names that may be values are left out."""
    maps = [mapping(each) for element in raw for each in _decisions(element)]
    names = {name for each in maps for name in each if isinstance(name, str) and _MEMBER.fullmatch(name)}
    return tuple(sorted(names)[:MOST_MEMBERS])


def _decisions(element: object) -> Iterable[object]:
    """Yield the decisions of one element: a map, a list of maps, or either as JSON."""
    decisions = _decoded(element)
    for each in decisions if isinstance(decisions, list) else (decisions,):
        yield from _by_voter(each)


def _by_voter(decision: object) -> Iterable[object]:
    """Yield the decisions of a map from each approver to a word, or to a map; any other decision as it is."""
    found = mapping(decision)
    if not found or not all(map(_is_voter, found)):
        return (decision,)
    return [{VOTER_NAMES[0]: by, **(mapping(what) or {VERDICT_NAMES[0]: what})} for by, what in found.items()]


def _is_voter(value: object) -> bool:
    return isinstance(value, str) and bool(_ARN.match(value) or _IDENTITY_CENTER_ID.fullmatch(value))


def _verdict(value: object) -> Verdict | None:
    return VERDICT_WORDS.get(value.casefold()) if isinstance(value, str) else None


def _vote(raw: object) -> Vote | None:
    """Return the vote of one map, by the known names, else by the only possible member; None if it cannot be read."""
    named = {str(name).casefold(): value for name, value in mapping(raw).items()}
    like = {name: each for name, each in named.items() if any(part in name for part in VERDICT_PARTS)}
    by = text(_known_or_only(named, VOTER_NAMES, {name for name, each in named.items() if _is_voter(each)}))
    verdict = _verdict(_known_or_only(named, VERDICT_NAMES, {name for name, each in like.items() if _verdict(each)}))
    if by is None or verdict is None:
        return None
    return Vote(by, verdict, at=moment(_first(named, TIME_NAMES)), comment=_comment(_first(named, COMMENT_NAMES)))


def _known_or_only(named: Mapping[str, object], known: Iterable[str], possible: Collection[str]) -> object:
    """Return the value of the member with a known name; if there is none, of the only possible member, or None."""
    if found := _first(named, known):
        return found
    only = next(iter(possible)) if len(possible) == 1 else None
    return None if only is None or _is_no_vote(only) else named[only]


def _is_no_vote(name: str) -> bool:
    """True for a member about the request, or with a text that a person typed."""
    return any(part in name for part in NO_VOTE_PARTS)


def _comment(value: object) -> str | None:
    """Return a comment, given as a text or as a list of texts as in a signal's payload; None without one."""
    return text(value) or text(next(iter(sequence(value)), None))


def _first(named: Mapping[str, object], names: Iterable[str]) -> object:
    return next((named[name] for name in names if named.get(name)), None)


def approval_status(outputs: Mapping[str, object]) -> str | None:
    """Return the output ApprovalStatus (`Approved`, `Rejected` or `Waiting`); None if there is none."""
    return text(next(iter(sequence(outputs.get("ApprovalStatus"))), None))


def steps(value: object) -> list[Mapping[str, object]]:
    """Return the approval steps of a list of steps. The member is `action` in a document, `Action` in an execution."""
    return [each for each in rows(value) if (each.get("action") or each.get("Action")) == ACTION]
