"""The recorded rows of tests/contract/recorded: puts them into a store, and reads a store without the product's code.

It must not know Python names of the domain: rows are the stored JSON.
"""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from bot.store.rows import NOT_STORED
from tests.contract.stores import DynamoShelf, SqliteShelf

FOLDER = Path(__file__).with_name("recorded")
Json = Any
_SETS = frozenset({"spellings"})  # members whose order has no meaning
_ORDER = re.compile(r"#[0-9]{20}$")  # the order number of an audit item
_WRITE = re.compile(r":[0-9a-f]{12}\b")  # the random part of the name of a write


def recorded(name: str) -> Json:
    """Return the content of one recorded file."""
    return json.loads((FOLDER / name).read_text("utf-8"))


ROWS = recorded("rows.json")


def as_text(row: Json) -> str:
    """Return a recorded row as the JSON text that both stores contained."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))


def in_order(value: Json, name: str = "") -> Json:
    """Return the value with some of its lists sorted: those whose order has no meaning."""
    if isinstance(value, dict):
        return {each: in_order(part, each) for each, part in value.items()}
    if isinstance(value, list):
        return [in_order(each) for each in (sorted(value) if name in _SETS else value)]
    return value


def losses(before: Json, after: Json, path: str = "") -> list[str]:
    """Return the path of each recorded value that is missing or different. Additional members are ignored.

    A list of another length counts as different.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            loss
            for name, part in before.items()
            for loss in (losses(part, after[name], f"{path}.{name}") if name in after else [f"{path}.{name}"])
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = zip(before, after, strict=True)
        return [loss for n, (old, new) in enumerate(pairs) for loss in losses(old, new, f"{path}[{n}]")]
    return [] if type(before) is type(after) and before == after else [path]


def _stored(value: Json) -> Json:
    """Return a recorded column or attribute as it was stored."""
    if not isinstance(value, dict):
        return value
    kind, name = value["row"]
    return as_text(ROWS[kind][name])


def _parsed(value: Json) -> Json:
    """Return a column or attribute for comparison: JSON parsed, other text unchanged."""
    return in_order(json.loads(value)) if isinstance(value, str) and value.startswith("{") else value


# --- SQLite


def sqlite_tables() -> dict[str, list[dict[str, Json]]]:
    """Return the recorded rows of each table."""
    tables = recorded("sqlite.json")["tables"]
    return {
        table: [{column: _parsed(_stored(value)) for column, value in row.items()} for row in rows]
        for table, rows in tables.items()
    }


def fill_sqlite(shelf: SqliteShelf) -> None:
    """Create the recorded SQLite file at the path of the shelf."""
    content = recorded("sqlite.json")
    with closing(sqlite3.connect(shelf.path)) as connection, connection:
        for statement in content["schema"]:
            connection.execute(statement)
        for name in ("application_id", "user_version"):
            connection.execute(f"PRAGMA {name} = {content[name]}")
        for table, rows in content["tables"].items():
            for row in rows:
                columns, marks = ", ".join(row), ", ".join("?" * len(row))
                values = [*map(_stored, row.values())]
                connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", values)


def sqlite_content(path: Path) -> dict[str, list[dict[str, Json]]]:
    """Return the rows of each recorded table of a file, sorted by their first two columns."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        found = {
            table: [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2")]
            for table in recorded("sqlite.json")["tables"]
        }
    return {
        table: [{name: _parsed(value) for name, value in row.items()} for row in rows] for table, rows in found.items()
    }


# --- DynamoDB


def dynamodb_items() -> list[dict[str, dict[str, Json]]]:
    """Return the recorded items, as they were stored."""
    items = recorded("dynamodb.json")
    return [
        {name: {kind: _stored(value) for kind, value in attribute.items()} for name, attribute in item.items()}
        for item in items
    ]


def fill_dynamodb(shelf: DynamoShelf) -> None:
    """Put the recorded items into the table."""
    client = shelf.server.client()
    for item in dynamodb_items():
        client.put_item(TableName=shelf.table, Item=item)
    client.close()


def dynamodb_content(shelf: DynamoShelf) -> list[dict[str, dict[str, Json]]]:
    """Return the items of every recorded partition, in the order of their keys."""
    client = shelf.server.client()
    condition: dict[str, Json] = {"KeyConditionExpression": "#pk = :pk", "ExpressionAttributeNames": {"#pk": "pk"}}
    partitions = sorted({item["pk"]["S"] for item in dynamodb_items()})
    found = [
        item
        for pk in partitions
        for item in client.query(TableName=shelf.table, ExpressionAttributeValues={":pk": {"S": pk}}, **condition)[
            "Items"
        ]
    ]
    client.close()
    return found


def comparable(items: list[dict[str, dict[str, Json]]]) -> list[dict[str, dict[str, Json]]]:
    """Return items with their JSON parsed, and without the parts that differ in each run.

    These parts are the order numbers of audit items and the random names of writes.
    """
    return [
        {name: {kind: _fixed(name, value) for kind, value in attribute.items()} for name, attribute in item.items()}
        for item in items
    ]


def _fixed(name: str, value: Json) -> Json:
    match name:
        case "sk":
            return _ORDER.sub("#", value)
        case "writes":
            return _WRITE.sub("", value)
        case _:
            return _parsed(value)


# --- names


def members(schema: Json, path: str = "", part: Json = None) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the path of each stored member of a JSON Schema, with an empty set; that of an enum also with its values."""
    part = part or schema
    if "$ref" in part:
        part = schema["$defs"][part["$ref"].rpartition("/")[2]]
    for each in part.get("anyOf", ()):
        yield from members(schema, path, each)
    if "items" in part and part["items"] is not False:
        yield from members(schema, f"{path}[]", part["items"])
    if path and ("enum" in part or "const" in part):
        yield path, frozenset(part.get("enum") or [part["const"]])
    for name, below in part.get("properties", {}).items():
        if not path and name in NOT_STORED:
            continue
        inner = f"{path}.{name}" if path else name
        yield inner, frozenset()
        yield from members(schema, inner, below)


def values_at(row: Json, path: str) -> list[Json]:
    """Return every value that a row has at a path, like `decisions[].state`."""
    found = [row]
    for step in path.split("."):
        name = step.removesuffix("[]")
        found = [each[name] for each in found if isinstance(each, dict) and name in each]
        if step.endswith("[]"):
            found = [part for each in found if isinstance(each, list) for part in each]
    return found


def without(row: Json, path: str) -> Json:
    """Return a copy of a row. In the copy, the member at the path is missing wherever the row has it."""
    copy = json.loads(json.dumps(row))
    above, _, name = path.rpartition(".")
    for each in values_at(copy, above) if above else [copy]:
        if isinstance(each, dict):
            each.pop(name, None)
    return copy
