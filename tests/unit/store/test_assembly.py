"""bot.store.assembly: which store a setting means."""

from pathlib import Path

import pytest

from bot.store.assembly import store_at
from bot.store.dynamodb.store import DynamoStore
from bot.store.sqlite.store import SqliteStore


def test_the_setting_names_the_store(tmp_path: Path) -> None:
    """A file or a table; nothing is opened or made by naming it."""
    assert isinstance(store_at(f"sqlite:{tmp_path}/a:b.db", region=None), SqliteStore)
    assert isinstance(store_at("dynamodb:rows", region="ap-northeast-1"), DynamoStore)
    assert list(tmp_path.iterdir()) == []


def test_a_table_without_a_region_is_a_mistake_of_the_program() -> None:
    """The settings have refused it before."""
    with pytest.raises(ValueError, match="Region"):
        store_at("dynamodb:rows", region=None)
