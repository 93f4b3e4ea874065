"""`node-access-bot manifest`: makes the app package, judges it, and says what people do with it."""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

import click

from bot import DISTRIBUTION
from bot.app_package.manifest import AppDetails
from bot.app_package.package import Finding
from bot.app_package.rules import COLOR_CODE, GUID, LONGEST, find_mistakes, is_web_page
from bot.app_package.versions import Stamped, UpdateRefused, Version, parse_version, release_version, stamp

MANAGED_IDENTITY: Final = "managed-identity"
CREDENTIALS: Final = ("secret", "aws-federation", MANAGED_IDENTITY)
WEBSITE: Final = "a page that says what the bot is for, and how to get help"
PRIVACY: Final = (
    "a page that says which data about people the bot keeps, where, for how long, and how a person is forgotten"
)
TERMS: Final = "a page that says who may use the bot, and for what; your rules for access to servers may be enough"
NEEDED: Final[Mapping[str, str]] = {
    "app_id": "--app-id, or NODE_ACCESS_APP_ID: the application (client) id of the Azure Bot",
    "registration_id": "--registration-id: the app registration that gets the permission to read members. "
    "A managed identity cannot get it: register an app in the same tenant, without a secret, and write its id",
    "developer": "--developer: who offers the app, for example your team",
    "website": f"--website, or --url for all three: the address of {WEBSITE}",
    "privacy": f"--privacy: the address of {PRIVACY}. “Data about people” in infra/docs/operations.md has the facts",
    "terms": f"--terms: the address of {TERMS}",
}
"""What has no default, by its name in AppDetails. Teams shows links to the pages to everyone who opens the app."""
NEXT_STEPS: Final = """\
What people do next:

1. A Teams administrator uploads the file in the Teams admin center: Teams apps, Manage apps, Upload new app. An update
   is uploaded on the page of the existing app there. The organization's settings for apps must allow custom apps.
2. An owner of the approvers' team adds the app to the team, and consents to the one permission that it asks for: to
   read the members of the team's channels.
3. A private or shared channel that gets cards needs one more step: a member adds the app in the channel itself.
4. Requesters get direct messages if they are members of a channel that gets cards. For all others, the Teams
   administrator installs the personal app: Teams apps, Setup policies, Installed apps. Or they add the app themselves.
   Until then, the thread of the card says that the requester could not be told; decisions work without it.

Keep the file: the next package must have a higher version, which this command takes from it.\
"""


def _guid(_ctx: click.Context, _param: click.Parameter, text: str | None) -> str | None:
    if text is not None and not GUID.fullmatch(text):
        raise click.BadParameter("write an id like 11111111-1111-4111-8111-111111111111")
    return text


def _page(_ctx: click.Context, _param: click.Parameter, text: str | None) -> str | None:
    if text is not None and not is_web_page(text):
        raise click.BadParameter("write an https address, like https://example.com/node-access")
    return text


def _color(_ctx: click.Context, _param: click.Parameter, text: str) -> str:
    if not COLOR_CODE.fullmatch(text):
        raise click.BadParameter("write a color like #1f4e79")
    return text


def _chosen_version(_ctx: click.Context, _param: click.Parameter, text: str | None) -> Version | None:
    try:
        return parse_version(text) if text is not None else None
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _of_length(place: str) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    def checked(_ctx: click.Context, _param: click.Parameter, text: str | None) -> str | None:
        if text is not None and not (text.strip() and text.isprintable() and len(text) <= LONGEST[place]):
            raise click.BadParameter(f"write 1 to {LONGEST[place]} visible characters, not {len(text)}")
        return text

    return checked


