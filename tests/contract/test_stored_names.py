"""Names that outlive a version are frozen: tests/contract/recorded/names.json has every one of them.

A name may be added. It is never removed or renamed: stored rows, dashboards, alerts and scripts of the admins have it.
A stored name needs a migration of the stored data. A metric or a log event needs a line `old` -> `new` in CHANGELOG.md.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot import audit_export
from bot.domain import audit
from bot.domain.request import SessionAction
from bot.domain.shown.views import REASONS, DirectKind
from bot.ports.teams import ChatProblem
from bot.service import auditing
from bot.service.clicks.click import Verb
from bot.store.dynamodb.table import SCHEMA_KEY, TIME_TO_LIVE, definition
from bot.store.rows import AUDIT_ENTRY, decode
from bot.store.sqlite import schema
from bot.telemetry import EVENTS, METRICS
from bot.telemetry.metrics import PREFIX
from tests.contract.recording import ROWS, as_text, dynamodb_content, members, recorded
from tests.contract.stores import DynamoShelf
from tests.contract.test_recorded_rows import ADAPTERS, filled

NAMES = recorded("names.json")
CHANGELOG = (Path(__file__).parents[2] / "CHANGELOG.md").read_text("utf-8")
ADVICE = "a stored or public name is gone: keep it (bot.store.rows.STORED_NAMES), or migrate what is stored"
ADDED = "new names: add them to tests/contract/recorded/names.json"
NOW = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
_FORMS = (
    (r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", "{moment}"),
    (r"\d{4}-\d\d-\d\d", "{day}"),
    (r"\d{4}-W\d\d", "{week}"),
    (r"#\d{20}$", "#{order}"),
    (r"\d{12}/[a-z]{2}-[a-z]+-\d", "{account}/{region}"),
    (r"oi-[0-9a-f]{12}", "{ops_item_id}"),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "{object_id}"),
    (r"19:\w+@thread\.tacv2", "{conversation}"),
)


def flat(names: Any, path: str = "") -> Iterator[str]:
    """Yield each name of a section, with the names above it."""
    for each in names:
        inner = f"{path} / {each}" if path else str(each)
        yield inner
        if isinstance(names, dict):
            yield from flat(names[each], inner)


def compare(section: str, current: Any) -> None:
    """Fail for a missing name, and for a name that is not in the list."""
    before, now = set(flat(NAMES[section])), set(flat(current))
    assert gone(before, now, CHANGELOG if section in {"metrics", "log events"} else "") == [], ADVICE
    assert sorted(now - before) == [], ADDED


def gone(before: set[str], now: set[str], changelog: str) -> list[str]:
    """Return the names that are missing and that the changelog does not rename."""
    return sorted(name for name in before - now if not is_announced(name, now, changelog))


def is_announced(name: str, now: set[str], changelog: str) -> bool:
    """Return whether the changelog names an existing successor of the name, or of a part of it."""
    return any(
        new in now
        for each in name.split(" / ")
        for new in re.findall(rf"(?<![\w`])`?{re.escape(each)}`? -> `?(\w+)", changelog)
    )


def ordered(names: Iterable[str]) -> list[str]:
    return sorted({str(each) for each in names})


# --- the names of this version


def row_members() -> dict[str, list[str]]:
    return {kind: ordered(path for path, _ in members(each.json_schema())) for kind, each in ADAPTERS.items()}


def enum_values() -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, set[str]]] = {kind: {} for kind in ADAPTERS}
    for kind, adapter in ADAPTERS.items():
        for path, values in members(adapter.json_schema()):
            if values:
                found[kind].setdefault(path, set()).update(values)
    return {kind: {path: sorted(values) for path, values in paths.items()} for kind, paths in found.items()}


def audit_codes() -> dict[str, list[str]]:
    values = enum_values()["requests"]
    return {
        "event": ordered(
            [
                audit.CLICKED,
                *audit.EVENTS.values(),
                audit.SESSION_OPENED,
                audit.SESSION_ENDED,
                *audit.END_EVENTS.values(),
                audit.ENDING_STOPPED,
            ]
        ),
        "outcome": ordered([*REASONS, *values["decisions[].outcome"], *values["endings[].stopped"]]),
        "verb": ordered([*Verb, *values["decisions[].verdict"], SessionAction.END]),
    }


def sqlite_columns(path: Path) -> dict[str, list[str]]:
    with closing(schema.connect(path, busy_seconds=0)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        return {
            table: ordered(row[1] for row in connection.execute(f"PRAGMA table_info({table})"))
            for (table,) in sorted(tables.fetchall())
        }


def form_of(text: str) -> str:
    """Return the text of a key with names in place of the sample values."""
    for pattern, name in _FORMS:
        text = re.sub(pattern, name, text)
    return text


def item_forms(items: Iterable[Any]) -> dict[str, list[str]]:
    """Return, by the form of a key, the name and type of each attribute, and the form of index attributes."""
    found: dict[str, set[str]] = {}
    for item in items:
        forms = found.setdefault(f"{form_of(item['pk']['S'])} {form_of(item['sk']['S'])}", set())
        for name in item.keys() - {"pk", "sk"}:
            ((kind, value),) = item[name].items()
            listed = f" {form_of(value)}" if name in {"due", "due_at", "watched", "born_at"} else ""
            forms.add(f"{name} {kind}{listed}")
    return {key: sorted(forms) for key, forms in sorted(found.items())}


def table_names() -> dict[str, list[str]]:
    made = definition()
    keys = {each["IndexName"]: each["KeySchema"] for each in made["GlobalSecondaryIndexes"]}
    names = {"table": made["KeySchema"], **keys}
    return {
        **{name: [each["AttributeName"] for each in parts] for name, parts in names.items()},
        "time to live": [TIME_TO_LIVE],
        "schema": [form_of(each["S"]) for each in SCHEMA_KEY.values()],
    }


def metrics() -> dict[str, list[str]]:
    return {f"{PREFIX}{each.name}{'_total' * (each.kind == 'counter')}": [*each.labels] for each in METRICS}


# --- the tests


def test_members_of_stored_rows_are_not_renamed() -> None:
    """names.json has every member of every stored JSON object, with its path."""
    compare("row members", row_members())


def test_values_of_stored_enums_are_not_renamed() -> None:
    """names.json has every value that a stored member of an enum type can have."""
    compare("enum values", enum_values())


def test_codes_of_the_audit_trail_are_not_renamed() -> None:
    """The codes are events, outcomes and verbs, which are stored as text."""
    compare("audit codes", audit_codes())


def test_codes_of_stored_surfaces_are_not_renamed() -> None:
    """The codes are the kinds of direct messages, which end a surface's name `dm:…`, and the problems of a chat."""
    compare("surface codes", {"dm": ordered(DirectKind), "problem": ordered(ChatProblem)})


