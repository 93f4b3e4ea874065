"""Figure 2: for any sequence of calls by two processes, each store returns the same as a model made of dictionaries."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from bot.ports.store import Store
from tests.contract.stores import KINDS, DynamoShelf, MemoryShelf, Shelf
from tests.fakes.store import LastWriteWinsStore
from tests.figures import Figure, size
from tests.reliability.store_machine import MACHINES, DynamoMachine, MemoryMachine, StoreMachine

EXAMPLES, STEPS = size(ci=10, long=2000), size(ci=20, long=50)
AS_PROOF = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    database=None,  # no run depends on earlier ones
    suppress_health_check=list(HealthCheck),  # a slow machine is not a failure
)
AS_CONTROL = settings(
    AS_PROOF,
    max_examples=100,
    phases=[Phase.generate],  # one divergence is enough, so do not shrink it
    derandomize=True,
    report_multiple_bugs=False,
)
CONDITIONAL = ("PutItem", "UpdateItem", "TransactWriteItems")


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.kind)
def test_store_returns_the_same_as_the_model_for_any_sequence_of_calls(
    machine: type[StoreMachine], figure: Figure
) -> None:
    """Rows, lists, people, service URLs, leases, watermarks, replicas and the audit trail equal those of the model."""
    before = machine.totals.copy()
    run_state_machine_as_test(machine, settings=AS_PROOF)
    ran = machine.totals - before
    assert ran["examples"] >= EXAMPLES
    figure(2, store=machine.kind, **ran, divergences=0)


def test_every_kind_of_store_is_compared_with_the_model() -> None:
    """Each kind of store in KINDS has a machine."""
    assert {machine.kind for machine in MACHINES} == set(KINDS)


class OverwritingShelf(MemoryShelf):
    """Stores whose compare-and-set always succeeds."""

    async def open(self) -> Store:
        return LastWriteWinsStore(self._tables)


class OverwritingMachine(MemoryMachine):
    """The state machine for stores whose compare-and-set always succeeds."""

    def shelf_in(self, folder: Path) -> Shelf:
        return OverwritingShelf(folder)


class UnconditionalShelf(DynamoShelf):
    """Stores on a DynamoDB that ignores conditions."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for operation in CONDITIONAL:
            self.server.plan(operation, times=10**9, change=_unconditional)

    async def close(self) -> None:
        self.server.heal()
        await super().close()


def _unconditional(body: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in body.items() if name != "ConditionExpression"}
    if "TransactItems" in body:
        kept["TransactItems"] = [{"Put": _unconditional(each["Put"])} for each in body["TransactItems"]]
    used = str(kept.get("UpdateExpression"))  # DynamoDB refuses names and values that no expression uses
    for part in ("ExpressionAttributeNames", "ExpressionAttributeValues"):
        given = kept.pop(part, {})
        if left := {name: value for name, value in given.items() if name in used}:
            kept[part] = left
    return kept


class UnconditionalMachine(DynamoMachine):
    """The state machine for stores on a DynamoDB that ignores conditions."""

    def shelf_in(self, folder: Path) -> Shelf:
        return UnconditionalShelf(folder)


@pytest.mark.parametrize("machine", [OverwritingMachine, UnconditionalMachine])
def test_control_store_without_compare_and_set_diverges_from_the_model(
    machine: type[StoreMachine], figure: Figure
) -> None:
    """Negative control: without compare-and-set, the stores diverge from the model."""
    before = machine.totals.copy()
    # Hypothesis repeats a failure. A race may then not occur again, or at another step.
    with pytest.raises((AssertionError, Flaky)):
        run_state_machine_as_test(machine, settings=AS_CONTROL)
    seen = machine.totals - before
    assert seen["divergences"]
    figure(2, control=machine.__name__, examples_to_the_divergence=seen["examples"])
