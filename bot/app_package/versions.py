"""The version of a package. Teams takes an update of an app only with a higher version than before.

Unless a person chooses another, the version is that of the bot, so that equal inputs give equal packages on every
machine. If a former package is given and its contents differ, the version is at least the next after its own. It never
falls.
"""

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from bot.app_package.archive import MANIFEST, NotAPackage, contents, pack, read_manifest, unpack
from bot.app_package.manifest import AppDetails, Json
from bot.app_package.package import shown

_VERSION: Final = re.compile(r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})")
_RELEASE: Final = re.compile(r"([0-9]+)\.([0-9]+)(?:\.([0-9]+))?")  # how a version of a Python package begins


class UpdateRefused(Exception):
    """The former file is no package of this app, or the requested version is too low; the message says what to do."""


class Version(NamedTuple):
    """Three numbers, compared in this order."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        """Return "1.2.3"."""
        return ".".join(map(str, self))

    @property
    def following(self) -> "Version":
        """The next patch version."""
        return self._replace(patch=self.patch + 1)


@dataclass(frozen=True, slots=True)
class Stamped:
    """A package with its version. `changed` is False if the former package already has these contents."""

    version: Version
    package: bytes
    changed: bool = True


def parse_version(text: str) -> Version:
    """Return the version in a text like "1.2.3". Raises ValueError."""
    found = _VERSION.fullmatch(text)
    if found is None:
        raise ValueError("write three numbers, like 1.2.3")
    return Version(*map(int, found.groups()))


def release_version(distribution: str) -> Version:
    """Return the three numbers of a Python package's version: 1.2.0 for "1.2.0rc1" or "1.2".

    Raises ValueError if it does not begin with two numbers.
    """
    found = _RELEASE.match(distribution)
    if found is None:
        raise ValueError(f"{distribution!r} has no release number")
    return Version(*(int(number or 0) for number in found.groups()))


def stamp(details: AppDetails, *, own: Version, requested: Version | None, former: bytes | None) -> Stamped:
    """Return the package of these details. Raises UpdateRefused.

    `own` is the version of the bot, `requested` the version that a person chose, and `former` the package that the new
    one replaces. If the contents are the same and no other version is requested, the result is `former`.
    """
    if former is None:
        version = requested or own
        return Stamped(version, _packed(details, version))
    entries, last = _former(former, details.app_id)
    if requested in {None, last} and entries == contents(details, version=str(last)):
        return Stamped(last, former, changed=False)
    version = requested or max(own, last.following)
    if version <= last:
        raise UpdateRefused(
            f"it is a package of version {last}, and Teams takes only a higher one; choose {last.following} or higher"
        )
    return Stamped(version, _packed(details, version))


def _packed(details: AppDetails, version: Version) -> bytes:
    return pack(contents(details, version=str(version)))


def _former(package: bytes, app_id: str) -> tuple[dict[str, bytes], Version]:
    """Return the files and the version of the former package. Raises UpdateRefused."""
    try:
        entries = unpack(package)
        found = read_manifest(entries)
    except NotAPackage as error:
        raise UpdateRefused(f"it exists and is no app package: {error}; choose another file") from None
    if str(found.get("id")).casefold() != app_id.casefold():
        raise UpdateRefused(f"it is a package of another app ({shown([found.get('id')])}); choose another file")
    return entries, _version_of(found)


def _version_of(found: Json) -> Version:
    try:
        return parse_version(str(found.get("version")))
    except ValueError:
        raise UpdateRefused(f"{MANIFEST} in it has no version like 1.2.3; choose another file") from None
