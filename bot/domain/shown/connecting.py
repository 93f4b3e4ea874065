"""The ways from Teams to AWS: commands that open a session with approved access, and the link to the console.

They contain only ids. Each command fetches a token and starts the session only with that token, never with the person's
own credentials. It calls the program `aws` for the session, not an alias or a function, which may name a profile: a
named profile would win over the token. Nothing is left in the shell, so that the person signs the next command again.
https://docs.aws.amazon.com/systems-manager/latest/userguide/systems-manager-just-in-time-node-access-start-session.html
"""

from bot.domain.request import RequestKey

_NO_SESSION = "No session was started. Access request:"  # then the status in AWS's words
_FROM_TOKEN = {
    "AWS_ACCESS_KEY_ID": "AccessKeyId",
    "AWS_SECRET_ACCESS_KEY": "SecretAccessKey",
    "AWS_SESSION_TOKEN": "SessionToken",
}  # variables that the AWS CLI reads, and the members of `Credentials` in GetAccessToken's answer
# Each partition has its own console; all other Regions are in the partition `aws`.
_CONSOLES = {"cn": "console.amazonaws.cn", "us-gov": "console.amazonaws-us-gov.com"}


def shell_command(key: RequestKey, node_id: str) -> str:
    """Return the command for bash and zsh.

    The blanks in the query are places where a narrow card can wrap the command.

    Without a token, the AWS CLI prints nothing, or the word None for each missing value. `exec` takes the place of the
    subshell, so that the session gets each signal of the terminal.
    """
    query = ", ".join(f"Credentials.{each}" for each in _FROM_TOKEN.values())
    token = f"{_get_token(key)} --query '[AccessRequestStatus, {query}]' --output text"
    variables = " ".join(f"{name}=${position}" for position, name in enumerate(_FROM_TOKEN, start=2))
    return (
        f'(set -- $({token}); [ "${{4:-None}}" = None ] || {variables} exec aws {_start_session(key, node_id)}; '
        f'echo "{_NO_SESSION} ${{1:-no answer}}" >&2; exit 1)'
    )


def powershell_command(key: RequestKey, node_id: str) -> str:
    """Return the command for Windows PowerShell and PowerShell 7.

    A condition that fails, in strict mode too, skips its block. Assigning $null removes a variable.
    """
    variables = ", ".join(f"$env:{name}" for name in _FROM_TOKEN)
    values = ", ".join(f"$a.Credentials.{each}" for each in _FROM_TOKEN.values())
    session = f"$b = @(Get-Command aws -CommandType Application)[0]; & $b {_start_session(key, node_id)}"
    return (
        f"& {{ $a = {_get_token(key)} --output json | ConvertFrom-Json; "
        f"if ($a.Credentials.SessionToken) {{ $x, $y, $z = {variables}; "
        f"try {{ {variables} = {values}; {session} }} finally {{ {variables} = $x, $y, $z }} }} "
        f'else {{ Write-Warning "{_NO_SESSION} $($a.AccessRequestStatus)" }} }}'
    )


def console_url(key: RequestKey) -> str:
    """Return the address of the request's OpsItem in the console of its partition.

    AWS's examples have this address, for other types of OpsItems. No page documents the address of an access request:
    https://docs.aws.amazon.com/cli/latest/reference/ssm-incidents/list-related-items.html
    """
    return f"{console_site(key.region)}/systems-manager/opsitems/{key.ops_item_id}/workbench?region={key.region}"


def console_site(region: str) -> str:
    """Return scheme and host of the console in this Region."""
    partition = next((each for each in _CONSOLES if region.startswith(f"{each}-")), "")
    return f"https://{region}.{_CONSOLES.get(partition, 'console.aws.amazon.com')}"


def _get_token(key: RequestKey) -> str:
    return f"aws ssm get-access-token --region {key.region} --access-request-id {key.ops_item_id}"


def _start_session(key: RequestKey, node_id: str) -> str:
    return f"ssm start-session --region {key.region} --target {node_id}"
