"""Guards of the checks: what is a problem of this installation, and what is not."""

from datetime import timedelta

from tests.reliability.replacing import Guard, always, around

LOOP = "tests/scenario/test_check_loop.py::"
SEEN = "tests/scenario/test_seen_problems.py::"
ENDPOINT = "tests/contract/test_endpoint.py::"


async def _guessed() -> list[str]:
    return ["example.org"]


GUARDS = (
    Guard(
        "a problem is reported once it was found twice",
        LOOP + "test_check_that_fails_only_once_reports_no_problem",
        {"bot.service.checks.loop:Checks._is_doubtful": always(False)},
    ),
    Guard(
        "a sweep that fails once is no problem",
        "tests/scenario/test_problem_log.py::test_sweep_that_fails_once_between_others_is_no_problem",
        {
            "bot.telemetry.health:Health.failed": around(
                lambda failed, health, name, code, advice="", *, may_pass=False: failed(health, name, code, advice)
            )
        },
    ),
    Guard(
        "a conversation that pauses once is no problem",
        "tests/unit/teams/test_circuit_breaker.py::test_paused_conversation_is_reported_as_a_problem_until_a_call_succeeds",
        {"bot.teams.outbound.circuit_breaker:LASTING": lambda _: 1},
    ),
    Guard(
        "a check waits for the one that it needs",
        LOOP + "test_check_is_not_run_while_the_check_that_it_needs_has_a_problem",
        {"bot.service.checks.running:says_something": always(True)},
    ),
    Guard(
        "a failure that nothing repeated for a day is no problem",
        SEEN + "test_refused_direct_messages_are_a_problem_for_a_day_only",
        {
            "bot.service.checks.outcomes:Outcomes.failures": around(
                lambda failures, outcomes, work, *, within: failures(outcomes, work, within=within + timedelta(days=9))
            )
        },
    ),
    Guard(
        "one person without direct messages is no problem",
        SEEN + "test_single_person_who_blocks_the_bot_is_no_problem_of_the_installation",
        {"bot.service.checks.microsoft:SEVERAL": lambda _: 1},
    ),
    Guard(
        "people without direct messages are no problem while others get them",
        SEEN + "test_two_people_who_block_the_bot_are_no_problem_if_another_person_gets_a_message_in_between",
        {"bot.service.checks.outcomes:Outcomes.last_success": always(None)},
    ),
    Guard(
        "one lost event is no problem",
        SEEN + "test_single_lost_events_are_no_problem_if_another_event_arrives_between_them",
        {"bot.service.checks.outcomes:Outcomes.succeeded": always(None)},
    ),
    Guard(
        "accepted activities show that refused ones are somebody else's",
        "tests/system/test_checks.py::test_refused_activity_is_no_problem_after_an_accepted_activity",
        {"bot.service.checks.outcomes:Outcomes.has_succeeded": always(False)},
    ),
    Guard(
        "tokens for another app say nothing while Teams knows this one",
        "tests/system/test_checks.py::test_activities_with_tokens_of_another_bot_or_cloud_cause_no_problem",
        {"bot.service.checks.microsoft:FROM_ANYBODY": lambda _: frozenset()},
    ),
    Guard(
        "activities of another tenant count in our channels only",
        "tests/system/test_checks.py::test_activity_from_another_tenant_in_an_unknown_channel_causes_no_problem",
        {"bot.domain.configuration:Configuration.channel_at": always(True)},
    ),
    Guard(
        "a denied second vote of a role is no problem of the role",
        "tests/scenario/test_problem_log.py::test_second_vote_of_a_role_that_aws_denies_is_no_problem_of_the_role",
        {"bot.domain.effects:follows_vote_in_role": always(False)},
    ),
    Guard(
        "roles are never checked in a guessed domain",
        SEEN + "test_no_role_is_checked_while_the_domain_of_the_members_is_unknown",
        {"bot.service.checks.domains:Domains.most_frequent": lambda _: lambda *_args, most: _guessed()},
    ),
    Guard(
        "roles are checked in the domains of possible approvers only",
        SEEN + "test_role_is_checked_in_the_domains_of_possible_approvers_only",
        {"bot.domain.rules.permission:may_be_approver": always(True)},
    ),
    Guard(
        "roles are checked in a few domains only",
        SEEN + "test_role_is_checked_in_five_domains_at_most",
        {"bot.service.checks.installation:MOST_DOMAINS": lambda _: 99},
    ),
    Guard(
        "requesters of a rare domain are no problem of the role that cancels",
        SEEN + "test_role_that_cancels_is_checked_in_the_most_frequent_domain_of_the_members",
        {
            "bot.service.checks.domains:Domains.most_frequent": around(
                lambda most_frequent, domains, groups, *, most: most_frequent(domains, groups, most=max(most, 5))
            )
        },
    ),
    Guard(
        "each wrong value of an activity is one warning an hour",
        ENDPOINT
        + "test_log_of_a_refused_activity_with_microsofts_signature_has_the_wrong_value[claims0-changed0-audience-shown0]",
        {"bot.teams.inbound.endpoint:Endpoint._may_warn": always(True)},
    ),
    Guard(
        "warnings about activities are limited",
        ENDPOINT + "test_refused_activities_with_many_wrong_values_cause_ten_warnings_a_minute",
        {"bot.concurrency.window:SlidingWindow.take": always(True)},
    ),
)
