"""Fakes of the probes of Microsoft and AWS. They report a correct installation, unless a test sets an error."""

from collections.abc import Sequence
from datetime import timedelta

from bot.ports.aws import AwsUnavailable, RoleSession
from bot.ports.probes import ApprovalPolicies, ApprovalPolicy, QueueSettings, SessionPreferences


class SoundTeams:
    """`ports.probes.TeamsProbes`: Microsoft answers everything, except calls with an entry in `errors`.

    `ahead` is the lead of its clock in seconds. `lacking` are the problems of every roster, and `reads` counts its reads.
    """

    def __init__(self) -> None:
        self.ahead: float | None = 0.0
        self.errors: dict[str, Exception] = {}
        self.lacking: tuple[str, ...] = ()
        self.reads = 0
        self._lacked: tuple[str, ...] = ()

    async def sign_in(self) -> None:
        _raise(self.errors.get("sign_in"))

    async def fetch_keys(self) -> None:
        _raise(self.errors.get("fetch_keys"))

    @property
    def microsoft_ahead(self) -> float | None:
        return self.ahead

    async def read_members(self, conversation: str) -> None:
        _raise(self.errors.get("read_members"))
        self.reads += 1
        self._lacked = self.lacking

    def roster_problems(self, conversation: str) -> Sequence[str]:
        return self._lacked


class SoundAws:
    """`ports.probes.AwsProbes`: AWS answers everything, except calls with an entry in `errors`.

    `sessions` are those in which a role was assumed. AWS denies sessions whose name ends with none of `trusted`.
    """

    def __init__(self) -> None:
        self.errors: dict[str, Exception] = {}
        self.ahead: float | None = 0.0
        self.sessions: list[RoleSession] = []
        self.trusted: tuple[str, ...] = ("",)
        self.policies: list[ApprovalPolicy] = [ApprovalPolicy("Standard", ())]
        self.unread = 0  # policies that are listed and not read
        self.queue = QueueSettings(lets_somebody_send=True, kms_key="")

    async def assume(self, session: RoleSession) -> None:
        _raise(self.errors.get("assume"))
        if not session.name.endswith(self.trusted):
            raise AwsUnavailable("AccessDenied")
        self.sessions.append(session)

    async def approval_policies(self, account: str, region: str, *, within: float) -> ApprovalPolicies:
        _raise(self.errors.get("approval_policies"))
        return ApprovalPolicies(self.policies, len(self.policies) + self.unread)

    async def session_preferences(self, account: str, region: str) -> SessionPreferences:
        _raise(self.errors.get("session_preferences"))
        return SessionPreferences(longest=None, idle=timedelta(minutes=20))

    async def queue_settings(self) -> QueueSettings | None:
        _raise(self.errors.get("queue_settings"))
        return self.queue

    async def receive(self) -> None:
        _raise(self.errors.get("receive"))

    async def aws_ahead(self) -> float | None:
        _raise(self.errors.get("aws_ahead"))
        return self.ahead


def _raise(error: Exception | None) -> None:
    if error:
        raise error
