"""Trust policies as the simulated STS judges them: what is not allowed is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox.aws.trust import Assumption, is_trusted

BOT = "arn:aws:iam::111122223333:role/NodeAccessBot"
FOLDER = Path(__file__).parents[3] / "infra" / "aws"
PERSON = Assumption(BOT, "hanako@example.com")


def policy(name: str = "approver-trust.json") -> dict[str, Any]:
    """Return a trust policy of infra/aws."""
    found: dict[str, Any] = json.loads((FOLDER / name).read_text())
    return found


@pytest.mark.parametrize("name", ["approver-trust.json", "canceller-trust.json"])
def test_trust_policies_allow_the_bot_only_a_session_name_of_the_domain(name: str) -> None:
    """A person's session name has the domain of the policy."""
    assert is_trusted(policy(name), PERSON)
    assert not is_trusted(policy(name), replace(PERSON, session_name="hanako@example.org"))


def test_trust_policy_of_the_reader_allows_only_the_session_name_of_the_bot() -> None:
    """A session of a person cannot read."""
    assert is_trusted(policy("reader-trust.json"), Assumption(BOT, "node-access-bot"))
    assert not is_trusted(policy("reader-trust.json"), PERSON)


@pytest.mark.parametrize(
    "assumption",
    [replace(PERSON, by="arn:aws:iam::111122223333:role/Other"), replace(PERSON, by="")],
    ids=["another role", "unknown caller"],
)
def test_trust_policy_refuses_callers_other_than_the_bot(assumption: Assumption) -> None:
    """Only the role that the policy names is trusted."""
    assert not is_trusted(policy(), assumption)


@pytest.mark.parametrize(
    "changed",
    [
        {"Effect": "Deny"},
        {"Action": "sts:TagSession"},
        {"Principal": "*"},
        {"Principal": {"Service": "ec2.amazonaws.com"}},
        {"Condition": {"ArnLike": {"aws:PrincipalArn": "*"}}},
        {"Condition": {"StringEquals": {"sts:ExternalId": "node-access"}}},
        {"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1234567890"}}},
    ],
)
def test_trust_statement_that_is_not_understood_or_not_met_allows_no_one(changed: dict[str, Any]) -> None:
    """An unknown operator, key or principal is refused, as is a missing external id."""
    (statement,) = policy()["Statement"]
    assert not is_trusted({"Statement": [statement | changed]}, PERSON)


def test_trust_condition_on_the_external_id_is_met_only_by_a_listed_id() -> None:
    """The condition lists two ids."""
    (statement,) = policy()["Statement"]
    asking = {"Statement": [statement | {"Condition": {"StringEquals": {"sts:ExternalId": ["a", "b"]}}}]}
    assert is_trusted(asking, replace(PERSON, external_id="b"))
    assert not is_trusted(asking, replace(PERSON, external_id="c"))
