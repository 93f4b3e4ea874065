"""What doctor found, as data. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from bot.app_package.package import Finding as Mistake
from bot.doctor.findings import Finding, findings_of, position
from bot.doctor.tables import EscalationRow, GroupRow, PolicyRow, RequesterRow, SessionRow
from bot.service.checks.check import Problem

PACKAGE: Final = "app package"


@dataclass(frozen=True, slots=True)
class Found:
    """A problem, its kind, and the name of the check that has found it."""

    finding: Finding
    check: str
    problem: Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What doctor found.

    `found` is in the order of fixing. `passed` has the names of the checks that found nothing. `not_checked` has the
    reason by the name of the check, or of what it would show.
    """

    version: str
    region: str
    channels: tuple[str, ...]
    accounts: tuple[str, ...]
    found: tuple[Found, ...]
    passed: tuple[str, ...]
    not_checked: Mapping[str, str]
    policies: tuple[PolicyRow, ...]
    requesters: tuple[RequesterRow, ...]
    escalations: tuple[EscalationRow, ...] = ()
    groups: tuple[GroupRow, ...] = ()
    sessions: tuple[SessionRow, ...] = ()


def in_order_of_fixing(results: Mapping[str, Problem | None], mistakes: Iterable[Mistake] = ()) -> tuple[Found, ...]:
    """Return the problems among the results of checks, each with its kinds, in the order in which to fix them.

    `mistakes` are those of an app package; they come last, because an upload of the package takes longest.
    """
    found = sorted(_found(results), key=lambda each: (position(each.finding), each.check))
    return (*found, *map(_of_package, mistakes))


def _of_package(mistake: Mistake) -> Found:
    return Found(Finding(mistake.check, f"{mistake.why}.", ()), PACKAGE, Problem(mistake.what, mistake.fix))


def _found(results: Mapping[str, Problem | None]) -> Iterator[Found]:
    for check, problem in results.items():
        if problem:
            for finding in findings_of(check, problem):
                yield Found(finding, check, problem)
