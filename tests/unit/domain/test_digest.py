"""Tests for the digest of a card: a row stores it, so that only a card with other content is updated."""

from dataclasses import MISSING, fields, make_dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any

import pytest

from bot.domain.request import Verdict, Withdrawal
from bot.domain.rules.permission import Refusal
from bot.domain.shown.views import Banner, CardView, DecisionLine, LevelLine, Mention
from bot.domain.shown.wanted import Wanted
from bot.domain.surface import SurfaceKind
from bot.rendering.gallery import SAMPLES
from tests.unit.domain.sample import APPROVALS, NOW

CARDS = {name: sample.view for name, sample in SAMPLES.items() if isinstance(sample.view, CardView)}


def digest_of(view: Any, **channel: str) -> str:
    """Return the digest of a view in a channel."""
    changed = replace(APPROVALS, **channel)  # type: ignore[arg-type]  # locale and time zone are strings
    return Wanted("card:approvals", SurfaceKind.CARD, view, changed).digest


RECORDED = "9a61498a8448cc3a72d35a0c66477cf953b353f4f2db7a48a08fac9a1c0a2345"
VIEW = CardView(
    key="111122223333/ap-northeast-1/oi-f57e817742bd",
    step="Level1",
    banner=Banner.WAITING,
    ops_item_id="oi-f57e817742bd",
    account="111122223333",
    region="ap-northeast-1",
    node_id="i-02999bd501754105a",
    node_name="web-prod-01",
    requester="山田 太郎",
    requester_principal="arn:aws:iam::111122223333:user/taro",
    reason="INC-20481",
    duration=timedelta(hours=4),
    tags=(("Environment", "production"),),
    level=LevelLine(number=1, of=2, step="Level1", approvals=0, required=1),
    requested_at=NOW,
    decisions=(DecisionLine(Withdrawal.REVOKE, "鈴木 芽依", NOW, "done"),),
    no_buttons=Refusal.UNIDENTIFIED,
    comment_required=(Verdict.REJECT,),
    mentions=(Mention("29:1-tanaka-ichiro", "田中 一郎"),),
)


def test_digest_of_a_card_is_the_same_in_every_version() -> None:
    """A changed digest would update every card after an upgrade, and repeatedly while two versions run together."""
    assert digest_of(VIEW) == RECORDED


def test_different_card_views_have_different_digests() -> None:
    """The views are those of the gallery."""
    distinct = set(CARDS.values())
    assert len({digest_of(view) for view in distinct}) == len(distinct)


@pytest.mark.parametrize("name", [each.name for each in fields(CardView)])
def test_each_field_of_a_card_view_changes_the_digest(name: str) -> None:
    """A card is updated if any one field of its view changes."""
    changed = replace(VIEW, **{name: "changed"})  # type: ignore[arg-type]  # the digest does not check types
    assert digest_of(changed) != digest_of(VIEW)


@pytest.mark.parametrize("channel", [{"locale": "ja"}, {"timezone": "Asia/Tokyo"}])
def test_language_and_time_zone_of_a_channel_change_the_digest(channel: dict[str, str]) -> None:
    """A card is updated if the channel's language or time zone changes."""
    assert digest_of(VIEW, **channel) != digest_of(VIEW)


class Renamed(StrEnum):
    """An enum with one of the values of Banner, under another name."""

    PENDING = "waiting"


def test_digest_of_a_card_does_not_depend_on_names_of_classes_and_enum_members() -> None:
    """Only values change it. A new field changes it only if its value is not the default."""
    kept = [(each.name, Any, each.default) for each in fields(CardView) if each.default is not MISSING]
    required = [(each.name, Any) for each in fields(CardView) if each.default is MISSING]
    renamed = make_dataclass("RequestCard", [*required, *kept, ("added", Any, None)], frozen=True)
    values = {each.name: getattr(VIEW, each.name) for each in fields(CardView)}
    assert digest_of(renamed(**{**values, "banner": Renamed.PENDING})) == digest_of(VIEW)
    assert digest_of(renamed(**values, added="shown")) != digest_of(VIEW)
