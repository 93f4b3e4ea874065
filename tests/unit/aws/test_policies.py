"""What is read from approval policies, and how it is put together with what has happened."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given

from bot.aws.jit.executions import parse_execution
from bot.aws.jit.policies import UnreadablePolicy, merge_levels, parse_policy
from bot.domain.request import Approver, ApproverKind, Level, LevelState
from tests.unit.aws.samples import KEY, ROLE, UNHURRIED, execution, mangled, policy, step


def changed_inputs(**inputs: Any) -> str:
    content = policy()
    content["mainSteps"][0]["inputs"] = inputs
    return json.dumps(content)


def test_a_policy_is_read_whole() -> None:
    """Its levels in their order, each with what it needs, and for how long access is given."""
    found = parse_policy(json.dumps(policy()))
    assert found.duration == timedelta(days=1)
    assert [level.step for level in found.levels] == ["Level1", "Level2"]
    assert found.levels[0] == Level(
        step="Level1",
        required=1,
        approvers=(Approver(ApproverKind.ROLE, ROLE),),
        votes=(),
        timeout=timedelta(days=7),
    )


def test_documented_defaults_apply() -> None:
    """A step that says nothing needs one approval and waits for seven days."""
    content = policy()
    del content["mainSteps"][0]["timeoutSeconds"], content["mainSteps"][0]["inputs"]["MinRequiredApprovals"]
    level = parse_policy(json.dumps(content)).levels[0]
    assert (level.required, level.timeout) == (1, timedelta(days=7))


@pytest.mark.parametrize("value", ["{{ Needed }}", 0, -1, None, 1.5])
def test_a_number_that_cannot_be_understood_is_no_default(value: object) -> None:
    """What stands there and is no number of approvals is unreadable, not one."""
    assert parse_policy(changed_inputs(MinRequiredApprovals=value)).levels[0].required is None


def test_steps_that_are_no_level_are_left_out() -> None:
    """A step without a name, or one that approves nothing, is no level."""
    content = policy()
    content["mainSteps"] += [{**content["mainSteps"][0], "name": None}, {"name": "Notify", "action": "aws:pause"}]
    assert parse_policy(json.dumps(content)) == parse_policy(json.dumps(policy()))


@pytest.mark.parametrize("content", [None, "", "schemaVersion: '0.3'", "[]", "{}", 7])
def test_what_is_no_policy_is_refused(content: object) -> None:
    """Anything but a JSON object raises the one declared error."""
    with pytest.raises(UnreadablePolicy):
        parse_policy(content)


def test_what_happened_is_put_on_the_plan() -> None:
    """State, votes and times come from the run, the order from the policy, and who may vote where the run does not tell."""
    planned = parse_policy(json.dumps(policy())).levels
    run = parse_execution(execution(step("Level1", Inputs={}), CurrentStepName="Level1"), KEY).levels
    first, second = merge_levels(planned, run)
    assert (first.state, first.required, first.approvers) == (LevelState.WAITING, 1, planned[0].approvers)
    assert first.votes == run[0].votes
    assert first.timeout == timedelta(hours=1), "the run's own time-out counts down"
    assert second == planned[1]


def test_what_the_run_tells_of_a_level_is_not_the_policys_to_say() -> None:
    """An edited policy is for later requests: approvals needed, approvers and time-out are those that AWS counts by."""
    run = parse_execution(execution(step("Level1"), CurrentStepName="Level1"), KEY).levels
    edited = [replace(level, required=5, approvers=(), timeout=timedelta(days=9)) for level in run]
    assert merge_levels(edited, run) == run
    unsaid = [replace(level, required=None, approvers=None, timeout=None) for level in run]
    (level,) = merge_levels(edited, unsaid)
    assert (level.required, level.approvers, level.timeout) == (5, (), timedelta(days=9)), "the run does not tell"


def test_a_step_that_the_policy_lacks_is_kept() -> None:
    """The run is the truth even where the document has changed since."""
    run = parse_execution(execution(step("Level3"), CurrentStepName="Level3"), KEY).levels
    assert [level.step for level in merge_levels(parse_policy(json.dumps(policy())).levels, run)] == [
        "Level1",
        "Level2",
        "Level3",
    ]


def test_an_unreadable_policy_leaves_the_run_as_it_is() -> None:
    """Without a plan the steps alone tell."""
    run = parse_execution(execution(), KEY).levels
    assert merge_levels((), run) == run
    assert merge_levels([replace(run[0], approvers=None, required=None)], run) == run


@UNHURRIED
@given(mangled(policy))
def test_mangled_policies_never_surprise(document: object) -> None:
    """Whatever is fed: it is read, or the one declared error is raised."""
    try:
        found = parse_policy(json.dumps(document, default=str))
    except UnreadablePolicy:
        return
    str(merge_levels(found.levels, found.levels)).encode()
