"""Takes a guard out of a copy of the source and says which test notices.

The product itself has no switch for this. A patch that does not fit the source exactly once fails, so that a guard that was
moved or reworded is not passed over.
"""

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET  # reads what the pytest that was started here wrote
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIED = ("bot", "cards", "infra", "tests", "pyproject.toml", "README.md", "CHANGELOG.md")
SECONDS = 100  # for one run, of which most take two
SAID_NO = ("AssertionError", "assert ", "Failed: ")  # how a failure begins that is a promise broken, not a typing error
HUNG = "Failed: Timeout"  # no proof: a test that waits for ever says nothing about the promise

TOKENS = "tests/security/test_inbound_tokens.py::"
BODIES = "tests/security/test_inbound_bodies.py::"
DECIDING = "tests/scenario/test_deciding.py::"
TRUTH = "tests/scenario/test_truth.py::"
RECALLING = "tests/scenario/test_withdrawing.py::"
CONVERGING = "tests/scenario/test_reconciling.py::"
RELOADING = "tests/scenario/test_reloading.py::"
IDENTITY_CENTER = "tests/scenario/test_identity_center.py::"
RECORDS = "tests/contract/test_identity_center.py::"
MATRIX = "tests/security/test_authorisation.py::test_whoever_may_not_is_refused_and_nothing_reaches_aws"
NOBODY = "tests/security/test_nobody_decides.py::"


class DoesNotFit(Exception):
    """The patch does not match the source exactly once: the guard was moved, so the table must follow."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What is taken out, as a text of one file and what is put in its place, and the test that turns red.

    `and_also` are further such texts: belt and braces come off together.
    """

    name: str
    file: str
    old: str
    new: str
    red: str
    and_also: tuple[tuple[str, str, str], ...] = ()

    def taken_out_of(self, tree: Path) -> None:
        """Patch a copy of the source. Raises DoesNotFit."""
        for file, old, new in ((self.file, self.old, self.new), *self.and_also):
            path = tree / file
            source = path.read_text()
            if (found := source.count(old)) != 1:
                raise DoesNotFit(f"{self.name}: {file} has {found} times: {old}")
            path.write_text(source.replace(old, new))


