"""Judges an app package before a person uploads it: what is wrong, why it matters, and how to fix it.

Teams' own errors come late and rarely say the cause, and some mistakes give none: without the scope `personal`, the
bot can never write to requesters. The rules work on any package for this bot, also one that another tool made.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from bot.app_package.archive import MANIFEST, NotAPackage, read_manifest, unpack
from bot.app_package.manifest import CHANNEL_FEATURES, ICON_SIZES, PERMISSION, SCOPES, Json
from bot.app_package.package import Finding, Package, shown
from bot.app_package.pictures import NotAPicture, Picture, read_picture
from bot.app_package.versions import parse_version

GUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
COLOR_CODE: Final = re.compile(r"#[0-9a-fA-F]{6}", re.ASCII)
KEY: Final = re.compile(r"\[\[\w+\]\]")  # `localizationKeys` in Microsoft's schema of the texts
MOST_COMMANDS: Final = 12  # in a list
LONGEST: Final[Mapping[str, int]] = {  # characters; Microsoft's schema of the manifest
    "name.short": 30,
    "developer.name": 32,
    "description.short": 80,
    "description.full": 4000,
}
LONGEST_TITLE, LONGEST_DESCRIPTION = 128, 4000  # characters of a command
ADDRESSES: Final = ("developer.websiteUrl", "developer.privacyUrl", "developer.termsOfUseUrl")
LONGEST_ADDRESS: Final = 2048
WHITE: Final = (255, 255, 255)
AGAIN: Final = "make the package again with node-access-bot manifest"


def find_mistakes(package: bytes, *, app_id: str) -> list[Finding]:
    """Return what is wrong with a package for the bot with this app id, in the order in which a person would fix it."""
    try:
        entries = unpack(package)
        opened = Package(entries, read_manifest(entries), app_id)
    except NotAPackage as error:
        return [Finding("teams.package", str(error), "Teams cannot read the package", AGAIN)]
    return [finding for rule in RULES for finding in rule(opened)]


def _files(package: Package) -> Iterator[Finding]:
    """Require exactly the files that the manifest names, without folders."""
    named = {MANIFEST, *_language_files(package), *(package.text(f"icons.{kind}") for kind in ICON_SIZES)}
    missing, other = sorted(named - package.entries.keys()), sorted(package.entries.keys() - named)
    if missing:
        yield Finding(
            "teams.package",
            f"the zip lacks {shown(missing)}",
            "Teams refuses a package without a file that its manifest names",
            "zip the files themselves, not their folder; or " + AGAIN,
        )
    if other:
        yield Finding(
            "teams.package",
            f"the zip also has {shown(other)}",
            "Teams refuses a package with a folder around its files, and other files do not belong in it",
            "zip only the files that the manifest names, without a folder; or " + AGAIN,
        )


def _bot(package: Package) -> Iterator[Finding]:
    found = package.text("bots.0.botId")
    if len(package.listed("bots")) != 1 or found.casefold() != package.app_id.casefold():
        yield Finding(
            "teams.bot-id",
            f"the package is for the bot {shown([found])}, not for {package.app_id}",
            "clicks and commands go to another bot, and this one is not in the team",
            "set NODE_ACCESS_APP_ID to the application (client) id of the Azure Bot, and " + AGAIN,
        )
    for place in ("id", "webApplicationInfo.id"):
        if not GUID.fullmatch(package.text(place)):
            yield Finding(
                "teams.bot-id",
                f"{place} is {shown([package.text(place)])}, and not an id like 11111111-1111-4111-8111-111111111111",
                "Teams refuses the package",
                AGAIN,
            )


def _scopes(package: Package) -> Iterator[Finding]:
    scopes = package.listed("bots.0.scopes")
    if "personal" not in scopes:
        yield Finding(
            "teams.personal",
            "the bot lacks the scope personal",
            "the bot can never write to requesters: no result, no command to connect, no button to cancel",
            AGAIN + ", and upload it as an update",
        )
    if "team" not in scopes:
        yield Finding(
            "teams.team",
            "the bot lacks the scope team",
            "nobody can add the app to the approvers' team, so no channel gets cards",
            AGAIN + ", and upload it as an update",
        )
    if others := [scope for scope in scopes if scope not in SCOPES]:
        yield Finding(
            "teams.scopes",
            f"the bot has the scope {shown(others)}",
            "people add it to places that it does not serve",
            AGAIN,
        )


def _channels(package: Package) -> Iterator[Finding]:
    if package.at("supportsChannelFeatures") != CHANNEL_FEATURES:
        yield Finding(
            "teams.private-channel",
            f'the manifest lacks "supportsChannelFeatures": "{CHANNEL_FEATURES}" at its top level',
            "Teams refuses a package with the scope team without it, and it allows private and shared channels",
            AGAIN,
        )
    if PERMISSION not in package.listed("authorization.permissions.resourceSpecific"):
        yield Finding(
            "teams.private-channel",
            f"the manifest does not ask for the permission {PERMISSION['name']}",
            "Teams does not show the bot who is in a private or shared channel, so nobody can decide there",
            AGAIN,
        )
    elif not package.text("webApplicationInfo.resource"):
        yield Finding(
            "teams.private-channel",
            "webApplicationInfo.resource is empty",
            "Teams refuses a permission without it; any text will do",
            AGAIN,
        )


def _lengths(package: Package) -> Iterator[Finding]:
    texts = {place: (package.text(place), most) for place, most in LONGEST.items()}
    for place, (text, most) in {**texts, **_command_texts(package)}.items():
        if not text.strip() or len(text) > most:
            yield Finding(
                "teams.texts",
                f"{place} has {len(text)} characters",
                "Teams refuses the package",
                f"write 1 to {most} characters",
            )
        if KEY.search(text):
            yield Finding(
                "teams.texts",
                f"{place} has a word in double square brackets",
                "Teams takes it for the key of a translation, which does not exist",
                "write the text without them",
            )
    for number, _ in enumerate(package.listed("bots.0.commandLists")):
        count = len(package.listed(f"bots.0.commandLists.{number}.commands"))
        if count > MOST_COMMANDS:
            yield Finding(
                "teams.texts",
                f"bots.0.commandLists.{number} has {count} commands",
                "Teams refuses the package",
                f"list at most {MOST_COMMANDS}",
            )


def _command_texts(package: Package) -> dict[str, tuple[str, int]]:
    """Return the texts of the commands by their place, each with the greatest length that Teams accepts."""
    places = [
        f"bots.0.commandLists.{place}.commands.{row}"
        for place, _ in enumerate(package.listed("bots.0.commandLists"))
        for row, _ in enumerate(package.listed(f"bots.0.commandLists.{place}.commands"))
    ]
    titles = {f"{place}.title": (package.text(f"{place}.title"), LONGEST_TITLE) for place in places}
    return titles | {
        f"{place}.description": (package.text(f"{place}.description"), LONGEST_DESCRIPTION) for place in places
    }


def _addresses(package: Package) -> Iterator[Finding]:
    for place in ADDRESSES:
        if not is_web_page(package.text(place)):
            yield Finding(
                "teams.addresses",
                f"{place} is {shown([package.text(place)])}, and not an https address",
                "Teams refuses the package, or shows people a link that does not work",
                "write the address of a page that the people of your organization can open, like https://example.com/",
            )


def is_web_page(address: str) -> bool:
    """Return True for an https address with a host, and without a user, that is not longer than LONGEST_ADDRESS."""
    try:
        parts = urlsplit(address)
        host, user = parts.hostname, parts.username
    except ValueError:
        return False
    printable = address.isprintable() and " " not in address
    return parts.scheme == "https" and bool(host) and user is None and printable and len(address) <= LONGEST_ADDRESS


def _version(package: Package) -> Iterator[Finding]:
    try:
        parse_version(package.text("version"))
    except ValueError as error:
        yield Finding(
            "teams.app-version",
            f"the version is {shown([package.text('version')])}",
            "Teams cannot tell whether the package is an update",
            str(error),
        )


def _accent(package: Package) -> Iterator[Finding]:
    if not COLOR_CODE.fullmatch(package.text("accentColor")):
        yield Finding(
            "teams.icons",
            f"accentColor is {shown([package.text('accentColor')])}",
            "Teams refuses the package",
            "write a color like #1f4e79",
        )


def _icons(package: Package) -> Iterator[Finding]:
    for kind, size in ICON_SIZES.items():
        data = package.entries.get(package.text(f"icons.{kind}"))
        if data is None:
            continue  # the rule about files names it
        if mistake := _mistake_of_icon(kind, size, data):
            yield Finding(
                "teams.icons",
                f"the {kind} icon is wrong: {mistake}",
                "Teams refuses the package, or shows a blank square",
                f"save it as PNG of {size} × {size} pixels" + (", white on transparent" if kind == "outline" else ""),
            )


def _mistake_of_icon(kind: str, size: int, data: bytes) -> str | None:
    try:
        picture = read_picture(data)
        if (picture.width, picture.height) != (size, size):
            return f"it has {picture.width} × {picture.height} pixels"
        return _mistake_of_outline(picture) if kind == "outline" else None
    except NotAPicture as error:
        return str(error)


def _mistake_of_outline(picture: Picture) -> str | None:
    pixels = list(picture.pixels())
    if any(pixel[:3] != WHITE for pixel in pixels if pixel[3]):
        return "it has colors other than white"
    if all(pixel[3] for pixel in pixels):
        return "its background is not transparent"
    return None if any(pixel[3] for pixel in pixels) else "it is empty"


def _languages(package: Package) -> Iterator[Finding]:
    """Require each text of the manifest in the file of each language, and no other."""
    expected = {"name.short", "description.short", "description.full", *map(_localized, _command_texts(package))}
    for name in _language_files(package):
        if name not in package.entries:
            continue  # the rule about files names it
        texts = _texts(package.entries[name])
        differing = sorted(expected ^ texts.keys())
        if differing or not all(isinstance(text, str) and text.strip() for text in texts.values()):
            yield Finding(
                "teams.languages",
                f"{shown([name])} lacks texts of the manifest, or has others: {shown(differing[:3])}",
                "Teams refuses the package, or shows some texts in English",
                AGAIN,
            )


def _localized(place: str) -> str:
    """Return the key of a text in a file of texts: bots.0.commandLists.1 is bots[0].commandLists[1] there."""
    return re.sub(r"\.([0-9]+)", r"[\1]", place)


def _texts(data: bytes) -> Json:
    """Return the texts in a file; none if it is not a JSON object."""
    try:
        document = read_manifest({MANIFEST: data})
    except NotAPackage:
        return {}
    return {key: text for key, text in document.items() if key != "$schema"}


def _language_files(package: Package) -> list[str]:
    places = range(len(package.listed("localizationInfo.additionalLanguages")))
    return [package.text(f"localizationInfo.additionalLanguages.{place}.file") for place in places]


RULES: Final[tuple[Callable[[Package], Iterator[Finding]], ...]] = (
    _bot, _scopes, _channels, _addresses, _lengths, _version, _accent, _files, _icons, _languages,
)  # fmt: skip
