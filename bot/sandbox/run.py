"""`node-access-bot sandbox`: starts the sandbox, makes one request, prints its pages, runs until interrupted."""

import asyncio
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import click

from bot.sandbox.folder import BOT_LOG, SandboxFailed, program, show_line
from bot.sandbox.sandbox import Options, Sandbox, running_sandbox
from bot.sandbox.teams.people import AT_THE_BROWSER, TARO

REPEAT: Final = 5.0  # seconds between two lines about the same slow step
REMARKS: Final = {  # the remark on each node: the effect of its policies, which are in `bot.sandbox.aws.world`
    "web-prod-01": "one level",
    "db-prod-01": "two levels: approve twice",
    "batch-01": "two policies, the request fails",
    "web-dev-01": "approved automatically, no card",
    "bastion-01": "no policy, AWS refuses the request",
    "factory-gw-osaka": "a hybrid node, one level",
}
FIRST_REASON: Final = "決済 API の 5xx が増えたため調査します。チケット INC-20481"


def run(options: Options) -> None:
    """Run until SIGINT, SIGTERM, or SIGHUP unless that is ignored. Raises SandboxFailed."""
    asyncio.run(_run(options))


class Progress:
    """Prints each step of the start, and prints a step again while it is still running."""

    def __init__(self) -> None:
        self._step = ""

    def begin(self, step: str) -> None:
        """Print a step, which `repeat` then repeats."""
        self._step = step
        click.echo(f"  {step} …")

    async def repeat(self) -> None:
        """Print the current step every REPEAT seconds, until cancelled."""
        while True:
            await asyncio.sleep(REPEAT)
            click.echo(f"  still {self._step} …")


async def _run(options: Options) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # SIGHUP: the terminal was closed
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    world, signalled = asyncio.create_task(_world(options)), asyncio.create_task(stopping.wait())
    await asyncio.wait({world, signalled}, return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    if world.done():
        world.result()  # raises SandboxFailed
        return
    click.echo("stopping …")
    world.cancel()
    with suppress(asyncio.CancelledError, SandboxFailed):  # a failed start no longer matters
        await world


async def _world(options: Options) -> None:
    """Start everything, print the welcome, and run until cancelled. Raises SandboxFailed."""
    progress = Progress()
    repeating = asyncio.create_task(progress.repeat())
    try:
        async with running_sandbox(options, report=progress.begin) as sandbox:
            repeating.cancel()
            click.echo(await _welcome_to(sandbox))
            await asyncio.Event().wait()
    finally:
        repeating.cancel()


async def _welcome_to(sandbox: Sandbox) -> str:
    """Make the sample request; return the welcome."""
    control = sandbox.aws.control
    return welcome(
        await asyncio.to_thread(control.request_access, reason=FIRST_REASON),
        approver_url=sandbox.browser_url,
        requester_url=sandbox.teams.browser_url_for(TARO),
        nodes=sandbox.aws.world.nodes,
        log=sandbox.options.folder / BOT_LOG,
    )


def welcome(request: str, *, approver_url: str, requester_url: str, nodes: Iterable[str], log: Path) -> str:
    """Return the welcome: the pages to open, commands to try, and the nodes."""
    command = program()
    return f"""
  {request} waits for a decision. Open both pages side by side:

    {approver_url}
        {AT_THE_BROWSER.name}, an approver: choose the channel "approvers", click Approve or Reject
    {requester_url}
        {TARO.name}, the requester: the personal chat shows the direct messages

  In another terminal, in this folder:

    {command} sandbox request --node db-prod-01 --reason "why"
        makes another request
    {command} sandbox decide {request} --approve
        decides as the AWS console would, without the bot; the card follows
    {show_line(request, folder=log.parent)}
        prints the request as the bot has stored it

  The nodes:

{_remarks(nodes)}

  the bot's log: {log}        stop with Ctrl-C
"""


def _remarks(nodes: Iterable[str]) -> str:
    return "\n".join(f"    {node:<18}{REMARKS[node]}" for node in nodes)
