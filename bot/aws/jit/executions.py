"""Parses automation executions and their steps, as GetAutomationExecution returns them. Sans-IO.

https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_AutomationExecution.html
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from bot.aws.jit import approvals
from bot.aws.jit.assumptions import EXECUTION_WORDS, STEP_WORDS
from bot.boto.fields import duration, mapping, moment, text
from bot.domain.request import Execution, Level, LevelState, RequestKey, Status

ACCESS_REQUEST = "AccessRequest"  # value of AutomationSubtype
log = structlog.get_logger(__name__)


class UnreadableExecution(Exception):
    """The answer is not an automation execution that can be parsed; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ForeignExecution(UnreadableExecution):
    """The automation execution belongs to another request, or serves another purpose."""


@dataclass(frozen=True, slots=True)
class AutomationExecution:
    """An automation execution as one answer of AWS shows it.

    If it is `truncated`, it has more steps than the answer shows.
    """

    id: str
    status: Status
    levels: tuple[Level, ...]
    current_step: str | None = None
    ended_at: datetime | None = None
    document: str | None = None
    document_version: str | None = None
    truncated: bool = False

    def with_steps(self, steps: object) -> "AutomationExecution":
        """Return the execution with the levels of its complete list of steps."""
        return replace(self, levels=_levels(steps, self.status, self.current_step), truncated=False)

    @property
    def waits(self) -> bool:
        """True if the answer shows a level that waits for decisions."""
        return any(level.state is LevelState.WAITING for level in self.levels)

    def as_execution(self) -> Execution:
        """Return the execution as the domain's type. A failed one becomes rejected or timed out if a level is."""
        return Execution(self.id, _status(self.status, self.levels), self.levels, self.ended_at)


def parse_execution(document: object, key: RequestKey) -> AutomationExecution:
    """Parse the member AutomationExecution. Raises UnreadableExecution, ForeignExecution.

    An OpsItem only claims which execution is its own. If the execution names another OpsItem or another purpose, the
    claim is false, and a decision about one request would count for a different one.
    """
    raw = mapping(document)
    execution_id, word = text(raw.get("AutomationExecutionId")), text(raw.get("AutomationExecutionStatus"))
    if execution_id is None or word is None:
        raise UnreadableExecution("NotAnExecution")
    if raw.get("OpsItemId", key.ops_item_id) != key.ops_item_id:
        raise ForeignExecution("ExecutionOfAnotherRequest")
    if raw.get("AutomationSubtype", ACCESS_REQUEST) != ACCESS_REQUEST:
        raise ForeignExecution("NotAnAccessRequest")
    status, current = EXECUTION_WORDS.get(word, Status.UNKNOWN), text(raw.get("CurrentStepName"))
    return AutomationExecution(
        id=execution_id,
        status=status,
        levels=_levels(raw.get("StepExecutions"), status, current),
        current_step=current,
        ended_at=moment(raw.get("ExecutionEndTime")),
        document=text(raw.get("DocumentName")),
        document_version=text(raw.get("DocumentVersion")),
        truncated=bool(raw.get("StepExecutionsTruncated")),
    )


def _levels(steps: object, status: Status, current: str | None) -> tuple[Level, ...]:
    found = {level.step: level for level in map(_level, approvals.steps(steps)) if level}
    if status is Status.PENDING and current in found:
        return tuple(_only_current(found.values(), current))
    return tuple(found.values())


def _only_current(levels: Iterable[Level], current: str | None) -> Iterable[Level]:
    """Yield the levels so that at most the current one waits, because a signal counts for the current one."""
    for level in levels:
        waits_elsewhere = level.state is LevelState.WAITING and level.step != current
        yield replace(level, state=LevelState.NOT_STARTED) if waits_elsewhere else level


def _level(step: Mapping[str, object]) -> Level | None:
    name, inputs, outputs = text(step.get("StepName")), mapping(step.get("Inputs")), mapping(step.get("Outputs"))
    if name is None:
        return None
    state = _state(text(step.get("StepStatus")) or "", outputs)
    return Level(
        step=name,
        state=state,
        required=approvals.required(inputs),
        approvers=approvals.approvers(inputs) if inputs else None,
        votes=() if state is LevelState.NOT_STARTED else approvals.votes(outputs),
        started_at=moment(step.get("ExecutionStartTime")),
        ended_at=moment(step.get("ExecutionEndTime")),
        timeout=duration(step.get("TimeoutSeconds")),
    )


def _state(word: str, outputs: Mapping[str, object]) -> LevelState:
    """Return the state of a step. With an unknown word it counts as not started, so that it cannot be decided."""
    state = STEP_WORDS.get(word)
    if state is None:
        log.warning("step_status_unknown", word=word)
        return LevelState.NOT_STARTED
    rejected = approvals.approval_status(outputs) == "Rejected"
    ended = state in {LevelState.APPROVED, LevelState.FAILED}
    return LevelState.REJECTED if rejected and ended else state


def _status(status: Status, levels: Iterable[Level]) -> Status:
    if status is not Status.FAILED:
        return status
    states = {level.state for level in levels}
    if LevelState.REJECTED in states:
        return Status.REJECTED
    return Status.TIMED_OUT if LevelState.TIMED_OUT in states else status
