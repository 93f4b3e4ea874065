"""The parts of settings and node-access.toml that services need, as the domain's types."""

from collections.abc import Mapping
from dataclasses import dataclass

from bot.domain.identity import IdentityRules
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.domain.routing import Channel, same_conversation
from bot.domain.shown.card import Rules


@dataclass(slots=True)
class Configured:
    """The currently active configuration.

    All services share this object and read it each time they need it: a click is judged by the rules of that moment.
    """

    rules: Rules
    identity: IdentityRules
    tenant_id: str
    accounts: Mapping[str, frozenset[str]]  # account id -> Regions
    revision: int = 0  # counts the changes of the file

    def take(self, rules: Rules, identity: IdentityRules) -> None:
        """Activate another version of the file, all of it at once."""
        self.rules, self.identity = rules, identity
        self.revision += 1

    def identified_by_former_rules(self, record: Record) -> bool:
        """True for a row whose requester was identified by the rules of a previous version of the file."""
        return record.requester is not None and record.requester.rules != self.identity.mark

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        """All configured accounts and Regions."""
        return tuple((account, region) for account, regions in self.accounts.items() for region in sorted(regions))

    def channel(self, name: str) -> Channel | None:
        """Return a channel by its name."""
        return self.rules.channels.get(name)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """All channels, in the order of the file: the first match wins."""
        return tuple(self.rules.channels.values())

    def channel_at(self, conversation: str) -> Channel | None:
        """Return the channel that a conversation, or a thread in it, belongs to."""
        return next((each for each in self.channels if same_conversation(each.conversation, conversation)), None)

    def cancel_role(self, key: RequestKey) -> str | None:
        """Return the ARN of the role in which requests of that account are cancelled, None where there is none."""
        return self.rules.cancel_roles.get(key.account)

    def covers(self, key: RequestKey) -> bool:
        """True for a request of a configured account and Region."""
        return key.region in self.accounts.get(key.account, frozenset())
