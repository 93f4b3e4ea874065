"""Compares infra/docs/configuration.md with the code: every setting and every key of node-access.toml."""

import json
import tomllib
from collections.abc import Mapping

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bot.config.file import parse_configuration
from bot.config.schema import TABLES
from bot.config.settings import Settings
from tests.contract import documents

TEXT = documents.read(documents.CONFIGURATION)
HEADINGS = {
    ("channels",): "### Channels",
    ("channels", "levels"): "### Levels",
    ("channels", "match"): "### Match",
    ("identity",): "### Identity",
    ("teams",): "### Teams",
    ("accounts",): "### Accounts",
}


def default_of_setting(name: str, field: FieldInfo) -> str:
    """Return a setting's default as the table shows it."""
    value = field.default
    if field.is_required():
        return "required"
    if name == "app_secret":  # whether it is required depends on the credential
        return ""
    texts = value if isinstance(value, tuple) else (value,)
    return ", ".join(f"`{each}`" for each in texts if each not in (None, ""))


def environment_name(name: str) -> str:
    """Return the environment variable of a setting."""
    foreign = {"region": "AWS_REGION", "identity_endpoint": "IDENTITY_ENDPOINT", "identity_header": "IDENTITY_HEADER"}
    return foreign.get(name, f"NODE_ACCESS_{name.upper()}")


def default_of_key(field: FieldInfo) -> str:
    """Return a key's default as the tables show it."""
    value = field.default
    if field.is_required():
        return "required"
    if value is None:
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def keys(table: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """Return the keys of a table."""
    return table.model_fields


def test_every_setting_is_documented_with_its_default() -> None:
    """The table has each setting once, with its default."""
    expected = {environment_name(name): default_of_setting(name, each) for name, each in Settings.model_fields.items()}
    rows = documents.table(TEXT, "name", "default", "meaning")
    assert len(rows) == len(expected)
    assert {name.strip("`"): shown for name, shown, _ in rows} == expected


def test_example_configuration_file_is_accepted() -> None:
    """The document's node-access.toml works without changes."""
    (example,) = documents.blocks(TEXT, "toml")
    configuration = parse_configuration(example.encode())
    assert [channel.name for channel in configuration.channels] == ["production", "leads"]


def test_configuration_file_of_the_installation_page_is_accepted() -> None:
    """The file that an admin starts with works without changes, and its one channel is the fallback."""
    (example,) = documents.blocks(documents.read(documents.INSTALLATION), "toml")
    (channel,) = parse_configuration(example.encode()).channels
    assert channel.fallback


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_configuration_key_is_in_the_example_file(table: tuple[str, ...]) -> None:
    """The example has every key of the table, in at least one of the tables of this kind."""
    (example,) = documents.blocks(TEXT, "toml")
    found = [tomllib.loads(example)]
    for name in table:
        found = [
            each for one in found if name in one for each in (one[name] if isinstance(one[name], list) else [one[name]])
        ]
    assert keys(TABLES[table]).keys() <= set().union(*found)


@pytest.mark.parametrize("table", sorted(HEADINGS))
def test_every_configuration_key_is_explained_with_its_default(table: tuple[str, ...]) -> None:
    """The section of a table has each key once, with its default."""
    rows = documents.table(documents.section(TEXT, HEADINGS[table]), "key", "default", "meaning")
    expected = {f"`{name}`": default_of_key(field) for name, field in keys(TABLES[table]).items()}
    assert len(rows) == len(expected)
    assert {name: shown for name, shown, _ in rows} == expected


def test_every_table_of_the_configuration_file_has_its_section() -> None:
    """Each table has its section. [people] is not in the schema's tables, because the admin chooses its keys."""
    assert set(HEADINGS) | {()} == set(TABLES)
    assert "\n### People\n" in TEXT
