"""Guards on the way from a click to AWS: the claim, the state check, and the last checks before a signal."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.domain.decision import Decision, DecisionEvent
from bot.domain.request import Action, Execution, Grant, Verdict, Vote, Withdrawal
from bot.service.clicks.click import Answer
from bot.service.decisions.queue import Lane
from bot.service.decisions.state_check import SignalResult
from tests.reliability.replacing import Guard, always, around, constant

CLAIM = "bot.domain.rules.claims:claim"
HAS_ROOM = "bot.domain.rules.claims:has_room"
ANOTHER_CARD = "bot.service.clicks.orphan_cards:may_be_of_another"
INPUTS = "bot.service.decisions.permission_check:PermissionCheck.inputs"
OBJECTION = (
    "bot.service.decisions.permission_check:PermissionCheck.objection"  # the check again right before the signal
)
REMOVED = "bot.service.decisions.signal_content:removed_since"

TRUTH = "tests/scenario/test_truth.py::"
DECIDING = "tests/scenario/test_deciding.py::"
ANSWERS = "tests/scenario/test_answers.py::"
SIGNALLING = "tests/scenario/test_signalling.py::"
STORE_FAILURES = "tests/scenario/test_store_failures.py::"
QUEUEING = "tests/scenario/test_queueing.py::"
RELOADING = "tests/scenario/test_reloading.py::"
VIEWS = "tests/scenario/test_views.py::"
WITHDRAWING = "tests/scenario/test_withdrawing.py::"
UNSHOWN = "tests/scenario/test_unshown_votes.py::"
ONE_ROLE = "tests/scenario/test_one_role.py::"
RECONCILING = "tests/scenario/test_reconciling.py::"
ORPHANS = "tests/scenario/test_orphan_cards.py::"
MATRIX = "tests/security/test_authorisation.py::test_click_without_permission_sends_no_signal_to_aws"

_nothing_is_live = around(lambda is_blocked, verdict, _live, *, missing: is_blocked(verdict, (), missing=1))


def _beside_votes(claim: Any, *, action: Action, decisions: tuple[Decision, ...], **facts: object) -> Any:
    if action is Withdrawal.CANCEL:
        decisions = tuple(each for each in decisions if each.verdict is action)
    return claim(action=action, decisions=decisions, **facts)


def _beside_cancellations(claim: Any, *, action: Action, decisions: tuple[Decision, ...], **facts: object) -> Any:
    if isinstance(action, Verdict):
        decisions = tuple(each for each in decisions if each.verdict is not Withdrawal.CANCEL)
    return claim(action=action, decisions=decisions, **facts)


def _as_in_a_role(voted_by: Any, vote: Vote, decision: Decision) -> Any:
    return voted_by(vote, replace(decision, execution_id=""))


def _at_any_step(check: Any, execution: Execution, decision: Decision) -> Any:
    return check(execution, replace(decision, step=execution.waiting.step) if execution.waiting else decision)


def _at_any_time(check: Any, grant: Grant, known_until: datetime | None, _now: datetime) -> Any:
    return check(grant, known_until, datetime.min.replace(tzinfo=UTC))


async def _lost_as_throttled(send: Any, *given: object) -> SignalResult:
    result: SignalResult = await send(*given)
    return SignalResult(DecisionEvent.THROTTLED) if result.event is DecisionEvent.LOST else result


def _without_cancel_role(removed: Any, configuration: object, record: object, decision: Decision) -> Any:
    return None if decision.verdict is Withdrawal.CANCEL else removed(configuration, record, decision)


def _without_role(removed: Any, configuration: object, record: object, decision: Decision) -> Any:
    return removed(configuration, record, replace(decision, in_role=False))


def _without_facts(inputs: Any, *given: object) -> Any:
    return replace(inputs(*given), request=None, requester=None)


def _only_the_deadline(_: Any, decision: Decision, *, checked_at: datetime, now: datetime) -> bool:
    return now > decision.deadline


def _of_anybody(_: Any, refreshing: Any, click: Any, channel: Any) -> Any:
    return refreshing._people.cached_member(channel.conversation, click.person.object_id)


def _home_everywhere(found: Any, locator: Any, record: Any, click: Any) -> Any:
    return found(locator, record, click) or locator._configuration.value.home(record)


async def _as_a_click(_: Any, locator: Any, click: Any) -> Any:
    located = await locator.locate(click)
    return None if isinstance(located, Answer) else located


GUARDS = (
    Guard(
        "a vote without effect is explained by the role that has voted",
        ONE_ROLE + "test_card_names_the_role_as_the_cause_if_aws_refuses_the_second_vote_in_a_role",
        {"bot.domain.effects:_is_other_vote_in_role": always(False)},
    ),
    Guard(
        "a vote that AWS records with the role is not shown twice",
        ONE_ROLE + "test_vote_that_aws_records_under_the_arn_of_the_role_is_displayed_once",
        {
            "bot.domain.rules.claims:names_only_role": always(False),
            "bot.domain.shown.decided:names_only_role": always(False),
        },
    ),
    Guard(
        "only people who may decide are marked as reviewers",
        MATRIX + "[waiting]",
        {"bot.service.clicks.reviewing:Reviewing._refusal": always(None)},
    ),
    Guard(
        "a refresh of a guest, or of another tenant, shows the channel's card",
        VIEWS + "test_person_who_is_not_certainly_a_member_sees_the_channels_card[guest]",
        {"bot.service.clicks.refreshing:Refreshing._member": around(_of_anybody)},
    ),
    Guard(
        "a refresh that names no card of the request shows the channel's card",
        VIEWS + "test_forged_refresh_shows_no_more_than_the_channels_card[unknown message]",
        {"bot.service.clicks.refreshing:_is_of_card": always(True)},
    ),
    Guard(
        "a refresh counts only from a conversation with the request's card",
        VIEWS + "test_forged_refresh_from_elsewhere_shows_nothing[other channel]",
        {"bot.service.clicks.locator:Locator._channel_of_card": around(_home_everywhere)},
    ),
    Guard(
        "readers and the requester see no buttons",
        VIEWS + "test_approver_sees_buttons_the_requester_words_and_a_reader_neither",
        {"bot.service.clicks.answers:seen_by": around(lambda _, view, who, record: view)},
    ),
    Guard(
        "refreshes leave the store to clicks",
        VIEWS + "test_sixty_people_who_see_fifty_open_cards_cause_no_update_and_delay_no_click",
        {"bot.service.clicks.refreshing:AT_ONCE": constant(10**6)},
    ),
    Guard(
        "a refresh adopts no card",
        VIEWS + "test_forged_refresh_from_elsewhere_shows_nothing[unknown request]",
        {"bot.service.clicks.locator:Locator.find": around(_as_a_click)},
    ),
    Guard(
        "the claim",
        "tests/unit/domain/rules/test_claims.py::test_live_vote_at_a_level_that_needs_one_approval_blocks_other_people[approve-approve-claimed]",
        {"bot.domain.rules.claims:is_blocked": _nothing_is_live},
    ),
    Guard(
        "the claim and the quota check together",
        TRUTH + "test_twenty_clicks_send_one_signal_although_aws_shows_its_effect_late",
        {"bot.domain.rules.claims:is_blocked": _nothing_is_live, HAS_ROOM: always(True)},
    ),
    Guard(
        "one claim per person and step",
        "tests/unit/domain/rules/test_claims.py::test_second_click_is_a_repeat_of_the_first_decision",
        {"bot.domain.rules.claims:active_decision": always(None)},
    ),
    Guard(
        "a held claim is not taken over",
        TRUTH + "test_reconcile_does_not_take_over_a_decision_in_progress",
        {
            "bot.domain.decision:Decision.hold_ended": around(
                lambda hold_ended, decision, now: hold_ended(replace(decision, held_until=now), now)
            )
        },
    ),
    Guard(
        "a cancellation waits for votes that are being sent",
        WITHDRAWING + "test_cancellation_during_a_vote_is_answered_busy_and_sends_no_signal",
        {CLAIM: around(_beside_votes)},
    ),
    Guard(
        "votes wait for a cancellation that is being sent",
        WITHDRAWING + "test_no_vote_is_sent_while_a_cancellation_waits_for_its_effect_in_aws",
        {CLAIM: around(_beside_cancellations)},
    ),
    Guard(
        "votes count only for a level that still needs them",
        TRUTH + "test_two_simultaneous_approvals_never_count_for_the_next_level",
        {HAS_ROOM: always(True)},
    ),
    Guard(
        "a vote with the bot's own credentials belongs to its person",
        "tests/scenario/test_without_role.py::test_decision_with_a_lost_reply_is_confirmed_by_the_vote_in_aws[short]",
        {"bot.domain.rules.claims:voted_by": around(_as_in_a_role)},
    ),
    Guard(
        "a vote in a role of the same name in another account is not ours",
        "tests/scenario/test_outside_votes.py"
        "::test_vote_in_a_role_of_another_account_is_displayed_beside_a_click_under_the_same_name",
        {"bot.domain.identity:same_role": always(True)},
    ),
    Guard(
        "the state check before a vote",
        DECIDING + "test_state_check_finds_a_decision_that_the_row_does_not_have",
        {"bot.service.decisions.state_check:not_waiting": always(None)},
    ),
    Guard(
        "the state check compares the step",
        TRUTH + "test_vote_for_a_level_that_is_complete_in_aws_sends_no_signal",
        {"bot.service.decisions.state_check:not_waiting": around(_at_any_step)},
    ),
    Guard(
        "the state check before a cancellation",
        WITHDRAWING + "test_cancellation_after_a_decision_in_the_console_sends_no_signal",
        {"bot.service.decisions.state_check:not_waiting_at_all": always(None)},
    ),
    Guard(
        "the state check before a revocation",
        WITHDRAWING + "test_revocation_of_access_that_was_already_revoked_sends_no_signal",
        {"bot.service.decisions.state_check:not_granted": always(None)},
    ),
    Guard(
        "the access window before a revocation",
        WITHDRAWING + "test_access_that_has_ended_cannot_be_revoked[False]",
        {"bot.service.decisions.state_check:not_granted": around(_at_any_time)},
    ),
    Guard(
        "a state check older than five seconds is repeated",
        SIGNALLING + "test_state_check_is_repeated_if_the_store_is_slow_after_the_check",
        {"bot.service.decisions.state_check:FRESH": constant(timedelta(hours=1))},
    ),
    Guard(
        "a signal is not sent if the store was slow to allow it",
        SIGNALLING + "test_vote_is_not_sent_if_its_level_is_completed_while_the_store_is_slow",
        {"bot.service.decisions.signal_attempt:is_too_late": around(_only_the_deadline)},
    ),
    Guard(
        "a signal whose result is unknown is not sent again",
        RECONCILING + "test_signal_without_reply_or_effect_is_not_sent_again",
        {"bot.service.decisions.signal_attempt:send_once": around(_lost_as_throttled)},
    ),
    Guard(
        "only the worker that is sending a decision takes that back",
        STORE_FAILURES + "test_throttled_process_sends_no_further_signal_after_another_process_took_its_decision_over",
        {"bot.service.decisions.held_decision:is_own": always(True)},
    ),
    Guard(
        "a signal is attempted once",
        "tests/aws/test_aws_signals.py::test_signal_with_a_server_error_as_its_answer_has_an_unknown_result[InternalServerError-500]",
        {
            "bot.boto.sdk:Config": around(
                lambda config, **named: config(**{**named, "retries": {"total_max_attempts": 2}})
            )
        },
    ),
    Guard(
        "a signal has a connection of its own",
        "tests/contract/test_aws_wire.py::test_call_once_uses_a_new_connection",
        {"bot.boto.sdk:disconnect": always(None)},
    ),
    Guard(
        "a vote is sent only for the channel that allowed it",
        RELOADING + "test_decision_is_withdrawn_if_its_channel_is_removed_before_the_signal_is_sent",
        {REMOVED: always(None)},
    ),
    Guard(
        "a vote is never sent with the bot's own credentials instead of a role",
        RELOADING + "test_decision_is_sent_in_the_current_role_or_not_at_all",
        {REMOVED: around(_without_role)},
    ),
    Guard(
        "a cancellation is never sent without a cancel role",
        WITHDRAWING + "test_cancellation_is_not_sent_after_the_cancel_role_was_removed",
        {REMOVED: around(_without_cancel_role), OBJECTION: always(None)},
    ),
    Guard(
        "a reject withdraws approvals that are not sent",
        QUEUEING + "test_reject_withdraws_a_waiting_approval_of_the_same_request[who0]",
        {"bot.domain.rules.claims:withdrawn_by": always(())},
    ),
    Guard(
        "rejects and cancellations go before approvals",
        QUEUEING + "test_reject_and_cancellation_overtake_waiting_approvals_of_other_requests",
        {"bot.service.decisions.queue:lane_of": always(Lane.APPROVING)},
    ),
    Guard(
        "a decision is never sent later than five minutes after its click",
        QUEUEING + "test_waiting_decision_is_sent_after_a_crash_if_its_click_is_younger_than_five_minutes[310-False]",
        {"bot.domain.decision:QUEUE_SPAN": constant(timedelta(hours=1))},
    ),
    Guard(
        "a click that the store delayed over a minute is not queued",
        ANSWERS + "test_decision_that_the_store_delayed_over_a_minute_is_released_without_a_signal",
        {"bot.service.clicks.claiming:DECISION_SPAN": constant(timedelta(hours=1))},
    ),
    Guard(
        "people withdraw only their own decisions",
        QUEUEING + "test_only_the_person_who_clicked_can_withdraw_a_waiting_decision[approve]",
        {"bot.service.clicks.retracting:may_retract": always(True)},
    ),
    Guard(
        "a promised notification is sent",
        ANSWERS + "test_refusal_by_aws_is_posted_in_the_thread_if_a_store_read_failed_during_the_click",
        {"bot.service.clicks.attempt:ClickAttempt._promise_later": always(None)},
    ),
    Guard(
        "clicks are answered although the store hangs",
        ANSWERS + "test_approval_is_answered_within_three_seconds_while_the_store_hangs[load]",
        {"bot.service.clicks.click_handler:LAST_MOMENT": constant(28.0)},
    ),
    Guard(
        "the time of a click counts from the arrival of its request",
        "tests/scenario/test_teams_turns.py::test_click_has_the_arrival_time_of_its_http_request_not_the_time_after_the_token_check",
        {"bot.teams.wire.invoke:read_click": around(lambda read, inbound: replace(read(inbound), received_at=None))},
    ),
    Guard(
        "tokens do not wait for a hanging fetch of keys",
        "tests/unit/teams/test_keys.py::test_check_of_a_token_does_not_wait_for_a_hanging_fetch_of_keys[True]",
        {
            "bot.concurrency.single_flight:SingleFlight.join_briefly": around(
                lambda _, flight, *key, **_limit: flight.join(*key)
            )
        },
    ),
    Guard(
        "clicks count only in the conversation of the card",
        MATRIX + "[waiting]",
        {"bot.domain.routing:same_conversation": always(True)},
    ),
    Guard(
        "requests are cancelled only in the requester's own chat",
        WITHDRAWING + "test_cancellation_from_the_channel_is_refused",
        {"bot.service.clicks.locator:has_direct_message_in": always(True)},
    ),
    Guard(
        "an unknown chat is the requester's own only if the requester clicks there",
        MATRIX + "[waiting]",
        {"bot.service.clicks.locator:is_in_own_chat": always(True)},
    ),
    Guard(
        "a click is claimed only under the rules that allowed it",
        RELOADING + "test_click_that_waits_for_another_decision_is_checked_again_before_its_claim",
        {INPUTS: around(lambda inputs, *given: replace(inputs(*given), revision=0)), OBJECTION: always(None)},
    ),
    Guard(
        "a click is claimed only on the row that allowed it",
        DECIDING + "test_click_is_refused_if_a_second_person_with_the_requesters_address_joins_during_the_check",
        {INPUTS: around(_without_facts), OBJECTION: always(None)},
    ),
    Guard(
        "a requester identified by former rules is identified again",
        RELOADING + "test_role_that_is_no_longer_trusted_identifies_no_requester",
        {"bot.domain.configuration:Configuration.identified_by_former_rules": always(False)},
    ),
    Guard(
        "the card of another request is not adopted",
        ORPHANS + "test_click_does_not_adopt_the_card_of_another_request",
        {ANOTHER_CARD: around(lambda _, watched, *_place: bool(watched.unreadable))},
    ),
    Guard(
        "no card is adopted while a row is unreadable",
        ORPHANS + "test_card_is_not_adopted_while_another_row_is_unreadable",
        {ANOTHER_CARD: around(lambda of_another, watched, *place: of_another(replace(watched, unreadable=()), *place))},
    ),
    Guard(
        "the card of a request that has ended is not adopted",
        ORPHANS + "test_card_is_not_adopted_if_its_age_does_not_fit_the_request",
        {"bot.domain.shown.card_places:is_too_old_or_new": always(False)},
    ),
    Guard(
        "a revocation is shown only after AWS shows it",
        WITHDRAWING + "test_revocation_that_aws_accepts_without_effect_is_reported_in_the_thread",
        {"bot.domain.shown.decided:is_hidden": always(False)},
    ),
    Guard(
        "a vote is hidden only after its span, by a read that began after it",
        UNSHOWN + "test_vote_that_aws_does_not_show_is_hidden_after_a_minute_and_may_be_repeated",
        {"bot.domain.effects:_is_read_in_time": always(True)},
    ),
    Guard(
        "a vote is hidden only by a complete read",
        UNSHOWN + "test_vote_stays_on_the_card_while_no_complete_read_shows_readable_votes",
        {"bot.domain.request:AccessRequest.shows_votes": always(True)},
    ),
    Guard(
        "a hidden vote does not count",
        UNSHOWN + "test_vote_that_aws_does_not_show_is_hidden_after_a_minute_and_may_be_repeated",
        {"bot.domain.effects:is_hidden_vote": always(False)},
    ),
    Guard(
        "no hidden vote is named",
        UNSHOWN + "test_only_the_vote_that_aws_does_not_show_is_hidden",
        {"bot.domain.shown.decided:is_hidden": always(False)},
    ),
    Guard(
        "a hidden vote that AWS shows by now is not repeated",
        UNSHOWN + "test_second_vote_of_a_person_is_not_sent_if_aws_may_show_the_hidden_first_one",
        {"bot.domain.effects:shown_earlier_vote": always(None)},
    ),
)
