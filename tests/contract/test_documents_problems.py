"""Compares the table of misinstallations in infra/docs/operations.md with the cases that the tests prove."""

from bot.sandbox.aws.world import ACCOUNT, APPROVER_ROLE, REGION
from tests.contract import documents
from tests.scenario import test_checks, test_seen_problems

PLACEHOLDERS = {f"{ACCOUNT} {REGION}": "<account> <Region>", "approvals": "<channel>", APPROVER_ROLE: "<role>"}


def documented(what: str, check: str, code: str) -> tuple[str, str, str]:
    """Return a case as the table shows it: with placeholders in the name of its check."""
    for value, placeholder in PLACEHOLDERS.items():
        check = check.replace(value, placeholder)
    return what, f"`{check}`", f"`{code}`"


def test_every_misinstallation_is_documented() -> None:
    """The table has each case that a test proves, and no other."""
    cases = [documented(each.what, each.check, each.code) for each in (*test_checks.CASES_AT_START, *test_checks.CASES)]
    cases += [documented(each.what, each.check, each.code) for each in test_seen_problems.CASES]
    text = documents.read(documents.OPERATIONS)
    assert documents.table(text, "what is wrong", "check", "code") == cases
