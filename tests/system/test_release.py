"""Tests for `.ci/release`: what it refuses in a small repository, and what it says about this one."""

import importlib.util
import io
import re
import shlex
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from datetime import date
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from bot.cli import main as node_access_bot
from bot.store.dynamodb.table import SCHEMA
from bot.store.sqlite.schema import MIGRATIONS
from tests.contract import documents

ROOT = Path(__file__).parents[2]
TODAY = date(2026, 1, 31)
NAMES = ["node_access_bot-1.2.3-py3-none-any.whl", "node_access_bot-1.2.3.tar.gz"]
PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "node-access-bot"
version = "1.2.3"
requires-python = ">=3.11"
[tool.hatch.build.targets.wheel]
packages = ["bot"]
"""
CHANGELOG = """\
# Changelog

## [Unreleased]

Nothing yet.

## [1.2.3] - 2026-01-31

- Something new.

## [1.2.2] - 2026-01-01

- Something older.
"""
README = """\
Version 1.2.3 is the newest. It needs Python 3.11.7 and schema version 1.25; versions follow
[Semantic Versioning](https://semver.org/spec/v2.0.0.html).
"""
PROGRAM = """\
#!/bin/sh
case $1 in
--version) echo "node-access-bot, version 1.2.3";;
--help) echo "Usage: node-access-bot";;
doctor) echo "NODE_ACCESS_APP_ID: missing" >&2; exit 2;;
esac
"""
# Makes an environment without downloads: a pip that installs nothing, and the program.
INSTALL = f"""\
import pathlib, sys
programs = pathlib.Path(sys.argv[1], "bin")
programs.mkdir(parents=True)
for name, text in (("python", "#!/bin/sh\\n"), ("node-access-bot", {PROGRAM!r})):
    (programs / name).write_text(text)
    (programs / name).chmod(0o755)
"""
FILES = {
    "pyproject.toml": PYPROJECT,
    "CHANGELOG.md": CHANGELOG,
    "README.md": README,
    "LICENSE": "",
    ".gitignore": "dist/\n.venv/\n",
    "bot/__init__.py": "",
    "infra/setup.yaml": "image: node-access-bot:1.2.3\n",
    ".ci/pins/compile": "#!/bin/sh\n",
    ".ci/pins/runtime.txt": "alpha==1.0\n",
    ".ci/install": INSTALL,
}


@pytest.fixture(autouse=True)
def no_settings_of_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let git use neither the settings nor the name of the person who runs the tests."""
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Alex Example")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "alex@example.com")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")


@pytest.fixture
def script() -> ModuleType:
    """Return .ci/release as a module."""
    loader = SourceFileLoader("release", str(ROOT / ".ci" / "release"))
    spec = importlib.util.spec_from_loader("release", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["release"] = module  # dataclasses look their module up
    loader.exec_module(module)
    return module


class Repository:
    """A small repository that is ready for the release of version 1.2.3."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet")
        for name, text in FILES.items():
            self.write(name, text)
        (folder / ".ci" / "pins" / "compile").chmod(0o755)
        self.commit()

    def git(self, *words: str) -> None:
        subprocess.run(["git", *words], cwd=self.folder, check=True, timeout=30)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "Change the repository")

    def replace(self, name: str, old: str, new: str) -> None:
        """Change a file and commit it."""
        text = (self.folder / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new))
        self.commit()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Return a repository without a problem."""
    return Repository(tmp_path / "repository")


def early_problems(script: ModuleType, folder: Path) -> list[str]:
    """Return the lines of the refusal before anything is compiled or built; none if there is no reason for one."""
    try:
        script.main(folder, TODAY)
    except script.Refused as refused:
        return str(refused).splitlines()
    return []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda it: it.write("note.txt", ""), ["the work tree is not clean", "?? note.txt"]),
        (
            lambda it: (it.git("config", "status.showUntrackedFiles", "no"), it.write("note.txt", "")),
            ["the work tree is not clean", "?? note.txt"],
        ),
        (lambda it: it.write("bot/__init__.py", "1"), ["the work tree is not clean", " M bot/__init__.py"]),
        (lambda it: it.git("tag", "v1.2.3"), ["the tag v1.2.3 exists"]),
        (lambda it: it.replace("pyproject.toml", "1.2.3", "1.2"), ["pyproject.toml has the version 1.2: write three"]),
        (lambda it: it.replace("pyproject.toml", "1.2.3", "1.2.3.dev1"), ["pyproject.toml has the version 1.2.3.dev1"]),
        (lambda it: it.replace("CHANGELOG.md", "Nothing yet.", "- More."), ["CHANGELOG.md has changes under Unrel"]),
        (lambda it: it.replace("CHANGELOG.md", "## [Unreleased]\n", ""), ["CHANGELOG.md must begin with ## [Unrel"]),
        (
            lambda it: it.replace("CHANGELOG.md", "## [1.2.3]", "## [1.2.4]"),
            ["the newest dated section of CHANGELOG.md is 1.2.4, and pyproject.toml has 1.2.3"],
        ),
        (lambda it: it.replace("CHANGELOG.md", "01-31", "02-01"), ["the section 1.2.3 of CHANGELOG.md needs the date"]),
        (lambda it: it.replace("CHANGELOG.md", "01-31", "01-32"), ["the section 1.2.3 of CHANGELOG.md needs the date"]),
        (lambda it: it.replace("CHANGELOG.md", "] - 2026-01-31", "]"), ["the section 1.2.3 of CHANGELOG.md needs the"]),
        (lambda it: it.replace("CHANGELOG.md", "- Something new.", ""), ["the section 1.2.3 of CHANGELOG.md is empty"]),
        (lambda it: it.replace("README.md", "1.2.3", "1.2.2"), ["README.md:1 names the version 1.2.2"]),
        (lambda it: it.replace("README.md", "Version 1.2.3", "Version\n1.2.3rc1"), ["README.md:2 names the version 1.2.3rc1"]),
        (lambda it: it.replace("infra/setup.yaml", "1.2.3", "1.2.4"), ["infra/setup.yaml:1 names the version 1.2.4"]),
        (
            lambda it: it.replace("README.md", "Version 1.2.3", "`dist/node_access_bot-1.2.2.tar.gz` of v1.2.1"),
            ["README.md:1 names the version 1.2.2", "README.md:1 names the version 1.2.1"],
        ),
    ],
)  # fmt: skip
def test_release_script_refuses_a_commit_that_is_not_ready_before_a_build(
    script: ModuleType, repository: Repository, change: Callable[[Repository], object], expected: list[str]
) -> None:
    """The refusal has a line for each problem, and no other. Nothing is built, and earlier archives are removed."""
    change(repository)
    repository.write("dist/node_access_bot-1.2.2.tar.gz", "")
    found = early_problems(script, repository.folder)
    assert len(found) == len(expected)
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected
    assert not (repository.folder / "dist").exists()