GUARDS = (
    Guard(
        "the claim",
        "bot/domain/claims.py",
        "if _in_the_way(verdict, live, _missing(request, step, here, now)):",
        "if _in_the_way(verdict, (), 1):",
        "tests/unit/domain/test_claims.py::test_one_approval_lets_one_through[approve-approve-claimed]",
    ),
    Guard(
        "the claim, and the look for room: two signals",
        "bot/domain/claims.py",
        "if _in_the_way(verdict, live, _missing(request, step, here, now)):",
        "if _in_the_way(verdict, (), 1):",
        TRUTH + "test_an_effect_that_comes_later_is_waited_for",
        and_also=(("bot/service/clicks/signalling.py", "return row if is_full else sent", "return sent"),),
    ),
    Guard(
        "one claim per person and step",
        "bot/domain/claims.py",
        "if own := _standing(here, person):",
        "if (own := _standing(here, person)) and own.state is DecisionState.REFUSED:",
        "tests/unit/domain/test_claims.py::test_a_repeat_is_answered_from_the_first",
    ),
    Guard(
        "a claim that somebody works on is held",
        "bot/service/clicks/signalling.py",
        "return decision.state in {DecisionState.CLAIMED, DecisionState.SENT} and decision.held_until <= now",
        "return decision.state in {DecisionState.CLAIMED, DecisionState.SENT}",
        TRUTH + "test_what_somebody_works_on_is_left_alone",
    ),
    Guard(
        'an end after "applying" is told',
        "bot/service/reconcile/reconciler.py",
        "taken = replace(current, announced=True)",
        "taken = current",
        CONVERGING + "test_claim_older_than_a_minute_is_never_sent",
    ),
    Guard(
        "the state check",
        "bot/service/clicks/state_check.py",
        "if execution.status is Status.PENDING and execution.waiting and execution.waiting.step == decision.step:",
        "if execution:",
        DECIDING + "test_state_check_finds_a_decision_that_the_row_does_not_have",
    ),
    Guard(
        "the state check compares the step",
        "bot/service/clicks/state_check.py",
        "execution.waiting and execution.waiting.step == decision.step:",
        "execution.waiting:",
        TRUTH + "test_the_state_check_compares_the_step",
    ),
    Guard(
        "the age of the state check",
        "bot/service/clicks/signalling.py",
        "if now > checked_at + FRESH:",
        "if now < checked_at:",
        "tests/scenario/test_signalling.py::test_old_state_check_is_repeated",
        and_also=(  # what took its time is noticed after the write, too
            (
                "bot/service/clicks/signalling.py",
                "if self._clock.now() > min(checked_at + FRESH, decision.deadline):",
                "if self._clock.now() > decision.deadline:",
            ),
        ),
    ),
    Guard(
        "a vote leaves only for a level that has room for it",
        "bot/service/clicks/signalling.py",
        "return row if is_full else sent",
        "return sent",
        TRUTH + "test_a_vote_never_counts_for_the_next_level",
    ),
    Guard(
        "a vote with the bot's own credentials is its person's",
        "bot/domain/claims.py",
        "if decision.execution_id and decision.role is None:",
        "if decision.execution_id == decision.role:",
        "tests/scenario/test_without_role.py::test_lost_reply_is_settled_by_the_vote_in_aws[short]",
    ),
    Guard(
        "whoever was promised to be told is told",
        "bot/service/clicks/attempt.py",
        "self._background.begin(self._promise_later(held.decision_id))",
        "self._background.begin(self._rows.load(self._key))",
        "tests/scenario/test_answers.py::test_promised_notification_is_posted_after_a_failed_read",
    ),
    Guard(
        "an ended row that cannot be read hinders no other",
        "bot/service/sources/place_sweep.py",
        "with suppress(RowUnreadable):",
        "with suppress(ZeroDivisionError):",
        "tests/scenario/test_sweep.py::test_an_ended_row_that_cannot_be_read_hinders_no_other_request",
    ),
    Guard(
        "a clock that was ahead stops no sweep",
        "bot/service/sources/place_sweep.py",
        "abs(self._clock.now() - last)",
        "(self._clock.now() - last)",
        "tests/scenario/test_sweep.py::test_a_clock_that_was_ahead_for_a_while_stops_no_sweep[replica-1]",
    ),
    Guard(
        "the card of another request is left alone",
        "bot/service/clicks/orphan_cards.py",
        "if watched.unreadable or any(surface.activity_id == activity_id for surface in others):",
        "if watched.unreadable or any(surface.activity_id is others for surface in others):",
        "tests/scenario/test_orphan_cards.py::test_click_does_not_adopt_the_card_of_another_request",
    ),
    Guard(
        "the card of a request that has ended is left alone",
        "bot/service/clicks/orphan_cards.py",
        'if is_too_old_or_new(record, click.activity_id or ""):',
        'if is_too_old_or_new(record, ""):',
        "tests/scenario/test_orphan_cards.py::test_click_does_not_adopt_the_card_of_an_ended_request",
    ),
    Guard(
        "no card is taken in beside a row that cannot be read",
        "bot/service/clicks/orphan_cards.py",
        "if watched.unreadable or any(",
        "if any(",
        "tests/scenario/test_orphan_cards.py::test_card_is_not_adopted_while_a_row_is_unreadable",
    ),
    Guard(
        "a row that cannot be read hinders no other",
        "bot/store/rows.py",
        "        except RowUnreadable:\n            unreadable.append(key)",
        "        except ZeroDivisionError:\n            unreadable.append(key)",
        "tests/scenario/test_sweep.py::test_a_row_that_cannot_be_read_hinders_no_other_place",
    ),
    Guard(
        "the answer while the store hangs",
        "bot/service/clicks/handler.py",
        "LAST_MOMENT = 2.8",
        "LAST_MOMENT = 28.0",
        "tests/scenario/test_answers.py::test_hanging_store_does_not_delay_the_answer[load]",
    ),
    Guard(
        "the requester cannot decide",
        "bot/domain/permission.py",
        "if requester.is_person(person):",
        "if requester.is_person(person) and not requester.placed:",
        DECIDING + "test_requester_cannot_decide",
    ),
    Guard(
        "a record without an address places nobody",
        "bot/domain/identity.py",
        "any(map(_is_address, record))",
        "record",
        IDENTITY_CENTER + "test_ambiguous_record_lets_nobody_decide[names1]",
    ),
    Guard(
        "a user name that looks like an object id is none",
        "bot/domain/identity.py",
        " and not any(map(_is_address, learnt))",
        "",
        NOBODY + "test_with_a_user_name_that_looks_like_an_object_id",
    ),
    Guard(
        "a record counts for an Identity Center user alone",
        "bot/domain/identity.py",
        "    if not needs_record(text, rules):\n        return ()\n",
        "",
        "tests/unit/domain/test_identity.py::test_a_record_counts_for_no_other_principal",
    ),
    Guard(
        "a record that cannot be read any more places nobody",
        "bot/domain/identity.py",
        "return replace(self, spellings=self.spellings | earlier.spellings,",
        "return replace(earlier, spellings=self.spellings | earlier.spellings,",
        NOBODY + "test_with_the_record_of_the_requester_unreadable[read before]",
    ),
    Guard(
        "whom a record named stays refused while it cannot be read",
        "bot/service/reconcile/identifying.py",
        "requester.refusing_as(earlier)",
        "requester",
        IDENTITY_CENTER + "test_known_requester_stays_refused_while_the_record_is_unreadable",
    ),
    Guard(
        "a record that could not be read is read later",
        "bot/service/reconcile/identifying.py",
        "replace(request, complete=False)",
        "request",
        IDENTITY_CENTER + "test_unreadable_record_does_not_delay_the_card",
    ),
    Guard(
        "of several identity stores none is believed",
        "bot/aws/identity_center.py",
        "if len(found) > 1:",
        "if len(found) > 9:",
        RECORDS + "test_exactly_one_store_must_be_visible[two]",
    ),
    Guard(
        "the record of another user is not believed",
        "bot/aws/identity_center.py",
        'if (text(record.get("UserId")) or user_id).casefold() != user_id.casefold():',
        "if not user_id:",
        RECORDS + "test_record_of_another_user_is_not_trusted",
    ),
    Guard(
        "a name that is not seen whole is none",
        "bot/aws/identity_center.py",
        " and name.isprintable()",
        "",
        RECORDS + "test_name_with_invisible_characters_is_not_used",
    ),
    Guard(
        "a paused channel takes no decision",
        "bot/domain/permission.py",
        "    if not channel.decide:\n        return Refusal.PAUSED\n",
        "",
        RELOADING + "test_a_pause_takes_the_buttons_and_ends",
    ),
    Guard(
        "a click is claimed under the rules that judged it",
        "bot/service/clicks/permission.py",
        "Inputs(self._configured.revision, record.request,",
        "Inputs(0, record.request,",
        RELOADING + "test_a_click_that_waited_for_another_is_judged_by_the_rules_of_its_claim",
    ),
    Guard(
        "a click is claimed on the row that judged it",
        "bot/service/clicks/permission.py",
        "record.request, record.requester, record.route)",
        "None, None, record.route)",
        DECIDING + "test_requester_identified_differently_during_the_roster_call_is_checked_again",
    ),
    Guard(
        "half a file is not put in force",
        "bot/config/reload.py",
        "if settled and found != self._parsed:",
        "if found != self._parsed:",
        RELOADING + "test_a_file_is_judged_once_two_looks_found_the_same",
    ),
    Guard(
        "a requester who was placed by other rules is placed anew",
        "bot/service/clicks/permission.py",
        "if self._configured.identified_by_former_rules(record):\n            return Refusal.RECONFIGURED\n        return may_decide(",
        "return may_decide(",
        RELOADING + "test_a_role_that_is_trusted_no_more_places_nobody",
    ),
    Guard(
        "no vote leaves for a channel that did not judge it",
        "bot/service/clicks/signalling.py",
        "return None if permitted and not role_removed else Outcome.NOT_ROUTED",
        "return Outcome.NOT_ROUTED if role_removed else None",
        RELOADING + "test_a_decision_whose_channel_goes_before_it_is_sent_is_withdrawn",
    ),
    Guard(
        "no vote leaves with the bot's own credentials instead of a role",
        "bot/service/clicks/signalling.py",
        "return None if permitted and not role_removed else Outcome.NOT_ROUTED",
        "return None if permitted else Outcome.NOT_ROUTED",
        RELOADING + "test_a_role_that_goes_while_the_click_is_on_its_way",
    ),
    Guard(
        "a file that is read anew leaves the cancel roles",
        "bot/config/reload.py",
        "            self._configured.rules,\n",
        "            replace(self._configured.rules, cancel_roles={}),\n",
        RELOADING + "test_another_file_leaves_the_accounts_roles_alone",
    ),
    Guard(
        "an empty list of approvers is nobody",
        "bot/domain/permission.py",
        "    if not listed:\n        return Refusal.NOBODY",
        "    if not listed:\n        return None",
        NOBODY + "test_with_the_approver_list_emptied[of the channel]",
    ),
    Guard(
        "a roster that fails knows nobody",
        "bot/service/clicks/permission.py",
        "return Actor(person, Membership(member=None), channel.conversation)",
        "return Actor(person, Membership(member=True), channel.conversation)",
        NOBODY + "test_with_the_roster_call_failing[members]",
        and_also=(  # without the roster nothing tells the clicker from the requester either
            (
                "bot/domain/permission.py",
                "if not requester.comparable_with(person):",
                "if not requester.spellings:",
            ),
        ),
    ),
    Guard(
        "a roster that fails knows nobody by id either",
        "bot/domain/permission.py",
        "membership.member is None and (by_id or by_roster)",
        "membership.member is None and by_roster and not by_id",
        NOBODY + "test_with_the_roster_call_failing[by id, whoever asks]",
        and_also=(
            (
                "bot/domain/permission.py",
                "if not requester.comparable_with(person):",
                "if not requester.spellings:",
            ),
        ),
    ),
    Guard(
        "a requester who is not placed could be anybody",
        "bot/domain/permission.py",
        "if not requester.placed and not allow_unidentified:",
        "if not requester.placed and not allow_unidentified and not requester.principal.text:",
        NOBODY + "test_with_the_requester_unplaced",
    ),
    Guard(
        "a session name that the caller chose names nobody",
        "bot/domain/identity.py",
        "return role.startswith(SSO_ROLE_PREFIX) or role in self.trusted_roles",
        "return role.startswith(SSO_ROLE_PREFIX) or role not in self.people_domains",
        NOBODY + "test_with_the_session_name_chosen_by_the_caller",
    ),
    Guard(
        "a person without a tenant is nobody",
        "bot/domain/permission.py",
        "if not person.object_id or not person.tenant_id or not tenant_id:",
        "if not person.object_id:",
        NOBODY + "test_with_the_tenant_missing[of the bot]",
    ),
    Guard(
        "guests and people of other tenants are refused",
        "bot/domain/permission.py",
        "    if not by_id and (person.guest or person.tenant_id.casefold() != tenant_id.casefold()):\n        return Refusal.FOREIGN\n",
        "",
        MATRIX + "[waiting]",
    ),
    Guard(
        "a card is pressed where it is",
        "bot/service/clicks/locator.py",
        "if same_conversation(card.conversation, click.conversation):",
        "if card.conversation or click.conversation:",
        MATRIX + "[waiting]",
        and_also=(  # what was pressed elsewhere is not sent either
            (
                "bot/service/clicks/signalling.py",
                "permitted = channel is not None and is_place_of(record, channel, decision.conversation)",
                "permitted = channel is not None and bool(is_place_of)",
            ),
        ),
    ),
    Guard(
        "a replica is decided where it was made",
        "bot/domain/permission.py",
        "    if request.replica_of:\n        return Refusal.REPLICA\n    if not channel.decide:",
        "    if not channel.decide:",
        MATRIX + "[a replica]",
    ),
    Guard(
        "an activity without a tenant is not served",
        "bot/teams/inbound/endpoint.py",
        "if inbound.tenants != {self._tenant}:",
        "if inbound.tenants - {self._tenant}:",
        "tests/security/test_inbound_tokens.py::test_foreign_conversations_are_answered_403[None-None-403]",
    ),
    Guard(
        "the serviceUrl of the body is the token's",
        "bot/teams/inbound/tokens.py",
        "if service_url is None or service_url != self.service_url:",
        "if service_url is None:",
        "tests/security/test_inbound_tokens.py::test_remembered_token_is_compared_with_every_body",
    ),
    Guard(
        "the key endorses the channel",
        "bot/teams/inbound/tokens.py",
        "if channel_id is None or not self.key.endorses(channel_id):",
        "if channel_id is None:",
        "tests/security/test_inbound_tokens.py::test_key_must_endorse_the_channel[endorsements2-401]",
    ),
    Guard(
        "only the requester cancels",
        "bot/domain/permission.py",
        "return None if same else Refusal.NOT_REQUESTER",
        "return None if own else Refusal.NOT_REQUESTER",
        RECALLING + "test_cancellation_of_another_persons_request_is_refused[person]",
    ),
    Guard(
        "a request is cancelled where its requester was told of it",
        "bot/service/clicks/locator.py",
        "return channel if _has_direct_message_in(record, click.conversation) else None",
        "return channel",
        RECALLING + "test_cancellation_from_the_channel_is_refused",
    ),
    Guard(
        "a cancellation goes alone",
        "bot/domain/claims.py",
        "in_the_way = same if recall is Withdrawal.REVOKE else on_their_way",
        "in_the_way = same",
        RECALLING + "test_cancellation_waits_for_a_vote_on_its_way",
    ),
    Guard(
        "no vote beside a cancellation",
        "bot/domain/claims.py",
        "if any(each.verdict is Withdrawal.CANCEL and under_way(each, request, now) for each in decisions):",
        "if any(each.verdict is request and under_way(each, request, now) for each in decisions):",
        RECALLING + "test_no_vote_is_sent_while_a_cancellation_awaits_its_effect",
    ),
    Guard(
        "nothing is cancelled with the bot's own credentials",
        "bot/service/clicks/signalling.py",
        "return None if self._configured.cancel_role(record.key) else Outcome.NO_CANCEL_ROLE",
        "return None",
        RECALLING + "test_nothing_is_cancelled_after_the_cancel_role_was_removed",
    ),
    Guard(
        "the state check before a cancellation",
        "bot/service/clicks/state_check.py",
        "waits = execution.status is Status.PENDING and execution.waiting is not None",
        "waits = execution is not None",
        RECALLING + "test_cancellation_after_a_console_decision_sends_nothing",
    ),
    Guard(
        "the state check before a revocation",
        "bot/service/clicks/state_check.py",
        "runs = grant.status is Status.APPROVED and until is not None and now < until",
        "runs = grant is not None",
        RECALLING + "test_late_revocation_never_reaches_aws",
    ),
    Guard(
        "the window before a revocation",
        "bot/service/clicks/state_check.py",
        "and until is not None and now < until",
        "and until is not None",
        RECALLING + "test_access_that_is_over_cannot_be_revoked[False]",
    ),
    Guard(
        "a revocation is bound to its step",
        "bot/domain/permission.py",
        "return None if request.last_level.step == step else Refusal.OTHER_STEP",
        "return None if step else Refusal.OTHER_STEP",
        "tests/unit/domain/test_withdrawal.py::test_revoking_is_checked_as_strictly_as_approving",
    ),
    Guard(
        "nothing is said to be revoked before AWS shows it",
        "bot/domain/shown/decided.py",
        "return isinstance(decision.verdict, Withdrawal) and status not in",
        "return isinstance(decision.verdict, Withdrawal) and status in",
        RECALLING + "test_accepted_revocation_without_effect_is_reported",
    ),
    Guard(
        "a signal whose leave took too long stays",
        "bot/service/clicks/signalling.py",
        "if self._clock.now() > min(checked_at + FRESH, decision.deadline):",
        "if self._clock.now() > decision.deadline:",
        "tests/scenario/test_signalling.py::test_vote_never_counts_for_the_next_level_when_the_store_is_slow",
    ),
    Guard(
        "the 60 s bound",
        "bot/domain/decision.py",
        "DECISION_SPAN = timedelta(seconds=60)",
        "DECISION_SPAN = timedelta(hours=1)",
        CONVERGING + "test_claim_older_than_a_minute_is_never_sent",
    ),
    Guard(
        "the signal's single attempt",
        "bot/boto/sdk.py",
        'retries={"total_max_attempts": 1}',
        'retries={"total_max_attempts": 2}',
        "tests/contract/test_aws_signals.py::test_server_error_is_lost[InternalServerError-500]",
    ),
    Guard(
        "no second sending after a lost reply",
        "bot/service/clicks/signalling.py",
        "return Attempt(DecisionEvent.LOST)",
        "return Attempt(DecisionEvent.THROTTLED)",
        CONVERGING + "test_signal_without_reply_or_effect_is_not_sent_again",
    ),
    Guard(
        "no second sending after a crash",
        "bot/service/reconcile/reconciler.py",
        "taken.after(DecisionEvent.LOST, at=now)",
        "taken.after(DecisionEvent.THROTTLED, at=now)",
        TRUTH + "test_a_signal_of_a_dead_process_is_never_sent_again",
    ),
    Guard(
        "an answer waits for a look that knows of it",
        "bot/domain/record.py",
        "if decision.state.live or self.observed_from < decision.settled_in:",
        "if decision.state.live:",
        "tests/unit/domain/test_record.py::test_a_look_knows_of_what_was_settled_before_it_began",
    ),
    Guard(
        "a slower look turns nothing back",
        "bot/domain/record.py",
        "if self.observed_from > since:",
        "if self.observed_from > since and self.request is None:",
        "tests/unit/domain/test_record.py::test_a_slower_look_does_not_turn_the_clock_back",
    ),
    Guard(
        "the version compared and set",
        "bot/store/sqlite/thread.py",
        'connection.execute("BEGIN IMMEDIATE")',
        "",
        "tests/contract/test_store.py::test_no_concurrent_write_is_lost[sqlite]",
        and_also=(
            ("bot/store/sqlite/thread.py", 'connection.execute("COMMIT")', ""),
            ("bot/store/sqlite/store.py", "    WHERE version = :version - 1\n", ""),
        ),
    ),
    Guard(
        "the trail written with the row",
        "bot/store/sqlite/store.py",
        "        connection.executemany(_APPEND, map(_appended, entries))\n",
        "",
        "tests/contract/test_sqlite.py::test_kill_right_after_the_commit_keeps_row_and_trail",
    ),
    Guard(
        "the trail in one transaction with the row",
        "bot/store/dynamodb/commits.py",
        '        self._calls.put(row, *({"Item": each} for each in draft.entries))',
        '        self._calls.put(row)\n            [self._calls.put({"Item": each}) for each in draft.entries]',
        "tests/contract/test_dynamodb_trail.py::test_only_writes_with_audit_entries_are_transactions",
    ),
    Guard(
        "a late answer of the store",
        "bot/service/rows.py",
        "if record and self._latest and record.version < self._latest.version:",
        "if record and self._latest and record.version < 0:",
        TRUTH + "test_an_answer_of_the_store_that_comes_late_takes_nothing_back",
    ),
    Guard(
        "the lease",
        "bot/domain/record.py",
        "if self.lease and not ours and self.lease.until > now:",
        "if self.lease and not ours and self.lease.until < self.created_at:",
        CONVERGING + "test_process_without_the_lease_writes_nothing",
    ),
    Guard(
        "the lease renewed before a post",
        "bot/service/reconcile/outbox.py",
        "        await self.renew()\n        await self._change(_claimed)",
        "        await self._change(_claimed)",
        TRUTH + "test_the_lease_is_looked_at_right_before_a_write[post]",
    ),
    Guard(
        "the lease renewed before an update",
        "bot/service/reconcile/outbox.py",
        "self.record = await self._rows.renew(self.record.key, self._owner, also=begin)",
        "self.record = await self._rows.apply(self.record.key, begin)",
        TRUTH + "test_the_lease_is_looked_at_right_before_a_write[update]",
    ),
    Guard(
        "a key that names no channel signs for none",
        "bot/teams/inbound/keys.py",
        "    if not isinstance(listed, list):\n        return frozenset()",
        "    if not isinstance(listed, list):\n        return frozenset({'msteams'})",
        TOKENS + "test_key_must_endorse_the_channel[None-401]",
    ),
    Guard(
        "a remembered token is compared with every body's channel",
        "bot/teams/inbound/tokens.py",
        "if channel_id is None or not self.key.endorses(channel_id):",
        "if channel_id is None:",
        TOKENS + "test_remembered_token_carries_no_other_channel[webchat]",
    ),
    Guard(
        "remembered tokens are counted",
        "bot/teams/inbound/tokens.py",
        "LRUCache(REMEMBERED)",
        "LRUCache(10**9)",
        TOKENS + "test_no_more_tokens_are_remembered_than_fit",
    ),
    Guard(
        "a body has one encoding",
        "bot/teams/wire/activity.py",
        "text = raw.decode()",
        "text = raw",
        BODIES + "test_body_is_utf_8[utf-16]",
    ),
    Guard(
        "a name stands once",
        "bot/teams/wire/activity.py",
        "if len(found) != len(members):",
        "if len(found) > len(members):",
        BODIES + "test_name_that_stands_twice_is_refused[from]",
    ),
    Guard(
        "a number has bounds",
        "bot/teams/wire/activity.py",
        "if not math.isfinite(number):",
        "if math.isnan(number):",
        BODIES + "test_number_without_bounds_is_refused[1e999]",
    ),
    Guard(
        "a sender's tenant is a text",
        "bot/teams/wire/activity.py",
        "    tenant_id: str | None = None\n    role: str | None = None",
        "    tenant_id: Any = None\n    role: str | None = None",
        BODIES + "test_sender_is_named_in_texts[junk0-tenantId]",
    ),
    Guard(
        "the head of a request comes in time",
        "bot/web/server.py",
        "keepalive_timeout=IDLE_TIME,",
        "keepalive_timeout=IDLE_TIME + 3600,",
        BODIES + "test_head_that_never_ends_is_hung_up_on",
    ),
    Guard(
        "strangers fill no log",
        "bot/web/server.py",
        "return not isinstance(error, HttpProcessingError)",
        "return error is not HttpProcessingError",
        BODIES + "test_requests_that_proxies_read_otherwise_are_refused",
    ),
    Guard(
        "what was written without the lease",
        "bot/service/reconcile/outbox.py",
        "if record.leased_by(self._owner):",
        "if record.key:",
        TRUTH + "test_what_was_written_after_the_lease_was_lost_is_made_right",
    ),
    Guard(
        "what was only claimed is sent again",
        "bot/service/reconcile/delivery.py",
        "UNDONE = frozenset({DeliveryState.WAITING, DeliveryState.CLAIMED})",
        "UNDONE = frozenset({DeliveryState.WAITING})",
        "tests/reliability/test_crash_points.py::test_whatever_a_crash_leaves_converges[approved]",
    ),
    Guard(
        "the digest",
        "bot/service/reconcile/delivery.py",
        "elif former.digest != self._entry.digest or former.problem is not None:",
        "elif former.digest is not former or former.problem is not None:",
        CONVERGING + "test_repeated_reconciles_post_nothing_twice",
    ),
    Guard(
        "one way to Teams",
        "bot/service/sources/place_sweep.py",
        "await self._rows.requeue(key)",
        "await self._rows.reconcile(key)",
        "tests/unit/test_one_path.py::test_converge_has_one_caller",
    ),
    Guard(
        "the sweep",
        "bot/service/sources/place_sweep.py",
        "for key in due:",
        "for key in due[:0]:",
        DECIDING + "test_sweep_alone_posts_the_card",
    ),
)


