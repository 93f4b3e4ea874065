"""Selects the tests that can notice a mutant: those that ran its line, according to `make coverage`."""

import ast
import json
import re
from collections import Counter, defaultdict
from functools import cache
from itertools import chain, zip_longest
from pathlib import Path

import coverage

from tests.mutation.contexts import DURATIONS
from tests.mutation.mutants import Mutant

CODE = Path("bot")


class Selection:
    """The tests of each line. A test with parameters counts as one: its parameters may depend on the mutant."""

    def __init__(self) -> None:
        measured = coverage.Coverage()
        measured.load()
        self._data = measured.get_data()
        assert len(self._data.measured_contexts()) > 1, "run `make coverage` first"
        self._seconds: Counter[str] = Counter()
        for test, seconds in json.loads(DURATIONS.read_text()).items():
            self._seconds[_function(test)] += seconds
        self._lines = {path: self._tests_by_line(path) for path in sorted(CODE.rglob("*.py"))}
        self._reach = Counter(test for path in self._lines for test in self._tests_of(path))

    def tests(self, mutant: Mutant, *, most: int, seconds: float) -> list[str]:
        """Return at most `most` tests that take at most `seconds` together, the likeliest to fail first.

        By turns: the test that runs the fewest modules, the fastest test of another file, and the test that runs most
        of the module's lines that few tests run.
        """
        covering = self._covering(mutant)
        nearest = sorted(covering, key=lambda each: (self._reach[each], self._seconds[each], each))
        files: dict[str, list[str]] = defaultdict(list)
        for test in sorted(covering, key=lambda each: (self._seconds[each], each)):
            files[test.partition("::")[0]].append(test)
        spread = [test for rank in zip_longest(*files.values()) for test in rank if test]
        rarity = self._rarity(mutant.path)
        thorough = sorted(covering, key=lambda each: (-rarity[each], each))
        chosen: dict[str, float] = {}
        for test in chain.from_iterable(zip(nearest, spread, thorough, strict=True)):
            if len(chosen) < most and sum(chosen.values()) + self._seconds[test] < seconds:
                chosen[test] = self._seconds[test]
        return list(chosen)

    def _rarity(self, path: Path) -> dict[str, float]:
        """Return for each test the number of the module's lines that it ran, each divided by how many tests ran it."""
        rarity: dict[str, float] = defaultdict(float)
        for tests in self._lines[path].values():
            for test in tests:
                rarity[test] += 1 / len(tests)
        return rarity

    def _covering(self, mutant: Mutant) -> set[str]:
        """Return the tests that ran the mutant's statement.

        For a constant, those that ran a line that names it, and those whose files name it or its class.
        """
        lines, tree = self._lines[mutant.path], ast.parse(mutant.path.read_text())
        if tests := lines.get(mutant.line):
            return tests
        statements = [each for each in ast.walk(tree) if isinstance(each, ast.stmt) and mutant.line in _span(each)]
        inner = max(statements, key=lambda each: each.lineno)
        found = set[str]().union(*(lines.get(line, ()) for line in _span(inner)))
        names = [*_assigned(inner), *(each.name for each in statements if isinstance(each, ast.ClassDef))]
        return found or set[str]().union(*(self._users(name) for name in names))

    def _users(self, name: str) -> set[str]:
        word = re.compile(rf"\b{name}\b")
        places = [(path, line) for path in self._lines for line, text in _numbered(path) if word.search(text)]
        naming = {test for test in self._seconds if word.search(_text(Path(test.partition("::")[0])))}
        return naming.union(*(self._lines[path].get(line, ()) for path, line in places))

    def _tests_of(self, path: Path) -> set[str]:
        return set[str]().union(*self._lines[path].values())

    def _tests_by_line(self, path: Path) -> dict[int, set[str]]:
        contexts = self._data.contexts_by_lineno(str(path.resolve()))
        return {line: {_function(test) for test in tests if test} for line, tests in contexts.items()}


def _function(test: str) -> str:
    return test.partition("[")[0]


def _span(statement: ast.stmt) -> range:
    return range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)


def _assigned(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.Assign(targets=targets):
            return [each.id for each in targets if isinstance(each, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case _:
            return []


@cache
def _text(path: Path) -> str:
    return path.read_text()


@cache
def _numbered(path: Path) -> list[tuple[int, str]]:
    return list(enumerate(_text(path).splitlines(), 1))
