"""Tests for bot.store.assembly: choosing the store from a setting."""

from pathlib import Path

import pytest

from bot.store.assembly import store_at
from bot.store.dynamodb.store import DynamoStore
from bot.store.sqlite.store import SqliteStore


def test_store_setting_selects_sqlite_or_dynamodb_and_creates_nothing(tmp_path: Path) -> None:
    """A file or a table is selected, and is not opened."""
    assert isinstance(store_at(f"sqlite:{tmp_path}/a:b.db", region=None), SqliteStore)
    assert isinstance(store_at("dynamodb:rows", region="ap-northeast-1"), DynamoStore)
    assert list(tmp_path.iterdir()) == []


def test_dynamodb_store_without_a_region_raises_a_value_error() -> None:
    """No other error is needed, because the settings already refuse a table without a Region."""
    with pytest.raises(ValueError, match="Region"):
        store_at("dynamodb:rows", region=None)
