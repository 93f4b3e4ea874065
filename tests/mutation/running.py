"""Runs tests with a mutant in place of a module, each mutant in a process of its own."""

import contextlib
import faulthandler
import importlib.machinery
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.mutation.mutants import Mutant, mutated

LIMIT: Final = 600  # seconds for one mutant; one that hangs counts as noticed
OPTIONS: Final = ["-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:faulthandler"]
# all tests passed, or one failed, or a module could not be imported
RESULTS: Final = {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED}

Tests = Callable[[Mutant], list[str]]
"""Returns the tests to run with a mutant."""


def survivors(mutants: Iterable[Mutant], tests: Tests, *, jobs: int) -> Iterator[Mutant]:
    """Yield the mutants that no test notices; run `jobs` processes at once."""
    running: dict[int, Mutant] = {}
    for mutant in mutants:
        if len(running) == jobs:
            yield from _next_survivor(running)
        chosen = tests(mutant)
        process = os.fork()
        if process == 0:
            _run(mutant, chosen)
        running[process] = mutant
    while running:
        yield from _next_survivor(running)


def _next_survivor(running: dict[int, Mutant]) -> Iterator[Mutant]:
    process, status = os.wait()
    mutant = running.pop(process)
    code = os.waitstatus_to_exitcode(status)
    if code not in RESULTS:
        raise RuntimeError(f"the tests did not run (pytest ended with {code}): {mutant}")
    if code == pytest.ExitCode.OK:
        yield mutant


def _run(mutant: Mutant, tests: list[str]) -> None:
    """End this process with the result of the tests. Without any test, the mutant survives."""
    faulthandler.dump_traceback_later(LIMIT, exit=True)
    result = 1
    with (
        contextlib.suppress(BaseException),
        tempfile.TemporaryDirectory() as folder,
        Path(os.devnull).open("w") as none,
    ):
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder  # a failing example belongs to the mutant
        os.dup2(none.fileno(), 1)
        os.dup2(none.fileno(), 2)
        _import_mutated(mutant)
        result = pytest.ExitCode(pytest.main([*OPTIONS, *tests]) if tests else 0)
    os._exit(result)


def _import_mutated(mutant: Mutant) -> None:
    """Let the import of the module return the mutant; the file stays as it is."""
    name = ".".join(mutant.path.with_suffix("").parts).removesuffix(".__init__")
    code = compile(mutated(mutant), str(mutant.path.resolve()), "exec")
    original = importlib.machinery.SourceFileLoader.get_code
    importlib.machinery.SourceFileLoader.get_code = (  # type: ignore[method-assign]  # the only place for every import
        lambda self, fullname: code if fullname == name else original(self, fullname)
    )
