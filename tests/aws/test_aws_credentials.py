"""The secret and the signed token with which the bot proves its identity to Microsoft, over real HTTP."""

import json
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest

from bot.aws.assembly import AwsSide
from bot.boto.own_credentials import OwnCredentials
from bot.ports.aws import AwsThrottled, AwsUnavailable
from bot.sandbox.aws.callers import Session
from bot.sandbox.aws.world import BOT_ROLE
from bot.teams.login.client_authentication import FEDERATION_AUDIENCE
from tests.contract import gateway
from tests.contract.gateway import aws_side
from tests.contract.scene import Scene

stage, scene, side = gateway.stage, gateway.scene, gateway.side

SECRET = "kept-in-secrets-manager"
ELSEWHERE = "eu-west-1"


@pytest.fixture
async def vault(scene: Scene) -> AsyncIterator[Any]:
    """A client of Secrets Manager in another Region than the bot's. Its secrets are deleted afterwards."""
    client = scene.aws.client("secretsmanager", region=ELSEWHERE)
    yield client
    for each in client.list_secrets()["SecretList"]:
        client.delete_secret(SecretId=each["ARN"], ForceDeleteWithoutRecovery=True)
    client.close()


async def read(side: AwsSide, vault: Any, **kept: Any) -> str:
    """Store a secret, and read it as the bot does."""
    arn = vault.create_secret(Name="node-access", **kept)["ARN"]
    return (await side.client_secret(arn).read()).get_secret_value()


@pytest.mark.parametrize(
    "kept",
    [
        SECRET,
        f"{SECRET}\n",
        json.dumps({"client_secret": SECRET}),
        json.dumps({"tenant": "t", "client_secret": f" {SECRET} "}, indent=2),
    ],
)
async def test_client_secret_is_read_from_plain_text_or_a_member_of_a_json_object(
    scene: Scene, side: AwsSide, vault: Any, kept: str
) -> None:
    """Both forms are read, in the Region of the ARN, with the bot's credentials."""
    assert await read(side, vault, SecretString=kept) == SECRET
    (call,) = scene.aws.calls("GetSecretValue")
    assert call.region == ELSEWHERE
    assert call.caller.split("/")[1] == "NodeAccessBot"


@pytest.mark.parametrize(
    "kept",
    [
        {"SecretString": " "},
        {"SecretString": json.dumps({"secret": SECRET})},
        {"SecretString": json.dumps({"client_secret": 1})},
        {"SecretString": f'{{"client_secret": "{SECRET}"'},
        {"SecretBinary": SECRET.encode()},
    ],
)
async def test_unusable_client_secret_raises_an_error_that_contains_no_part_of_it(
    side: AwsSide, vault: Any, kept: dict[str, Any]
) -> None:
    """The error's code is NoClientSecretInIt. Neither the error nor its cause contains the secret."""
    with pytest.raises(AwsUnavailable) as failed:
        await read(side, vault, **kept)
    assert failed.value.code == "NoClientSecretInIt"
    assert SECRET not in f"{failed.value!r} {failed.value.__cause__!r}"


async def test_rotated_client_secret_is_returned_by_the_next_read(side: AwsSide, vault: Any) -> None:
    """After a rotation the next read returns the new secret, because secrets are not cached."""
    arn = vault.create_secret(Name="node-access", SecretString=SECRET)["ARN"]
    source = side.client_secret(arn)
    await source.read()
    vault.put_secret_value(SecretId=arn, SecretString="rotated")
    assert (await source.read()).get_secret_value() == "rotated"


async def test_missing_secret_raises_an_error_with_the_code_of_aws(side: AwsSide) -> None:
    """For a secret that does not exist, the code is ResourceNotFoundException."""
    missing = f"arn:aws:secretsmanager:{ELSEWHERE}:111122223333:secret:none-AbCdEf"
    with pytest.raises(AwsUnavailable) as failed:
        await side.client_secret(missing).read()
    assert failed.value.code == "ResourceNotFoundException"


async def test_web_identity_token_is_for_entra_and_its_subject_is_the_role_of_the_bot(
    scene: Scene, side: AwsSide
) -> None:
    """The token's subject is the bot's role.

    The token is for Entra only, valid for a minute, and signed with a published key. Each read returns another token.
    """
    statement = (await side.web_identity(FEDERATION_AUDIENCE).read()).get_secret_value()
    issuer = scene.aws.web_identities.issuer("111122223333")
    keys = jwt.PyJWKClient(f"{issuer}/.well-known/jwks.json")
    claims = jwt.decode(
        statement,
        keys.get_signing_key_from_jwt(statement),
        algorithms=["RS256"],
        audience=FEDERATION_AUDIENCE,
        issuer=issuer,
        options={"require": ["exp", "iat", "jti"]},
    )
    assert (claims["sub"], claims["aud"], claims["exp"] - claims["iat"]) == (BOT_ROLE, FEDERATION_AUDIENCE, 60)
    assert (await side.web_identity(FEDERATION_AUDIENCE).read()).get_secret_value() != statement


async def test_account_without_web_identity_federation_raises_an_error_with_the_code_of_aws(
    scene: Scene, side: AwsSide
) -> None:
    """The error carries the error code of AWS, which names the feature to enable."""
    scene.aws.web_identities.enabled = False
    try:
        with pytest.raises(AwsUnavailable) as failed:
            await side.web_identity(FEDERATION_AUDIENCE).read()
    finally:
        scene.aws.web_identities.enabled = True
    assert failed.value.code == "OutboundWebIdentityFederationDisabledException"


async def test_no_web_identity_token_is_issued_in_the_last_minute_of_a_session(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS issues no token that is valid for longer than the session.

    The bot requests tokens for one minute, the shortest time that AWS allows, so it gets none in the last minute of a
    session.
    """
    short: Session = scene.aws.callers.assume(BOT_ROLE, "node-access-bot", seconds=59)
    async with aws_side(scene) as side:
        for name, value in short.environment().items():
            monkeypatch.setenv(name, value)
        with pytest.raises(AwsUnavailable) as failed:
            await side.web_identity(FEDERATION_AUDIENCE).read()
    assert failed.value.code == "SessionDurationEscalationException"


async def test_throttled_token_request_raises_aws_throttled(scene: Scene, side: AwsSide) -> None:
    """The caller can distinguish a throttled request, which it may repeat later, from other failures."""
    scene.aws.faults.fail("GetWebIdentityToken", "ThrottlingException")
    with pytest.raises(AwsThrottled):
        await side.web_identity(FEDERATION_AUDIENCE).read()


@pytest.mark.parametrize("region", ["ap-northeast-1", "us-east-1", "eu-west-1", "us-west-2"])
def test_sts_client_has_the_endpoint_of_its_region(monkeypatch: pytest.MonkeyPatch, region: str) -> None:
    """AWS_STS_REGIONAL_ENDPOINTS cannot select the global endpoint, which has no GetWebIdentityToken."""
    monkeypatch.setenv("AWS_STS_REGIONAL_ENDPOINTS", "legacy")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    client = OwnCredentials().session.client("sts", region_name=region)
    assert client.meta.endpoint_url == f"https://sts.{region}.amazonaws.com"
    client.close()
