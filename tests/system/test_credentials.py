"""The whole program with its credential from Secrets Manager or from a managed identity, and AWS's from a file.

test_federation has the third credential without a secret in the environment, an assertion from AWS.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bot.sandbox.aws.callers import Session
from bot.sandbox.aws.world import BOT_ROLE
from bot.sandbox.teams.graph import ON_CALL
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import APP_ID, HANAKO
from tests.fakes.product import TOML, UNPACED, Product, product
from tests.fakes.signing import SECRET

TOKEN = "token$"


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Product]:
    """AWS and Teams; the bot is not started and has no secret."""
    async with product(monkeypatch, tmp_path, rates=UNPACED) as world:
        world.changed |= {"app_secret": None}
        yield world


async def test_bot_reads_a_rotated_secret_from_secrets_manager_without_a_restart(world: Product) -> None:
    """The secret is replaced and the old token is revoked while a request waits. Then the request is approved."""
    vault = world.aws.client("secretsmanager", region="eu-west-1")
    kept = await asyncio.to_thread(
        vault.create_secret, Name="node-access", SecretString=json.dumps({"client_secret": SECRET})
    )
    world.changed |= {"app_secret_arn": kept["ARN"]}
    async with world.running():
        request = await world.ask()
        card = await world.card(request)
        await asyncio.to_thread(vault.put_secret_value, SecretId=kept["ARN"], SecretString="rotated")
        world.microsoft.sign_in.rotate_secret("rotated")
        world.microsoft.sign_in.revoke_tokens()
        await world.click(HANAKO, card, "approve", "ok")
        await world.until(lambda: "Approved by" in str(world.cards(request)[0].card))
    vault.close()
    statuses = [call.status for call in world.microsoft.faults.matching("POST", TOKEN)]
    assert statuses[0] == statuses[-1] == 200
    assert 401 in statuses


async def test_bot_reads_renewed_aws_credentials_from_a_file_without_a_restart(
    world: Product, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The file gets a new session, and the old one ends. A click is decided, and the next request gets a card."""
    world.changed.clear()
    callers, file = world.aws.callers, tmp_path / "credentials"
    for name in world.aws.world.bot.environment():
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    sessions = [callers.assume(BOT_ROLE, f"bot-{number}", seconds=3600) for number in range(2)]

    def write(session: Session) -> None:
        lines = (f"{name.lower()} = {value}\n" for name, value in session.environment().items())
        file.write_text(f"[default]\n{''.join(lines)}")

    write(sessions[0])
    async with world.running():
        request = await world.ask()
        card = await world.card(request)
        write(sessions[1])
        callers.expire(sessions[0])
        await world.click(HANAKO, card, "approve", "ok")
        await world.until(lambda: "Approved by" in str(world.cards(request)[0].card))
        await world.card(await world.ask())
    assert world.signals() == 1


@asynccontextmanager
async def identity_endpoint(microsoft: FakeMicrosoft) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """Serve Azure's identity endpoint as App Service does; yield its URL and the requests it got."""
    requests: list[dict[str, Any]] = []

    async def grant(request: web.Request) -> web.Response:
        requests.append({**request.query, "header": request.headers.get("X-IDENTITY-HEADER")})
        of_graph = request.query["resource"] == microsoft.graph_url
        token = microsoft.sign_in.graph_token() if of_graph else microsoft.sign_in.outbound_token()
        ends = str(int(time.time()) + 86_400)
        return web.json_response({"access_token": token, "expires_on": ends, "token_type": "Bearer"})

    app = web.Application()
    app.router.add_get("/msi/token", grant)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://localhost:{runner.addresses[0][1]}/msi/token", requests
    await runner.cleanup()


async def test_bot_gets_its_token_for_teams_from_a_managed_identity(
    world: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request is posted and approved without a call to Entra. The identity endpoint is reached without the proxy."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")  # not the identity endpoint: its host name is localhost here
    async with identity_endpoint(world.microsoft) as (address, requests):
        world.changed |= {
            "app_credential": "managed-identity",
            "identity_endpoint": address,
            "identity_header": "header-of-the-tests",
        }
        async with world.running():
            request = await world.ask()
            await world.click(HANAKO, await world.card(request), "approve", "ok")
            await world.until(lambda: "Approved by" in str(world.cards(request)[0].card))
    assert requests == [
        {
            "api-version": "2019-08-01",
            "resource": "https://api.botframework.com",
            "client_id": APP_ID,
            "header": "header-of-the-tests",
        }
    ]
    assert world.microsoft.faults.matching("POST", TOKEN) == []


async def test_bot_reads_a_group_of_approvers_with_a_token_of_the_managed_identity(world: Product) -> None:
    """The identity endpoint is asked for a token of each of the two services, and Entra for none."""
    world.toml = TOML.replace('approvers = ["members"]', f'approvers = ["group:{ON_CALL}"]', 1)
    async with identity_endpoint(world.microsoft) as (address, requests):
        world.changed |= {
            "app_credential": "managed-identity",
            "identity_endpoint": address,
            "identity_header": "header-of-the-tests",
        }
        async with world.running():
            await world.click(HANAKO, await world.card(await world.ask()), "approve", "ok")
            await world.until(lambda: world.signals() == 1)
    assert {each["resource"] for each in requests} == {"https://api.botframework.com", world.microsoft.graph_url}
    assert world.microsoft.faults.matching("POST", TOKEN) == []