@dataclass(frozen=True, slots=True)
class Run:
    """What a run of tests came to."""

    exit_code: int
    failed: tuple[str, ...]  # how each failure begins
    broken: tuple[str, ...]  # tests that could not even be run
    passed: int
    output: str

    @property
    def red(self) -> bool:
        """True if tests failed because a promise was broken, and for no other reason."""
        return self.exit_code == 1 and bool(self.failed) and not self.broken and all(map(_said_no, self.failed))


def _said_no(message: str) -> bool:
    return message.startswith(SAID_NO) and not message.startswith(HUNG)


def copied(into: Path) -> Path:
    """Copy the source; compiled files come along, as what is patched is compiled anew."""
    skipped = shutil.ignore_patterns(
        "node_modules", ".sandbox", "*.pyc.*"
    )  # the last: half written just now, and gone then
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, into / name, ignore=skipped)
        else:
            shutil.copy2(source, into / name)
    return into


def run(tree: Path, tests: Sequence[str]) -> Run:
    """Run tests in a copy of the source, as a process of its own."""
    report = tree / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"]
    kept = {name: value for name, value in os.environ.items() if name not in {"RELIABILITY", "PYTEST_ADDOPTS"}}
    done = subprocess.run(
        [*command, f"--junitxml={report}", *tests],
        cwd=tree,
        env=kept,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    cases = ET.parse(report).getroot().findall(".//testcase") if report.exists() else []
    failed = [each.get("message", "") for case in cases for each in case.findall("failure")]
    broken = [case.get("name", "") for case in cases if case.find("error") is not None]
    return Run(done.returncode, tuple(failed), tuple(broken), len(cases) - len(failed) - len(broken), done.stdout)
