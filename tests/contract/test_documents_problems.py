"""Compares the table of misinstallations in infra/docs/operations.md with the cases that the tests prove."""

from bot.doctor.findings import FINDINGS, findings_of
from bot.sandbox.aws.world import ACCOUNT, APPROVER_ROLE, REGION
from bot.sandbox.teams.graph import NESTED, ON_CALL
from bot.service.checks.check import Problem
from tests.contract import documents
from tests.scenario import test_seen_problems
from tests.system import test_checks

PLACEHOLDERS = {
    f"{ACCOUNT} {REGION}": "<account> <Region>",
    "approvals": "<channel>",
    APPROVER_ROLE: "<role>",
    **dict.fromkeys((ON_CALL, NESTED), "<group>"),
}


def documented(what: str, check: str, code: str) -> tuple[str, str, str, str]:
    """Return a case as the table shows it: with placeholders in the name of its check, and with doctor's name for it."""
    (found,) = findings_of(check, Problem(code, ""))
    for value, placeholder in PLACEHOLDERS.items():
        check = check.replace(value, placeholder)
    return what, f"`{check}`", f"`{code}`", f"`{found.name}`"


def test_every_misinstallation_is_documented() -> None:
    """The table has each case that a test proves, and no other."""
    cases = [documented(each.what, each.check, each.code) for each in (*test_checks.CASES_AT_START, *test_checks.CASES)]
    cases += [documented(each.what, each.check, each.code) for each in test_seen_problems.CASES]
    text = documents.read(documents.OPERATIONS)
    assert documents.table(text, "what is wrong", "check", "code", "doctor") == cases


def test_every_finding_of_doctor_is_documented() -> None:
    """The table has each name once, in the order of fixing, with why it matters, and with what to do."""
    expected = {each.name: each.why for each in reversed(FINDINGS)}
    names = dict.fromkeys(each.name for each in FINDINGS)
    rows = documents.table(documents.read(documents.OPERATIONS), "finding", "why it matters", "what to do")
    assert [row[:2] for row in rows] == [(f"`{name}`", expected[name]) for name in names]
    assert all(what for _, _, what in rows)