def test_release_script_lists_all_early_problems_together(script: ModuleType, repository: Repository) -> None:
    """A person corrects them in one go."""
    repository.replace("CHANGELOG.md", "Nothing yet.", "- More.")
    repository.replace("README.md", "1.2.3", "1.2.2")
    repository.git("tag", "v1.2.3")
    assert len(early_problems(script, repository.folder)) == 3


def test_refusal_of_the_release_script_has_exit_code_1(repository: Repository) -> None:
    """The reasons are on stderr, and make stops."""
    repository.write(".ci/release", (ROOT / ".ci" / "release").read_text())
    command: list[str | Path] = [sys.executable, repository.folder / ".ci" / "release"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("the work tree is not clean")
    assert "Nothing was tagged or published" in done.stderr


@pytest.mark.parametrize(
    ("compile_pins", "expected"),
    [
        ("echo alpha==1.1 >.ci/pins/runtime.txt", r"runtime\.txt is not what pyproject\.toml gives: run `make pins`"),
        ("echo alpha==1.0 >.ci/pins/another.txt", r"another\.txt is not what pyproject\.toml gives"),
        ("echo no such package >&2; exit 2", "compile failed: no such package"),
    ],
)
def test_release_script_refuses_pins_that_are_not_current(
    script: ModuleType, repository: Repository, compile_pins: str, expected: str
) -> None:
    """The pins of the repository stay as they are; only a copy is compiled."""
    repository.replace(".ci/pins/compile", "#!/bin/sh\n", f'#!/bin/sh\ncd "$(dirname "$0")/../.."\n{compile_pins}\n')
    with pytest.raises(script.Refused, match=expected):
        script.check_pins(repository.folder)
    assert sorted(path.name for path in (repository.folder / ".ci" / "pins").iterdir()) == ["compile", "runtime.txt"]
    assert (repository.folder / ".ci" / "pins" / "runtime.txt").read_text() == "alpha==1.0\n"


def test_release_script_accepts_current_pins(script: ModuleType, repository: Repository) -> None:
    """Control: pins that stay the same are no reason for a refusal."""
    script.check_pins(repository.folder)


def test_archives_of_a_release_have_only_files_of_the_last_commit(script: ModuleType, repository: Repository) -> None:
    """A file that is not committed is in neither archive."""
    repository.write("bot/draft.py", "")
    archives = script.build_twice(repository.folder)
    assert sorted(archives) == NAMES
    with zipfile.ZipFile(io.BytesIO(archives[NAMES[0]])) as wheel:
        assert [name for name in wheel.namelist() if ".dist-info" not in name] == ["bot/__init__.py"]
    with tarfile.open(fileobj=io.BytesIO(archives[NAMES[1]])) as source:
        assert [name for name in source.getnames() if "/bot/" in name] == ["node_access_bot-1.2.3/bot/__init__.py"]


def test_release_script_refuses_two_builds_that_differ(script: ModuleType, repository: Repository) -> None:
    """A build that writes the time zone of the machine into the wheel gives two different wheels."""
    repository.write("pyproject.toml", f'{PYPROJECT}[tool.hatch.build.targets.wheel.hooks.custom]\npath = "hook.py"\n')
    repository.write(
        "hook.py",
        "import os, pathlib\n"
        "from hatchling.builders.hooks.plugin.interface import BuildHookInterface\n"
        "class Hook(BuildHookInterface):\n"
        "    def initialize(self, version, build_data):\n"
        "        pathlib.Path(self.root, 'bot', '__init__.py').write_text(os.environ['TZ'])\n",
    )
    repository.commit()
    with pytest.raises(script.Refused, match=r"differ: node_access_bot-1\.2\.3-py3-none-any\.whl; compare"):
        script.build_twice(repository.folder)


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        ("version 1.2.3", "version 1.2.2", "--version.*version 1.2.3.*ended with 0 .*1.2.2"),
        ('echo "Usage: node-access-bot"', "echo Traceback >&2; exit 1", "--help.*ended with 1 .*Traceback"),
        ("exit 2", "exit 0", "doctor.*exit code 2 .*ended with 0 .*APP_ID"),
        ("NODE_ACCESS_APP_ID: missing", "Traceback", "doctor.*APP_ID.*ended with 2 .*Traceback"),
    ],
)
def test_release_script_refuses_an_installed_program_that_does_not_work(
    script: ModuleType, repository: Repository, right: str, wrong: str, expected: str
) -> None:
    """The refusal names the command, and what it printed. The archives are not kept."""
    assert right in PROGRAM
    repository.replace(".ci/install", repr(PROGRAM), repr(PROGRAM.replace(right, wrong)))
    with pytest.raises(script.Refused, match=f"(?s){expected}"):
        script.main(repository.folder, TODAY)
    assert not (repository.folder / "dist").exists()


