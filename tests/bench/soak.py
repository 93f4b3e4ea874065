"""An hour with 10,000 open requests: the memory of the real process must not grow with the requests that have ended.

`python -m tests.bench --parts soak --minutes 60` runs this.

The process sweeps over all open requests the whole time. Meanwhile, people make and approve requests in three channels,
nearly as many as Teams allows. Their access ends after a minute. A row is watched for 15 minutes more, until AWS's list
of ended sessions must be complete. So after SETTLED, as many rows leave memory as come.

What grows after that grows with the requests that have ended: a leak, or a cache that is not full. The samples after
SETTLED are split into two halves. The run fails if the median of the second one is more than GROWTH above that of the
first: that is about 9 KiB for each request. Caches need less than 3 KiB (README.md).
"""

import asyncio
import itertools
import json
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from statistics import median

import pytest

from tests.bench.served import Served, Servers, leave_the_core, measured_core
from tests.bench.sweep import fill, first_card
from tests.fakes.people import HANAKO, MEI, PRIYA, TARO, Person
from tests.fakes.processes import BotProcess
from tests.fakes.product import Product, product
from tests.fakes.teams_world import APPROVERS, LEADS, Message

RESULT = Path(".sandbox/soak.json")
REQUESTS = 10_000
SWEEP, SAMPLE, SETTLED = 60, 60.0, 1200.0  # seconds
ACCESS = timedelta(minutes=1)
GROWTH = 0.01  # allowed share
LIFE = 18.0  # seconds for each request in a channel: eight messages and updates, and Teams allows 1,800 an hour
NEWEST = 100  # messages among which a card is searched, of all that the fake keeps


@dataclass(frozen=True, slots=True)
class Site:
    """A channel, which requests it gets, the node of one of them, and the person who requests access to it.

    Each person has a chat with the bot, for which Teams has limits as well.
    """

    conversation: str
    gets: str
    node: str
    requester: Person

    @property
    def toml(self) -> str:
        """The channel in node-access.toml."""
        return f"""
[[channels]]
name = "{self.node}"
conversation = "{self.conversation}"
approvers = ["members"]
approver_role = "arn:aws:iam::{{account}}:role/NodeAccessApprover"
{self.gets}
"""


SITES = (
    Site(APPROVERS, "fallback = true", "web-prod-01", TARO),
    Site(LEADS, 'match.tags.Service = ["工場ゲートウェイ"]', "factory-gw-osaka", MEI),
    Site("19:staging@thread.tacv2", 'match.tags.Environment = ["staging"]', "cache-stg-01", PRIYA),
)
IDENTITY = """
[identity]
trusted_roles = ["Operator"]
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen since the start: the lowest memory of a minute, the rows that are watched, and what was done."""

    seconds: float
    mib: float
    watched: int
    sweeps: int
    decisions: int

    def __str__(self) -> str:
        """Return a line of the table."""
        counts = f"{self.watched} watched  {self.sweeps} sweeps  {self.decisions} decisions"
        return f"{self.seconds / 60:5.1f} min  {self.mib:7.2f} MiB  {counts}"


async def soak(seconds: float, requests: int) -> list[Sample]:
    """Return a sample of each minute."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        async with product(patch, folder) as world:
            for site in SITES:
                world.microsoft.world.add_channel(site.conversation)
            world.toml = "".join(site.toml for site in SITES) + IDENTITY
            _shorten(world)
            await first_card(world, folder, measured_core())
            await fill(world, requests)
            async with Servers(measured_core()) as servers:
                served, bot = await servers.serve(world, folder, NODE_ACCESS_SWEEP_SECONDS=str(SWEEP))
                return await _lived(world, served, bot, seconds)


def _shorten(world: Product) -> None:
    """Let all access end after ACCESS."""
    policies = world.aws.state.policies[world.aws.world.account, world.aws.world.region]
    for name, policy in policies.items():
        policies[name] = replace(policy, access_duration=ACCESS)


async def _lived(world: Product, served: Served, bot: BotProcess, seconds: float) -> list[Sample]:
    """Let people request and approve for this time, in one channel after another. Print each sample."""
    began, samples, lowest, sites = time.monotonic(), list[Sample](), served.resident(), itertools.cycle(SITES)
    for lives in itertools.count(1):
        life = time.monotonic()
        await _live(world, next(sites))
        assert len(world.aws.effects("Approve")) == lives, "a decision was not sent"
        lowest, passed = min(lowest, served.resident()), time.monotonic() - began
        if passed >= SAMPLE * (len(samples) + 1):
            samples.append(Sample(passed, lowest, _watched(world), len(bot.events("sweep_done")), lives))
            print(samples[-1], flush=True)
            lowest = served.resident()
        if passed >= seconds:
            break
        await asyncio.sleep(max(0.0, LIFE / len(SITES) - (time.monotonic() - life)))
    return samples


async def _live(world: Product, site: Site) -> None:
    """Let a person request access, and another one approve it."""
    ask = world.aws.control.request_access
    request = await asyncio.to_thread(ask, node=site.node, reason="調査", by=site.requester.upn)
    await world.until(lambda: any(_cards(world, site, request)))
    await world.click(HANAKO, next(_cards(world, site, request)), "approve")


def _cards(world: Product, site: Site, request: str) -> Iterator[Message]:
    newest = itertools.islice(reversed(world.microsoft.world.messages), NEWEST)
    messages = (each for each in newest if each.conversation == site.conversation and each.id == each.root)
    return (each for each in messages if request in str(each.card))


def _watched(world: Product) -> int:
    with closing(sqlite3.connect(f"file:{world.store}?mode=ro", uri=True)) as database:
        (count,) = database.execute("SELECT count(*) FROM requests WHERE watched").fetchone()
    return int(count)


@dataclass(frozen=True, slots=True)
class Growth:
    """The growth from the first half of the settled samples to the second: its share, and KiB for each request."""

    share: float
    kib: float


def growth(samples: list[Sample], *, settled: float = SETTLED) -> Growth:
    """Return the growth between the two halves. StatisticsError if there are fewer than two settled samples."""
    kept = [each for each in samples if each.seconds >= settled]
    first, second = kept[: len(kept) // 2], kept[len(kept) // 2 :]
    before, after = (median(each.mib for each in half) for half in (first, second))
    requests = median(each.decisions for each in second) - median(each.decisions for each in first)
    return Growth(after / before - 1, 1024 * (after - before) / requests)


def main(minutes: float) -> int:
    """Run, print the growth, and write the samples. Return 1 if it is above GROWTH, else 0.

    A run of less than 30 minutes takes the samples of its second half, which shows that it works and no more.
    """
    leave_the_core()
    samples = asyncio.run(soak(60 * minutes, REQUESTS))
    settled = min(SETTLED, 30 * minutes)
    grown = growth(samples, settled=settled)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    found = {"growth": grown.share, "kib_a_request": grown.kib, "samples": [asdict(each) for each in samples]}
    RESULT.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    print(f"growth after the first {settled / 60:.0f} minutes: {grown.share:.2%}, {grown.kib:.1f} KiB a request")
    return 0 if grown.share <= GROWTH else 1
