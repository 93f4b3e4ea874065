"""`node-access-bot sandbox`: starts the sandbox, makes one request, prints its pages, runs until interrupted."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import click

from bot.sandbox.folder import BOT_LOG, SandboxFailed, program, show_line
from bot.sandbox.sandbox import Options, Sandbox, running_sandbox
from bot.sandbox.stories import FIRST, MORE
from bot.sandbox.teams.people import AT_THE_BROWSER, CASTS, CHANNEL_NAME, READER, TARO, Person

REPEAT: Final = 5.0  # seconds between two lines about the same slow step


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
    control, language = sandbox.aws.control, sandbox.options.language
    return welcome(
        await asyncio.to_thread(control.request_access, node=FIRST.node, reason=FIRST.reasons[language]),
        channel_for=sandbox.teams.channel_url_for,
        chat_for=sandbox.teams.browser_url_for,
        locale=language,
        log=sandbox.options.folder / BOT_LOG,
    )


def welcome(
    request: str,
    *,
    channel_for: Callable[[Person], str],
    chat_for: Callable[[Person], str],
    locale: str,
    log: Path,
) -> str:
    """Return the welcome: the pages to open, and commands to try, each of which can be pasted into a shell.

    `channel_for` and `chat_for` return the address of a person's page, open on the channel or on the personal chat.
    """
    command, cast = program(), CASTS[locale]
    return f"""
  {request} waits for a decision. Open both pages side by side:

    {channel_for(AT_THE_BROWSER)}
        {cast.shown(AT_THE_BROWSER).name}, an approver, in the channel "{CHANNEL_NAME}": click Approve or Reject
    {chat_for(TARO)}
        {cast.shown(TARO).name}, the requester, in the personal chat with the bot: the direct messages

  After a minute without a decision, a reply in the card's thread reminds the people who are asked.

  See the same channel as other people:

    {channel_for(cast.colleague)}
        {cast.colleague.name}, an approver whose Teams is in another language
    {channel_for(TARO)}
        {cast.shown(TARO).name}, the requester: no buttons on their own request
    {channel_for(READER)}
        {cast.shown(READER).name}, no approver: no buttons

  In another terminal, in this folder, decide as in the AWS console, without the bot; the card follows:

    {command} sandbox decide {request} --approve
    {command} sandbox decide {request} --revoke

  While access is approved, open a session; the card says so within a minute. Close it with --close, or end it from the
  card, with "Revoke access…":

    {command} sandbox session {request}

  Print the request as the bot has stored it:

    {show_line(request, folder=log.parent)}

  Make more requests:

{_stories(command, locale)}

  the bot's log: {log}        stop with Ctrl-C
"""


def _stories(command: str, locale: str) -> str:
    return "\n".join(f"    {story.command(command, locale)}\n        {story.shows}" for story in MORE)
