"""bot/RENAMED.md agrees with the code: no module or class has an old name, and every new name exists."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.contract import documents

RENAMED = "bot/RENAMED.md"
FOLDERS = ("bot", "cards", "tests")


def renamed(heading: str) -> dict[str, str]:
    """Return the new name of each old name, from the table below a heading."""
    rows = documents.table(documents.section(documents.read(RENAMED), heading), "old", "new")
    return {old.strip("`"): new.strip("`") for old, new in rows}


MODULES, CLASSES = renamed("## Modules"), renamed("## Classes")


@cache
def sources() -> Mapping[str, str]:
    """Return the text of every module of the project, by its name."""
    paths = (path for folder in FOLDERS for path in (documents.ROOT / folder).rglob("*.py"))
    own = (path for path in paths if "node_modules" not in path.parts)
    return {module_name(path.relative_to(documents.ROOT)): path.read_text("utf-8") for path in own}


def module_name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imports(source: str) -> Iterator[str]:
    """Yield every imported name with its module: `bot.aws.queue`, `bot.aws.queue.Queue`. Reading the text is fast."""
    yield from re.findall(r"^ *import (\S+)", source, re.MULTILINE)
    for module, listed, name in re.findall(r"^ *from (\S+) import (?:\(([^)]*)\)|(.+))", source, re.MULTILINE):
        yield module
        yield from (f"{module}.{each}" for each in re.findall(r"\w+", listed or name))


def test_no_module_has_a_name_that_was_replaced() -> None:
    """A module with an old name does not exist and is not imported."""
    assert not MODULES.keys() & sources().keys()
    used = {(module, name) for module, source in sources().items() for name in imports(source)}
    assert ("bot.service.rows", "bot.ports.store.Store") in used
    assert not [(module, name) for module, name in used if name in MODULES]


def test_no_class_has_a_name_that_was_replaced() -> None:
    """A class with an old name is not defined in any module of `bot`."""
    ours = {module: source for module, source in sources().items() if module.startswith("bot.")}
    defined = {(module, name) for module, source in ours.items() for name in re.findall(r"(?m)^ *class (\w+)", source)}
    assert ("bot.service.rows", "Rows") in defined
    old_names = {old.rpartition(".")[2] for old in CLASSES}
    assert not [(module, name) for module, name in defined if name in old_names]


@pytest.mark.parametrize("new", sorted({*MODULES.values()}))
def test_every_new_name_of_a_module_exists(new: str) -> None:
    """Each new module name in the table is that of an existing module."""
    assert find_spec(new) is not None


@pytest.mark.parametrize("new", sorted({new for new in CLASSES.values() if new.startswith("bot.")}))
def test_every_new_name_of_a_class_exists(new: str) -> None:
    """Each new class name in the table is that of an existing class."""
    module, _, name = new.rpartition(".")
    assert vars(import_module(module))[name].__module__ == module


def test_every_row_of_the_tables_of_renamed_modules_and_classes_is_read() -> None:
    """Control: no old name occurs twice, and the tables have more than 150 rows."""
    rows = re.findall(r"^\| `bot\.", documents.read(RENAMED), re.MULTILINE)
    assert len(rows) == len(MODULES) + len(CLASSES) > 150
