"""The wheel, the source archive and the pins are complete, and independent of the machine that made them."""

import fcntl
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bot.rendering.i18n import LOCALES
from tests.unit.app_package.packages import OPTIONS

ROOT = Path(__file__).parents[2]
PINS = sorted((ROOT / ".ci" / "pins").glob("*.txt"))
LOCKS = [ROOT / "bot" / "sandbox" / "npm" / "package-lock.json", ROOT / "tests" / "e2e" / "package-lock.json"]
OURS = ("bot", "cards", "tests", "infra", ".ci")
NOT_OURS = {"node_modules", "__pycache__"}
ADDRESS = re.compile(r"https?:|file:|git\+|find-links|index-url|\"resolved\"")
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:work|root|home|Users|opt)/\w")
SHIPPED = {  # the files of the wheel that are no Python modules
    *(f"cards/{name}.json" for name in ("decided", "direct-message", "direct-short", "help", "message", "note", "pending", "request", "setup", "weekly-digest")),
    *(f"cards/locales/{locale}.json" for locale in LOCALES),
    *(f"bot/app_package/icons/{name}.png" for name in ("color", "outline")),
    *(f"bot/sandbox/npm/{name}" for name in ("package.json", "package-lock.json", ".npmrc", "loopback.cjs", "window.js")),
}  # fmt: skip
METADATA = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
MOMENT = "1790000000"  # seconds since 1970, the time of all files in the archives


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


def build(source: Path, target: Path, **environment: str) -> dict[str, bytes]:
    """Build the wheel and the source archive without downloads. Return them by name."""
    command = (sys.executable, "-m", "hatchling", "build", "--directory", target)
    run(*command, cwd=source, SOURCE_DATE_EPOCH=MOMENT, **environment)
    return {path.name: path.read_bytes() for path in target.iterdir()}


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return a folder with the wheel and the source archive of the work tree, built once for all workers."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "archives"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            build(ROOT, folder)
    return folder


@pytest.fixture(scope="session")
def wheel(archives: Path) -> Path:
    """Return the wheel of the work tree."""
    return next(archives.glob("*.whl"))


@pytest.fixture
def source(archives: Path, tmp_path: Path) -> Path:
    """Return the folder with the files of the unpacked source archive."""
    with tarfile.open(next(archives.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    return next(tmp_path.glob("node_access_bot-*"))


def files_of(folder: Path) -> set[str]:
    """Return the paths of all files in a folder, relative to it."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_wheel_has_modules_cards_and_icons_only(wheel: Path) -> None:
    """The wheel has the modules of `bot` and `cards`, the files in SHIPPED, and its own metadata."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    metadata = {name for name in names if ".dist-info/" in name}
    modules = {name for name in names - metadata if name.endswith(".py")}
    assert names - metadata - modules == SHIPPED
    written = [path.relative_to(ROOT) for name in ("bot", "cards") for path in (ROOT / name).rglob("*.py")]
    assert modules == {path.as_posix() for path in written if NOT_OURS.isdisjoint(path.parts)}
    assert {name.partition(".dist-info/")[2] for name in metadata} == METADATA


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="an unpacked source archive has no list of its files")
def test_source_archive_has_every_file_of_the_repository(source: Path) -> None:
    """A user of the source archive can run every test. Only the metadata of the package is added."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    assert files_of(source) == {"PKG-INFO", *(name for name in listed if (ROOT / name).is_file())}


def test_build_with_another_folder_umask_and_time_zone_gives_the_same_bytes(
    archives: Path, source: Path, tmp_path: Path
) -> None:
    """Folder, umask, time zone and the order of sets do not change the archives. Both build the same from the source."""
    for path in (source, *source.rglob("*")):
        path.chmod(path.stat().st_mode & 0o700)  # as after a clone with the umask 077
    built = build(source, tmp_path / "another" / "folder", TZ="Asia/Tokyo", PYTHONHASHSEED="2", LC_ALL="C")
    assert {name: sha256(content).hexdigest() for name, content in built.items()} == {
        path.name: sha256(path.read_bytes()).hexdigest() for path in archives.iterdir()
    }


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


def test_documented_installation_downloads_only_files_with_a_known_hash(source: Path, tmp_path: Path) -> None:
    """Every package comes from a pin file, with its hash. The program itself is then built without a download."""
    commands = re.findall(r"\bpip install ([^&\n]+)", (ROOT / "infra" / "README.md").read_text("utf-8"))
    hashed = [each.split() for each in commands if "--require-hashes" in each]
    assert {path for words in hashed for path in words if path.endswith(".txt")} == {
        ".ci/pins/build.txt",
        ".ci/pins/runtime.txt",
    }
    (own,) = [each.split() for each in commands if "--require-hashes" not in each]
    target = tmp_path / "site"
    run(sys.executable, "-m", "pip", "install", *own, "--target", target, cwd=source, PIP_NO_INDEX="1")
    assert "version" in run(target / "bin" / "node-access-bot", "--version", cwd=tmp_path, PYTHONPATH=str(target))


def test_all_pin_files_and_lock_files_exist() -> None:
    """The other tests of pins have files to check."""
    assert [path.name for path in PINS] == ["build.txt", "dev.txt", "pip.txt", "runtime.txt", "sandbox.txt"]
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


def test_pins_of_development_include_those_of_sandbox_runtime_and_build() -> None:
    """The pins of the runtime and the build are among the sandbox's, and these among development's, with equal versions."""
    pins = {path.stem: {each.split(" ")[0] for each in requirements(path)} for path in PINS}
    assert pins["runtime"] | pins["build"] < pins["sandbox"] < pins["dev"]
    assert pins["build"]


def required() -> Iterator[tuple[str, Requirement]]:
    """Yield each package that pyproject.toml names, with the pin file that must have it."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    project, groups = document["project"], document["dependency-groups"]
    texts = {
        "runtime.txt": project["dependencies"],
        "sandbox.txt": project["optional-dependencies"]["sandbox"],
        "build.txt": [*groups["build"], *document["build-system"]["requires"]],
        "dev.txt": groups["dev"],
    }
    yield from ((name, Requirement(text)) for name, lines in texts.items() for text in lines)


def test_every_package_of_pyproject_is_pinned_to_a_version_that_it_allows() -> None:
    """Without `make pins` after a change of pyproject.toml, some package would be missing, or too old."""
    pins = {path.name: dict(each.split(" ")[0].split("==") for each in requirements(path)) for path in PINS}
    found = [(name, each, pins[name].get(canonicalize_name(each.name))) for name, each in required()]
    wrong = [f"{name}: {each}" for name, each, pin in found if pin is None or not each.specifier.contains(pin)]
    assert wrong == []


def test_no_file_contains_a_path_of_a_machine() -> None:
    """A path like `/home/…` would show on which machine a file was written."""
    found = [f"{path}: {line}" for path in our_files() for line in lines(path) if MACHINE_PATH.search(line)]
    assert found == []


def test_no_file_contains_the_marks_of_a_merge() -> None:
    """Git leaves both versions of a line between such marks, and in a document nothing else would notice them."""
    marks = tuple(mark * 7 + " " for mark in "<>")
    found = [f"{path}: {line}" for path in our_files() for line in lines(path) if line.startswith(marks)]
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
