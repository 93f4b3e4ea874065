"""The schema of the table: its definition, and the differences of an existing table. Makes no calls."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from bot.ports.store import StoreUnavailable
from bot.store.dynamodb.items import BORN_AT, DUE, DUE_AT, EXPIRES_AT, WATCHED, key, number

SCHEMA = 1  # version of the schema in items.py; a table with a newer one is not changed
SCHEMA_KEY: Final = key("schema", "schema")
HISTORY_KEY: Final = key("schema", "history")
MARKER: Final = {**SCHEMA_KEY, "version": number(SCHEMA)}  # the item that stores the version
ADVICE: Final = "make it with `node-access-bot doctor --create-table`"
SERVING: Final = frozenset({"ACTIVE", "UPDATING"})  # statuses in which a table or an index answers
INDEXES: Final[Mapping[str, tuple[str, str]]] = {DUE: (DUE, DUE_AT), WATCHED: (WATCHED, BORN_AT)}
_KEY: Final = ("pk", "sk")
TIME_TO_LIVE: Final = EXPIRES_AT


class TableRefused(StoreUnavailable):
    """The table is missing, has a newer version, or is not the bot's; it was not changed."""


def definition() -> dict[str, Any]:
    """Return the parameters of CreateTable without the name. The table is paid per request: no capacity to plan."""
    names = [*_KEY, *(name for names in INDEXES.values() for name in names)]
    return {
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in names],
        "KeySchema": _key_schema(_KEY),
        "GlobalSecondaryIndexes": [
            {"IndexName": name, "KeySchema": _key_schema(names), "Projection": {"ProjectionType": "KEYS_ONLY"}}
            for name, names in INDEXES.items()
        ],
        "BillingMode": "PAY_PER_REQUEST",
    }


def _key_schema(names: tuple[str, str]) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, ("HASH", "RANGE"), strict=True)]


def differences(table: Mapping[str, Any]) -> Sequence[str]:
    """Return the differences between a table, as DescribeTable returns it, and the table that the bot needs."""
    types = {each["AttributeName"]: each["AttributeType"] for each in table.get("AttributeDefinitions", ())}
    indexes = {each["IndexName"]: each for each in table.get("GlobalSecondaryIndexes", ())}
    return [*_status("the table", table.get("TableStatus")), *_keys("the table", table, _KEY, types)] + [
        problem for name, names in INDEXES.items() for problem in _index(name, names, indexes.get(name), types)
    ]


def _index(
    name: str, names: tuple[str, str], index: Mapping[str, Any] | None, types: Mapping[str, str]
) -> Iterator[str]:
    what = f"the index `{name}`"
    if index is None:
        yield f"{what} is missing"
        return
    yield from _status(what, index.get("IndexStatus"))
    yield from _keys(what, index, names, types)


def _status(what: str, status: str | None) -> Iterator[str]:
    if status not in SERVING:
        yield f"{what} is {status}, not ACTIVE"


def _keys(what: str, shown: Mapping[str, Any], names: tuple[str, str], types: Mapping[str, str]) -> Iterator[str]:
    found = [(each["AttributeName"], each["KeyType"]) for each in shown.get("KeySchema", ())]
    wanted = [(each["AttributeName"], each["KeyType"]) for each in _key_schema(names)]
    if found != wanted or any(types.get(name) != "S" for name in names):
        yield f"{what} has the key ({', '.join(name for name, _ in found)}) instead of the texts ({', '.join(names)})"


def refuse_newer(name: str, marker: Mapping[str, Any] | None) -> None:
    """Raise TableRefused for a table that a newer version of the bot has written to."""
    version = int((marker or {}).get("version", {}).get("N", SCHEMA))
    if version > SCHEMA:
        raise TableRefused(
            f"the table {name} was written by a newer version of the bot (schema {version}, this one knows {SCHEMA}): "
            "install that version again, or name a table that was restored from before the upgrade"
        )


def refuse_foreign(name: str, table: Mapping[str, Any]) -> None:
    """Raise TableRefused for a table that differs from what the bot needs."""
    if problems := differences(table):
        raise TableRefused(
            f"the table {name} is not as the bot needs it: {'; '.join(problems)}. Name another one and {ADVICE}"
        )
