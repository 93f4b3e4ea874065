"""Prints doctor's report: as text for a person, or as JSON for a program."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Final

from bot.doctor.report import Found, Report
from bot.doctor.tables import EscalationRow, GroupRow, PolicyRow, RequesterRow, SessionRow
from bot.text.escape import escape_json, one_line

MOST_NAMED: Final = 10  # people in one cell
UNKNOWN: Final = "unknown"
LONGEST: Final = 600  # characters of one cell or sentence; names and codes come from outside


def as_json(report: Report) -> str:
    """Return the report as one JSON object."""
    shown = {
        "version": report.version,
        "region": report.region,
        "accounts": report.accounts,
        "channels": report.channels,
        "findings": [
            {
                "finding": each.finding.name,
                "check": each.check,
                "code": each.problem.code,
                "why": each.finding.why,
                "fix": each.problem.advice,
            }
            for each in report.found
        ],
        "passed": report.passed,
        "not_checked": dict(report.not_checked),
        "policies": [asdict(each) for each in report.policies],
        "requesters": [asdict(each) for each in report.requesters],
        "escalations": [asdict(each) for each in report.escalations],
        "groups": [asdict(each) for each in report.groups],
        "sessions": [asdict(each) for each in report.sessions],
    }
    return escape_json(json.dumps(shown, ensure_ascii=False, indent=2))


def as_text(report: Report) -> str:
    """Return the report as text."""
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    yield from _findings(report.found)
    yield from _not_checked(report)
    yield from _policies(report.policies)
    yield from _requesters(report.requesters)
    yield from _escalations(report.escalations)
    yield from _groups(report.groups)
    yield from _sessions(report.sessions)


def _findings(found: Sequence[Found]) -> Iterator[str]:
    if not found:
        yield "No problem was found."
        return
    many = "1 problem" if len(found) == 1 else f"{len(found)} problems, in the order to fix them"
    yield f"{many}:"
    for number, each in enumerate(found, start=1):
        yield ""
        yield f"{number}. {each.finding.name}  ({_line(each.check)}: {_line(each.problem.code)})"
        yield f"   why: {each.finding.why}"
        yield f"   fix: {_line(each.problem.advice) or 'the code says all that is known'}"


def _not_checked(report: Report) -> Iterator[str]:
    if report.not_checked:
        yield ""
        yield "Not checked:"
        for name, why in report.not_checked.items():
            yield f"  {_line(name)}: {why}"


def _policies(rows: Sequence[PolicyRow]) -> Iterator[str]:
    if rows:
        yield ""
        yield "Approval policies:"
        yield from _table(
            ("account", "Region", "policy", "level", "approvers", "channels"),
            [
                (
                    *(each.account, each.region, each.policy, each.step),
                    ", ".join(each.approvers),
                    ", ".join(each.channels) or each.why,
                )
                for each in rows
            ],
        )


def _requesters(rows: Sequence[RequesterRow]) -> Iterator[str]:
    if rows:
        yield ""
        yield "The last requesters:"
        yield from _table(
            ("request", "identified", "requester"),
            [(each.request, "no" if each.why else "yes", _requester(each)) for each in rows],
        )


def _escalations(rows: Sequence[EscalationRow]) -> Iterator[str]:
    if rows:
        yield ""
        yield "Escalations:"
        yield from _table(
            ("channel", "after minutes", "also decided in", "by"),
            [(each.channel, str(each.minutes), each.to, ", ".join(each.approvers)) for each in rows],
        )


def _groups(rows: Sequence[GroupRow]) -> Iterator[str]:
    if rows:
        yield ""
        yield "Groups of approvers:"
        yield from _table(
            ("group", "channel", "people", "not in the channel, so they cannot decide"),
            [
                (each.group, each.channel, UNKNOWN if each.size is None else str(each.size), _absent(each))
                for each in rows
            ],
        )


def _absent(row: GroupRow) -> str:
    if row.absent is None:
        return UNKNOWN
    more = [f"and {len(row.absent) - MOST_NAMED} more"] if len(row.absent) > MOST_NAMED else []
    return ", ".join([*row.absent[:MOST_NAMED], *more]) or "nobody"


def _sessions(rows: Sequence[SessionRow]) -> Iterator[str]:
    if rows:
        yield ""
        yield "Sessions run on after their access ends, until Session Manager ends them:"
        yield from _table(
            ("account", "Region", "after minutes idle", "after minutes"),
            [(each.account, each.region, str(each.idle or "?"), _longest(each)) for each in rows],
        )


def _longest(row: SessionRow) -> str:
    return row.why or ("no maximum" if row.longest is None else str(row.longest))


def _requester(row: RequesterRow) -> str:
    return f"{row.requester}: {row.why}" if row.why else row.requester


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    lines = [tuple(head), *(tuple(map(_line, row)) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head) - 1)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        yield "  " + "  ".join([*cells, line[-1]]).rstrip()


def _line(text: str) -> str:
    return one_line(text, LONGEST)