def test_tables_and_columns_of_sqlite_are_not_renamed(tmp_path: Path) -> None:
    """The application id, which marks the file as the bot's, is unchanged too."""
    compare("sqlite columns", sqlite_columns(tmp_path / "node-access.db"))
    assert recorded("sqlite.json")["application_id"] == schema.APPLICATION_ID


async def test_keys_and_attributes_of_dynamodb_are_not_renamed(tmp_path: Path) -> None:
    """The table keeps its keys and indexes, the form of every key, and every attribute with its type."""
    compare("dynamodb table", table_names())
    shelf = DynamoShelf(tmp_path)
    store = await shelf.open()
    await filled(store)
    for row in ROWS["audit"]:
        await store.append_audit(decode(AUDIT_ENTRY, as_text(row), where="recorded"))
    items = dynamodb_content(shelf)
    await shelf.close()
    compare("dynamodb items", item_forms(items))


def test_columns_of_the_exported_audit_trail_are_not_renamed_or_reordered() -> None:
    """`node-access-bot audit` writes the same columns in the same order. New columns come after them."""
    columns = re.findall(r'"(\w+)"', audit_export.csv_head())
    assert columns[: len(NAMES["audit export"])] == NAMES["audit export"]
    compare("audit export", columns)


def test_fields_of_logged_audit_entries_are_not_renamed() -> None:
    """The log event `audit_noted` keeps its fields."""
    full = dict.fromkeys(NAMES["row members"]["audit"], "x") | {"at": "2026-04-01T09:00:00Z"}
    with capture_logs() as logged:
        auditing.log_audit_entry(decode(AUDIT_ENTRY, as_text(full), where="sample"))
    ((line),) = logged
    compare("audit log fields", ordered(line.keys() - {"event", "log_level"}))


def test_metrics_are_renamed_only_with_a_line_in_the_changelog() -> None:
    """The labels of a metric are compared too."""
    compare("metrics", metrics())


def test_log_events_are_renamed_only_with_a_line_in_the_changelog() -> None:
    """No listed event is missing without such a line."""
    compare("log events", [*EVENTS])


@pytest.mark.parametrize(
    ("changelog", "missing"),
    [
        ("", ["looks", "looks / outcome"]),
        ("- `looks` -> `reconciliations`", []),
        ("- looks -> reconciliations", []),
        ("- `looks` -> `something_else`", ["looks", "looks / outcome"]),
        ("- `overlooks` -> `reconciliations`", ["looks", "looks / outcome"]),
    ],
)
def test_renamed_metric_needs_a_line_in_the_changelog(changelog: str, missing: list[str]) -> None:
    """A missing name is reported unless the changelog has a line with this name and an existing new name."""
    before, now = {"looks", "looks / outcome", "clicks"}, {"reconciliations", "reconciliations / outcome", "clicks"}
    assert gone(before, now, changelog) == missing
