"""Guards of the stores: versions of rows, the audit trail, a damaged or lost file, and data of a newer version."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from bot.domain.abilities import ALL_ABILITIES
from bot.service.auditing import MINUTE
from bot.store.sqlite import thread
from bot.store.sqlite.schema import APPLICATION_ID
from tests.reliability.replacing import DoesNotFit, Guard, always, around, constant

NEWER = "tests/scenario/test_newer_version.py::"
VERSION_COMPARED = "WHERE version = :version - 1"


def _without_transaction(_: Any, connection: sqlite3.Connection, jobs: Sequence[Any]) -> None:
    thread._answer_all([(job.done, _answer(connection, job)) for job in jobs])


def _answer(connection: sqlite3.Connection, job: Any) -> Any:
    try:
        return thread._answer(connection, job)
    except sqlite3.Error as error:
        return thread._unavailable(error)


def _without_comparison(statement: str) -> str:
    if VERSION_COMPARED not in statement:
        raise DoesNotFit(f"the statement has no {VERSION_COMPARED}")
    return statement.replace(VERSION_COMPARED, "")


def _in_separate_writes(put: Any, calls: object, row: object, *entries: object) -> None:
    put(calls, row)
    for each in entries:
        put(calls, each)


GUARDS = (
    Guard(
        "the check of the store notices that nothing can be written",
        "tests/contract/test_sqlite.py::test_check_of_the_store_reports_a_full_disk_and_writes_succeed_once_there_is_space",
        {"bot.store.sqlite.integrity:check_writing": always(None)},
    ),
    Guard(
        "the check of the store notices a lost table",
        "tests/contract/test_sqlite.py::test_check_of_the_store_reports_a_file_that_is_lost_or_damaged_while_open[table dropped]",
        {"bot.store.sqlite.schema:TABLES": constant(frozenset())},
    ),
    Guard(
        "a backup is checked",
        "tests/contract/test_backup.py::test_backup_of_a_damaged_store_fails_and_leaves_no_copy",
        {"bot.store.sqlite.backup:_check": always(None)},
    ),
    Guard(
        "a backup is of the bot's store",
        "tests/contract/test_backup.py::test_backup_refuses_the_database_of_another_program",
        {"bot.store.sqlite.backup:_OWNER": constant(f"SELECT {APPLICATION_ID}")},
    ),
    Guard(
        "versions are compared and set",
        "tests/contract/test_store.py::test_no_concurrent_write_is_lost[sqlite]",
        {
            "bot.store.sqlite.thread:_write": around(_without_transaction),
            "bot.store.sqlite.store:_SAVE": _without_comparison,
        },
    ),
    Guard(
        "the audit trail is written with the row",
        "tests/contract/test_sqlite.py::test_kill_right_after_a_commit_keeps_the_step_in_row_and_audit_trail",
        {"bot.store.rows:apply_change": around(lambda changed, *given, **named: (changed(*given, **named)[0], ()))},
    ),
    Guard(
        "the audit trail is written in one transaction with the row",
        "tests/aws/test_dynamodb_trail.py::test_only_writes_with_audit_entries_are_transactions",
        {"bot.store.dynamodb.calls:Calls.put": around(_in_separate_writes)},
    ),
    Guard(
        "clicks are stored in batches",
        "tests/scenario/test_auditing.py::test_audit_entries_of_a_thousand_clicks_a_second_are_stored_by_a_slow_store",
        {"bot.ports.store:MOST_APPENDED": constant(1)},
    ),
    Guard(
        "a minute of counted clicks is over when the clock is set back",
        "tests/scenario/test_auditing.py::test_count_of_clicks_beyond_the_limit_is_stored_soon_after_the_clock_was_set_back",
        {"bot.service.auditing:_Tally.covers": around(lambda _, tally, moment: moment < tally.since + MINUTE)},
    ),
    Guard(
        "the store checks that its file is still there",
        "tests/contract/test_sqlite.py::test_check_of_the_store_reports_a_file_that_is_lost_or_damaged_while_open[replaced]",
        {"bot.store.sqlite.integrity:_check_identity": always(None)},
    ),
    Guard(
        "the store checks its pages",
        "tests/contract/test_sqlite.py::test_check_of_the_store_reports_a_file_that_is_lost_or_damaged_while_open[noise]",
        {"bot.store.sqlite.integrity:check_pages": always(None)},
    ),
    Guard(
        "a table that was made again is not used",
        "tests/aws/test_dynamodb.py::test_deleted_table_is_reported_and_a_new_one_is_not_used_before_a_restart",
        {"bot.store.dynamodb.store:_identity": always(None)},
    ),
    Guard(
        "what is not recognized is written back",
        "tests/unit/store/test_unrecognized.py::test_unknown_member_is_skipped_and_written_back[row]",
        {"bot.store.rows:with_unrecognized": around(lambda _, current, kept: current)},
    ),
    Guard(
        "no claim beside a decision that is not recognized",
        NEWER + "test_click_is_answered_busy_while_the_row_has_a_decision_in_an_unknown_state",
        {"bot.domain.record:Record.has_unrecognized_decision": always(False)},
    ),
    Guard(
        "no signal beside a decision that is not recognized",
        NEWER + "test_claimed_decision_is_not_sent_while_the_row_has_another_one_in_an_unknown_state",
        {"bot.domain.record:Record.has_unrecognized_decision": always(False)},
    ),
    Guard(
        "a surface that is not recognized is left alone",
        NEWER + "test_card_in_an_unknown_delivery_state_is_not_posted_again",
        {"bot.domain.record:Record.has_unrecognized_surface": always(False)},
    ),
    Guard(
        "new values wait until every replica can read them",
        "tests/scenario/test_replicas.py::test_row_is_written_with_values_that_every_replica_can_read[False]",
        {"bot.service.replicas:Replicas.storable": around(lambda _, replicas, record: record)},
    ),
    Guard(
        "messages are updated in place only once every replica can read them",
        "tests/scenario/test_living_message.py::test_each_state_has_its_own_message_while_an_older_version_runs",
        {"bot.service.replicas:Replicas.abilities": always(ALL_ABILITIES)},
    ),
)
