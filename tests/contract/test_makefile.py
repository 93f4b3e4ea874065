"""The Makefile on a fresh machine: its installations, its output, its failures, and the tests that it runs."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from tests.contract import documents

ROOT = Path(__file__).parents[2]
INSTALL = ROOT / ".ci" / "install"
PINS = "alpha==1.0 \\\n    --hash=sha256:00\nbeta==2.0 \\\n    --hash=sha256:00\n"


def rules(target: str, environment: Path) -> str:
    """Return the commands that make would run for a target with this virtual environment."""
    assert shutil.which("make"), "these tests need make on the PATH"
    words = ["make", "--dry-run", target, f"VENV={environment}"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout


def install(environment: Path, *, pip: str) -> subprocess.CompletedProcess[str]:
    """Run .ci/install with a Python that answers `pip` with this shell script."""
    python = environment / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exit 0\n{pip}\n')
    python.chmod(0o755)
    pins = environment / "pins.txt"
    pins.write_text(PINS)
    words: list[str | Path] = [sys.executable, INSTALL, environment, pins]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)


@pytest.fixture
def script() -> ModuleType:
    """Return .ci/install as a module."""
    loader = SourceFileLoader("install", str(INSTALL))
    spec = importlib.util.spec_from_loader("install", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_make_sandbox_installs_no_development_tools(tmp_path: Path) -> None:
    """It installs only the sandbox's pins and the project."""
    commands = rules("sandbox", tmp_path)
    assert f".ci/install {tmp_path} .ci/pins/sandbox.txt" in commands
    assert f".ci/install {tmp_path} .\n" in commands
    assert "dev.txt" not in commands


def test_make_setup_after_make_sandbox_installs_the_development_tools(tmp_path: Path) -> None:
    """An installed sandbox does not count as installed development tools."""
    (tmp_path / ".sandbox").touch()
    assert f".ci/install {tmp_path} .ci/pins/dev.txt" in rules("setup", tmp_path)


def test_make_sandbox_after_make_setup_installs_nothing(tmp_path: Path) -> None:
    """The development tools include everything that the sandbox needs."""
    (tmp_path / ".pins").touch()
    (tmp_path / ".project").touch()
    assert ".ci/install" not in rules("sandbox", tmp_path)


def test_installation_prints_the_number_of_packages_before_and_after(tmp_path: Path) -> None:
    """The first line has the number of packages. pip's own lines are not printed."""
    done = install(tmp_path / "venv", pip="echo Collecting alpha==1.0")
    assert (done.returncode, done.stderr) == (0, "")
    first, last = done.stdout.splitlines()
    assert first.startswith("installing 2 packages")
    assert last == "installed 2 packages"


def test_failed_installation_of_packages_prints_the_reason_and_fails(tmp_path: Path) -> None:
    """The output is pip's error, followed by what to do. The exit code stops make."""
    done = install(tmp_path / "venv", pip="echo Collecting alpha==1.0; echo 'ERROR: hashes differ' >&2; exit 2")
    assert done.returncode == 1
    assert done.stderr.startswith("ERROR: hashes differ\n")
    assert "run the same command again" in done.stderr


def test_running_installation_command_prints_its_progress_at_each_interval(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command runs until the test lets it end."""
    monkeypatch.setattr(script, "EVERY", 0.01)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    printed: list[str] = []

    def progress(_: list[str]) -> str:
        if len(printed) == 1:
            gate.write_text("")  # ends the command
        printed.append(f"line {len(printed)}")
        return printed[-1]

    script.run(["sh", "-c", f"cat {gate}"], progress)
    assert capsys.readouterr().out.splitlines()[:2] == ["  line 0", "  line 1"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], "fetched 0 of 2 "),
        (["Looking in links: x\n", "Collecting alpha==1.0 (from -r p)\n"], "fetched 1 of 2 alpha==1.0"),
        (["Processing /somewhere/beta-2.0-cp311-cp311-any.whl\n"], "fetched 1 of 2 beta-2.0"),
        (["Requirement already satisfied: alpha==1.0 in x\n"], "fetched 1 of 2 alpha==1.0"),
        (["Collecting alpha==1.0\n", "Installing collected packages: alpha\n"], "unpacked 1 of 2"),
    ],
)
def test_progress_line_of_pip_has_the_latest_package_and_the_count(
    script: ModuleType, tmp_path: Path, lines: list[str], expected: str
) -> None:
    """While pip installs, the line has the count only."""
    (tmp_path / "lib" / "python3.11" / "site-packages" / "alpha-1.0.dist-info").mkdir(parents=True)
    assert script.progress(lines, 2, tmp_path) == expected


def test_make_lets_its_processes_write_bytecode_although_the_environment_forbids_it(tmp_path: Path) -> None:
    """Bytecode halves the time in which the tests are collected."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "import sys; print(sys.dont_write_bytecode)"\n')
    python.chmod(0o755)
    (tmp_path / ".pins").touch()
    (tmp_path / ".project").touch()
    forbidding = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    words = ["make", "--no-print-directory", "weaknesses", f"VENV={tmp_path}"]
    done = subprocess.run(words, cwd=ROOT, env=forbidding, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("target", ["test", "system", "proofs", "e2e", "slow"])
def test_make_announces_a_long_test_run_with_its_approximate_time(target: str, tmp_path: Path) -> None:
    """Before the tests start, make prints a line with the target and the time in minutes."""
    before, started, _ = rules(target, tmp_path).partition("-m pytest")
    assert started
    assert re.search(rf'"make {target}: .*minute', before)


def test_every_listed_proof_is_run_by_make_proofs_or_make_e2e(tmp_path: Path) -> None:
    """At least 20 files are listed in tests/README.md. `make proofs` uses the sizes for CI."""
    listed = re.findall(r"^\| \d+ \| .*? \| `(test_\w+\.py)` \|", documents.read("tests/README.md"), re.MULTILINE)
    proofs = rules("proofs", tmp_path)
    words = {*proofs.split(), *rules("e2e", tmp_path).split()}
    paths = [next((ROOT / "tests").rglob(name)).relative_to(ROOT) for name in listed]
    assert len(paths) >= 20
    assert [path for path in paths if words.isdisjoint({str(path), str(path.parent)})] == []
    assert "RELIABILITY=proofs" in proofs


def test_make_slow_runs_the_tests_of_system_proofs_and_e2e(tmp_path: Path) -> None:
    """At the sizes of make proofs."""
    tests = {name: paths(rules(name, tmp_path)) for name in ("system", "proofs", "e2e", "slow")}
    assert tests["slow"] == tests["system"] | tests["proofs"] | tests["e2e"]
    assert "RELIABILITY=proofs" in rules("slow", tmp_path)


def paths(commands: str) -> set[str]:
    """Return the folders and files of tests in make's commands, also those that pytest leaves out."""
    return {each for each in commands.split() if re.fullmatch(r"(--ignore=)?tests/[\w/]+(\.py)?", each)}


def test_make_pictures_runs_the_tests_that_take_the_pictures_of_the_readme(tmp_path: Path) -> None:
    """Its expression selects these two: with another one, pictures of an earlier run would be copied."""
    selected = re.findall(r"pytest (tests/e2e/test_stories\.py) -k (\S+)", rules("pictures", tmp_path / "venv"))
    ((path, expression),) = selected
    words = [sys.executable, "-m", "pytest", "--collect-only", "-q", path, "-k", expression]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, timeout=50).stdout
    assert set(re.findall(r"::(test_\w+)", listed)) == {
        "test_stories_of_an_english_channel",
        "test_stories_of_a_japanese_channel",
    }
