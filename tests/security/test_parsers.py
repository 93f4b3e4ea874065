"""Figure 17: each parser parses any input or raises its declared errors, and nothing else."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from bot.aws.calls.clients import Place
from bot.aws.events import UnreadableEvent, parse_event
from bot.aws.jit.executions import UnreadableExecution, parse_execution
from bot.aws.jit.listing import listed_execution, listed_ops_item
from bot.aws.jit.ops_items import UnreadableOpsItem, parse_ops_item
from bot.aws.jit.policies import UnreadablePolicy, merge_levels, parse_policy
from bot.config.errors import ConfigurationProblems
from bot.config.file import parse_configuration
from bot.config.settings import Settings, _read
from bot.domain.identity import Person, Principal
from bot.domain.record import Record
from bot.domain.request import InvalidRequestKey, RequestKey
from bot.domain.surface import DeliveryState, Surface, SurfaceKind
from bot.ports.store import PersonalChat, RowUnreadable
from bot.store.rows import PERSONAL_CHAT, RECORD, decode, encode
from bot.teams.inbound.tokens import TokenRefused, _key_id, bearer
from bot.teams.net.session import as_object
from bot.teams.wire.activity import NotAnActivity, parse
from bot.teams.wire.group_page import read_group_page
from bot.teams.wire.invoke import NotAClick, read_click
from bot.teams.wire.message_text import message_text, stated_locale, stated_timezone
from tests.contract import documents
from tests.fakes import activities
from tests.fakes.people import APP_ID, HANAKO, TENANT_ID
from tests.fakes.signing import Signer, SignIn
from tests.fakes.spoiling import scrambled, spoilt, spoilt_lines
from tests.figures import Figure, size
from tests.unit.aws.samples import ASKED_AT, KEY, TARO, event, execution, ops_item, policy, step
from tests.unit.domain.sample import decision, request

CASES = size(short=5_000, ci=25_000, long=500_000)
SEED = 20261123
PLACE = Place(KEY.account, KEY.region)
CLICK = activities.invoke(
    "approve",
    {"request": str(KEY), "step": "Level1", "comment": "ok"},
    sender=HANAKO,
    place=activities.Place(id="19:a@thread.tacv2;messageid=1", kind="channel", team="19:t@thread.tacv2"),
    service_url="https://smba.trafficmanager.net/teams/",
)
(FILE,) = documents.blocks(documents.read(documents.CONFIGURATION), "toml")
VALUES = (
    "true",
    "0",
    "-1",
    '""',
    '"members"',
    "[]",
    "{}",
    "[[]]",
    "nan",
    "2026-01-01",
    '"\\u0000"',
    "[{}]",
    "9" * 5000,
)
CHAT = PersonalChat(Person(HANAKO.object_id, TENANT_ID, "佐藤 花子"), "a:1", "https://smba.trafficmanager.net/teams/")
ROW = Record(KEY, ASKED_AT, version=7, request=request(), decisions=(decision(CHAT.person),)).with_surface(
    Surface("card:approvals", SurfaceKind.CARD, DeliveryState.DELIVERED, "19:a@thread.tacv2", "1", "digest")
)
GROUP_PAGE = {
    "@odata.nextLink": "https://graph.microsoft.com/v1.0/groups/x/transitiveMembers?$skiptoken=y",
    "value": [
        {"@odata.type": f"#microsoft.graph.{kind}", "id": HANAKO.object_id} for kind in ("user", "group", "device")
    ],
}
HEADER = Signer(SignIn()).header("https://smba.trafficmanager.net/teams/")


@dataclass(frozen=True, slots=True)
class Parser:
    """A parser of outside input: makes input, parses it, and lists the errors that it may raise."""

    make: Callable[[random.Random], Any]
    read: Callable[[Any], object]
    declared: tuple[type[Exception], ...] = ()


def _json(document: Any) -> str:
    return json.dumps(document, default=str)


def _spoilt_json(rng: random.Random, sample: Any) -> str:
    whole = _json(spoilt(rng, sample))
    return scrambled(rng, whole) if rng.random() < 0.1 else whole


def _click(body: bytes) -> object:
    inbound = parse(body)
    return message_text(inbound), stated_locale(inbound), stated_timezone(inbound), read_click(inbound)


def _levels(text: str) -> object:
    levels = parse_policy(text).levels
    return merge_levels(levels, levels)


def _environment(rng: random.Random) -> dict[str, str]:
    good = {
        "NODE_ACCESS_APP_ID": APP_ID,
        "NODE_ACCESS_APP_SECRET": "x",
        "NODE_ACCESS_TENANT_ID": TENANT_ID,
        "NODE_ACCESS_SERVICE_HOSTS": "smba.trafficmanager.net",
        "NODE_ACCESS_STORE": "dynamodb:node-access",
        "NODE_ACCESS_QUEUE_URL": "https://sqs.ap-northeast-1.amazonaws.com/111122223333/events",
        "NODE_ACCESS_PORT": "3978",
        "NODE_ACCESS_SWEEP_SECONDS": "60",
        "NODE_ACCESS_REPLICAS": "3",
        "NODE_ACCESS_LOGIN_AUTHORITY": "https://login.microsoftonline.com",
        "AWS_REGION": "ap-northeast-1",
    }
    for name in rng.sample(sorted(good), 2):
        good[name] = scrambled(rng, good[name])
    return good


def _chats(text: str) -> object:
    return decode(PERSONAL_CHAT, text, where="chat")


PARSERS = {
    "event": Parser(
        lambda rng: _spoilt_json(rng, event()), lambda text: str(parse_event(text, "r")).encode(), (UnreadableEvent,)
    ),
    "activity and click": Parser(
        lambda rng: json.dumps(spoilt(rng, CLICK)).encode(), _click, (NotAnActivity, NotAClick)
    ),
    "OpsItem": Parser(
        lambda rng: spoilt(rng, ops_item()),
        lambda document: str(parse_ops_item(document, KEY)).encode(),
        (UnreadableOpsItem,),
    ),
    "execution": Parser(
        lambda rng: spoilt(rng, execution(step("Level1", "Success"), step("Level2"))),
        lambda document: str(parse_execution(document, KEY).as_execution()).encode(),
        (UnreadableExecution,),
    ),
    "policy": Parser(lambda rng: _spoilt_json(rng, policy()), _levels, (UnreadablePolicy,)),
    "lists": Parser(
        lambda rng: [row for row in (spoilt(rng, ops_item()), spoilt(rng, execution())) if isinstance(row, dict)],
        lambda rows: [(listed_ops_item(PLACE, row), listed_execution(PLACE, row)) for row in rows],
    ),
    "node-access.toml": Parser(
        lambda rng: spoilt_lines(rng, FILE, values=VALUES).encode(errors="replace"),
        parse_configuration,
        (ConfigurationProblems,),
    ),
    "settings": Parser(_environment, lambda environ: _read(Settings, environ), (ConfigurationProblems,)),
    "token": Parser(lambda rng: scrambled(rng, HEADER), lambda header: _key_id(bearer(header)), (TokenRefused,)),
    "row": Parser(
        lambda rng: _spoilt_json(rng, json.loads(encode(RECORD, ROW))),
        lambda text: decode(RECORD, text, where="row"),
        (RowUnreadable,),
    ),
    "chat": Parser(lambda rng: _spoilt_json(rng, json.loads(encode(PERSONAL_CHAT, CHAT))), _chats, (RowUnreadable,)),
    "request's key": Parser(lambda rng: scrambled(rng, str(KEY)), RequestKey.parse, (InvalidRequestKey,)),
    "page of a group": Parser(
        lambda rng: _spoilt_json(rng, GROUP_PAGE).encode(errors="replace"),
        lambda raw: read_group_page(as_object(raw)).people,
        (ValueError,),
    ),
    "principal": Parser(lambda rng: scrambled(rng, TARO), lambda text: Principal.parse(text).shown_name),
}


@pytest.mark.parametrize("name", PARSERS)
def test_parser_parses_or_raises_its_declared_error(name: str, figure: Figure) -> None:
    """The inputs are valid ones with random changes. As a control, some of them must parse.

    If the parser declares errors, some must fail.
    """
    parser, rng = PARSERS[name], random.Random(f"{SEED} {name}")
    cases, read = -(-CASES // len(PARSERS)), 0
    for _ in range(cases):
        given = parser.make(rng)
        try:
            parser.read(given)
        except parser.declared:
            continue
        read += 1
    assert read > 0
    assert (read < cases) == bool(parser.declared)
    figure(17, parser=name, cases=cases, read=read, declared_errors=cases - read)


def test_parser_without_checks_raises_undeclared_errors() -> None:
    """Control: a parser that trusts its input raises KeyError, TypeError or ValueError for over 10 of 100 inputs."""
    rng = random.Random(SEED)
    failed = 0
    for _ in range(100):
        try:
            _parsed_without_checks(spoilt(rng, ops_item()))
        except (KeyError, TypeError, ValueError):
            failed += 1
    assert failed > 10


def _parsed_without_checks(document: Any) -> object:
    return json.loads(document["OperationalData"]["/aws/accessrequest"]["Value"])["requester"]["arn"]
