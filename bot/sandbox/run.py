"""`node-access-bot sandbox`: starts the local world, asks for access once and says where to look, until interrupted."""

import asyncio
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import click

from bot.sandbox.folder import BOT_LOG, SandboxFailed, program, show_line
from bot.sandbox.sandbox import Options, raised
from bot.sandbox.teams.people import AT_THE_BROWSER, TARO

SAMPLE_NODE = "web-prod-01"
REMARKS: Final = {  # what a request for a node shows; the policies are those of `bot.sandbox.aws.world`
    "web-prod-01": "one level",
    "db-prod-01": "two levels: approve twice",
    "batch-01": "two policies, the request fails",
    "web-dev-01": "approved automatically, no card",
    "bastion-01": "no policy, AWS refuses the request",
    "factory-gw-osaka": "a hybrid node, one level",
}
SAMPLE_REASON = "決済 API の 5xx が増えたため調査します。チケット INC-20481"


def run(choices: Options) -> None:
    """Run until SIGINT or SIGTERM. Raises SandboxFailed."""
    asyncio.run(_run(choices))


async def _run(choices: Options) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the last: the terminal was closed
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup asks to stay
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    click.echo("starting an AWS, a Teams and the bot on this machine …")
    world, signalled = asyncio.create_task(_world(choices)), asyncio.create_task(stopping.wait())
    await asyncio.wait({world, signalled}, return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    if world.done():
        world.result()  # it could not start, and says why
        return
    click.echo("stopping …")
    world.cancel()
    with suppress(asyncio.CancelledError, SandboxFailed):  # whatever it met while it started is of no interest now
        await world


async def _world(choices: Options) -> None:
    """Start everything, say so, and keep it until cancelled."""
    async with raised(choices) as stage:
        request = await asyncio.to_thread(stage.aws.control.request_access, node=SAMPLE_NODE, reason=SAMPLE_REASON)
        click.echo(
            welcome(
                request,
                approver_url=stage.browser_url,
                requester_url=stage.teams.browser_url_for(TARO),
                nodes=stage.aws.world.nodes,
                log=choices.folder / BOT_LOG,
            )
        )
        await asyncio.Event().wait()


def welcome(request: str, *, approver_url: str, requester_url: str, nodes: Iterable[str], log: Path) -> str:
    """Say which pages to open, as whom, and what else can be done."""
    command = program()
    return f"""
  {request} waits for a decision. Open both pages side by side:

    {approver_url}
        {AT_THE_BROWSER.name}, an approver: choose the channel "approvers", press Approve or Reject
    {requester_url}
        {TARO.name}, who asks: the personal chat gets the direct messages

  In another terminal, in this folder:

    {command} sandbox request --node db-prod-01 --reason "why"
        asks once more
    {command} sandbox decide {request} --approve
        decides as the AWS console would, behind the bot's back
    {show_line(request, folder=log.parent)}
        prints the request as the bot knows it

  The nodes:

{_remarks(nodes)}

  the bot's log: {log}        stop with Ctrl-C
"""


def _remarks(nodes: Iterable[str]) -> str:
    return "\n".join(f"    {node:<18}{REMARKS[node]}" for node in nodes)
