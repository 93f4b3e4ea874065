"""The rule of the soak: memory that only fills, or is watched for a while, passes; memory that grows fails."""

import pytest

from tests.bench.soak import GROWTH, SITES, Sample, growth


def run(kib_a_request: float) -> list[Sample]:
    """Return an hour's samples at 10 requests a minute, in 170 MiB, of which 8 MiB come in the first 20 minutes."""
    mib = (162 + min(8, 0.4 * minute) + 10 * minute * kib_a_request / 1024 for minute in range(1, 61))
    return [Sample(60.0 * minute, each, 10_000, minute, 10 * minute) for minute, each in enumerate(mib, 1)]


@pytest.mark.parametrize("leak", [10.0, 15.0])
def test_growth_with_the_ended_requests_is_above_the_limit(leak: float) -> None:
    """It is measured in bytes for each request, too."""
    grown = growth(run(leak))
    assert grown.share > GROWTH
    assert grown.kib == pytest.approx(leak)


def test_growth_of_the_first_minutes_does_not_count() -> None:
    """Caches fill, and the number of watched rows rises, until the access of the first requests is settled."""
    assert growth(run(0.0)).share == 0


def test_each_channel_has_a_requester_and_a_node_of_its_own() -> None:
    """Teams has limits for each conversation, also for the chat with a person."""
    assert len({each.conversation for each in SITES}) == len({each.requester for each in SITES}) == len(SITES)
    assert len({each.node for each in SITES}) == len(SITES)
