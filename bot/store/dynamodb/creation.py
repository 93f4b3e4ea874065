"""Creates the table, for `doctor --create-table`, or reports what is wrong with an existing one.

Never changes a table that differs from what the bot needs, because it may belong to another program.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import Any

from bot.ports.store import StoreUnavailable
from bot.store.dynamodb import items
from bot.store.dynamodb import table as shape
from bot.store.dynamodb.calls import MISSING, Calls, ConditionFailed, DynamoError, Patience, part

PATIENCE = 10.0  # seconds for an answer; an admin waits
POLLS, POLL_SECONDS = 60, 2.0  # a new table and its indexes are ACTIVE within about 10 seconds
_CREATING = "CREATING"
_NOT_SHOWN: Mapping[str, Any] = {"TableStatus": _CREATING}
_IN_USE = "ResourceInUseException"
_NO_BACKUPS_YET = "ContinuousBackupsUnavailableException"  # a new table is ready before its backups are
_UNSUPPORTED = frozenset({"UnknownOperationException", "ValidationException"})  # answers of DynamoDB emulators


class TableWrong(StoreUnavailable):
    """The table exists but differs from what the bot needs; `problems` lists the differences."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n  ".join(("it is not as the bot needs it, and was not changed:", *problems)))
        self.problems = problems


class TableMaker:
    """Creates the table. Every method may raise StoreUnavailable; `say` gets a line for each step."""

    def __init__(
        self, calls: Calls, *, say: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._calls, self._say, self._sleep = calls, say, sleep
        self._name = calls.table

    def make(self) -> None:
        """Create the table unless it exists, wait until it is ready, and enable expiry and recovery.

        Safe to run again. Raises TableWrong with every difference of an existing table.
        """
        with closing(self._calls):
            exists = self._exists_or_create()
            self._say(f"the table {self._name} is there" if exists else f"making the table {self._name} …")
            self._wait_until_ready()
            self._enable_time_to_live()
            self._enable_recovery()
            self._mark()
            self._say(f"the table {self._name} is ready")

    def _exists_or_create(self) -> bool:
        """Return True if the table already exists; otherwise create it."""
        if self._description() is not None:
            return True
        try:
            self._calls.once("create_table", **shape.definition())
        except DynamoError as failed:  # another process or an earlier try may have created it
            if failed.code != _IN_USE and self._description() is None:
                raise
        return False

    def _wait_until_ready(self) -> None:
        """Wait until the table and its indexes are ready. Raises TableWrong."""
        for _ in range(POLLS):
            table = self._description() or _NOT_SHOWN  # a new table is not listed at once
            if not _is_creating(table):
                break
            self._sleep(POLL_SECONDS)
        if problems := list(shape.differences(table)):
            raise TableWrong(problems)

    def _description(self) -> Mapping[str, Any] | None:
        try:
            table: Mapping[str, Any] = part(self._repeated("describe_table"), "Table")
        except DynamoError as failed:
            if failed.code != MISSING:
                raise
            return None
        return table

    def _enable_time_to_live(self) -> None:
        """Enable the deletion of expired items. Raises TableWrong if the table uses another attribute."""
        shown = part(self._repeated("describe_time_to_live"), "TimeToLiveDescription")
        status, attribute = shown["TimeToLiveStatus"], shown.get("AttributeName", shape.TIME_TO_LIVE)
        if attribute != shape.TIME_TO_LIVE or status == "DISABLING":
            raise TableWrong([f"its time to live is {status} for {attribute}, not on for {shape.TIME_TO_LIVE}"])
        if status == "DISABLED":
            wanted = {"Enabled": True, "AttributeName": shape.TIME_TO_LIVE}
            self._repeated("update_time_to_live", TimeToLiveSpecification=wanted)
            self._say("time to live: switched on")

    def _enable_recovery(self) -> None:
        """Enable point-in-time recovery of the last 35 days, if the endpoint supports it."""
        try:
            shown = part(self._repeated("describe_continuous_backups"), "ContinuousBackupsDescription")
            if shown.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus") == "ENABLED":
                return
            self._enable_recovery_with_retries()
        except DynamoError as failed:
            if failed.code not in _UNSUPPORTED:
                raise
            self._say(f"point-in-time recovery: this endpoint has none ({failed.code})")
        else:
            self._say("point-in-time recovery: switched on")

    def _enable_recovery_with_retries(self) -> None:
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
        """Store the schema version in the table. Raises TableRefused for a newer one."""
        with suppress(ConditionFailed):
            self._repeated("put_item", Item=shape.MARKER, **items.IF_ABSENT)
        shown = self._repeated("get_item", Key=shape.SCHEMA_KEY, ConsistentRead=True)
        shape.refuse_newer(self._name, shown.get("Item"))

    def _repeated(self, operation: str, **params: object) -> Mapping[str, Any]:
        return self._calls.repeated(Patience(PATIENCE), operation, **params)


def _is_creating(table: Mapping[str, Any]) -> bool:
    indexes = table.get("GlobalSecondaryIndexes", ())
    return table["TableStatus"] == _CREATING or any(index["IndexStatus"] == _CREATING for index in indexes)


def create_table(name: str, *, region: str, say: Callable[[str], None]) -> None:
    """Create the table, or check an existing one. `say` gets a line for each step.

    Raises TableWrong, or another StoreUnavailable.
    """
    TableMaker(Calls(name, region=region), say=say).make()
