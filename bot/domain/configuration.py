"""The configuration that decisions depend on: channels, identity rules, AWS accounts. Pure and frozen.

bot.config.file parses node-access.toml into it; bot.service.current_configuration holds the active one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

from bot.domain.identity import IdentityRules
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.domain.routing import Account, Channel, SessionLogs, same_conversation
from bot.domain.rules.approvers import groups_in


class PrivateReplies(StrEnum):
    """How a person in a channel gets an answer that others must not see. [teams] of node-access.toml."""

    DIRECT = "direct"  # in their chat with the bot
    TARGETED = "targeted"  # in the channel, visible to them only; if Teams refuses that, in their chat


@dataclass(frozen=True)
class Configuration:
    """The contents of node-access.toml. `channels` are in the order of the file; the first match gets a request.

    `accounts` is empty only until the program knows its own account (`with_own_account`).
    """

    channels: tuple[Channel, ...]
    identity: IdentityRules
    accounts: tuple[Account, ...] = ()
    region_names: Mapping[str, str] = field(default_factory=dict)  # AWS's name of each Region, by its code
    private_replies: PrivateReplies = PrivateReplies.DIRECT

    def with_own_account(self, account: str, region: str) -> "Configuration":
        """Return a configuration that watches the bot's own account and Region, for a file without [[accounts]]."""
        return replace(self, accounts=(Account(account, (region,)),))

    def channel(self, name: str) -> Channel | None:
        """Return the channel with this name, or None."""
        return self._by_name.get(name)

    def channel_at(self, conversation: str) -> Channel | None:
        """Return the channel of a conversation or of a thread in it, or None."""
        return next((each for each in self.channels if same_conversation(each.conversation, conversation)), None)

    def home(self, record: Record) -> Channel | None:
        """Return the channel that a request is routed to; None if it is not routed, or the channel was removed."""
        return self.channel(record.route.channel) if record.route else None

    def covers(self, key: RequestKey) -> bool:
        """True for a request in a configured account and Region."""
        account = self._account(key.account)
        return account is not None and key.region in account.regions

    def cancel_role(self, key: RequestKey) -> str | None:
        """Return the ARN of the role that cancels requests of this account; None if cancelling is not set up there."""
        account = self._account(key.account)
        return account.cancel_role if account else None

    def end_sessions_role(self, key: RequestKey) -> str | None:
        """Return the ARN of the role that ends sessions in this account; None if that is not set up there."""
        account = self._account(key.account)
        return account.end_sessions_role if account else None

    def give_back_role(self, key: RequestKey) -> str | None:
        """Return the ARN of the role in which requesters of this account give access back; None without one."""
        account = self._account(key.account)
        return account.give_back_role if account else None

    def account_name(self, account: str) -> str | None:
        """Return the name of this account; None if the file gives it none."""
        entry = self._account(account)
        return entry.name if entry else None

    def session_logs(self, key: RequestKey) -> SessionLogs | None:
        """Return where the logs of sessions in this account are; None if the file does not say."""
        entry = self._account(key.account)
        return entry.session_logs if entry else None

    def voter_rules(self, account: str) -> IdentityRules:
        """Return the rules that identify voters outside Teams on a request of this account, only to show their names.

        The account's approver roles count as trusted, too: with the trust policy of infra/aws, only the bot can assume
        them, under a person's name. A role of the same name in another account may be anybody's.
        """
        roles = (role.replace("{account}", account) for channel in self.channels for role in channel.approver_roles)
        return replace(self.identity, approver_roles=tuple(dict.fromkeys(roles)))

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        """All configured accounts and Regions, as (account, Region)."""
        return tuple((account.id, region) for account in self.accounts for region in sorted(account.regions))

    @property
    def approver_groups(self) -> tuple[str, ...]:
        """The ids of the Microsoft Entra groups in the approvers of all channels and levels, each once."""
        return groups_in(each for channel in self.channels for each in channel.all_approvers)

    @property
    def without_approvers(self) -> tuple[tuple[str, str | None], ...]:
        """Where requests arrive and no approver is listed: (channel, step). The step None: each without a rule."""
        return tuple((channel.name, step) for channel in self.channels for step in channel.steps_without_approvers)

    def identified_by_former_rules(self, record: Record) -> bool:
        """True if an earlier file or version identified the requester by other rules: they must be identified again."""
        requester = record.requester
        if requester is None:
            return False
        refused = requester.known_by_address_only and not self.identity.allow_unmatched
        return refused or requester.rules != self.identity.mark

    @cached_property
    def _by_name(self) -> dict[str, Channel]:
        return {each.name: each for each in self.channels}

    def _account(self, account: str) -> Account | None:
        return next((each for each in self.accounts if each.id == account), None)
