"""Runs tests with a mutant in place of the code, each mutant in a forked process.

pytest collects all tests once. Then a mutant only replaces the code of one function in its process. A mutant of what
runs at import, such as a constant, imports the program and its tests again.
"""

import contextlib
import faulthandler
import gc
import importlib.machinery
import inspect
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Final

import pytest

from tests.mutation.mutants import Mutant, mutated

LIMIT: Final = 600  # seconds for one mutant; one that hangs counts as noticed
# -s: only this module hides output. A library that is already imported is no error, unlike in pyproject.toml.
FOLDERS: Final = (
    "tests/unit tests/contract tests/scenario tests/security tests/aws tests/system"  # as in `make coverage`
)
OPTIONS: Final = (
    "-o",
    f"testpaths={FOLDERS}",
    "-x",
    "-q",
    "-s",
    "-p",
    "no:randomly",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:faulthandler",
    "--timeout=20",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
)
NOTICED: Final = {pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED}  # the latter: a module is not importable
RESULTS: Final = {pytest.ExitCode.OK, *NOTICED}

Tests = Callable[[Mutant], list[str]]
"""Returns the tests to run with a mutant: their node ids, without parameters."""


class Collected:
    """A pytest plugin that calls `work` with itself instead of running the collected tests."""

    def __init__(self, work: Callable[["Collected"], None]) -> None:
        self._work = work
        self._items: dict[str, list[pytest.Item]] = defaultdict(list)
        self._functions: dict[tuple[str, str, int], list[FunctionType]] = defaultdict(list)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Index the tests and the functions of the program, then work."""
        for item in session.items:
            self._items[item.nodeid.partition("[")[0]].append(item)
        gc.unfreeze()  # tests/conftest.py hides everything from the garbage collector
        for each in gc.get_objects():
            if isinstance(each, FunctionType):
                self._functions[_identity(each.__code__)].append(each)
        gc.freeze()
        self._work(self)
        return True

    def survivors(self, mutants: Iterable[Mutant], tests: Tests, *, jobs: int) -> Iterator[Mutant]:
        """Yield the mutants that no test notices; run `jobs` processes at once."""
        running: dict[int, Mutant] = {}
        for mutant in mutants:
            if len(running) == jobs:
                yield from _next_survivor(running)
            chosen = tests(mutant)
            process = os.fork()
            if process == 0:
                self._run(mutant, chosen)
            running[process] = mutant
        while running:
            yield from _next_survivor(running)

    def _run(self, mutant: Mutant, tests: list[str]) -> None:
        """End this process with the result of the tests. Without any test, the mutant survives."""
        faulthandler.dump_traceback_later(LIMIT, exit=True)
        result = pytest.ExitCode.INTERNAL_ERROR
        with contextlib.suppress(BaseException), Path(os.devnull).open("w") as none:
            os.dup2(none.fileno(), 1)
            os.dup2(none.fileno(), 2)
            if not tests:
                result = pytest.ExitCode.OK
            elif self._replaces_functions(mutant):
                result = _result([item for test in tests for item in self._items[test]])
            else:
                _import_mutated(mutant)
                result = pytest.ExitCode(pytest.main([*OPTIONS, *tests]))
        os._exit(result)

    def _replaces_functions(self, mutant: Mutant) -> bool:
        """Replace the code of the changed function; return False if the change is not in a function."""
        path = str(mutant.path.resolve())
        before = {_identity(each): each for each in _functions(compile(mutant.path.read_text(), path, "exec"))}
        replaced = False
        for code in _functions(compile(mutated(mutant), path, "exec")):
            if code != before[_identity(code)]:
                for function in self._functions[_identity(code)]:
                    function.__code__ = code
                    replaced = True
        return replaced


def _identity(code: CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def _functions(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of the functions and methods of a module, without functions inside functions."""
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from [each] if each.co_flags & inspect.CO_OPTIMIZED else _functions(each)


def _result(items: list[pytest.Item]) -> pytest.ExitCode:
    for item in items:
        item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
        if item.session.testsfailed:
            return pytest.ExitCode.TESTS_FAILED
    return pytest.ExitCode.OK if items else pytest.ExitCode.NO_TESTS_COLLECTED


def _import_mutated(mutant: Mutant) -> None:
    """Forget the program and its tests, and let the import of the module return the mutant."""
    here, libraries = str(Path.cwd()), sys.prefix
    for each, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if file.startswith(here) and not file.startswith(libraries):
            del sys.modules[each]
    name = ".".join(mutant.path.with_suffix("").parts).removesuffix(".__init__")
    code = compile(mutated(mutant), str(mutant.path.resolve()), "exec")
    original = importlib.machinery.SourceFileLoader.get_code
    importlib.machinery.SourceFileLoader.get_code = (  # type: ignore[method-assign]  # the only place for every import
        lambda self, fullname: code if fullname == name else original(self, fullname)
    )


def _next_survivor(running: dict[int, Mutant]) -> Iterator[Mutant]:
    process, status = os.wait()
    mutant, code = running.pop(process), os.waitstatus_to_exitcode(status)
    if code not in RESULTS:
        print(f"the tests did not run (pytest ended with {code}): {mutant}", flush=True)
    if code not in NOTICED:
        yield mutant
