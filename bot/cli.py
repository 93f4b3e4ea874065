"""The command line: parses arguments, calls the packages, turns errors into exit codes.

Exit codes: 0 done, 1 a problem was found, 2 wrong usage or configuration.
Commands import what they need when they run, so that `--help` is fast and the sandbox's libraries stay optional.
"""

import asyncio
import json
import textwrap
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, TypeVar

import click

from bot import DISTRIBUTION, audit_export
from bot.app_package.command import manifest
from bot.config.errors import ConfigurationProblems
from bot.domain.audit import AuditEntry
from bot.domain.configuration import Configuration
from bot.domain.record import Record
from bot.domain.request import OPS_ITEM_ID, InvalidRequestKey, RequestKey
from bot.ports.configuration import ObjectPlace
from bot.ports.store import Store, StoreUnavailable
from bot.rendering.gallery import SAMPLES, sample_timezone, samples
from bot.rendering.i18n import LOCALES
from bot.sandbox.commands import sandbox
from bot.text.escape import escape_json, one_line

if TYPE_CHECKING:
    from bot.service.checks.check import Problem

AUDIT_SPAN: Final = timedelta(days=402)  # the retention time, and a day for time zones on each side
PRINTED_AT_ONCE: Final = 1000  # audit entries
LARGEST_PACKAGE: Final = 10 * 1024 * 1024  # bytes of an app package that are read; a real one has some 20 KB
LONGEST_NAME: Final = 200  # characters of the name of a check
CHECK_STORE: Final = "check NODE_ACCESS_STORE"  # advice if there is no store
_T = TypeVar("_T")


class Misconfigured(click.ClickException):
    """The settings are invalid; prints all problems on stderr, one per line."""

    exit_code = 2

    def show(self, file: IO[str] | None = None) -> None:
        """Print the lines unchanged."""
        click.echo(self.message, file=file, err=True)


