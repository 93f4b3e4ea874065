"""Makes the table, for `doctor --create-table`, and says what is wrong with one that is there.

Never changes a table that is not as needed: what is in it may be somebody's.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from bot.ports.store import StoreUnavailable
from bot.store.dynamodb import items
from bot.store.dynamodb import table as shape
from bot.store.dynamodb.calls import Calls, ConditionFailed, DynamoError, Patience, part

PATIENCE = 10.0  # seconds for an answer; an admin waits
POLLS, POLL_SECONDS = 60, 2.0  # a new table is ACTIVE within some 10 seconds, with its indexes
_CREATING = "CREATING"
_UNSEEN: Mapping[str, Any] = {"TableStatus": _CREATING}
_MISSING, _IN_USE = "ResourceNotFoundException", "ResourceInUseException"
_NO_BACKUPS_YET = "ContinuousBackupsUnavailableException"  # a new table serves before its backups are there
_UNSUPPORTED = frozenset({"UnknownOperationException", "ValidationException"})  # what stand-ins for DynamoDB answer


class TableWrong(StoreUnavailable):
    """The table is there and not as needed; `problems` says in what."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n  ".join(("it is not as the bot needs it, and was not changed:", *problems)))
        self.problems = problems


class TableMaker:
    """Brings the table into being. Every method may raise StoreUnavailable; `say` gets a line for each thing done."""

    def __init__(
        self, calls: Calls, *, say: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._calls, self._say, self._sleep = calls, say, sleep
        self._name = calls.table

    def make(self) -> None:
        """Make the table unless it is there, wait until it serves, and switch on what belongs to it.

        Safe to run again. Raises TableWrong with every difference of a table that is not as needed.
        """
        try:
            self._say(f"the table {self._name} is there" if self._found() else f"making the table {self._name} …")
            self._ready()
            self._switch_on_time_to_live()
            self._switch_on_recovery()
            self._mark()
            self._say(f"the table {self._name} is ready")
        finally:
            self._calls.close()

    def _found(self) -> bool:
        """Return True if the table is there already; else have it made."""
        if self._shown() is not None:
            return True
        try:
            self._calls.once("create_table", **shape.definition())
        except DynamoError as failed:  # somebody else may have been faster, or a lost reply's request
            if failed.code != _IN_USE and self._shown() is None:
                raise
        return False

    def _ready(self) -> None:
        """Wait until the table and its indexes serve. Raises TableWrong."""
        for _ in range(POLLS):
            table = self._shown() or _UNSEEN  # a new table is not shown at once
            if not _in_the_making(table):
                break
            self._sleep(POLL_SECONDS)
        if problems := list(shape.differences(table)):
            raise TableWrong(problems)

    def _shown(self) -> Mapping[str, Any] | None:
        try:
            table: Mapping[str, Any] = part(self._repeated("describe_table"), "Table")
        except DynamoError as failed:
            if failed.code != _MISSING:
                raise
            return None
        return table

    def _switch_on_time_to_live(self) -> None:
        """Have expired rows deleted. Raises TableWrong if the table deletes by another attribute."""
        shown = part(self._repeated("describe_time_to_live"), "TimeToLiveDescription")
        status, attribute = shown["TimeToLiveStatus"], shown.get("AttributeName", shape.TIME_TO_LIVE)
        if attribute != shape.TIME_TO_LIVE or status == "DISABLING":
            raise TableWrong([f"its time to live is {status} for {attribute}, not on for {shape.TIME_TO_LIVE}"])
        if status == "DISABLED":
            wanted = {"Enabled": True, "AttributeName": shape.TIME_TO_LIVE}
            self._repeated("update_time_to_live", TimeToLiveSpecification=wanted)
            self._say("time to live: switched on")

    def _switch_on_recovery(self) -> None:
        """Have the last 35 days restorable, where the endpoint can do that."""
        try:
            shown = part(self._repeated("describe_continuous_backups"), "ContinuousBackupsDescription")
            if shown.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus") == "ENABLED":
                return
            self._recover()
        except DynamoError as failed:
            if failed.code not in _UNSUPPORTED:
                raise
            self._say(f"point-in-time recovery: this endpoint has none ({failed.code})")
        else:
            self._say("point-in-time recovery: switched on")

    def _recover(self) -> None:
        wanted = {"PointInTimeRecoveryEnabled": True}
        for _ in range(POLLS):
            try:
                self._repeated("update_continuous_backups", PointInTimeRecoverySpecification=wanted)
            except DynamoError as failed:
                if failed.code != _NO_BACKUPS_YET:
                    raise
                self._sleep(POLL_SECONDS)
            else:
                return
        raise StoreUnavailable("its backups are still being enabled; run this again in some minutes")

    def _mark(self) -> None:
        """Write down which version's the table is. Raises TableRefused for a newer one."""
        marker = {**shape.SCHEMA_KEY, "version": items.number(shape.SCHEMA)}
        unless_there = {"ConditionExpression": "attribute_not_exists(#pk)", "ExpressionAttributeNames": {"#pk": "pk"}}
        with suppress(ConditionFailed):
            self._repeated("put_item", Item=marker, **unless_there)
        shown = self._repeated("get_item", Key=shape.SCHEMA_KEY, ConsistentRead=True)
        shape.refuse_newer(self._name, shown.get("Item"))

    def _repeated(self, operation: str, **params: object) -> Mapping[str, Any]:
        return self._calls.repeated(Patience(PATIENCE), operation, **params)


def _in_the_making(table: Mapping[str, Any]) -> bool:
    indexes = table.get("GlobalSecondaryIndexes", ())
    return table["TableStatus"] == _CREATING or any(index["IndexStatus"] == _CREATING for index in indexes)


def create_table(name: str, *, region: str, say: Callable[[str], None]) -> None:
    """Make the table of that name, or see that it is as needed. Raises StoreUnavailable, TableWrong."""
    TableMaker(Calls(name, region=region), say=say).make()
