"""A bot over fakes that reloads its configuration, and a source that keeps versions of it, as a bucket in S3 does."""

from dataclasses import replace

from bot.config.file import parse_configuration
from bot.config.reload import ConfigurationReload
from bot.domain.identity import Person
from bot.domain.request import RequestKey
from bot.domain.shown.views import Reason
from bot.ports.configuration import ConfigurationSource, Content, SourceUnreadable
from bot.service.clicks.click import Verb
from tests.fakes.chat import CHANNEL, HANAKO
from tests.fakes.world import World

TOML = f"""
[[channels]]
name = "approvals"
conversation = "{CHANNEL}"
approvers = ["members"]
approver_role = "arn:aws:iam::{{account}}:role/NodeAccessApprover"

[identity]
trusted_roles = ["Operator"]
"""


class VersionedPlace:
    """The port ConfigurationSource, over versions that a test puts. The first is `1`."""

    def __init__(self, text: str = TOML) -> None:
        self.name, self.period = "s3://node-access/node-access.toml", 30.0
        self.unreadable: SourceUnreadable | None = None
        self.reads = 0
        self._versions = [text.encode()]
        self._returned: int | None = None

    def put(self, text: str | bytes) -> None:
        """Add a version."""
        self._versions.append(text.encode() if isinstance(text, str) else text)

    async def read(self) -> Content | None:
        """Return the newest version, or None if the last call returned it. Raises SourceUnreadable."""
        self.reads += 1
        number, returned = len(self._versions), self._returned
        self._returned = None if self.unreadable else number
        if self.unreadable:
            raise self.unreadable
        return None if number == returned else Content(self._versions[-1], version=str(number))


class WatchingBot:
    """A bot over fakes that reloads its configuration, which is `content` at first."""

    def __init__(
        self, world: World, source: ConfigurationSource, content: bytes, *, version: str | None = None
    ) -> None:
        self.world = world
        file = parse_configuration(content)
        world.configuration.value = replace(file, accounts=world.configuration.value.accounts)
        self.reloading = ConfigurationReload(
            source=source,
            file=file,
            version=version,
            current=world.configuration,
            rows=world.rows,
            clock=world.clock,
            telemetry=world.telemetry,
        )

    @property
    def problem(self) -> str | None:
        """Return the problem that /readyz reports about the configuration; None if it is valid."""
        return self.world.telemetry.health.problems().get("configuration")

    async def code(self, key: RequestKey, person: Person = HANAKO, verb: Verb = Verb.APPROVE) -> Reason | None:
        """Click a button and return the code of the notice."""
        notice = (await self.world.press(key, person, verb)).notice
        return notice.code if notice else None

    async def posted(self) -> RequestKey:
        """Request access, and let the bot post the card."""
        key = self.world.aws.add()
        await self.world.rows.requeue(key)
        await self.world.clock.advance(1)
        return key

    def card(self) -> str:
        """Return the current card in the channel."""
        return self.world.chat.of("post")[0].card
