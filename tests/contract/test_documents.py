"""Tests for all documents: links resolve, commands exist, README.md is short and has its pictures."""

import re
import shlex

import pytest
from click.testing import CliRunner

from bot.cli import main
from tests.contract import documents

NAMES = documents.names()
LONGEST_README = 1100  # words; a newcomer has five minutes


def test_list_of_documents_has_those_at_the_root_and_in_folders() -> None:
    """The list is what the tests for documents check."""
    assert {documents.README, documents.INSTALLATION, documents.CONFIGURATION, documents.OPERATIONS} <= set(NAMES)
    assert {documents.CONTRIBUTING, documents.SECURITY, "CHANGELOG.md", "bot/README.md", "tests/README.md"} <= set(
        NAMES
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_relative_link_resolves(name: str) -> None:
    """A relative link names a file of the repository, and an anchor names a heading of that file."""
    for link in documents.links(documents.read(name)):
        path, _, anchor = link.partition("#")
        target = (documents.ROOT / name).parent / path if path else documents.ROOT / name
        assert target.exists(), link
        if anchor:
            assert anchor in documents.anchors(target.read_text("utf-8")), link


@pytest.mark.parametrize("name", NAMES)
def test_documented_make_targets_exist(name: str) -> None:
    """Each `make …` in a document is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z0-9]+):", documents.read("Makefile"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z0-9]+)", documents.read(name), re.MULTILINE)) <= targets


@pytest.mark.parametrize("name", NAMES)
def test_documented_command_lines_are_valid(name: str) -> None:
    """Each `node-access-bot …` in a shell block is a command with options that exist."""
    for block in documents.blocks(documents.read(name), "sh"):
        for line in re.findall(r"node-access-bot (?=[a-z])([^)\n]*)", block):
            shown = CliRunner().invoke(main, [*shlex.split(line, comments=True), "--help"])
            assert shown.exit_code == 0, shown.output


def test_readme_has_fewer_words_than_its_limit() -> None:
    """A newcomer reads it in five minutes. Details belong in the documents that it links to."""
    assert len(documents.read(documents.README).split()) < LONGEST_README


def test_every_document_is_reached_from_the_readme() -> None:
    """A reader who starts at README.md finds every document by links."""
    reached, waiting = set(), [documents.README]
    while waiting:
        name = waiting.pop()
        if name not in reached and name in NAMES:
            reached.add(name)
            linked = (
                (documents.ROOT / name).parent / link.partition("#")[0]
                for link in documents.links(documents.read(name))
            )
            waiting += [path.resolve().relative_to(documents.ROOT).as_posix() for path in linked if path.is_file()]
    assert reached == set(NAMES)


def test_commands_in_the_readme_contain_no_request_id_and_set_each_variable_they_use() -> None:
    """The commands read a request's id from the sandbox, because the sandbox would not know an id in the text."""
    shell = "\n".join(documents.blocks(documents.read(documents.README), "sh"))
    assert "oi-" not in shell
    assert set(re.findall(r"\$(\w+)", shell)) == set(re.findall(r"^(\w+)=\$\(", shell, re.MULTILINE)) == {"id"}


def test_pictures_of_the_readme_exist() -> None:
    """Each picture is a PNG file, no wider than a card in Teams, with a text alternative."""
    readme = documents.read(documents.README)
    images = re.findall(r'<img src="([^"]+)" width="(\d+)" alt="[^"]{20,}">', readme)
    assert len(images) == readme.count("<img") == 2
    for path, width in images:
        assert (documents.ROOT / path).read_bytes().startswith(b"\x89PNG\r\n")
        assert int(width) < 500
