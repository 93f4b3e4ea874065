"""The whole program with each credential that is not a secret in its environment; federation has a file of its own."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import APP_ID, HANAKO
from tests.fakes.product import Product, product
from tests.fakes.signing import SECRET

TOKEN = "token$"


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Product]:
    """AWS and Teams, the bot not started yet."""
    async with product(monkeypatch, tmp_path) as world:
        world.changed |= {"app_secret": None}
        yield world


async def test_a_secret_is_rotated_without_a_restart(world: Product) -> None:
    """In Secrets Manager and in Entra, at the worst moment: the old one and its token end at once."""
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


@asynccontextmanager
async def identity_endpoint(microsoft: FakeMicrosoft) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """Azure's identity endpoint on this machine, as App Service has it; the connector takes its tokens."""
    asked: list[dict[str, Any]] = []

    async def grant(request: web.Request) -> web.Response:
        asked.append({**request.query, "header": request.headers.get("X-IDENTITY-HEADER")})
        token = microsoft.sign_in.outbound_token()
        ends = str(int(time.time()) + 86_400)
        return web.json_response({"access_token": token, "expires_on": ends, "token_type": "Bearer"})

    app = web.Application()
    app.router.add_get("/msi/token", grant)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://localhost:{runner.addresses[0][1]}/msi/token", asked
    await runner.cleanup()


async def test_in_azure_the_token_is_the_identitys(world: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request is posted and decided; Entra is never asked, and a proxy of the host's is none for this address."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")  # all but the identity endpoint, which has another name here
    async with identity_endpoint(world.microsoft) as (address, asked):
        world.changed |= {
            "app_credential": "managed-identity",
            "identity_endpoint": address,
            "identity_header": "header-of-the-tests",
        }
        async with world.running():
            request = await world.ask()
            await world.click(HANAKO, await world.card(request), "approve", "ok")
            await world.until(lambda: "Approved by" in str(world.cards(request)[0].card))
    assert asked == [
        {
            "api-version": "2019-08-01",
            "resource": "https://api.botframework.com",
            "client_id": APP_ID,
            "header": "header-of-the-tests",
        }
    ]
    assert world.microsoft.faults.matching("POST", TOKEN) == []
