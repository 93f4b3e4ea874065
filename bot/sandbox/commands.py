"""`node-access-bot sandbox` and its subcommands.

The libraries of the extra `sandbox` are imported only when a command runs.
"""

import asyncio
from collections.abc import Callable
from importlib.util import find_spec
from typing import Final, TypeVar

import click

from bot.domain.request import OPS_ITEM_ID, Verdict, Withdrawal
from bot.rendering.i18n import LOCALES
from bot.sandbox.stories import MACHINE
from bot.sandbox.teams.people import PEOPLE, TARO

# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_StartAccessRequest.html
LONGEST_REASON: Final = 256  # characters
# the session name of each requester, by the name that a person types
REQUESTERS: Final = {**{person.upn.partition("@")[0]: person.upn for person in PEOPLE}, MACHINE: MACHINE}
DEFAULT_REQUESTER: Final = TARO.upn.partition("@")[0]
VERDICTS: Final = (Verdict.APPROVE, Verdict.REJECT, Withdrawal.REVOKE, Withdrawal.CANCEL)
SANDBOX_CREDENTIALS: Final = ("secret", "aws-federation")  # values of APP_CREDENTIAL that the sandbox simulates
_T = TypeVar("_T")


def _ops_item_id(_ctx: click.Context, _param: click.Parameter, text: str) -> str:
    if not OPS_ITEM_ID.fullmatch(text):
        raise click.BadParameter("write an OpsItem id: oi- and 12 hexadecimal digits")
    return text


def _reason(_ctx: click.Context, _param: click.Parameter, text: str) -> str:
    if not text.strip():
        raise click.BadParameter("write a reason; AWS refuses a blank one")
    if len(text) > LONGEST_REASON:
        raise click.BadParameter(f"write 1 to {LONGEST_REASON} characters, not {len(text)}")
    return text


@click.group(invoke_without_command=True)
@click.option(
    "--locale",
    type=click.Choice(LOCALES),
    default="en",
    show_default=True,
    help="Language of the channel, the sample people, their Teams clients and the tags; one colleague's differs.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of the page to open; 0: any free port.")
@click.option(
    "--credential",
    type=click.Choice(SANDBOX_CREDENTIALS),
    default="secret",
    show_default=True,
    envvar="NODE_ACCESS_APP_CREDENTIAL",
    help="How the bot authenticates to Microsoft; aws-federation needs no secret.",
)
@click.pass_context
def sandbox(ctx: click.Context, locale: str, port: int, credential: str) -> None:
    """Run the whole product on this machine.

    Starts a simulated AWS, a simulated Teams and the bot. They send no data to
    other machines. The first start downloads the Playground from npm.
    """
    if ctx.invoked_subcommand is None:
        _in_the_sandbox(lambda: _run_sandbox(locale, port, credential))


@sandbox.command("request")
@click.option("--reason", required=True, callback=_reason, help="Why access is requested, in 1 to 256 characters.")
@click.option("--node", required=True, help="Name or id of a sandbox node; up to five, separated by commas.")
@click.option(
    "--as",
    "person",
    type=click.Choice(tuple(REQUESTERS)),
    default=DEFAULT_REQUESTER,
    show_default=True,
    help=f"Who requests it: a sample person, or {MACHINE}, a machine that the bot cannot identify as a person.",
)
def request_access(reason: str, node: str, person: str) -> None:
    """Request access in the running sandbox and print the OpsItem id."""
    click.echo(_request("request", reason=reason, node=node, by=REQUESTERS[person]))


@sandbox.command("decide")
@click.argument("ops_item_id", callback=_ops_item_id)
@click.option("--approve", is_flag=True, help="Approve it, or its current level.")
@click.option("--reject", is_flag=True, help="Reject it.")
@click.option("--revoke", is_flag=True, help="End the access that was approved.")
@click.option("--cancel", is_flag=True, help="Cancel it while it waits, as its requester.")
@click.option("--comment", default="", help="The comment of the decision; a cancellation has none.")
def decide(ops_item_id: str, comment: str, **flags: bool) -> None:
    """Decide a request without the bot, as in the AWS console.

    The bot then updates the card.
    """
    chosen = [verdict for verdict in VERDICTS if flags[verdict.value]]
    if len(chosen) != 1:
        raise click.UsageError("say one of --approve, --reject, --revoke and --cancel")
    if comment and chosen == [Withdrawal.CANCEL]:
        raise click.UsageError("--cancel takes no --comment: AWS stores none")
    click.echo(_request("decide", opsItemId=ops_item_id, verdict=chosen[0].value, comment=comment))


@sandbox.command("session")
@click.argument("ops_item_id", callback=_ops_item_id)
@click.option("--close", is_flag=True, help="Close the open sessions; without it, one is opened on each node.")
def use_access(ops_item_id: str, *, close: bool) -> None:
    """Open a session with approved access, or close it, as its requester.

    The bot then shows that the access is used.
    """
    click.echo(_request("session", opsItemId=ops_item_id, act="close" if close else "open"))


def _run_sandbox(locale: str, port: int, credential: str) -> None:
    click.echo("  loading the simulators …")  # the imports can take several seconds
    from bot.sandbox.run import run
    from bot.sandbox.sandbox import Options

    run(Options(locale=locale, port=port, credential=credential))


def _request(path: str, **body: str) -> str:
    """Call the running sandbox and return the OpsItem id."""

    def answer() -> str:
        from bot.sandbox.folder import FOLDER
        from bot.sandbox.sandbox import ask

        return str(asyncio.run(ask(FOLDER, path, body))["opsItemId"])

    return _in_the_sandbox(answer)


def _in_the_sandbox(do: Callable[[], _T]) -> _T:
    """Return the result of `do`.

    Raises ClickException if the sandbox is not installed, is not running, cannot start or refuses the call.
    """
    if find_spec("moto") is None:
        raise click.ClickException('the sandbox is an extra: pip install "node-access-bot[sandbox]"')
    from bot.sandbox.folder import NoSandbox, SandboxFailed

    try:
        return do()
    except (NoSandbox, SandboxFailed) as problem:
        raise click.ClickException(str(problem)) from None
