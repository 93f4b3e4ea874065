"""Tests for the version of an app package: it never falls, and other contents get a higher one."""

from dataclasses import replace

import pytest

from bot.app_package.archive import pack, unpack
from bot.app_package.versions import UpdateRefused, Version, parse_version, release_version, stamp
from tests.unit.app_package.packages import DETAILS, changed

OWN = Version(0, 1, 0)
RENAMED = replace(DETAILS, name="Node Access Test")


def test_two_packages_with_the_same_contents_have_the_same_bytes() -> None:
    """A first package has the version of the bot, and nothing of the machine or the moment."""
    one, two = (stamp(DETAILS, own=OWN, requested=None, former=None) for _ in range(2))
    assert one == two
    assert (one.version, one.changed) == (OWN, True)


def test_package_with_the_same_contents_keeps_its_version_after_an_upgrade_of_the_bot() -> None:
    """The former package is returned unchanged."""
    former = stamp(DETAILS, own=OWN, requested=None, former=None).package
    again = stamp(DETAILS, own=Version(0, 2, 0), requested=None, former=former)
    assert (again.version, again.package, again.changed) == (OWN, former, False)


def test_changed_contents_of_a_package_get_the_next_version() -> None:
    """Teams takes an update only with a higher version."""
    former = stamp(DETAILS, own=OWN, requested=None, former=None).package
    second = stamp(RENAMED, own=OWN, requested=None, former=former)
    third = stamp(DETAILS, own=OWN, requested=None, former=second.package)
    assert [str(each.version) for each in (second, third)] == ["0.1.1", "0.1.2"]


def test_changed_package_gets_the_version_of_a_newer_bot() -> None:
    """The version is the bot's again, if that is higher than the next one."""
    former = stamp(DETAILS, own=OWN, requested=None, former=None).package
    assert stamp(RENAMED, own=Version(0, 2, 0), requested=None, former=former).version == (0, 2, 0)


def test_changed_package_of_an_older_bot_does_not_get_a_lower_version() -> None:
    """After a downgrade, an update still has to be higher than what Teams has."""
    former = stamp(DETAILS, own=Version(2, 0, 0), requested=None, former=None).package
    assert stamp(RENAMED, own=OWN, requested=None, former=former).version == (2, 0, 1)


@pytest.mark.parametrize("requested", [Version(0, 1, 0), Version(0, 0, 9)])
def test_requested_package_version_that_is_not_higher_is_refused(requested: Version) -> None:
    """The error names the lowest version that is possible."""
    former = stamp(DETAILS, own=OWN, requested=None, former=None).package
    with pytest.raises(UpdateRefused, match=r"0\.1\.1 or higher"):
        stamp(RENAMED, own=OWN, requested=requested, former=former)


def test_requested_package_version_is_used_if_it_is_higher() -> None:
    """A person may know that Teams has a higher version than the file."""
    former = stamp(DETAILS, own=OWN, requested=None, former=None).package
    assert stamp(DETAILS, own=OWN, requested=Version(3, 0, 0), former=former).version == (3, 0, 0)
    assert stamp(DETAILS, own=OWN, requested=Version(3, 0, 0), former=None).version == (3, 0, 0)
    assert not stamp(DETAILS, own=OWN, requested=OWN, former=former).changed


@pytest.mark.parametrize(
    ("former", "expected"),
    [
        (b"no zip", "is no app package"),
        (pack({"manifest.json": b"[]"}), "is no app package"),
        (changed("id", "22222222-2222-4222-8222-222222222222"), "another app"),
        (changed("version", "1.0"), "no version"),
    ],
)
def test_package_version_cannot_follow_that_of_a_file_that_is_no_package_of_the_app(
    former: bytes, expected: str
) -> None:
    """The error says why. The file may be needed."""
    with pytest.raises(UpdateRefused, match=expected):
        stamp(DETAILS, own=OWN, requested=None, former=former)


def test_entries_of_a_package_have_the_earliest_zip_time_and_no_folder() -> None:
    """The package does not depend on the machine or the moment."""
    package = stamp(DETAILS, own=OWN, requested=None, former=None).package
    assert list(unpack(package)) == ["manifest.json", "color.png", "outline.png", "ja.json"]
    assert package.count(b"\x00\x00\x21\x00") >= 2 * 4  # in each local header and in the directory: 1980-01-01, 00:00


@pytest.mark.parametrize("text", ["1.2", "1.2.3.4", "01.2.3", "1.2.3-rc1", "1.2.", "v1.2.3", "\u0661.2.3", "1.2.3\n"])
def test_package_version_that_is_not_three_numbers_is_refused(text: str) -> None:
    """Three numbers are what every part of Teams compares in the same way."""
    with pytest.raises(ValueError, match=r"like 1\.2\.3"):
        parse_version(text)


@pytest.mark.parametrize(("distribution", "expected"), [("1.0.0", "1.0.0"), ("1.0.0rc1", "1.0.0"), ("1.2", "1.2.0")])
def test_version_of_the_bot_becomes_three_numbers(distribution: str, expected: str) -> None:
    """A release candidate has the numbers of its release; a package with other contents gets the next version."""
    assert str(release_version(distribution)) == expected


def test_release_gets_a_higher_version_than_its_candidate_only_if_the_contents_differ() -> None:
    """Teams would refuse a package of 1.0.0 over another one of 1.0.0rc1, because both have the numbers 1.0.0."""
    candidate, release = release_version("1.0.0rc1"), release_version("1.0.0")
    former = stamp(DETAILS, own=candidate, requested=None, former=None).package
    assert not stamp(DETAILS, own=release, requested=None, former=former).changed
    assert stamp(RENAMED, own=release, requested=None, former=former).version == (1, 0, 1)
