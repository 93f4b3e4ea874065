"""Links that open a message of a channel in Teams. Pure; every id from outside is quoted.

https://learn.microsoft.com/microsoftteams/platform/concepts/build-and-test/deep-link-teams#deep-link-to-navigate-to-channel-conversation
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

from bot.domain.routing import is_channel, thread_root

_THREAD: Final = ";messageid="


@dataclass(frozen=True, slots=True)
class TeamsSite:
    """Where links lead: the origin of the cloud's Teams client, and the tenant."""

    origin: str
    tenant_id: str

    def message_link(self, conversation: str | None, activity_id: str | None, *, group_id: str | None) -> str | None:
        """Return the link to a message of a channel, or of a thread in one; None if a part of the link is unknown.

        `group_id` is the Microsoft Entra group of the channel's team. Whether Teams opens a link without it is not
        documented. Only members of the channel can open the link, and only they may get it.
        """
        channel, _, parent = (conversation or "").partition(_THREAD)
        if not (is_channel(channel) and activity_id and group_id):
            return None
        ids = {"tenantId": self.tenant_id, "groupId": group_id, "parentMessageId": parent or activity_id}
        path = f"{quote(thread_root(channel), safe='')}/{quote(activity_id, safe='')}"
        return f"{self.origin}/l/message/{path}?{urlencode(ids)}"
