"""`node-access-bot sandbox`: starts the local world, asks for access once and says where to look, until interrupted."""

import asyncio
import signal

import click

from bot.sandbox.stage import Choices, Stage, raised

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
        click.echo(_welcome(stage, request))
        await stopping.wait()
        click.echo("stopping …")


def _welcome(stage: Stage, request: str) -> str:
    return f"""
  open   {stage.browser_url}   and choose the channel "approvers": {request} waits for a decision

  node-access-bot sandbox request --node db-prod-01 --reason "why"      a further request (two levels)
  node-access-bot sandbox decide {request} --approve     decide as the AWS console would
  nodes: {", ".join(stage.aws.world.nodes)}
  the bot's log: {stage.choices.folder}/bot.log        stop with Ctrl-C
"""
