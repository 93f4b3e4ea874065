"""Tests for parsing approval policies, and for merging them with an execution."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given

from bot.aws.jit.executions import parse_execution
from bot.aws.jit.policies import UnreadablePolicy, merge_levels, parse_policy
from bot.domain.request import Approver, ApproverKind, Level, LevelState
from tests.unit.aws.samples import KEY, MANY_EXAMPLES, ROLE, as_utf8, execution, mangled, policy, step


def changed_inputs(**inputs: Any) -> str:
    content = policy()
    content["mainSteps"][0]["inputs"] = inputs
    return json.dumps(content)


def test_duration_and_levels_of_a_policy_are_parsed() -> None:
    """The levels are in order, with their requirements."""
    found = parse_policy(json.dumps(policy()))
    assert found.duration == timedelta(days=1)
    assert found.levels == tuple(
        Level(
            step=name,
            required=1,
            approvers=(Approver(ApproverKind.ROLE, ROLE),),
            votes=(),
            timeout=timedelta(days=7),
        )
        for name in ("Level1", "Level2")
    )


def test_policy_step_without_values_has_the_documented_defaults() -> None:
    """A step without a number of approvals and a time limit needs one approval and waits for seven days."""
    content = policy()
    del content["mainSteps"][0]["timeoutSeconds"], content["mainSteps"][0]["inputs"]["MinRequiredApprovals"]
    level = parse_policy(json.dumps(content)).levels[0]
    assert (level.required, level.timeout) == (1, timedelta(days=7))


@pytest.mark.parametrize("value", ["{{ Needed }}", 0, -1, None, 1.5])
def test_invalid_number_of_approvals_is_read_as_unknown(value: object) -> None:
    """An invalid number of approvals gives None, not the default of one."""
    assert parse_policy(changed_inputs(MinRequiredApprovals=value)).levels[0].required is None


def test_policy_steps_without_a_name_or_of_other_actions_are_left_out() -> None:
    """A step without a name, or of another action, is not a level."""
    content = policy()
    content["mainSteps"] += [{**content["mainSteps"][0], "name": None}, {"name": "Notify", "action": "aws:pause"}]
    assert parse_policy(json.dumps(content)) == parse_policy(json.dumps(policy()))


@pytest.mark.parametrize("content", [None, "", "schemaVersion: '0.3'", "[]", "{}", 7])
def test_text_that_is_not_a_policy_is_refused(content: object) -> None:
    """Anything but a JSON object with members raises UnreadablePolicy."""
    with pytest.raises(UnreadablePolicy):
        parse_policy(content)


def test_execution_completes_the_levels_of_the_policy() -> None:
    """State, votes and time limit come from the execution. The policy has the values that the execution lacks."""
    planned = parse_policy(json.dumps(policy())).levels
    run = parse_execution(execution(step("Level1", Inputs={}), CurrentStepName="Level1"), KEY).levels
    first, second = merge_levels(planned, run)
    assert (first.state, first.required, first.approvers) == (LevelState.WAITING, 1, planned[0].approvers)
    assert first.votes == run[0].votes
    assert first.timeout == timedelta(hours=1), "the time-out of the execution counts"
    assert second == planned[1]


def test_execution_takes_precedence_over_an_edited_policy() -> None:
    """AWS uses the execution's values. The policy's values are used only if the execution lacks them."""
    run = parse_execution(execution(step("Level1"), CurrentStepName="Level1"), KEY).levels
    edited = [replace(level, required=5, approvers=(), timeout=timedelta(days=9)) for level in run]
    assert merge_levels(edited, run) == run
    unsaid = [replace(level, required=None, approvers=None, timeout=None) for level in run]
    (level,) = merge_levels(edited, unsaid)
    assert (level.required, level.approvers, level.timeout) == (5, (), timedelta(days=9)), "the execution lacks them"


def test_execution_step_that_the_policy_lacks_is_kept() -> None:
    """A step of the execution is kept even if the policy was edited later and no longer has it."""
    run = parse_execution(execution(step("Level3"), CurrentStepName="Level3"), KEY).levels
    assert [level.step for level in merge_levels(parse_policy(json.dumps(policy())).levels, run)] == [
        "Level1",
        "Level2",
        "Level3",
    ]


def test_unreadable_policy_leaves_the_execution_unchanged() -> None:
    """Without a policy, the levels are those of the execution. Values that the policy lacks replace no values."""
    run = parse_execution(execution(), KEY).levels
    assert merge_levels((), run) == run
    assert merge_levels([replace(run[0], approvers=None, required=None)], run) == run


@MANY_EXAMPLES
@given(mangled(policy))
def test_any_policy_is_read_or_raises_the_declared_error(document: object) -> None:
    """A mangled policy is read with texts that can be encoded as UTF-8, or raises UnreadablePolicy."""
    try:
        found = parse_policy(json.dumps(document, default=str))
    except UnreadablePolicy:
        return
    as_utf8(found)
    assert merge_levels(found.levels, ()) == found.levels