def _request(_ctx: click.Context, _param: click.Parameter, text: str) -> RequestKey | str:
    if OPS_ITEM_ID.fullmatch(text):
        return text
    try:
        return RequestKey.parse(text)
    except InvalidRequestKey:
        raise click.BadParameter("write account/region/oi-… or oi-…") from None


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Decide AWS just-in-time node access requests in Microsoft Teams."""


@main.command()
def serve() -> None:
    """Run the bot.

    Settings come from the environment (NODE_ACCESS_…) and from node-access.toml.
    """
    from bot.config.settings import load

    settings, configuration = _configured(partial(load, look=_look))
    from bot import app

    try:
        _configured(partial(app.serve, settings, configuration))
    except app.START_PROBLEMS as problem:
        raise click.ClickException(f"the bot did not start: {problem or type(problem).__name__}") from None


def _look(place: ObjectPlace, region: str) -> Configuration:
    from bot.stored_configuration import look
    from bot.telemetry import silence_logging

    silence_logging()  # what goes wrong is the answer
    return look(place, region)


@main.command()
@click.option("--problems", is_flag=True, help="Print what is missing and which checks failed, from the metrics port.")
def health(*, problems: bool) -> None:
    """Check the bot that runs on this machine, for example as the health check of a container.

    Exits with 0 if it is alive; with --problems, if it is ready.
    """
    from bot.config.settings import load_addresses
    from bot.web.probe import NoAnswer, probe

    at = _configured(load_addresses)
    host, port, path = (at.metrics_host, at.metrics_port, "/readyz") if problems else (at.host, at.port, "/livez")
    if problems and not port:
        raise click.ClickException("the metrics port is switched off: NODE_ACCESS_METRICS_PORT is 0")
    try:
        healthy, answer = probe(host, port, path)
    except NoAnswer as error:
        raise click.ClickException(f"the bot does not answer: {error}") from None
    if problems:
        click.echo(escape_json(json.dumps(answer, ensure_ascii=False, indent=2)))
    if not healthy:
        raise click.exceptions.Exit(1)


@main.command()
@click.argument("request", callback=_request)
def show(request: RequestKey | str) -> None:
    """Print one request as the bot has stored it.

    REQUEST is account/region/oi-… or the OpsItem id alone.
    """
    from bot.store.rows import RECORD, encode

    rows = _read_store(partial(_stored, request), advice=_where_the_store_is(request))
    if not rows:
        raise click.ClickException(f"the store has no request {request}")
    stored = [json.loads(encode(RECORD, row)) for row in rows]
    click.echo(escape_json(json.dumps(stored, ensure_ascii=False, indent=2)))


@main.command(
    epilog="\b\nCards:\n" + textwrap.fill("  ".join(SAMPLES), width=78, break_on_hyphens=False)
)  # \b: click does not wrap the names again
@click.argument("card", type=click.Choice(sorted(SAMPLES)), metavar="CARD")
@click.option("--locale", type=click.Choice(LOCALES), default="en", show_default=True, help="Language of the card.")
def render(card: str, locale: str) -> None:
    """Print a card with sample data as JSON.

    Paste it into the Adaptive Cards Designer.
    """
    from bot.rendering import render as rendered

    sample = samples(locale)[card]
    shown = rendered(sample.view, locale=locale, timezone=sample_timezone(locale), notice=sample.notice)
    click.echo(json.dumps(shown, ensure_ascii=False, indent=2))


def _moment(_ctx: click.Context, _param: click.Parameter, text: str | None) -> datetime | None:
    try:
        return audit_export.moment(text, datetime.now(UTC)) if text else None
    except ValueError:
        raise click.BadParameter(
            "write a date in the years 1970 to 2999, a time like 2026-04-01T09:00+09:00, or a span like 24h or 7d"
        ) from None


@main.command()
@click.option(
    "--since",
    required=True,
    callback=_moment,
    help="A date or time (UTC unless it has an offset), or a span such as 24h or 7d.",
)
@click.option("--until", callback=_moment, help="A date or time as for --since; default: now.")
@click.option("--request", help="Only this request: account/region/oi-…, or the OpsItem id alone.")
@click.option("--person", help="Only this person: a Microsoft Entra object id.")
@click.option(
    "--format",
    "form",
    type=click.Choice(("csv", "json")),
    default="csv",
    show_default=True,
    help="CSV for spreadsheets, or one JSON object per line.",
)
def audit(since: datetime, until: datetime | None, request: str | None, person: str | None, form: str) -> None:
    """Print the audit trail: who tried what, and the result.

    Lists clicks with their answers, and every step of each decision.
    """

    def wanted(entry: AuditEntry) -> bool:
        named = request is None or request in {entry.request, entry.request.rpartition("/")[2]}
        return named and (person is None or entry.person.casefold() == person.casefold())

    now = datetime.now(UTC)
    _read_store(partial(_print_audit, since, min(until or now, now), wanted, form), advice=CHECK_STORE)


async def _print_audit(
    since: datetime, until: datetime, wanted: Callable[[AuditEntry], bool], form: str, store: Store
) -> None:
    """Print the entries that are `wanted`, day by day, so that a year needs no more memory than a day."""
    lines_of = audit_export.as_csv if form == "csv" else audit_export.as_json
    if form == "csv":
        click.echo(audit_export.csv_head())
    day = max(since, until - AUDIT_SPAN)
    while day < until:
        after = min(day + timedelta(days=1), until)
        entries = filter(wanted, await store.audit(day, after))
        while some := [*islice(entries, PRINTED_AT_ONCE)]:
            click.echo(lines_of(some))
        day = after


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
def backup(file: Path) -> None:
    """Copy the SQLite store to FILE while the bot runs, and check the copy.

    FILE must not exist. A DynamoDB table has point-in-time recovery instead.
    """
    from bot.config.settings import load_store
    from bot.store.sqlite.backup import BackupFailed, back_up

    settings = _configured(load_store)
    if settings.sqlite_path is None:
        raise Misconfigured(
            "NODE_ACCESS_STORE: is a DynamoDB table, and this command copies an SQLite file; "
            "a table is restored with its point-in-time recovery"
        )
    _require_file(settings.sqlite_path, advice=CHECK_STORE)
    try:
        back_up(settings.sqlite_path, file)
    except BackupFailed as problem:
        raise click.ClickException(f"no backup was made: {problem}") from None
    click.echo(f"{file} is a complete copy of {settings.sqlite_path}")


def _address(_ctx: click.Context, _param: click.Parameter, text: str | None) -> str | None:
    if text is None:
        return None
    from bot.doctor.endpoint import NotAnAddress, endpoint_address

    try:
        return endpoint_address(text)
    except NotAnAddress as error:
        raise click.BadParameter(str(error)) from None


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--url", callback=_address, help="Also check the bot's public address, as Microsoft reaches it.")
@click.option("--send-test-card", metavar="CHANNEL", help="Also post a test message into this channel.")
@click.option("--package", type=click.File("rb"), help="Also check the app package that is uploaded to Teams.")
@click.option("--person", metavar="UPN", help="Also send a test message to this member of a channel.")
@click.option(
    "--create-table",
    is_flag=True,
    help="Only create the DynamoDB table that NODE_ACCESS_STORE names, or check an existing one.",
)
def doctor(
    *,
    as_json: bool,
    url: str | None,
    send_test_card: str | None,
    package: IO[bytes] | None,
    person: str | None,
    create_table: bool,
) -> None:
    """Check settings, AWS and Teams, and list every problem with its fix.

    Writes nothing without --send-test-card, --person or --create-table. Exits with 1 if there is a problem.
    """
    if create_table:
        _create_table()
        return
    from bot.config.settings import load

    settings, configuration = _configured(partial(load, look=_look))
    if isinstance(configuration, ObjectPlace):
        configuration = _configured(partial(_look, configuration, settings.region))
    if send_test_card and configuration.channel(send_test_card) is None:
        names = ", ".join(each.name for each in configuration.channels)
        raise click.BadParameter(
            f"there is no channel {send_test_card}; write one of {names}", param_hint="--send-test-card"
        )
    from bot.doctor.examination import Questions, examine
    from bot.doctor.printing import as_json as json_of
    from bot.doctor.printing import as_text
    from bot.telemetry import silence_logging

    silence_logging()
    contents = package.read(LARGEST_PACKAGE) if package else None
    questions = Questions(url=url, test_card=send_test_card, person=person, package=contents)
    report = asyncio.run(examine(settings, configuration, questions, _say_checked))
    click.echo(json_of(report) if as_json else as_text(report))
    if report.found:
        raise click.exceptions.Exit(1)


def _say_checked(name: str, problem: "Problem | None") -> None:
    """Print the result of a check on stderr, so that a person sees what doctor does."""
    click.echo(f"{'problem' if problem else 'ok':8} {one_line(name, LONGEST_NAME)}", err=True)


def _create_table() -> None:
    from bot.config.settings import load_store

    settings = _configured(load_store)
    if settings.dynamodb_table is None:
        raise Misconfigured("NODE_ACCESS_STORE: does not name a table; write dynamodb:<table>")
    _make_table(settings.dynamodb_table, region=settings.region or "")


def _make_table(name: str, *, region: str) -> None:
    from bot.store.dynamodb.creation import create_table

    try:
        create_table(name, region=region, say=click.echo)
    except StoreUnavailable as problem:
        raise click.ClickException(f"the table {name} is not ready: {problem}") from None


main.add_command(manifest)
main.add_command(sandbox)


def _add_version(command: click.Command) -> None:
    """Add --version to the command and all its subcommands."""
    click.version_option(package_name=DISTRIBUTION, prog_name=DISTRIBUTION)(command)
    if isinstance(command, click.Group):
        for each in command.commands.values():
            _add_version(each)


_add_version(main)


def _configured(read: Callable[[], _T]) -> _T:
    try:
        return read()
    except ConfigurationProblems as problems:
        raise Misconfigured(str(problems)) from None


def _read_store(question: Callable[[Store], Awaitable[_T]], *, advice: str) -> _T:
    """Open the store that the settings name, and return the answer to `question`.

    Raises Misconfigured, or ClickException if the store cannot be read. If its file does not exist, the error text ends
    with `advice`.
    """
    from bot.config.settings import load_store
    from bot.store.assembly import store_at

    settings = _configured(load_store)
    path = settings.sqlite_path
    if path:
        _require_file(path, advice=advice)  # opening a missing file would create an empty one

    async def answered() -> _T:
        async with store_at(settings.store, region=settings.region) as store:
            return await question(store)

    try:
        return asyncio.run(answered())
    except StoreUnavailable as problem:
        raise click.ClickException(f"the store at {path or settings.store} cannot be read: {problem}") from None


def _require_file(path: Path, *, advice: str) -> None:
    if not path.is_file():
        raise click.ClickException(f"there is no store at {path}; {advice}")


def _where_the_store_is(request: RequestKey | str) -> str:
    from bot.sandbox.folder import FOLDER, STORE, show_line

    if (FOLDER / STORE).is_file():
        return f"for the sandbox's store, run\n  {show_line(str(request))}"
    return CHECK_STORE


async def _stored(request: RequestKey | str, store: Store) -> list[Record]:
    if isinstance(request, str):
        return list(await store.find(request))
    record = await store.load(request)
    return [record] if record else []
