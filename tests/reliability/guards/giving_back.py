"""Guards of access that requesters give back before its time."""

from dataclasses import replace
from typing import Any, Final

from bot.domain.abilities import ALL_ABILITIES
from bot.domain.decision import Decision
from bot.domain.request import Withdrawal
from bot.domain.rules.permission import Refusal
from tests.reliability.guards.permission import OBJECTION, never
from tests.reliability.replacing import Guard, always, around

GIVING_BACK = "tests/scenario/test_giving_back.py::"


def _beside_others(claim: Any, *, decisions: tuple[Decision, ...], **facts: object) -> Any:
    return claim(decisions=tuple(each for each in decisions if each.verdict is not Withdrawal.REVOKE), **facts)


def _without_role(removed: Any, configuration: object, record: object, decision: Decision) -> Any:
    return None if decision.given_back else removed(configuration, record, decision)


def _in_new_words(claimed: Any, record: Any, permit: Any, *given: object, **more: object) -> Any:
    decision = replace(permit.decision, verdict=permit.decision.action, given_back=False)
    return claimed(record, replace(permit, decision=decision), *given, **more)


GUARDS: Final = (
    Guard(
        "only the requester gives access back",
        GIVING_BACK + "test_access_of_another_person_cannot_be_given_back[who0-place0-not_requester]",
        {"bot.domain.rules.permission:not_the_requester": never(Refusal.NOT_REQUESTER)},
    ),
    Guard(
        "access is given back only in the requester's own chat",
        GIVING_BACK + "test_access_cannot_be_given_back_from_the_channel",
        {"bot.service.clicks.locator:has_direct_message_in": always(True)},
    ),
    Guard(
        "access is never given back without its role",
        GIVING_BACK + "test_access_is_not_given_back_after_the_role_was_removed",
        {"bot.service.decisions.signal_content:removed_since": around(_without_role), OBJECTION: always(None)},
    ),
    Guard(
        "a revocation and a return of access wait for each other",
        GIVING_BACK + "test_approver_and_requester_at_the_same_time_send_one_signal[revoke]",
        {"bot.domain.rules.claims:claim": around(_beside_others)},
    ),
    Guard(
        "earlier versions can read that access is given back",
        GIVING_BACK + "test_earlier_version_reads_a_revocation_by_the_requester",
        {"bot.service.clicks.claiming:claimed": around(_in_new_words)},
    ),
    Guard(
        "the button to give access back waits until every process knows it",
        GIVING_BACK + "test_button_is_not_offered_while_an_older_version_runs",
        {"bot.service.replicas:Replicas.abilities": always(ALL_ABILITIES)},
    ),
)
