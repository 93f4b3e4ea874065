"""Compares the app package with Microsoft's own schema files (npm @microsoft/app-manifest), without the network."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft4Validator

from bot.app_package.archive import MANIFEST
from bot.app_package.manifest import LANGUAGE_FILES, SCHEMA, manifest, translation
from bot.app_package.rules import LONGEST, LONGEST_ADDRESS, LONGEST_DESCRIPTION, LONGEST_TITLE, MOST_COMMANDS
from bot.rendering.i18n import LOCALES
from bot.sandbox.node import InstallFailed, NodeMissing
from tests.e2e.node import HERE, install_node_packages
from tests.unit.app_package.packages import DETAILS, entries

SCHEMAS = HERE / "node_modules" / "@microsoft" / "app-manifest" / "build" / "json-schemas" / "teams" / f"v{SCHEMA}"


@pytest.fixture(scope="module")
def schemas() -> Path:
    """Return the folder of the schema files. Without them, fail in CI and skip elsewhere."""
    try:
        install_node_packages()
    except (NodeMissing, InstallFailed) as error:
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(f"CI=true, but: {error}", pytrace=False)
        pytest.skip(str(error))
    return SCHEMAS


@cache
def schema(folder: Path, name: str) -> dict[str, Any]:
    """Return a schema file."""
    document: dict[str, Any] = json.loads((folder / f"{name}.schema.json").read_text("utf-8-sig"))
    return document


def mistakes(folder: Path, name: str, document: Any) -> list[str]:
    """Return where a document breaks the schema of this name, and how."""
    found = Draft4Validator(schema(folder, name)).iter_errors(document)
    return [f"{'.'.join(map(str, error.instance_path))}: {error.message[:200]}" for error in found]


def test_manifest_of_the_package_follows_the_schema(schemas: Path) -> None:
    """The schema is Microsoft's for the manifest's version."""
    assert mistakes(schemas, "MicrosoftTeams", json.loads(entries()[MANIFEST])) == []


@pytest.mark.parametrize("locale", LOCALES)
def test_texts_of_every_language_follow_the_localization_schema(schemas: Path, locale: str) -> None:
    """Every key names a member of the manifest, and no text is too long."""
    assert mistakes(schemas, "MicrosoftTeams.Localization", translation(DETAILS, locale)) == []


def test_language_files_of_the_package_have_the_validated_texts() -> None:
    """Each file has the texts that test_texts_of_every_language_follow_the_localization_schema checks."""
    assert LANGUAGE_FILES
    for locale, name in LANGUAGE_FILES.items():
        assert json.loads(entries()[name]) == translation(DETAILS, locale)


@pytest.mark.parametrize(
    ("member", "value"),
    [("supportsChannelFeatures", "tier9"), ("version", None), ("supportsPersonal", True), ("accentColor", "blue")],
)
def test_schema_rejects_a_manifest_with_one_invalid_member(schemas: Path, member: str, value: object) -> None:
    """Control: a schema that accepts everything would prove nothing."""
    document = {**manifest(DETAILS, version="1.0.0"), member: value}
    assert mistakes(schemas, "MicrosoftTeams", document) != []


def test_limits_in_the_package_rules_equal_those_of_the_schema(schemas: Path) -> None:
    """The rules contain a copy of these limits, because the wheel does not contain the schema."""
    document = schema(schemas, "MicrosoftTeams")
    members = document["properties"]
    address = members["developer"]["properties"]["privacyUrl"]
    address = document["definitions"][address["$ref"].rpartition("/")[2]] if "$ref" in address else address
    assert address["maxLength"] == LONGEST_ADDRESS
    for place, most in LONGEST.items():
        group, name = place.split(".")
        assert members[group]["properties"][name]["maxLength"] == most
    commands = members["bots"]["items"]["properties"]["commandLists"]["items"]["properties"]["commands"]
    texts = commands["items"]["properties"]
    assert commands["maxItems"] == MOST_COMMANDS
    assert (texts["title"]["maxLength"], texts["description"]["maxLength"]) == (LONGEST_TITLE, LONGEST_DESCRIPTION)
