"""The checks that write, each only if a flag asks for it: a test message in a channel, and one to a person."""

from collections.abc import Iterator

from bot.domain.configuration import Configuration
from bot.domain.identity import Person
from bot.domain.routing import Channel
from bot.domain.shown.replies.reply_views import MessageCode, MessageView
from bot.ports.teams import Chat, ChatRefused, ChatThrottled, ChatUnavailable, Message, People
from bot.rendering import render, summary
from bot.service.checks import advice
from bot.service.checks.check import Check, NotChecked, Problem
from bot.text.names import caseless, folded

NO_PERSON = "unknown_person"


def test_card(channel: Channel, chat: Chat) -> Check:
    """Check that Teams takes a test message in the channel. The message stays there."""

    async def find() -> Problem | None:
        try:
            await chat.post(channel.conversation, _message(channel.locale, channel.timezone))
        except (ChatRefused, ChatThrottled, ChatUnavailable) as error:
            return _problem(error, advice.POST.get(_code(error), advice.REFUSED_CARD))
        return None

    return Check(f"test card {channel.name}", find)


def person(upn: str, chat: Chat, people: People) -> Check:
    """Check that Teams takes a test message to a person.

    `upn` is that of a member of a channel, or of somebody who has a personal chat with the bot.
    """

    async def find() -> Problem | None:
        found = await _person(upn, people)
        if found is None:
            return Problem(NO_PERSON, f"no member of a channel has the user principal name {upn}. Check its spelling")
        try:
            await chat.direct(found, _message("en", "UTC"))
        except (ChatRefused, ChatThrottled, ChatUnavailable) as error:
            return _problem(error, advice.DIRECT.get(_code(error), advice.REFUSED_DIRECT))
        return None

    return Check(f"person {upn}", find)


def asked_for(
    channel: str | None, upn: str | None, *, configuration: Configuration, chat: Chat, people: People
) -> Iterator[Check]:
    """Yield the checks that write: for the channel of this name, if there is one, and for the person with this UPN.

    A name or UPN that is None gives no check.
    """
    if channel and (found := configuration.channel(channel)):
        yield test_card(found, chat)
    if upn:
        yield person(upn, chat, people)


async def _person(upn: str, people: People) -> Person | None:
    """Return the person. Raises NotChecked if they were not found, but not every roster could be read."""
    wanted = caseless(upn)
    known = await people.known(folded({upn}))
    found = next((each for each in known.people if caseless(each.upn or "") == wanted), None)
    if found is None and not known.complete:
        raise NotChecked
    return found


def _message(locale: str, timezone: str) -> Message:
    view = MessageView(MessageCode.TEST)
    return Message(render(view, locale=locale, timezone=timezone), summary(view, locale=locale))


def _code(error: ChatRefused | ChatThrottled | ChatUnavailable) -> str:
    match error:
        case ChatRefused():
            return error.problem
        case ChatUnavailable():
            return error.code
        case ChatThrottled():
            return "throttled"


def _problem(error: ChatRefused | ChatThrottled | ChatUnavailable, words: str) -> Problem:
    if isinstance(error, ChatRefused):
        return Problem(_code(error), words)
    return Problem(_code(error), "Teams did not take the message now. Run doctor again")
