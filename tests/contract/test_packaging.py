"""The wheel, the source archive and the pins are complete, and independent of the machine that made them."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.app_package.packages import OPTIONS

ROOT = Path(__file__).parents[2]
PINS = sorted((ROOT / ".ci" / "pins").glob("*.txt"))
LOCKS = [ROOT / "bot" / "sandbox" / "npm" / "package-lock.json", ROOT / "tests" / "e2e" / "package-lock.json"]
OURS = ("bot", "cards", "tests", "infra", ".ci")
NOT_OURS = {"node_modules", "__pycache__"}
ADDRESS = re.compile(r"https?:|file:|git\+|find-links|index-url|\"resolved\"")
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:work|root|home|Users|opt)/\w")
SHIPPED = (
    "cards/request.json",
    "cards/locales/ja.json",
    "bot/app_package/icons/color.png",
    "bot/app_package/icons/outline.png",
    "bot/sandbox/npm/package.json",
    "bot/sandbox/npm/package-lock.json",
    "bot/sandbox/npm/.npmrc",
    "bot/sandbox/npm/loopback.cjs",
)


def run(*words: str | Path, cwd: Path, **environment: str) -> str:
    """Run a program of this environment. Return what it prints; fail if its exit code is not 0."""
    done = subprocess.run(
        list(map(str, words)),
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def build(source: Path, target: Path, kind: str) -> Path:
    """Build a wheel or a source archive without downloads."""
    run(sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", target, cwd=source)
    (built,) = target.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


def contents(wheel: Path) -> set[str]:
    """Return the names of the files in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel of the working tree."""
    return build(ROOT, tmp_path_factory.mktemp("wheel"), "wheel")


def test_wheel_has_only_the_packages_bot_and_cards(wheel: Path) -> None:
    """The wheel has the files in SHIPPED, no tests and no node_modules."""
    names = contents(wheel)
    assert set(SHIPPED) <= names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"bot", "cards"}
    assert not any("node_modules" in name for name in names)


def test_wheel_from_the_source_archive_has_the_same_file_names(wheel: Path, tmp_path: Path) -> None:
    """A wheel that is built from the source archive has files of the same names."""
    with tarfile.open(build(ROOT, tmp_path / "source", "sdist")) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.glob("node_access_bot-*")
    assert contents(build(source, tmp_path / "wheel", "wheel")) == contents(wheel)


def test_installed_wheel_renders_a_card_outside_the_repository(wheel: Path, tmp_path: Path) -> None:
    """The command of an installed wheel runs outside the repository and finds its templates and icons."""
    target = tmp_path / "site"
    run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", target, wheel, cwd=tmp_path)
    command = target / "bin" / "node-access-bot"
    where = run(sys.executable, "-c", "import bot; print(bot.__file__)", cwd=tmp_path, PYTHONPATH=str(target))
    assert where.startswith(str(target))
    assert "version" in run(command, "--version", cwd=tmp_path, PYTHONPATH=str(target))
    assert "AdaptiveCard" in run(command, "render", "request", cwd=tmp_path, PYTHONPATH=str(target))
    assert "version" in run(command, "manifest", *OPTIONS, cwd=tmp_path, PYTHONPATH=str(target))


def test_all_three_pin_files_and_both_lock_files_exist() -> None:
    """The other tests of pins have files to check."""
    assert [path.name for path in PINS] == ["build.txt", "dev.txt", "runtime.txt", "sandbox.txt"]
    assert all(path.exists() for path in LOCKS)


@pytest.mark.parametrize("path", [*PINS, *LOCKS], ids=lambda path: f"{path.parent.name}/{path.name}")
def test_pins_and_lock_files_contain_no_address_and_no_path_of_a_machine(path: Path) -> None:
    """Pins and lock files leave it to the installing machine from where it downloads packages."""
    found = [line for line in path.read_text("utf-8").splitlines() if ADDRESS.search(line) or MACHINE_PATH.search(line)]
    assert found == []


@pytest.mark.parametrize("path", PINS, ids=lambda path: path.name)
def test_every_pin_has_an_exact_version_and_hashes(path: Path) -> None:
    """Each pin has an exact version and hashes, so that pip refuses a package with other content."""
    for requirement in requirements(path):
        assert re.fullmatch(r"[\w.-]+==[\w.]+ (?:; [^\\]+)?(?:\\ --hash=sha256:[0-9a-f]{64} ?)+", requirement), (
            requirement
        )


def test_pins_of_development_include_all_others() -> None:
    """The pins of the runtime and the build are among the sandbox's, and these among development's, with equal versions."""
    build, dev, runtime, sandbox = ({each.split(" ")[0] for each in requirements(path)} for path in PINS)
    assert runtime | build < sandbox < dev
    assert build


def test_no_file_contains_a_path_of_a_machine() -> None:
    """A path like `/home/…` would show on which machine a file was written."""
    found = [f"{path}: {line}" for path in our_files() for line in lines(path) if MACHINE_PATH.search(line)]
    assert found == []


def requirements(path: Path) -> list[str]:
    """Return each requirement with its hashes in one line, without comments."""
    text = re.sub(r"^ *#.*\n", "", path.read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", "\\")
    return [re.sub(r" +", " ", line) for line in text.splitlines() if line.strip()]


def our_files() -> Iterator[Path]:
    """Yield every file in the folders of OURS except this one, and the top-level documents and settings."""
    top = (path for path in ROOT.iterdir() if path.is_file() and path.suffix in {".md", ".toml", ""})
    yield from (path for path in top if path.name != ".git")  # a file, not a folder, in a second work tree
    for folder in OURS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and NOT_OURS.isdisjoint(path.parts) and path != Path(__file__):
                yield path


def lines(path: Path) -> list[str]:
    """Return the lines of a text file, or an empty list for any other file."""
    try:
        return path.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        return []
