"""Tests for the rules about app packages: each mistake is found, by the name of its rule, and only it."""

import json
import struct
import zlib
from typing import Any

import pytest

from bot.app_package.archive import pack
from bot.app_package.manifest import COLOR, OUTLINE
from bot.app_package.rules import find_mistakes
from tests.unit.app_package.packages import APP_ID, changed, entries, with_files

OTHER_ID = "22222222-2222-4222-8222-222222222222"


def png(size: int, pixel: tuple[int, int, int, int], *, form: tuple[int, int] = (8, 6)) -> bytes:
    """Return a PNG file of one color; `form` is the number of bits and the color type."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", size, size, *form, 0, 0, 0)
    lines = (b"\0" + bytes(pixel) * size) * size
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def test_package_of_the_manifest_command_passes_its_own_rules() -> None:
    """No rule has a finding."""
    assert find_mistakes(pack(entries()), app_id=APP_ID) == []


def test_rules_ignore_the_letter_case_of_app_and_bot_ids() -> None:
    """Entra and Teams write ids in either case."""
    assert (
        find_mistakes(
            changed("bots.0.botId", "AAAAAAAA-1111-4111-8111-111111111111"),
            app_id="aaaaaaaa-1111-4111-8111-111111111111",
        )
        == []
    )


@pytest.mark.parametrize(
    ("check", "place", "value"),
    [
        ("teams.personal", "bots.0.scopes", ["team"]),
        ("teams.team", "bots.0.scopes", ["personal"]),
        ("teams.scopes", "bots.0.scopes", ["team", "personal", "groupChat"]),
        ("teams.bot-id", "bots.0.botId", OTHER_ID),
        ("teams.bot-id", "id", "node-access-bot"),
        ("teams.bot-id", "webApplicationInfo.id", "none"),
        ("teams.private-channel", "supportsChannelFeatures", None),
        ("teams.private-channel", "authorization", None),
        ("teams.private-channel", "webApplicationInfo.resource", ""),
        ("teams.addresses", "developer.websiteUrl", "http://example.com"),
        ("teams.addresses", "developer.privacyUrl", "https://"),
        ("teams.addresses", "developer.privacyUrl", None),
        ("teams.addresses", "developer.termsOfUseUrl", "https://[::1"),
        ("teams.addresses", "developer.termsOfUseUrl", "https://user@example.com/"),
        ("teams.texts", "name.short", "x" * 31),
        ("teams.texts", "name.short", " "),
        ("teams.texts", "developer.name", "x" * 33),
        ("teams.texts", "description.short", "x" * 81),
        ("teams.texts", "description.full", "x" * 4001),
        ("teams.texts", "description", None),
        ("teams.texts", "bots.0.commandLists.0.commands.0.description", "the [[channels]] entry"),
        ("teams.texts", "bots.0.commandLists.1.commands.0.title", "x" * 129),
        ("teams.texts", "bots.0.commandLists.0.commands.0.description", None),
        ("teams.app-version", "version", "1.0"),
        ("teams.app-version", "version", "1.0.0-rc1"),
        ("teams.app-version", "version", 1),
        ("teams.icons", "accentColor", "blue"),
        ("teams.package", "icons.color", "color-192.png"),
        ("teams.package", "localizationInfo.additionalLanguages.0.file", "fr.json"),
    ],
)  # fmt: skip
def test_each_invalid_value_in_the_manifest_is_reported_by_exactly_one_rule(check: str, place: str, value: Any) -> None:
    """The parameters name the rule that reports it."""
    assert {finding.check for finding in find_mistakes(changed(place, value), app_id=APP_ID)} == {check}


def test_rules_report_a_list_of_thirteen_commands() -> None:
    """Teams shows at most twelve in a list."""
    many = [{"title": f"command-{number}", "description": "does"} for number in range(13)]
    found = find_mistakes(changed("bots.0.commandLists.0.commands", many), app_id=APP_ID)
    assert any("13 commands" in finding.what for finding in found)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({COLOR: None}, "lacks color.png"),
        ({"ja.json": None}, "lacks ja.json"),
        ({"notes.txt": b""}, "also has notes.txt"),
        ({COLOR: None, "package/color.png": b""}, "lacks color.png"),
    ],
)
def test_rules_report_missing_and_additional_files_of_a_package(files: dict[str, bytes | None], expected: str) -> None:
    """A package has exactly the files that its manifest names, at the top level."""
    found = find_mistakes(with_files(files), app_id=APP_ID)
    assert {finding.check for finding in found} == {"teams.package"}
    assert any(expected in finding.what for finding in found)


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        (COLOR, png(191, (0, 0, 0, 255)), "191 × 191"),
        (COLOR, b"GIF89a", "not a PNG"),
        (COLOR, b"\x89PNG\r\n\x1a\n", "damaged"),
        (OUTLINE, png(31, (255, 255, 255, 0)), "31 × 31"),
        (OUTLINE, png(32, (255, 255, 255, 255)), "not transparent"),
        (OUTLINE, png(32, (255, 255, 255, 0)), "empty"),
        (OUTLINE, png(32, (255, 0, 0, 128)), "colors other than white"),
        (OUTLINE, png(32, (0, 0, 0, 0), form=(8, 3)), "8 bits for each"),
        (OUTLINE, png(32, (255, 255, 255, 255))[:-40], "damaged"),
    ],
)
def test_rules_report_unusable_icons(name: str, data: bytes, expected: str) -> None:
    """The color icon has 192 × 192 pixels; the outline icon has 32 × 32, white on transparent."""
    (found,) = find_mistakes(with_files({name: data}), app_id=APP_ID)
    assert found.check == "teams.icons"
    assert expected in found.what


@pytest.mark.parametrize(
    "texts", [b"not JSON", b"[]", b"{}", json.dumps({"name.short": "x", "name.full": "x"}).encode()]
)
def test_rules_report_an_incomplete_language_file(texts: bytes) -> None:
    """A text that is missing would be shown in English, or Teams would refuse the package."""
    assert [finding.check for finding in find_mistakes(with_files({"ja.json": texts}), app_id=APP_ID)] == [
        "teams.languages"
    ]


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        (b"", "not a readable zip"),
        (b"PK\x03\x04 and more", "not a readable zip"),
        (pack({"package/manifest.json": b"{}"}), "no manifest.json"),
        (pack({"manifest.json": b"{"}), "not JSON"),
        (pack({"manifest.json": b"[" * 200_000}), "not JSON"),
        (pack({"manifest.json": b"[]"}), "not a JSON object"),
        (pack({"manifest.json": b"{}", "large": bytes(5_000_001)}), "more than 5 MB"),
    ],
)
def test_unreadable_package_has_exactly_one_finding(package: bytes, expected: str) -> None:
    """The finding says what is wrong with the file."""
    (found,) = find_mistakes(package, app_id=APP_ID)
    assert found.check == "teams.package"
    assert expected in found.what


def test_manifest_without_members_or_with_wrong_types_has_findings_and_raises_no_error() -> None:
    """Every rule reads a manifest without members, or with members of other types."""
    empty = find_mistakes(pack({"manifest.json": b"{}"}), app_id=APP_ID)
    other = dict.fromkeys(("bots", "developer", "icons", "localizationInfo", "name", "authorization"), "text")
    odd = find_mistakes(pack({"manifest.json": json.dumps(other).encode()}), app_id=APP_ID)
    assert {"teams.personal", "teams.bot-id", "teams.texts"} <= {finding.check for finding in empty}
    assert {"teams.personal", "teams.bot-id", "teams.texts"} <= {finding.check for finding in odd}


def test_findings_contain_no_control_characters_and_no_long_texts_of_a_package() -> None:
    """A package may be from anyone: control characters and long texts do not reach the terminal."""
    found = find_mistakes(changed("bots.0.botId", "\x1b[2J\u202e" + "x" * 1000), app_id=APP_ID)
    assert len(found) == 1
    assert found[0].what.isprintable()
    assert len(found[0].what) < 200