def test_release_script_writes_archives_and_prints_the_next_steps(
    script: ModuleType, repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    """The output ends with the sums and the steps. The repository has no new tag and no change."""
    script.main(repository.folder, TODAY)
    printed = capsys.readouterr().out
    dist = repository.folder / "dist"
    assert (dist / "SHA256SUMS").read_text() in printed
    assert printed.endswith(script.next_steps(repository.folder, "1.2.3", NAMES) + "\n")
    assert sorted(path.name for path in dist.iterdir()) == ["SHA256SUMS", *NAMES, "notes.md"]
    assert (dist / "notes.md").read_text() == "- Something new.\n"
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=dist, check=True, timeout=10)
    assert list(script.work_tree_problems(repository.folder, "1.2.3")) == []


@pytest.mark.parametrize(("version", "candidate"), [("1.2.3", False), ("1.2.3rc1", True)])
def test_next_steps_of_a_release_have_the_version_and_valid_commands(
    script: ModuleType, repository: Repository, version: str, candidate: bool
) -> None:
    """Each command names the same version, a release candidate is published as one, and our own commands exist."""
    steps = script.next_steps(repository.folder, version, ["bot.tar.gz", "bot.whl"])
    assert ("--prerelease" in steps) is candidate
    assert set(script.NAMED.findall(steps)) == {version}
    for step in ("git tag --sign", "git push", "gpg", "gh release create", "docker build", "docker push"):
        assert f"\n   {step} " in steps
    ours = re.findall(r"^ +node-access-bot (.+)$", steps, re.MULTILINE)
    assert len(ours) == 2
    for line in ours:
        shown = CliRunner().invoke(node_access_bot, [*shlex.split(line), "--help"])
        assert shown.exit_code == 0, shown.output


def test_files_and_headings_in_the_next_steps_of_a_release_exist(script: ModuleType, repository: Repository) -> None:
    """A person finds each file of this repository, and each heading of operations.md."""
    steps = script.next_steps(repository.folder, "1.2.3", NAMES)
    files = set(re.findall(r"infra/[\w./-]+\w", steps))
    assert len(files) == 3
    assert [name for name in files if not (ROOT / name).is_file()] == []
    headings = re.findall(r'"([A-Z][a-z ]+)"', steps)
    assert len(headings) == 2
    for heading in headings:
        assert documents.section(documents.read(documents.OPERATIONS), f"## {heading}")


def test_this_repository_names_one_version(script: ModuleType) -> None:
    """pyproject.toml, the newest dated section of CHANGELOG.md and all documents have the same version."""
    assert list(script.version_problems(ROOT, date.max)) == []
    assert script.version_of(ROOT) in [version for _, version in script.versions_in_documents(ROOT)]


def test_upgrade_notes_have_the_version_and_the_schemas_of_both_stores(script: ModuleType) -> None:
    """The first row under Upgrades is about the version of pyproject.toml."""
    head = ("version", "SQLite schema", "table schema", "before the upgrade")
    newest, *_ = documents.table(documents.read(documents.OPERATIONS), *head)
    assert newest[:3] == (script.version_of(ROOT), str(len(MIGRATIONS)), str(SCHEMA))
    assert newest[3]
