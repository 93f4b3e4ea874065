"""`node-access-bot sandbox`: starts the local world, asks for access once and says where to look, until interrupted."""

import asyncio
import signal
from collections.abc import Iterable
from pathlib import Path

import click

from bot.sandbox.folder import BOT_LOG, program
from bot.sandbox.people import AT_THE_BROWSER, TARO
from bot.sandbox.stage import Choices, raised

SAMPLE_NODE = "web-prod-01"
SAMPLE_REASON = "決済 API の 5xx が増えたため調査します。チケット INC-20481"


def run(choices: Choices) -> None:
    """Run until SIGINT or SIGTERM. Raises SandboxFailed."""
    asyncio.run(_run(choices))


async def _run(choices: Choices) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    click.echo("starting an AWS, a Teams and the bot on this machine …")
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
        await stopping.wait()
        click.echo("stopping …")


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
        asks once more; this node needs the approval of two levels
    {command} sandbox decide {request} --approve
        decides as the AWS console would, behind the bot's back

  nodes: {", ".join(nodes)}
  the bot's log: {log}        stop with Ctrl-C
"""
