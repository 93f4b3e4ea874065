"""What to do about each code: the words of the problems. Pure.

Each table is for one kind of answer. For a code that is in no table, the advice is general, or empty.
"""

from collections.abc import Mapping
from typing import Final

from bot.ports.teams import ChatProblem, GroupProblem

WRONG_VALUE: Final = (
    "Entra refuses the client secret. Copy the secret's value, not its id, from the app registration "
    "NODE_ACCESS_APP_ID; the portal shows it only once, so create a new secret if it is lost"
)
NO_TENANT: Final = "Entra does not know the tenant. Copy the directory (tenant) id into NODE_ACCESS_TENANT_ID"
CERTIFICATE: Final = (
    "the certificate is not trusted: a proxy or firewall inspects TLS. Set SSL_CERT_FILE (for Microsoft) and "
    "AWS_CA_BUNDLE (for AWS) to a file with your company's certificate authorities"
)
BLOCKED: Final = "check proxy, firewall and DNS: the host must be reachable with HTTPS from the bot"
NOT_MICROSOFT: Final = "this is not Microsoft's answer: a proxy or firewall answers in its place. Allow the host there"
ENTRA: Final[Mapping[int, str]] = {
    7000215: WRONG_VALUE,
    7000216: WRONG_VALUE,
    7000222: "the client secret has expired. Create a new secret in the app registration NODE_ACCESS_APP_ID, set its "
    "value, and restart the bot; a secret in AWS Secrets Manager is read again without a restart",
    7000112: "the app registration or its enterprise application is disabled. Enable it in Entra",
    90002: NO_TENANT,
    900023: NO_TENANT,
    700016: "the app is not in the tenant. Compare NODE_ACCESS_APP_ID and NODE_ACCESS_TENANT_ID with the app "
    "registration of the Azure Bot",
    53003: "a conditional access policy for workload identities blocks the bot. Exclude the app from it, or add the "
    "bot's outbound address to its named locations",
    700211: "no federated credential has this issuer. Set its issuer to that of the bot's AWS account",
    700212: "no federated credential has this audience. Set its audience to api://AzureADTokenExchange",
    700213: "no federated credential has this subject. Set its subject to the ARN of the bot's IAM role, exactly",
    7002138: "no federated credential has this subject. Letter case counts: compare it with the ARN of the bot's role",
    700024: "the assertion is not valid now. Check the clock of this machine",
    70011: "the scope belongs to another cloud. Check NODE_ACCESS_LOGIN_AUTHORITY and NODE_ACCESS_OPENID_METADATA_URL",
}
"""By the number of the AADSTS error, https://learn.microsoft.com/entra/identity-platform/reference-error-codes"""
SIGN_IN: Final[Mapping[str, str]] = {
    "AccessDenied": "the bot's role may not call sts:GetWebIdentityToken: add infra/aws/federation-policy.json",
    "OutboundWebIdentityFederationDisabledException": "outbound identity federation is off in the bot's AWS account. "
    "Run: aws iam enable-outbound-web-identity-federation",
    "AccessDeniedException": "the bot's own role (on ECS the task role, not the execution role) may not read the "
    "secret: add infra/aws/app-secret-policy.json",
    "ResourceNotFoundException": "there is no secret with this ARN. Check NODE_ACCESS_APP_SECRET_ARN",
    "NoClientSecretInIt": "the secret is empty, or a JSON object without the member client_secret",
    "ClientConnectorCertificateError": CERTIFICATE,
    "ClientConnectorSSLError": CERTIFICATE,
}
CHANNEL: Final[Mapping[str, str]] = {
    ChatProblem.NOT_INSTALLED: "the bot is not in the team. Add the app to the team; for a private or shared "
    "channel, add it to the channel itself, too",
    ChatProblem.BLOCKED: "an administrator of Teams has blocked the app. Allow it in the Teams admin center",
    ChatProblem.WRITES_BLOCKED: "the team is archived, or the bot may not write there. Restore the team",
    ChatProblem.CONVERSATION_NOT_FOUND: "Teams does not know the conversation. Copy the id from the channel's link, "
    "decoded, like 19:…@thread.tacv2; the bot must be in its team",
    ChatProblem.BAD_REQUEST: "Teams does not accept the conversation id. Copy it from the channel's link, decoded, "
    "like 19:…@thread.tacv2",
    ChatProblem.UNAUTHORIZED: "Entra issues the token, but Teams refuses it. Compare the Azure Bot's app id with "
    "NODE_ACCESS_APP_ID, and its type (single tenant, or user-assigned managed identity) with "
    "NODE_ACCESS_APP_CREDENTIAL",
}
"""By the problem that Teams reports for a channel. A refusal that is not listed concerns only the list of members."""
GROUP: Final[Mapping[GroupProblem, str]] = {
    GroupProblem.CONSENT_MISSING: "the bot's app lacks the application permission GroupMember.Read.All of Microsoft "
    "Graph, or no administrator has consented to it. Add it and grant the consent; for a managed identity, assign it "
    "with az rest, see infra/README.md. The bot notices it within a minute or two",
    GroupProblem.NOT_FOUND: "Microsoft Entra has no group with this object id. Copy the id from the group's overview",
    GroupProblem.EMPTY: "no person is in the group or in a group in it, or its members are hidden. Add people; a group "
    "with hidden membership cannot be used",
    GroupProblem.TOO_LARGE: "the group has more than 4,995 members, devices included. List a smaller group",
    GroupProblem.UNAVAILABLE: "Microsoft Graph does not answer. Check that NODE_ACCESS_GRAPH_URL is reachable with "
    "HTTPS from the bot. The bot tries again each minute",
    GroupProblem.REFUSED: "Microsoft Graph or Entra refuses the bot. Check NODE_ACCESS_GRAPH_URL, and look up the code",
}
POST: Final[Mapping[str, str]] = {
    **CHANNEL,
    ChatProblem.FORBIDDEN: "Teams does not let the bot post. Check that the app is in the team, and the channel's "
    "moderation settings",
}
SERVICE_HOST: Final = (
    "Teams sends from a host that is not in NODE_ACCESS_SERVICE_HOSTS. If it is Microsoft's, for example of your "
    "cloud, add it there"
)
REFUSED_CARD: Final = (
    "Teams refuses new cards in the channel. Check the app in the team, and the log event delivery_refused"
)
REFUSED_DIRECT: Final = "check that the app is installed for these people, and the log event delivery_refused"
ACTIVITY: Final[Mapping[str, str]] = {
    "audience": "the activity is for the app {seen}, but NODE_ACCESS_APP_ID is {app_id}. If clicks work, it is another "
    "owner's bot: change nothing. Otherwise compare the app id of the Azure Bot and the bot id in the app package",
    "issuer": "the activity comes from the issuer {seen}, which is another cloud's. Check "
    "NODE_ACCESS_OPENID_METADATA_URL",
    "other_tenant": "the activity comes from the tenant {seen}, but NODE_ACCESS_TENANT_ID is {tenant_id}. The Azure "
    "Bot must serve the tenant of your Teams",
    "expired": "the activity's token has expired. Check the clock of this machine",
    "not_yet_valid": "the activity's token is not valid yet. Check the clock of this machine",
    "other_channel": "the activity comes from {seen}, not from Teams. Switch that channel off in the Azure Bot",
    "channel": "the activity's key may not sign for {seen}. Report this to Microsoft",
    "service_url": "the activity names the service address {seen}, and its token another one or none",
}
"""By the reason for refusing an activity whose signature is valid."""
OTHER_ACTIVITY: Final = "activities of the Bot Framework are refused. See the log event activity_refused"
ROSTER: Final[Mapping[str, str]] = {
    "refused": "Teams refuses the list of members. Check that the app is in the team, and in a private or shared "
    "channel itself",
    "empty": "Teams returns a list without people. Check that the app is in a private or shared channel itself",
    "endless": "Teams returns the same page of the list again and again. Report this to Microsoft; single members work",
    "no_tenant": "Teams does not say to which tenant members belong, so they count as guests. List approvers by "
    "object id (user:…)",
    "no_address": "Teams returns no UPN of a member. List approvers (user:…) and requesters ([people]) by object id",
}
DIRECT: Final[Mapping[str, str]] = {
    ChatProblem.NOT_INSTALLED: "upload an app package with the scope personal, or install the app for these people",
    ChatProblem.BLOCKED: "they blocked the bot, or an app permission policy blocks it for them",
    ChatProblem.WRITES_BLOCKED: "they blocked or removed the bot",
}
AWS: Final[Mapping[str, str]] = {
    "NoCredentialsError": "there are no AWS credentials. Give the process a role (on ECS, the task role)",
    "ExpiredToken": "the AWS credentials have expired. Renew them, or give the process a role",
    "ExpiredTokenException": "the AWS credentials have expired. Renew them, or give the process a role",
    "InvalidClientTokenId": "AWS does not know the access key. Check the AWS credentials",
    "UnrecognizedClientException": "AWS does not know the access key. Check the AWS credentials",
    "SignatureDoesNotMatch": "the secret access key is wrong, or the clock of this machine is off",
    "InvalidSignatureException": "the secret access key is wrong, or the clock of this machine is off",
    "RequestExpired": "the clock of this machine is off",
    "EndpointConnectionError": "AWS cannot be reached. Check the Region, proxy, firewall and VPC endpoints",
    "ConnectTimeoutError": "AWS cannot be reached. Check the Region, proxy, firewall and VPC endpoints",
    "ProxyConnectionError": "the proxy cannot be reached. Check HTTPS_PROXY",
    "SSLError": CERTIFICATE,
    "NoReaderRole": "the account is not the bot's own. Set its reader_role in [[accounts]]",
}
"""By AWS's error code, for every call."""
QUEUE_CODES: Final[Mapping[str, str]] = {
    **AWS,
    "AccessDenied": "the bot's role may not receive from the queue: compare it with infra/aws/bot-policy.json",
    "QueueDoesNotExist": "there is no such queue. Check NODE_ACCESS_QUEUE_URL and the Region",
    "AWS.SimpleQueueService.NonExistentQueue": "there is no such queue. Check NODE_ACCESS_QUEUE_URL and the Region",
}
READING_CODES: Final[Mapping[str, str]] = {
    **AWS,
    "AccessDenied": "the reader role cannot be assumed: see the check of the role",
    "AccessDeniedException": "the bot may not read here: compare the policy of the reader role, or of the bot's own "
    "role, with infra/aws/reader-policy.json",
}
IDENTITY_CENTER: Final[Mapping[str, str]] = {
    **AWS,
    "AccessDeniedException": "the bot may not read user records: add infra/aws/identity-center-policy.json to its "
    "role; with a customer managed key also kms:Decrypt",
    "NoIdentityStore": "there is no IAM Identity Center here. Run the bot in its Region, in the management account "
    "or a delegated administrator account, or list such users in [people]",
    "SeveralIdentityStores": "there are several instances of IAM Identity Center. List such users in [people]",
}
JIT_REGIONS: Final = frozenset(
    {
        *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1"),
        *("ap-south-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-southeast-1", "ap-southeast-2"),
        *("eu-central-1", "eu-west-1", "eu-west-2", "eu-west-3", "eu-north-1"),
    }
)
"""The Regions of just-in-time node access as of 2026-11; used only for the words of a problem.
https://docs.aws.amazon.com/systems-manager/latest/userguide/using-service-linked-roles-service-action-8.html"""
NO_POLICY: Final = (
    "there is no manual approval policy here, so no request can wait for a decision. Set up just-in-time node access "
    "for this account and Region in Systems Manager, and create an approval policy; or take the account or Region "
    "out of [[accounts]]"
)
NO_JIT_REGION: Final = (
    "AWS is not known to offer just-in-time node access in this Region, and there is no approval policy here. Check "
    "AWS_REGION and the regions in [[accounts]]"
)
UNREAD_POLICIES: Final = (
    "the approval policies cannot be listed. Compare the reader role with infra/aws/reader-policy.json"
)
CONSOLE_ONLY: Final = (
    "policy {policy}, {step}: only users or groups may approve, and the bot cannot act for them. Decide in the AWS "
    "console, or add the channel's approver_role to the policy"
)
OTHER_ROLE: Final = (
    "policy {policy}, {step}: it does not list the role with which the bot decides ({roles}). Add the role to the "
    "policy, or name the policy's role as approver_role"
)
ONE_LEVEL: Final = (
    "policy {policy}: channel {channel} lists too few approvers, because a person approves one level of a request "
    "only. Add approvers for its levels, or set one_level_per_person = false"
)
AWS_MANAGED_KEY: Final = (
    "the queue is encrypted with the key alias/aws/sqs, with which EventBridge cannot send. Use the encryption "
    "SSE-SQS, or a customer managed key that allows events.amazonaws.com"
)
NO_QUEUE_POLICY: Final = (
    "the queue's policy lets nobody send, so EventBridge cannot. Set the policy of infra/aws/queue.json"
)
NO_EVENTS: Final = (
    "the sweep finds new requests that no event announced, so cards are late. Check the EventBridge rule, its "
    "target, the policy of the queue or event bus, and the dead-letter queue"
)
UNIDENTIFIED: Final = (
    "nobody can decide the requests of {seen}: it is not known who that is. Add the role to trusted_roles if its "
    "trust policy fixes the session name, the domain to people_domains, or the requester to [people]"
)
INCOMPLETE: Final = (
    "parts of the request {request} cannot be read, such as node, tags or approvals. Compare the reader role with "
    "infra/aws/reader-policy.json"
)
DENIED_SIGNAL: Final = (
    "AWS denies decisions for lack of permission. Compare the policy of the role with its file in infra/aws: "
    "approver-policy.json, canceller-policy.json, end-sessions-policy.json or give-back-policy.json"
)
TRUST: Final = (
    "the bot may not assume the role as {name}. Its trust policy must name the bot's role (write it again if that "
    "role was created again) and allow the session name, in the same letter case; the bot's own policy must allow "
    "sts:AssumeRole for it. Compare both with infra/aws"
)
WRONG_CLOCK: Final = "the clock of this machine is more than {span} {how} {whose}. Synchronise it (NTP)"


def role_advice(code: str, name: str) -> str:
    """Return what to do about a role that could not be assumed. `name` is the name of the session, or several."""
    return AWS.get(code) or TRUST.format(name=name)


def sign_in_advice(code: str, *, answered: bool) -> str:
    """Return what to do about a failed call to Microsoft, for a token or for signing keys.

    `code` is for example `invalid_client AADSTS7000215`, or the name of an error. `answered` is True if an answer came,
    perhaps from a proxy.
    """
    for word in code.split():
        number = word.removeprefix("AADSTS")
        if number.isdecimal() and int(number) in ENTRA:
            return ENTRA[int(number)]
    if " " in code or "AADSTS" in code:
        return "Entra refuses the app. Look up the code, and check the app registration NODE_ACCESS_APP_ID"
    return SIGN_IN.get(code) or AWS.get(code) or (NOT_MICROSOFT if answered else BLOCKED)


def aws_advice(code: str, table: Mapping[str, str] = AWS) -> str:
    """Return what to do about an error code of AWS; an empty text for a code that is not in the table."""
    return table.get(code, "")
