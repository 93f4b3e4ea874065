"""Tests for `node-access-bot manifest`: options, errors, the file, and what it says."""

import json
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bot import DISTRIBUTION
from bot.app_package.archive import MANIFEST, unpack
from bot.app_package.rules import find_mistakes
from bot.app_package.versions import release_version
from bot.cli import main
from tests.unit.app_package.packages import APP_ID, OPTIONS

REGISTRATION = "22222222-2222-4222-8222-222222222222"
OWN = release_version(version(DISTRIBUTION))


@pytest.fixture(autouse=True)
def empty_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty folder, without settings in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("NODE_ACCESS_APP_ID", "NODE_ACCESS_APP_CREDENTIAL"):
        monkeypatch.delenv(name, raising=False)


def run(*words: str, **environment: str) -> Result:
    """Run the command in this process. Any exception other than its exit fails the test."""
    return CliRunner().invoke(main, ["manifest", *words], catch_exceptions=False, env=environment)


def manifest_of(path: Path) -> dict[str, object]:
    """Return the manifest in a package."""
    document: dict[str, object] = json.loads(unpack(path.read_bytes())[MANIFEST])
    return document


def test_manifest_command_writes_a_valid_package_and_prints_the_next_steps() -> None:
    """The output names the file and its version, and who uploads it, adds it and installs it."""
    done = run(*OPTIONS)
    package = Path("node-access-bot.zip").read_bytes()
    assert (done.exit_code, done.stderr, find_mistakes(package, app_id=APP_ID)) == (0, "", [])
    assert done.stdout.startswith(f"node-access-bot.zip: Node Access Bot {OWN}\n")
    for who in (
        "Teams administrator uploads",
        "owner of the approvers' team",
        "private or shared channel",
        "Setup policies",
    ):
        assert who in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120


def test_url_option_is_the_base_of_each_page_that_has_no_option() -> None:
    """`--url` is the website. The page about privacy is below it, and `--terms` names the page of the terms."""
    assert run(*OPTIONS[:4], "--url", "https://example.com/bot/", "--terms", "https://example.org/terms").exit_code == 0
    assert manifest_of(Path("node-access-bot.zip"))["developer"] == {
        "name": "Example Platform Team",
        "websiteUrl": "https://example.com/bot/",
        "privacyUrl": "https://example.com/bot/privacy",
        "termsOfUseUrl": "https://example.org/terms",
    }


def test_manifest_command_names_every_missing_option_in_one_error() -> None:
    """The error says what each page must say. Nothing is written."""
    done = run()
    assert done.exit_code == 2
    for option in ("--app-id, or NODE_ACCESS_APP_ID", "--developer", "--website, or --url", "--privacy", "--terms"):
        assert f"\n  {option}" in done.stderr
    assert "data about people" in done.stderr
    assert "--registration-id" not in done.stderr
    assert list(Path().iterdir()) == []


def test_app_id_is_read_from_the_environment_if_the_option_is_missing() -> None:
    """If both are given, the option is used."""
    assert run(*OPTIONS[2:], NODE_ACCESS_APP_ID=REGISTRATION).exit_code == 0
    assert manifest_of(Path("node-access-bot.zip"))["id"] == REGISTRATION
    assert run(*OPTIONS, "--out", "other.zip", NODE_ACCESS_APP_ID=REGISTRATION).exit_code == 0
    assert manifest_of(Path("other.zip"))["id"] == APP_ID


@pytest.mark.parametrize("words", [("--credential", "managed-identity"), ()])
def test_manifest_command_refuses_a_managed_identity_without_an_app_registration(words: tuple[str, ...]) -> None:
    """Teams grants the permission only to an app registration.

    The credential is given by an option or by the bot's setting.
    """
    environment = {} if words else {"NODE_ACCESS_APP_CREDENTIAL": "managed-identity"}
    refused = run(*OPTIONS, *words, **environment)
    assert (refused.exit_code, "--registration-id" in refused.stderr) == (2, True)
    assert run(*OPTIONS, *words, "--registration-id", REGISTRATION, **environment).exit_code == 0
    document = manifest_of(Path("node-access-bot.zip"))
    assert document["webApplicationInfo"] == {"id": REGISTRATION, "resource": f"api://{REGISTRATION}"}
    assert document["id"] == APP_ID


@pytest.mark.parametrize(
    "words",
    [
        ("--app-id", "node-access-bot"),
        ("--registration-id", "x"),
        ("--developer", "x" * 33),
        ("--developer", " "),
        ("--name", "x" * 31),
        ("--name", "Node\x1bAccess"),
        ("--url", "http://example.com"),
        ("--website", "example.com"),
        ("--privacy", "https://"),
        ("--terms", "https://exa mple.com"),
        ("--accent", "blue"),
        ("--app-version", "1.0"),
    ],
)
def test_manifest_command_exits_with_2_for_an_invalid_option_and_writes_nothing(words: tuple[str, str]) -> None:
    """The error names the option and says what to write."""
    done = run(*OPTIONS, *words)
    assert (done.exit_code, words[0] in done.stderr, "write" in done.stderr) == (2, True, True)
    assert list(Path().iterdir()) == []


def test_manifest_command_does_not_write_a_package_that_breaks_the_rules() -> None:
    """Teams would take the word in brackets for the key of a translation."""
    done = run(*OPTIONS, "--name", "Node [[Access]] Bot")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: the package would not work:\nteams.texts: name.short has a word in double")
    assert "To fix it: " in done.stderr
    assert list(Path().iterdir()) == []


def test_second_run_of_manifest_with_the_same_options_does_not_change_the_package() -> None:
    """The output says that there is nothing to upload."""
    run(*OPTIONS)
    before = Path("node-access-bot.zip").read_bytes()
    done = run(*OPTIONS)
    assert (done.exit_code, "nothing to upload" in done.stdout) == (0, True)
    assert Path("node-access-bot.zip").read_bytes() == before


def test_package_with_changed_contents_gets_the_next_version() -> None:
    """The file of the former run has the version that Teams has. A version that is not higher is refused."""
    run(*OPTIONS)
    done = run(*OPTIONS, "--name", "Node Access Test")
    following = OWN.following
    assert done.stdout.startswith(f"node-access-bot.zip: Node Access Test {following}\n")
    refused = run(*OPTIONS, "--app-version", str(following))
    assert (refused.exit_code, f"choose {following.following} or higher" in refused.stderr) == (1, True)
    assert manifest_of(Path("node-access-bot.zip"))["version"] == str(following)


def test_file_that_is_no_package_of_the_app_is_not_overwritten() -> None:
    """The error asks for another file."""
    Path("notes.zip").write_text("notes")
    done = run(*OPTIONS, "--out", "notes.zip")
    assert (done.exit_code, "choose another file" in done.stderr) == (1, True)
    assert Path("notes.zip").read_text() == "notes"


@pytest.mark.parametrize("out", ["missing/package.zip", "file/package.zip"])
def test_manifest_command_names_a_file_that_it_cannot_write(out: str) -> None:
    """The command exits with 1 and prints no traceback."""
    Path("file").write_text("")
    done = run(*OPTIONS, "--out", out)
    assert (done.exit_code, out in done.stderr) == (1, True)
