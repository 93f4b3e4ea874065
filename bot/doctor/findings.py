"""The names of the findings, why each matters, and the order in which a person fixes them. Pure.

A finding is a problem of a check under a name that does not depend on channels, roles and accounts, so that the runbook
has one heading for each. The text on how to fix it comes from the check (`bot.service.checks.advice`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from bot.doctor import endpoint
from bot.service.checks.check import NO_ANSWER, Problem

CREDENTIALS: Final = "credentials"  # the names of checks that only doctor makes
PUBLIC_ADDRESS: Final = "public address"
REQUESTERS: Final = "requesters"
AUTO_APPROVED: Final = "auto-approved requests"
RECEIVE: Final = "queue receive"
RUNNING_BOT: Final = "running bot"
TEST_CARD: Final = "test card"
PERSON: Final = "person"

NOT_SIGNED_IN: Final = "Without a token the bot posts no card, answers no command and reaches nobody."
NO_CALLS: Final = "Microsoft cannot call the bot, so no click and no command arrives."
NO_READS: Final = "The bot cannot read requests there, so they get no card, and nobody learns of them."
NO_SIGNAL: Final = "A click is accepted in Teams, and AWS then refuses the decision."
NO_BUTTONS: Final = "The card has no buttons: somebody must decide in the AWS console."
NO_SECOND: Final = "Nobody is left in Teams to approve the last level: somebody must approve in the AWS console."
NO_CARDS: Final = "Requests for this channel get no card there."
NO_CLICKS: Final = "Every click in this channel is refused, because nobody is known as a member."
NO_GROUP: Final = "Every click of a person who is listed by this group alone is refused."
LATE_CARDS: Final = "The sweep finds requests only once in a minute, so each card is late."
NO_DIRECT: Final = "Requesters do not learn of the decision, and cannot cancel in Teams."


@dataclass(frozen=True, slots=True)
class Finding:
    """A kind of problem. `checks` are what the names of its checks begin with; without `codes`, any code belongs to it.

    A code of a problem may consist of several words, such as `invalid_client AADSTS7000215`; each of them may match.
    """

    name: str
    why: str
    checks: tuple[str, ...]
    codes: tuple[str, ...] = ()

    def describes(self, check: str, problem: Problem) -> bool:
        """Return whether a problem that this check has found is of this kind. A code may have the wildcard `*`."""
        words = problem.code.split()
        fits = not self.codes or any(fnmatchcase(word, code) for word in words for code in self.codes)
        return check.startswith(self.checks) and fits


_MICROSOFT: Final = ("token", "keys", "channel ", "roster ")
_AWS: Final = (CREDENTIALS, "role ", "policies ", "queue", "sweep ", "identity center", "store")
_TLS: Final = ("ClientConnectorCertificateError", "ClientConnectorSSLError", "SSLError")
_CREDENTIALS: Final = (
    *("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "ExpiredToken", "ExpiredTokenException"),
    *("InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidSignatureException"),
)
_UNREACHABLE: Final = ("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ProxyConnectionError")

FINDINGS: Final[Sequence[Finding]] = (
    Finding("net.slow", "A call that is not answered in time stops what needs it.", ("",), (NO_ANSWER,)),
    Finding("clock", "AWS and Microsoft refuse what is signed at a wrong time.", ("clock",)),
    Finding("clock", "AWS and Microsoft refuse what is signed at a wrong time.", _AWS, ("RequestExpired",)),
    Finding("clock", NO_CALLS, ("activities",), ("expired", "not_yet_valid")),
    Finding("net.tls-inspection", "The bot can call neither Microsoft nor AWS.", (*_MICROSOFT, *_AWS), _TLS),
    Finding("net.blocked", "The bot cannot work without this host.", _AWS, _UNREACHABLE),
    Finding("aws.credentials", "Without AWS credentials the bot does not start.", ("token", *_AWS), _CREDENTIALS),
    Finding("aws.credentials", "Without AWS credentials the bot does not start.", (CREDENTIALS,)),
    Finding("store", "The bot stores every decision before it sends it; without a store nothing works.", ("store",)),
    Finding("entra.secret", NOT_SIGNED_IN, ("token",), ("AADSTS7000215", "AADSTS7000216")),
    Finding("entra.secret-expired", NOT_SIGNED_IN, ("token",), ("AADSTS7000222",)),
    Finding("entra.tenant", NOT_SIGNED_IN, ("token",), ("AADSTS90002", "AADSTS900023", "AADSTS700016")),
    Finding("entra.app-disabled", NOT_SIGNED_IN, ("token",), ("AADSTS7000112",)),
    Finding("entra.conditional-access", NOT_SIGNED_IN, ("token",), ("AADSTS53003",)),
    Finding(
        "entra.federation",
        NOT_SIGNED_IN,
        ("token",),
        ("AADSTS700211", "AADSTS700212", "AADSTS700213", "AADSTS7002138", "AADSTS700024"),
    ),
    Finding(
        "aws.federation-off",
        NOT_SIGNED_IN,
        ("token",),
        ("AccessDenied", "OutboundWebIdentityFederationDisabledException"),
    ),
    Finding(
        "aws.secret",
        NOT_SIGNED_IN,
        ("token",),
        ("AccessDeniedException", "ResourceNotFoundException", "NoClientSecretInIt"),
    ),
    Finding("entra.other", NOT_SIGNED_IN, ("token",), ("AADSTS*", "invalid_*", "unauthorized_*")),
    Finding("aws.secret", NOT_SIGNED_IN, ("token",), ("*Exception", "DecryptionFailure")),
    Finding("net.blocked", "The bot cannot work without this host.", ("token", "keys")),
    Finding("net.certificate", NO_CALLS, (PUBLIC_ADDRESS,), (endpoint.CERTIFICATE,)),
    Finding(
        "net.body-limit", "Clicks with a long comment are lost on the way.", (PUBLIC_ADDRESS,), (endpoint.BODY_LIMIT,)
    ),
    Finding("azure.endpoint", NO_CALLS, (PUBLIC_ADDRESS,)),
    Finding("azure.app-type", NO_CARDS, ("channel ", "roster "), ("unauthorized",)),
    Finding("azure.channel", NO_CALLS, ("activities",), ("other_channel",)),
    Finding("teams.app-id", NO_CALLS, ("activities",), ("audience",)),
    Finding("teams.tenant", NO_CALLS, ("activities",), ("other_tenant",)),
    Finding("teams.service-host", NO_CARDS, ("service addresses", "channel "), ("host_not_listed",)),
    Finding("teams.activities", NO_CALLS, ("activities",)),
    Finding("teams.team", NO_CARDS, ("channel ", "cards "), ("not_installed",)),
    Finding("teams.policy", NO_CARDS, ("channel ", "cards "), ("blocked", "writes_blocked")),
    Finding("teams.channel-id", NO_CARDS, ("channel ", "cards "), ("conversation_not_found", "bad_request")),
    Finding("teams.channel", NO_CARDS, ("channel ", "cards ", TEST_CARD)),
    Finding("teams.roster", NO_CLICKS, ("roster ",)),
    Finding("entra.graph-consent", NO_GROUP, ("group ",), ("graph_consent_missing",)),
    Finding("entra.group", NO_GROUP, ("group ",)),
    Finding("teams.policy", NO_DIRECT, ("direct messages", PERSON), ("blocked", "writes_blocked")),
    Finding("teams.person", "Nobody was tried: the name is not known.", (PERSON,), ("unknown_person",)),
    Finding("teams.personal", NO_DIRECT, ("direct messages", PERSON)),
    Finding("teams.conversations", "Messages to these conversations wait.", ("conversations",)),
    Finding(
        "configuration",
        "The bot still uses the previous configuration, so a person who was removed may still decide.",
        ("configuration",),
    ),
    Finding("aws.trust", NO_SIGNAL, ("role ",)),
    Finding("aws.reader", NO_READS, ("sweep ", "requests ")),
    Finding("aws.region", "No request can arise there.", ("policies ",), ("no_jit_region",)),
    Finding("aws.jit", "No request can wait for a decision there.", ("policies ",), ("no_policy",)),
    Finding("aws.policy-role", NO_BUTTONS, ("policies ",), ("other_role",)),
    Finding("aws.identity-center", NO_BUTTONS, ("policies ",), ("console_only",)),
    Finding("aws.one-level", NO_SECOND, ("policies ",), ("one_level",)),
    Finding("aws.policies", "It is unknown whether a channel can decide.", ("policies ",)),
    Finding("aws.signal", NO_SIGNAL, ("decisions",)),
    Finding("aws.queue-key", LATE_CARDS, ("queue settings",), ("aws_managed_key",)),
    Finding("aws.events", LATE_CARDS, ("queue settings",), ("no_queue_policy",)),
    Finding("aws.events", LATE_CARDS, ("events ",)),
    Finding("aws.queue", LATE_CARDS, ("queue",)),
    Finding(
        "aws.identity-store", "Requesters of IAM Identity Center are not identified: no buttons.", ("identity center",)
    ),
    Finding("people.requesters", NO_BUTTONS, (REQUESTERS,)),
    Finding("other", "The bot on this machine reports it about itself.", ("",)),
)
"""In the order of fixing. The first that describes a problem is its finding, and the last describes every problem."""


def findings_of(check: str, problem: Problem) -> tuple[Finding, ...]:
    """Return the kinds of a problem that a check has found; several if the check has found several codes at once."""
    codes = [Problem(code, problem.advice) for code in problem.code.split(", ")]
    found = (next(kind for kind in FINDINGS if kind.describes(check, each)) for each in codes)
    return tuple({each.name: each for each in found}.values())


def position(found: Finding) -> int:
    """Return the place of a finding in the order of fixing."""
    return next(place for place, each in enumerate(FINDINGS) if each.name == found.name)