@click.command("manifest")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("node-access-bot.zip"),
    show_default=True,
    help="The file to write. If it is the package of an earlier version, its version decides the next one.",
)
@click.option(
    "--app-id",
    metavar="ID",
    envvar="NODE_ACCESS_APP_ID",
    show_envvar=True,
    callback=_guid,
    help="Application (client) id of the Azure Bot.",
)
@click.option(
    "--developer",
    metavar="NAME",
    callback=_of_length("developer.name"),
    help="Who offers the app, at most 32 characters.",
)
@click.option(
    "--url", metavar="URL", callback=_page, help="Address of your pages: the website, and below it /privacy and /terms."
)
@click.option("--website", metavar="URL", callback=_page, help=f"Address of {WEBSITE}. Default: --url.")
@click.option("--privacy", metavar="URL", callback=_page, help=f"Address of {PRIVACY}. Default: privacy below --url.")
@click.option("--terms", metavar="URL", callback=_page, help=f"Address of {TERMS}. Default: terms below --url.")
@click.option(
    "--name",
    metavar="NAME",
    default="Node Access Bot",
    show_default=True,
    callback=_of_length("name.short"),
    help="Name of the app, at most 30 characters. People mention it, so two installations need two names.",
)
@click.option(
    "--accent", metavar="COLOR", default="#1f4e79", show_default=True, callback=_color, help="Color around the icon."
)
@click.option(
    "--app-version",
    metavar="VERSION",
    callback=_chosen_version,
    help="Version of the package. Default: the bot's, but at least the one after that of --out if the "
    "contents differ. Teams takes only a higher version than it has.",
)
@click.option(
    "--credential",
    type=click.Choice(CREDENTIALS),
    default="secret",
    show_default=True,
    envvar="NODE_ACCESS_APP_CREDENTIAL",
    show_envvar=True,
    help="How the bot authenticates to Microsoft; managed-identity needs --registration-id.",
)
@click.option(
    "--registration-id",
    metavar="ID",
    callback=_guid,
    help="Application (client) id of the app registration that gets the permission to read members. Default: "
    "--app-id. A managed identity has no app registration: make one without a secret, and give its id.",
)
def manifest(
    *,
    out: Path,
    app_id: str | None,
    developer: str | None,
    url: str | None,
    website: str | None,
    privacy: str | None,
    terms: str | None,
    name: str,
    accent: str,
    app_version: Version | None,
    credential: str,
    registration_id: str | None,
) -> None:
    """Make the Teams app package, a zip for the Teams admin center.

    The same options give the same bytes. Teams takes an update only with a
    higher version. So keep the file: if the contents of the next package
    differ, its version is higher than that of the file.
    """
    own_registration = app_id if credential != MANAGED_IDENTITY else None
    details = _details(
        {
            "app_id": app_id,
            "registration_id": registration_id or own_registration,
            "developer": developer,
            "website": website or url,
            "privacy": privacy or _below(url, "privacy"),
            "terms": terms or _below(url, "terms"),
        },
        name=name,
        accent=accent,
    )
    stamped = _stamped(details, out, app_version)
    if mistakes := find_mistakes(stamped.package, app_id=details.app_id):
        raise click.ClickException("\n".join(["the package would not work:", *map(in_words, mistakes)]))
    if not stamped.changed:
        click.echo(f"{out}: {name} {stamped.version}, as before; there is nothing to upload")
        return
    _write(out, stamped.package)
    click.echo(f"{out}: {name} {stamped.version}\n\n{NEXT_STEPS}")


def _below(url: str | None, page: str) -> str | None:
    return f"{url.rstrip('/')}/{page}" if url else None


def _details(given: Mapping[str, str | None], *, name: str, accent: str) -> AppDetails:
    """Return the details; raise click.UsageError with a line for each one that is missing."""
    known = {key: value for key, value in given.items() if value}
    needed = NEEDED if "app_id" in known else {key: line for key, line in NEEDED.items() if key != "registration_id"}
    missing = [f"  {line}" for key, line in needed.items() if key not in known]
    if missing:
        raise click.UsageError("\n".join(["the package needs more:", *missing]))
    return AppDetails(name=name, accent=accent, **known)


def _stamped(details: AppDetails, out: Path, requested: Version | None) -> Stamped:
    try:
        former = out.read_bytes()
    except FileNotFoundError:
        former = None
    except OSError as error:
        raise click.ClickException(f"{out} cannot be read: {error.strerror}") from None
    try:
        return stamp(details, own=release_version(version(DISTRIBUTION)), requested=requested, former=former)
    except UpdateRefused as refused:
        raise click.ClickException(f"{out}: {refused}") from None


def _write(out: Path, package: bytes) -> None:
    """Write the file in one step: a former package is the only record of the version that Teams has."""
    draft = out.with_name(f"{out.name}.part")
    try:
        draft.write_bytes(package)
        draft.replace(out)
    except OSError as error:
        raise click.ClickException(f"{out} cannot be written: {error.strerror}") from None


def in_words(finding: Finding) -> str:
    """Return a finding in one line."""
    return f"{finding.check}: {finding.what}. {finding.why}. To fix it: {finding.fix}."
