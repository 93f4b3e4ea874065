"""Guards of the rows, the lease, the deliveries, the sweep, and the reload of the configuration."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from bot.domain.decision import Decision, DecisionEvent
from bot.domain.record import Record
from bot.domain.surface import DeliveryState, Surface
from bot.ports.store import RowUnreadable, StoreUnavailable
from tests.reliability.replacing import Guard, always, around, constant

RENEW = "bot.service.rows:Rows.renew"

TRUTH = "tests/scenario/test_truth.py::"
DECIDING = "tests/scenario/test_deciding.py::"
RELOADING = "tests/scenario/test_reloading.py::"
RECONCILING = "tests/scenario/test_reconciling.py::"
INTAKE = "tests/scenario/test_intake.py::"
SWEEP = "tests/scenario/test_sweep.py::"
SPORADIC = "tests/scenario/test_sporadic_refusals.py::"
THROTTLING = "tests/scenario/test_throttling.py::"
WRONG_CLOCK = "tests/scenario/test_wrong_clock.py::"
RECORD = "tests/unit/domain/test_record.py::"
MESSAGE = "tests/scenario/test_living_message.py::"
REFUSED = "tests/scenario/test_refusals.py::"
REFUSALS = "tests/reliability/test_refusals.py::"
TURNS = "tests/scenario/test_turns.py::"
DIGESTS = "tests/scenario/test_weekly_digests.py::"
REMINDERS = "tests/scenario/test_reminders.py::"


def _lost_as_throttled(after: Any, decision: Decision, event: DecisionEvent, **facts: object) -> Any:
    return after(decision, DecisionEvent.THROTTLED if event is DecisionEvent.LOST else event, **facts)


def _as_observed_since(tells: Any, record: Record, decision: Decision, now: datetime) -> Any:
    return tells(replace(record, observed_from=max(record.observed_from, decision.settled_in)), decision, now)


def _over_newer_facts(observed: Any, record: Record, *facts: object, since: int, **named: object) -> Any:
    return observed(replace(record, observed_from=min(record.observed_from, since)), *facts, since=since, **named)


def _leased_to_anyone(leased_to: Any, record: Record, owner: str, **named: object) -> Any:
    return leased_to(record if record.leased_by(owner) else replace(record, lease=None), owner, **named)


def _leased_by_any_clock(leased_to: Any, record: Record, owner: str, *, now: datetime, span: timedelta) -> Any:
    if record.lease and record.lease.owner != owner and record.lease.until > now:
        return None
    return leased_to(record, owner, now=now, span=span)


async def _without_renewing(renew: Any, rows: Any, key: object, owner: str, *, also: Any = None) -> Any:
    return await rows.apply(key, also) if also else await renew(rows, key, owner)


async def _claimed_by_all(is_first: Any, digests: Any, claimed: object) -> bool:
    await is_first(digests, claimed)
    return True


async def _as_first_failure(refused: Any, entry: Any, *, before: int, **facts: object) -> None:
    await refused(entry, before=min(before, 0), **facts)


def _woken_always(_: Any, surface: Surface) -> Any:
    return replace(surface, failures=0, refusals=0, retry_at=None)


def _many_readers(build: Any, requests: Any, **parts: object) -> None:
    build(requests, **parts)
    requests._one_at_a_time = asyncio.Semaphore(1000)


async def _no_news(_: Any, *_given: object, **_named: object) -> set[object]:
    return set()


async def _known_as_before(known: Any, stored: Any, now: datetime, configuration: object) -> Any:
    return await known(stored, max(now, stored.at), stored.configuration)


async def _known_although_outdated(known: Any, stored: Any, now: datetime, configuration: object) -> Any:
    return await known(replace(stored, outdated=set()), now, configuration)


def _all_or_nothing(watched: Any, rows: Any, **named: object) -> Any:
    found = watched(rows, **named)
    if found.unreadable:
        raise StoreUnavailable("a row is unreadable")
    return found


async def _unreadable_as_unavailable(load: Any, rows: object, key: object) -> Any:
    try:
        return await load(rows, key)
    except RowUnreadable as error:
        raise StoreUnavailable(str(error)) from error


def _ahead_as_recent(is_recent: Any, last: datetime | None, **times: Any) -> bool:
    return last is not None and (last > times["now"] or is_recent(last, **times))


async def _given_up(replaced: Any, entry: object, posted: object, gone: Surface) -> Any:
    await replaced(entry, posted, replace(gone, delivery=DeliveryState.IMPOSSIBLE))


_digests = count()


async def _at_once(read: Any, source: object) -> object:
    return await read(source) or await read(source)


def _any_text(_: object, answer: dict[str, object], key: str) -> str | None:
    value = answer.get(key)
    return value if isinstance(value, str) and value else None


GUARDS = (
    Guard(
        "a level that no one can decide calls no one",
        TURNS + "test_level_that_no_one_can_decide_calls_no_one_until_someone_can",
        {"bot.domain.shown.card:asks_for_decision": always(True)},
    ),
    Guard(
        "a card that is posted again replaces the call of the level",
        TURNS + "test_card_that_is_posted_again_calls_the_level_instead_of_a_reply",
        {"bot.service.deliver.delivery:is_called_already": always(False)},
    ),
    Guard(
        "a first level is not called after the card of an earlier version",
        TURNS + "test_first_level_is_not_called_again_by_the_card_of_an_earlier_version",
        {"bot.domain.shown.turns:_is_uncalled": always(True)},
    ),
    Guard(
        "a weekly digest is posted by the process that claimed it",
        DIGESTS + "test_three_replicas_post_one_digest_a_week_also_after_a_restart",
        {"bot.service.weekly_digests:WeeklyDigests._is_first": around(_claimed_by_all)},
    ),
    Guard(
        "a late result of a weekly digest replaces no other claim",
        DIGESTS + "test_process_whose_claim_was_not_stored_leaves_the_digest_to_another_one",
        {"bot.service.weekly_digests:WeeklyDigests._save_late": around(lambda _, digests, name: digests._save(name))},
    ),
    Guard(
        "a reminder waits for the end of the quiet hours",
        REMINDERS + "test_one_reminder_is_held_until_the_end_of_the_quiet_hours[evening]",
        {"bot.domain.routing:Channel.held": lambda _: lambda channel, moment: moment},
    ),
    Guard(
        "a reminder that would have come before the call of its level is left out",
        REMINDERS + "test_request_that_is_first_seen_late_is_not_reminded_at_once",
        {"bot.domain.shown.turns:is_ahead": always(True)},
    ),
    Guard(
        "a row is due again when its next reminder is",
        REMINDERS + "test_story_of_two_reminders_and_a_request_that_expires",
        {"bot.domain.shown.surfaces:next_reminder": always(None)},
    ),
    Guard(
        "an absent voter is looked up again after members or rules have changed",
        "tests/scenario/test_outside_votes.py::test_voter_who_is_no_teams_user_is_not_looked_up_at_each_reconcile",
        {
            "bot.service.reconcile.identifying:Identifying._absent_now": lambda _: (
                lambda identifying: identifying._absent
            )
        },
    ),
    Guard(
        "an unwritable row stops no other row when the bot is added to a team",
        REFUSED + "test_retry_of_refused_cards_when_the_bot_is_added_skips_a_row_that_cannot_be_written[one row]",
        {"bot.service.sources.installation_events:MOST_FAILURES": constant(1)},
    ),
    Guard(
        "an id of Teams is one word of limited length",
        "tests/contract/test_messenger.py::test_message_that_teams_accepts_without_an_id_counts_as_delivered",
        {"bot.teams.outbound.connector:_id": around(_any_text)},
    ),
    Guard(
        "a signal of a crashed process is not sent again",
        TRUTH + "test_signal_whose_process_crashed_while_sending_is_not_sent_again",
        {"bot.domain.decision:Decision.after": around(_lost_as_throttled)},
    ),
    Guard(
        "the outcome of a decision that was taken over is announced",
        RECONCILING + "test_claimed_vote_is_released_if_the_process_starts_two_minutes_after_a_crash",
        {
            "bot.service.reconcile.recovering:taken_over": around(
                lambda taken_over, decision, now: replace(taken_over(decision, now), announced=decision.announced)
            )
        },
    ),
    Guard(
        "an outcome is shown only after AWS was read again",
        RECORD + "test_decision_has_its_result_only_after_a_later_read_of_aws",
        {"bot.domain.record:Record.has_result_of": around(_as_observed_since)},
    ),
    Guard(
        "slower reads of AWS do not overwrite newer facts",
        RECORD + "test_read_that_started_earlier_does_not_replace_one_that_started_later",
        {"bot.domain.record:Record.observed": around(_over_newer_facts)},
    ),
    Guard(
        "late answers of the store do not overwrite newer rows",
        TRUTH + "test_task_that_waits_for_a_row_never_gets_an_older_version_after_a_newer_one",
        {"bot.service.rows:is_outdated": always(False)},
    ),
    Guard(
        "the lease",
        RECONCILING + "test_process_without_the_lease_sends_no_message",
        {"bot.domain.record:Record.leased_to": around(_leased_to_anyone)},
    ),
    Guard(
        "the lease is renewed before a post",
        TRUTH + "test_reconcile_that_lost_its_lease_does_not_post_or_update_the_card[post]",
        {RENEW: around(_without_renewing)},
    ),
    Guard(
        "the lease is renewed before an update",
        TRUTH + "test_reconcile_that_lost_its_lease_does_not_post_or_update_the_card[update]",
        {RENEW: around(_without_renewing)},
    ),
    Guard(
        "writes after a lost lease are delivered again",
        TRUTH + "test_card_that_a_late_update_overwrote_is_restored_within_a_second",
        {
            "bot.domain.record:Record.with_delivery": around(
                lambda _, record, surface, **_facts: record.with_surface(surface)
            )
        },
    ),
    Guard(
        "a post that was only claimed is sent again",
        "tests/reliability/test_crash_points.py::test_request_converges_after_a_crash_before_or_after_any_call[approved]",
        {"bot.service.deliver.delivery:_TO_SEND": constant(frozenset({DeliveryState.WAITING, DeliveryState.SKIPPED}))},
    ),
    Guard(
        "the result of a level is not that of the next one",
        "tests/scenario/test_no_approver.py::test_missing_approvers_of_the_first_level_are_not_reported_for_the_second_level",
        {"bot.domain.record:_waiting_step": always("Level1")},
    ),
    Guard(
        "a skipped message that is wanted again is sent",
        "tests/scenario/test_unshown_votes.py::test_thread_reports_a_late_vote_only_once_although_its_first_note_was_skipped[waits0]",
        {"bot.service.deliver.delivery:_TO_SEND": constant(frozenset({DeliveryState.WAITING, DeliveryState.POSTING}))},
    ),
    Guard(
        "cards that already show the truth are not sent again",
        RECONCILING + "test_repeated_reconciles_post_one_card",
        {"bot.service.deliver.outbox:OutboxEntry.digest": around(lambda _, _entry: f"digest {next(_digests)}")},
    ),
    Guard(
        "a refusal is repeated before it has a consequence",
        SPORADIC + "test_update_of_a_card_that_teams_refuses_once_is_repeated[activity_not_found]",
        {"bot.service.deliver.retry_policy:before_repeat": always(None)},
    ),
    Guard(
        "only one request probes a conversation that refuses posts",
        SPORADIC + "test_only_the_oldest_request_repeats_its_post_while_a_channel_begins_to_refuse_posts",
        {"bot.service.deliver.probing:Probing.waits_until": always(None)},
    ),
    Guard(
        "a card that Teams accepted without an id is not posted again",
        SPORADIC + "test_message_that_teams_accepts_without_an_id_is_posted_once[post]",
        {"bot.service.deliver.delivery:Delivery._is_shown_without_id": always(False)},
    ),
    Guard(
        "a card that is deleted each time is posted again a few times only",
        "tests/scenario/test_deleted_cards.py::test_card_that_is_deleted_at_each_of_ten_levels_is_posted_again_three_times_only",
        {"bot.service.deliver.retry_policy:REPOSTS": constant(1000)},
    ),
    Guard(
        "a requester's message that its reader deletes is posted again once only",
        MESSAGE + "test_deleted_message_of_an_open_request_is_posted_again_once",
        {"bot.service.deliver.retry_policy:MESSAGE_REPOSTS": constant(1000)},
    ),
    Guard(
        "a message that is posted needs no short one beside it",
        RECONCILING + "test_repeated_reconciles_post_one_card",
        {"bot.service.deliver.outbox:OutboxEntry._with_announced": around(lambda _, entry, record, posted: record)},
    ),
    Guard(
        "a requester's message belongs to one person",
        MESSAGE + "test_another_person_as_the_requester_gets_a_new_message",
        {"bot.domain.shown.direct:living_name": always("living:requester")},
    ),
    Guard(
        "messages of an earlier version lose their buttons",
        MESSAGE + "test_messages_of_an_older_version_are_updated_in_place_after_the_upgrade",
        {"bot.domain.shown.direct:with_living_message": around(lambda _, record: record)},
    ),
    Guard(
        "a message whose click was answered with another content is updated",
        MESSAGE + "test_message_is_updated_after_its_click_was_answered_with_another_content",
        {"bot.domain.shown.direct:with_unknown_messages": around(lambda _, record: record)},
    ),
    Guard(
        "a card that Teams reports as deleted is kept up to date",
        SPORADIC + "test_card_that_teams_reported_as_deleted_by_mistake_shows_the_outcome",
        {"bot.service.deliver.outbox:OutboxEntry.replaced": around(_given_up)},
    ),
    Guard(
        "a refused post may have left a card",
        SPORADIC + "test_card_that_teams_posted_and_reported_as_refused_is_adopted_at_a_refresh",
        {"bot.service.deliver.outbox:_doubted": around(lambda _, former: former.with_post_confirmed())},
    ),
    Guard(
        "a conversation that comes back during an attempt ends the pause after it",
        REFUSED + "test_card_is_posted_at_once_if_its_channel_is_restored_during_a_refused_attempt",
        {"bot.service.deliver.outbox:OutboxEntry.refused": around(_as_first_failure)},
    ),
    Guard(
        "the first refusal after a conversation came back is not taken as lasting",
        REFUSED + "test_cards_are_posted_within_a_minute_if_a_restored_channel_refuses_posts_for_five_seconds",
        {"bot.domain.surface:Surface.is_woken": always(False)},
    ),
    Guard(
        "a conversation that comes back gets no copies of a message that it may have",
        REFUSED + "test_channel_that_is_restored_repeatedly_gets_no_further_copies_of_a_card",
        {"bot.domain.surface:Surface.woken": around(_woken_always)},
    ),
    Guard(
        "the sweep",
        DECIDING + "test_card_of_a_request_without_an_event_is_posted_after_one_sweep",
        {"bot.service.sources.listed:Listed.news": around(_no_news)},
    ),
    Guard(
        "the list of pending requests is read by one command at a time",
        "tests/scenario/test_commands.py::test_simultaneous_pending_commands_never_read_the_rows_at_the_same_time",
        {"bot.service.pending:PendingRequests.__init__": around(_many_readers)},
    ),
    Guard(
        "long work of a sweep gives the event loop turns",
        "tests/unit/concurrency/test_turns.py::test_other_tasks_run_after_every_500_items_of_long_work",
        {"bot.concurrency.turns:in_turns": around(lambda turns, items, **_: turns(items, at_once=10**9))},
    ),
    Guard(
        "a changed file and a clock that was set back make a sweep read all rows again",
        SWEEP + "test_sweep_reads_all_rows_after_the_file_has_changed_or_the_clock_was_set_back",
        {"bot.service.sources.stored:Stored.known": around(_known_as_before)},
    ),
    Guard(
        "a sweep reads an outdated row until it was written",
        SWEEP + "test_outdated_row_that_cannot_be_written_is_made_due_by_the_next_sweep",
        {"bot.service.sources.stored:Stored.known": around(_known_although_outdated)},
    ),
    Guard(
        "about every tenth sweep lists the steps",
        SWEEP + "test_next_level_that_only_the_list_of_steps_shows_is_found_by_the_tenth_sweep",
        {"bot.service.sources.place_sweep:FULL_EVERY": constant(10**9)},
    ),
    Guard(
        "an unreadable row does not block the sweep of others",
        SWEEP + "test_unreadable_row_does_not_stop_the_sweep_of_other_requests_and_accounts",
        {"bot.store.rows:watched_rows": around(_all_or_nothing)},
    ),
    Guard(
        "an unreadable row of a request that has ended does not block the sweep",
        SWEEP + "test_unreadable_row_of_an_ended_request_does_not_stop_the_sweep_of_new_requests",
        {"bot.service.rows:Rows.load": around(_unreadable_as_unavailable)},
    ),
    Guard(
        "a clock that was ahead does not stop the sweep",
        SWEEP + "test_sweep_with_a_clock_ahead_does_not_stop_later_sweeps[replica-1]",
        {"bot.service.sources.place_sweep:is_recent": around(_ahead_as_recent)},
    ),
    Guard(
        "a lease of a clock that was ahead is over",
        WRONG_CLOCK + "test_card_is_posted_after_a_crash_and_after_the_clock_was_set_back[observe]",
        {"bot.domain.record:Record.leased_to": around(_leased_by_any_clock)},
    ),
    Guard(
        "a hold of a clock that was ahead is over",
        WRONG_CLOCK + "test_request_can_be_decided_after_a_crash_and_after_the_clock_was_set_back[execution-3-sweep]",
        {"bot.domain.decision:LONGEST_HOLD": constant(timedelta(days=1))},
    ),
    Guard(
        "a request that was put aside is tried after the clock was set back",
        WRONG_CLOCK + "test_request_whose_row_was_leased_is_reconciled_soon_after_the_clock_was_set_back",
        {"bot.service.reconcile.loop:UNREADABLE_PAUSE": constant(timedelta(days=1))},
    ),
    Guard(
        "a pause of a clock that was ahead is over",
        WRONG_CLOCK + "test_postponed_card_is_posted_within_a_second_after_the_clock_was_set_back",
        {"bot.domain.record:Record.corrected": around(lambda _, record, _now: record)},
    ),
    Guard(
        "a row of a clock that was ahead is due",
        WRONG_CLOCK + "test_card_is_posted_after_a_crash_and_after_the_clock_was_set_back[post]",
        {"bot.domain.record:Record.has_times_ahead": always(False)},
    ),
    Guard(
        "the id of a new card is stored before anything slow",
        "tests/scenario/test_deferred_writes.py::test_id_of_a_new_card_is_stored_before_anything_slow",
        {"bot.service.deliver.outbox:OutboxEntry._may_wait": always(True)},
    ),
    Guard(
        "a waiting decision notices that the clock was set back",
        "tests/scenario/test_queueing.py::test_decision_that_waits_while_the_clock_changes_is_never_sent[-1]",
        {"bot.domain.decision:Decision.is_expired": around(lambda _, decision, now: now > decision.deadline)},
    ),
    Guard(
        "a click that lies in the future is not sent",
        WRONG_CLOCK + "test_decision_whose_click_is_in_the_future_is_never_sent",
        {"bot.domain.decision:Decision.is_expired": around(lambda _, decision, now: now > decision.deadline)},
    ),
    Guard(
        "a state check that lies in the future allows no signal",
        WRONG_CLOCK + "test_signal_is_not_sent_if_the_clock_is_set_back_during_the_state_check",
        {
            "bot.service.decisions.state_check:is_fresh": around(
                lambda is_fresh, checked_at, now: now < checked_at or is_fresh(checked_at, now)
            ),
            "bot.domain.decision:Decision.is_expired": around(lambda _, decision, now: now > decision.deadline),
        },
    ),
    Guard(
        "a long Retry-After does not stop a channel",
        "tests/contract/test_messenger.py::test_a_long_retry_after_is_cut_to_a_minute[inf]",
        {
            "bot.teams.wire.errors:LONGEST_RETRY_AFTER": constant(3600.0),
            "bot.teams.outbound.circuit_breaker:LONGEST_PAUSE": constant(3600.0),
        },
    ),
    Guard(
        "news during a postponed delivery are read",
        THROTTLING + "test_event_after_a_postponed_delivery_became_due_causes_a_read_of_aws",
        {
            "bot.domain.record:Record.requeue_by": around(
                lambda requeue_by, record, moment: replace(requeue_by(record, moment), deliver_at=record.deliver_at)
            )
        },
    ),
    Guard(
        "auto-approved access from before the setting is not shown",
        "tests/scenario/test_auto_approved.py::test_access_that_is_stored_for_another_channels_setting_is_not_shown_later",
        {"bot.domain.shown.surfaces:LATE_GRANT": constant(timedelta(days=1))},
    ),
    Guard(
        "facts are read again although a delivery is postponed",
        THROTTLING + "test_aws_is_read_every_few_minutes_while_teams_throttles_the_card",
        {"bot.service.reconcile.due_time:FACTS_KEPT": constant(timedelta(days=1))},
    ),
    Guard(
        "a request is read after its deadline although a delivery is postponed",
        THROTTLING + "test_request_that_times_out_during_a_postponed_delivery_is_read_again",
        {
            "bot.service.reconcile.due_time:is_recent": around(
                lambda is_recent, record, configuration, now: is_recent(
                    record, configuration, min(now, record.observed_at or now)
                )
            )
        },
    ),
    Guard(
        "replayed events do not delay new requests",
        INTAKE + "test_requests_of_replayed_old_events_become_due_one_each_second",
        {"bot.service.sources.intake:OLD": constant(timedelta.max)},
    ),
    Guard(
        "a replayed event reads nothing that is known",
        INTAKE + "test_event_over_a_minute_older_than_the_last_read_causes_no_read_of_aws",
        {"bot.service.sources.intake:_was_read_after": always(False)},
    ),
    Guard(
        "a configuration file is applied only after two equal reads",
        RELOADING + "test_changed_configuration_file_takes_effect_after_two_identical_reads",
        {"bot.config.file_source:FileSource.read": around(_at_once)},
    ),
    Guard(
        "a reload keeps the cancel roles",
        RELOADING + "test_reload_of_the_configuration_file_keeps_the_cancel_role_of_an_account",
        {
            "bot.service.current_configuration:CurrentConfiguration.replace": around(
                lambda make_active, current, value: make_active(current, replace(value, accounts=()))
            )
        },
    ),
)
