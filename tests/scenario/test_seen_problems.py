"""Misinstallations that the bot can only know from its own work: the checks use what the process has observed.

Also what the checks of roles, policies, queue and clock count as a problem.
"""

import asyncio
import timeit
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import NAMESPACE_DNS, uuid5

import pytest
from structlog.testing import capture_logs

from bot.domain.identity import IdentityRules, Person
from bot.domain.request import Approver, ApproverKind, Level, Status
from bot.domain.routing import Account, Channel, LevelRule, Match
from bot.ports.aws import READER_SESSION, AwsThrottled, AwsUnavailable, SignalRefused
from bot.ports.probes import ApprovalPolicy, MicrosoftRefused, QueueSettings
from bot.ports.teams import ChatProblem, ChatRefused, ChatThrottled, ChatUnavailable
from bot.service.checks import advice, microsoft
from bot.service.checks.installation import Installation
from bot.service.checks.loop import FIRST_AFTER, PERIOD, REPEATED_AFTER, Checks
from bot.service.checks.outcomes import Work
from bot.teams.people.roster_problems import RosterProblem
from tests.fakes.aws import ACCOUNT, GIVE_BACK_ROLE, REGION
from tests.fakes.chat import CHANNEL, HANAKO, ICHIRO, TARO_PERSON
from tests.fakes.misinstallation import Case
from tests.fakes.people import APP_ID
from tests.fakes.probes import SoundAws, SoundTeams
from tests.fakes.world import APPROVALS, CANCEL_ROLE, END_SESSIONS_ROLE, World, current_configuration, new_world

ROLE = f"arn:aws:iam::{ACCOUNT}:role/NodeAccessApprover"
LASTS = 61.0  # seconds; from then on a refusal of Teams counts as lasting
LEAD = f"arn:aws:iam::{ACCOUNT}:role/NodeAccessLead"
USER = "94482488-3041-7026-5e3b-b6d6f5f7a1a1"  # an Identity Center user id
STRANGER = "arn:aws:sts::111122223333:assumed-role/Developer/jiro"


@dataclass
class Site:
    """A world with its checks."""

    world: World
    teams: SoundTeams
    aws: SoundAws
    checks: Checks

    async def problems(self) -> dict[str, str]:
        """Make the checks, with a repetition, and return the readiness problems."""
        making = asyncio.create_task(self.checks.make())
        await self.world.clock.advance(REPEATED_AFTER)
        await making
        return dict(self.world.telemetry.health.problems())


def installed(world: World) -> Site:
    """Return the world with its checks; nothing is wrong with Microsoft and AWS."""
    return Site(world, world.teams_probes, world.aws_probes, world.checks)


@pytest.fixture
def site() -> Site:
    """Return a sound installation with one channel."""
    return installed(new_world())


def unreachable(
    problem: ChatProblem, people: Sequence[Person] = (TARO_PERSON, ICHIRO)
) -> Callable[[Site], Awaitable[None]]:
    """Teams refuses direct messages to these requesters."""

    async def arrange(site: Site) -> None:
        for each in people:
            site.world.chat.unreachable[each.object_id] = problem
        await ask(site, *people)

    return arrange


def _person(upn: str) -> Person:
    """Return a member with this UPN."""
    return replace(HANAKO, object_id=str(uuid5(NAMESPACE_DNS, upn)), upn=upn)


async def ask(site: Site, *people: Person) -> None:
    """Each of these people makes a request."""
    first = len(site.world.aws.requests)
    for number, each in enumerate(people, start=first + 1):
        site.world.aws.add(number, requester=f"arn:aws:sts::{ACCOUNT}:assumed-role/Operator/{each.upn}")
    async with site.world.running():
        await site.world.sweep.sweep()
        await site.world.clock.advance(LASTS)


def closed(problem: ChatProblem) -> Callable[[Site], Awaitable[None]]:
    """Teams refuses cards in the channel, although it returns the members."""

    async def arrange(site: Site) -> None:
        site.world.chat.refusing[CHANNEL] = problem
        site.world.aws.add()
        async with site.world.running():
            await site.world.sweep.sweep()
            await site.world.clock.advance(LASTS)

    return arrange


async def no_events(site: Site) -> None:
    """Two new requests are found by the sweep, long after an event would have come."""
    await site.world.sweep.sweep()
    for number in (1, 2):
        await new_request(site, number)


async def new_request(site: Site, number: int, **facts: object) -> None:
    """A request is made without an event, and found by the sweep half a minute later."""
    await site.world.clock.advance(30)
    site.world.aws.add(number, **facts)  # type: ignore[arg-type]  # facts of the request
    await site.world.clock.advance(30)
    await site.world.sweep.sweep()


async def stranger(site: Site) -> None:
    """The requester used a role that is not trusted."""
    await site.world.shown(site.world.aws.add(requester=STRANGER))
    await site.world.sweep.sweep()


def unreadable(code: str) -> Callable[[Site], Awaitable[None]]:
    """The requester's Identity Center record cannot be read."""

    async def arrange(site: Site) -> None:
        site.world.identities.problem = code
        for number in (1, 2):
            await site.world.shown(site.world.aws.add(number, requester=USER))

    return arrange


async def incomplete(site: Site, number: int = 1, *, complete: bool = False) -> None:
    """Parts of a request, such as node and tags, cannot be read, in three reads in a row."""
    key = site.world.aws.add(number)
    site.world.aws.requests[key] = replace(site.world.aws.requests[key], complete=complete)
    for _ in range(3):
        await site.world.shown(key)


async def two_incomplete(site: Site) -> None:
    """No request can be read completely."""
    await incomplete(site, 1)
    await incomplete(site, 2)


def unlisted(code: str) -> Callable[[Site], Awaitable[None]]:
    """The requests of the account cannot be listed."""

    async def arrange(site: Site) -> None:
        site.world.aws.before["list_requests"] = [AwsUnavailable(code)]
        await site.world.sweep.sweep()

    return arrange


PLACE = f"{ACCOUNT} {REGION}"
CASES: list[Case[Site]] = [
    Case(
        "an app package without the scope `personal`",
        "direct messages",
        "not_installed",
        f"to {ICHIRO.object_id}, {TARO_PERSON.object_id}: upload an app package with the scope personal",
        unreachable(ChatProblem.NOT_INSTALLED),
    ),
    Case(
        "an app that a policy blocks for several people",
        "direct messages",
        "blocked",
        "permission policy",
        unreachable(ChatProblem.BLOCKED),
    ),
    Case("an archived team", "cards approvals", "writes_blocked", "archived", closed(ChatProblem.WRITES_BLOCKED)),
    Case(
        "a channel in which the bot may not post",
        "cards approvals",
        "forbidden",
        "moderation",
        closed(ChatProblem.FORBIDDEN),
    ),
    Case(
        "no rule, target, policy or forwarding of events", f"events {PLACE}", "no_event", "EventBridge rule", no_events
    ),
    Case("a requester whose role is not trusted", f"requesters {PLACE}", "unidentified", STRANGER, stranger),
    Case(
        "user records that may not be read",
        "identity center",
        "AccessDeniedException",
        "identity-center-policy.json",
        unreadable("AccessDeniedException"),
    ),
    Case(
        "an Identity Center in another Region or account",
        "identity center",
        "NoIdentityStore",
        "in its Region",
        unreadable("NoIdentityStore"),
    ),
    Case(
        "a reader role that may not read nodes",
        f"requests {PLACE}",
        "incomplete",
        "reader-policy.json",
        two_incomplete,
    ),
    Case(
        "a reader role without its policy",
        f"sweep {PLACE}",
        "AccessDeniedException",
        "reader-policy.json",
        unlisted("AccessDeniedException"),
    ),
    Case("no AWS credentials", f"sweep {PLACE}", "NoCredentialsError", "task role", unlisted("NoCredentialsError")),
    Case(
        "a wrong Region, or no way to AWS",
        f"sweep {PLACE}",
        "EndpointConnectionError",
        "Check the Region",
        unlisted("EndpointConnectionError"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
async def test_misinstallation_that_only_requests_reveal_is_reported_with_code_and_advice(
    case: Case[Site], site: Site
) -> None:
    """The problem has the code and what to do, and is logged once."""
    with capture_logs() as logs:
        await case.arrange(site)
        for _ in range(2):
            found = await site.problems()
    assert found.get(case.check, "").startswith(f"{case.code}: ")
    assert case.words in found[case.check]
    assert [line["check"] for line in logs if line["event"] == "problem_began"] == [case.check]


async def test_installation_whose_request_was_posted_and_decided_has_no_problem(site: Site) -> None:
    """Posts, direct messages, and a decision succeeded."""
    async with site.world.running():
        await site.world.press(await site.world.posted(), HANAKO)
    assert await site.problems() == {}


async def test_problem_with_direct_messages_ends_when_teams_accepts_a_direct_message(site: Site) -> None:
    """Teams refused a direct message and accepts the next one. The problem ends then, not after a day."""
    await unreachable(ChatProblem.NOT_INSTALLED)(site)
    assert list(await site.problems()) == ["direct messages"]
    site.world.chat.unreachable.clear()
    await ask(site, TARO_PERSON)
    assert await site.problems() == {}


async def test_single_request_that_cannot_be_read_completely_is_no_problem_of_the_installation(site: Site) -> None:
    """Its node may be gone. Another request that is read completely shows that the permissions are right."""
    await incomplete(site, 1)
    assert await site.problems() == {}
    await incomplete(site, 2, complete=True)
    await incomplete(site, 3)
    assert await site.problems() == {}


async def test_problem_with_reading_requests_ends_when_one_is_read_completely(site: Site) -> None:
    """The permission is there now, so nothing else needs to happen."""
    await two_incomplete(site)
    assert list(await site.problems()) == [f"requests {PLACE}"]
    await incomplete(site, 3, complete=True)
    assert await site.problems() == {}


async def test_single_person_who_blocks_the_bot_is_no_problem_of_the_installation(site: Site) -> None:
    """The person makes two requests. A note in the thread of each names the person, who got no message."""
    await unreachable(ChatProblem.BLOCKED, (TARO_PERSON, TARO_PERSON))(site)
    assert await site.problems() == {}
    assert [TARO_PERSON.name in note.card for note in site.world.chat.of("reply")] == [True, True]


async def test_two_people_who_block_the_bot_are_no_problem_if_another_person_gets_a_message_in_between(
    site: Site,
) -> None:
    """The message shows that the installation is right."""
    await unreachable(ChatProblem.BLOCKED, (TARO_PERSON,))(site)
    await ask(site, HANAKO)
    await unreachable(ChatProblem.BLOCKED, (ICHIRO,))(site)
    assert await site.problems() == {}


async def test_refused_direct_messages_are_a_problem_for_a_day_only(site: Site) -> None:
    """Two people who blocked the bot are not reported forever."""
    await unreachable(ChatProblem.BLOCKED)(site)
    assert list(await site.problems()) == ["direct messages"]
    await site.world.clock.advance(timedelta(days=1).total_seconds())
    assert await site.problems() == {}


async def test_single_lost_events_are_no_problem_if_another_event_arrives_between_them(site: Site) -> None:
    """EventBridge delivers events on a best-effort basis. Each event that arrives resets the count of lost ones."""
    await site.world.sweep.sweep()
    for number in (1, 2):
        await new_request(site, number)
        site.world.outcomes.succeeded(Work.EVENT, PLACE)
    assert await site.problems() == {}


async def test_new_requests_that_wait_for_no_decision_are_no_lost_events(site: Site) -> None:
    """AWS sends no events for automatically approved requests. The list may not say that a request was one of them."""
    site.world.aws.listed = True
    await site.world.sweep.sweep()
    for number in (1, 2, 3):
        await new_request(site, number, status=Status.APPROVED)
    assert await site.problems() == {}


# --- activities


async def test_refused_activity_is_no_problem_within_a_day_after_an_accepted_activity(site: Site) -> None:
    """A quiet night does not make a refused activity a problem."""
    site.world.outcomes.succeeded(Work.ACTIVITY)
    await site.world.clock.advance(timedelta(hours=23).total_seconds())
    site.world.outcomes.failed(Work.ACTIVITY, "expired", code="expired", detail="about 3 h ago")
    assert await site.problems() == {}
    await site.world.clock.advance(timedelta(hours=1).total_seconds())
    assert list(await site.problems()) == ["activities"]


async def test_token_for_another_app_does_not_replace_the_problem_with_a_token_for_this_app(site: Site) -> None:
    """Anyone can send a token for another app. The problem ends when an activity is accepted."""
    site.world.outcomes.failed(Work.ACTIVITY, "expired", code="expired", detail="about 3 h ago")
    site.world.outcomes.failed(Work.ACTIVITY, "audience", code="audience", detail="another app")
    assert (await site.problems())["activities"].startswith("expired: ")
    site.world.outcomes.succeeded(Work.ACTIVITY)
    assert await site.problems() == {}


# --- roles


async def test_roles_of_decisions_are_checked_with_a_session_name_of_the_bot(site: Site) -> None:
    """The name has the domain of the members, as trust policies require, and no person's name.

    CloudTrail must not show that a person acted.
    """
    await site.problems()
    assert {(each.role, each.name) for each in site.aws.sessions} == {
        (ROLE, "node-access-bot@example.com"),
        (CANCEL_ROLE, "node-access-bot@example.com"),
    }


async def test_session_name_for_the_check_of_a_role_has_the_domain_of_the_members_of_its_channel(site: Site) -> None:
    """The people of one channel are in another domain, which the trust policy of their role requires."""
    lead, value = f"arn:aws:iam::{ACCOUNT}:role/NodeAccessLead", site.world.configuration.value
    leads = replace(APPROVALS, name="leads", conversation="19:leads@thread.tacv2", approver_role=lead, fallback=False)
    site.world.people.rosters[leads.conversation] = [replace(HANAKO, upn="mei@example.net")]
    site.world.configuration.replace(replace(value, channels=(APPROVALS, leads)))
    await site.problems()
    names = {each.role: each.name for each in site.aws.sessions}
    assert (names[ROLE], names[lead]) == ("node-access-bot@example.com", "node-access-bot@example.net")


def _names(site: Site, role: str) -> list[str]:
    """Return the names under which the role was requested, in order."""
    return [each.name.removeprefix("node-access-bot@") for each in site.aws.sessions if each.role == role]


async def test_domain_of_an_approver_is_spelled_in_the_check_of_the_role_as_in_the_upn(site: Site) -> None:
    """Trust policies compare letter case, and a decision is sent under the UPN as Teams spells it."""
    site.world.people.people = [replace(HANAKO, upn="hanako@Example.COM")]
    await site.problems()
    assert _names(site, ROLE) == ["Example.COM"]


async def test_role_is_checked_in_each_domain_of_its_approvers_and_the_problem_names_the_refused_ones(
    site: Site,
) -> None:
    """One of three people has another domain, and one has another letter case. The trust policy allows one spelling."""
    upns = ("hanako@example.com", "ichiro@example.com", "mei@Example.com", "ren@example.net")
    site.world.people.people = [_person(upn) for upn in upns]
    site.aws.trusted = ("@example.com",)
    found = (await site.problems())[f"role {ROLE}"]
    assert found.startswith("AccessDenied: the bot may not assume the role as ")
    assert "as node-access-bot@Example.com, node-access-bot@example.net. " in found
    assert "letter case" in found


async def test_role_is_checked_in_the_domains_of_possible_approvers_only(site: Site) -> None:
    """Many members of the channel have another domain, or are guests. None of them is a listed approver."""
    others = [_person(f"p{number}@contractor.example") for number in range(9)]
    guest = replace(_person("guest@partner.example"), guest=True)
    site.world.people.people = [*others, guest, HANAKO, _person("lead@example.net")]
    listed = replace(
        APPROVALS,
        approvers=(f"user:{HANAKO.object_id}",),
        levels=(LevelRule("Lead", ("upn:Lead@example.net",), LEAD),),
    )
    site.world.configuration.replace(replace(site.world.configuration.value, channels=(listed,)))
    await site.problems()
    assert (_names(site, ROLE), _names(site, LEAD)) == (["example.com"], ["example.net"])


async def test_role_is_checked_in_five_domains_at_most(site: Site) -> None:
    """The most frequent ones come first."""
    domains = [f"d{number}.example" for number in range(8)]
    people = [_person(f"p{n}@{domain}") for number, domain in enumerate(domains) for n in range(9 - number)]
    site.world.people.people = people
    await site.problems()
    assert _names(site, ROLE) == domains[:5]


async def test_role_that_cancels_is_checked_in_the_most_frequent_domain_of_the_members(site: Site) -> None:
    """Any member may make a request. A single member with another domain, such as an admin, is no problem."""
    site.world.people.people = [HANAKO, ICHIRO, _person("admin@example.onmicrosoft.com")]
    await site.problems()
    assert _names(site, CANCEL_ROLE) == ["example.com"]


async def test_roles_that_end_sessions_and_give_back_are_checked_like_those_that_decide_and_cancel() -> None:
    """Approvers end sessions, also those of a channel without a role of its own; any member may give access back."""
    listed = replace(APPROVALS, approvers=(f"user:{HANAKO.object_id}",), approver_role=None)
    configuration = current_configuration(listed, end_sessions_role=END_SESSIONS_ROLE, give_back_role=GIVE_BACK_ROLE)
    people = (replace(HANAKO, upn="hanako@example.net"), ICHIRO, _person("mei@example.com"))
    site = installed(new_world(people=people, configuration=configuration))
    site.aws.trusted = ()
    problems = await site.problems()
    refused = "AccessDenied: the bot may not assume the role as node-access-bot@"
    assert problems[f"role {END_SESSIONS_ROLE}"].startswith(f"{refused}example.net. ")
    assert problems[f"role {GIVE_BACK_ROLE}"].startswith(f"{refused}example.com. ")


async def test_domain_that_cannot_be_part_of_a_session_name_is_not_checked(site: Site) -> None:
    """Such people decide under their object id. AWS would refuse the name, whatever the role's trust policy says."""
    site.world.people.people = [HANAKO, _person("mei@bücher.example"), _person("o'brien@example.net")]
    await site.problems()
    assert _names(site, ROLE) == ["example.com"]


async def test_roster_is_read_once_in_a_round_that_checks_seven_roles(site: Site) -> None:
    """Each session name needs the domain of the members."""
    rules = tuple(LevelRule(f"Level{n}", ("members",), f"arn:aws:iam::{ACCOUNT}:role/Lead{n}") for n in range(5))
    value = replace(site.world.configuration.value, channels=(replace(APPROVALS, levels=rules),))
    site.world.configuration.replace(value)
    await site.problems()
    assert len({each.role for each in site.aws.sessions}) == 7
    assert site.world.people.asked == 1


async def test_other_tasks_run_while_the_domains_of_a_large_roster_are_counted(site: Site) -> None:
    """With 10,000 members, other tasks get at least 20 turns more than with a few."""
    site.world.people.people = [replace(HANAKO, object_id=f"{n:032x}") for n in range(10_000)]
    assert await _turns_of_a_round(site) - await _turns_of_a_round(installed(new_world())) >= 20


async def _turns_of_a_round(site: Site) -> int:
    """Return how often another task runs during a round with some people."""
    turns, making = 0, asyncio.create_task(site.checks.make())
    while not making.done():
        await asyncio.sleep(0)
        turns += 1
    return turns


async def test_role_is_checked_with_external_id_source_identity_and_tag(site: Site) -> None:
    """If the file requires them for sessions of people, the check uses them too, because a trust policy may require them."""
    rules = IdentityRules(external_id="x-1", source_identity=True, session_tags=True)
    site.world.configuration.replace(replace(site.world.configuration.value, identity=rules))
    await site.problems()
    assert site.aws.sessions
    for each in site.aws.sessions:
        assert (each.external_id, each.source_identity) == ("x-1", "node-access-bot@example.com")
        assert [value for _, value in each.tags] == ["node-access-bot"]


async def test_reader_role_is_checked_with_the_session_name_of_reads(site: Site) -> None:
    """Its trust policy may allow only this session name. The external id is sent too, and a refusal names the session."""
    reader, value = f"arn:aws:iam::{ACCOUNT}:role/NodeAccessReader", site.world.configuration.value
    account = Account(ACCOUNT, (REGION,), reader_role=reader)
    identity = replace(value.identity, external_id="x-1")
    site.world.configuration.replace(replace(value, accounts=(account,), identity=identity))
    site.aws.errors["assume"] = AwsUnavailable("AccessDenied")
    assert f"as {READER_SESSION}. Its trust policy" in (await site.problems())[f"role {reader}"]
    site.aws.errors.clear()
    assert await site.problems() == {}
    assert [(each.name, each.external_id) for each in site.aws.sessions if each.role == reader] == [
        ("node-access-bot", "x-1")
    ]


async def test_policy_is_checked_against_the_role_of_the_first_matching_channel(site: Site) -> None:
    """The first channel that matches gets the requests of the policy, so the role of a later channel does not count."""
    first = replace(APPROVALS, fallback=False, match=Match(accounts=frozenset({ACCOUNT})))
    site.world.configuration.replace(
        replace(site.world.configuration.value, channels=(first, replace(APPROVALS, name="leads", approver_role=LEAD)))
    )
    site.aws.policies = [ApprovalPolicy("Leads", (_level("Level1", LEAD),))]
    assert f"decides ({ROLE})" in (await site.problems())[f"policies {PLACE}"]


async def test_no_role_is_checked_while_the_domain_of_the_members_is_unknown(site: Site) -> None:
    """AWS would refuse a guessed session name although the role is right."""
    site.world.people.people = []
    await site.problems()
    assert site.aws.sessions == []


# --- policies


def _level(step: str, *roles: str) -> Level:
    approvers = tuple(Approver(ApproverKind.ROLE, role) for role in roles)
    return Level(step=step, required=1, approvers=approvers, votes=(), timeout=None)


@pytest.mark.parametrize(
    ("channels", "wrong"),
    [
        ((APPROVALS,), "Level2"),
        ((replace(APPROVALS, levels=(LevelRule("Level2", (), LEAD),)),), ""),
        ((replace(APPROVALS, fallback=False, match=Match(policies=frozenset({"Other"}))), replace(APPROVALS, name="leads", approver_role=LEAD)), "Level1"),
        ((replace(APPROVALS, fallback=False, match=Match(tags=(("Tier", frozenset({"1"})),))), replace(APPROVALS, name="leads", approver_role=LEAD)), ""),
        ((replace(APPROVALS, approver_role=None),), ""),
    ],
    ids=["one role for two levels", "a role for each", "another channel's policy", "tags are not known yet", "own credentials"],
)  # fmt: skip
async def test_policy_is_compared_with_the_channels_that_may_get_its_requests(
    channels: tuple[Channel, ...], wrong: str
) -> None:
    """A level is a problem only if AWS is certain to refuse the role of every such channel."""
    site = installed(new_world(*channels))
    site.aws.policies = [ApprovalPolicy("Two-Levels", (_level("Level1", ROLE), _level("Level2", LEAD)))]
    found = (await site.problems()).get(f"policies {PLACE}", "")
    assert [step for step in ("Level1", "Level2") if step in found] == ([wrong] if wrong else [])


async def test_problem_names_at_most_five_wrong_or_unreadable_policies(site: Site) -> None:
    """One policy cannot be read, and nine list another role. The problem names five of the ten and counts the others."""
    site.aws.policies = [ApprovalPolicy("Broken", None)]
    site.aws.policies += [ApprovalPolicy(f"P{number}", (_level("Level1", LEAD),)) for number in range(9)]
    found = (await site.problems())[f"policies {PLACE}"]
    assert found.startswith("other_role, unreadable_policy: policy Broken: the document cannot be read; ")
    assert found.endswith("; and 5 more")


async def test_other_tasks_run_while_many_policies_are_compared_with_the_channels(site: Site) -> None:
    """With 100 policies, other tasks get at least 90 turns more than with one."""
    site.aws.policies = [ApprovalPolicy(f"P{number}", (_level("Level1", ROLE),)) for number in range(100)]
    assert await _turns_of_a_round(site) - await _turns_of_a_round(installed(new_world())) >= 90


async def test_check_of_many_policies_continues_in_the_next_round_and_logs_its_progress(site: Site) -> None:
    """Until all policies are read, only those that are read can be a problem. The check is due each minute."""
    name, site.aws.unread = f"policies {PLACE}", 200
    with capture_logs() as logs:
        assert await site.problems() == {}
    assert [(line["check"], line["read"], line["listed"]) for line in logs if line["event"] == "check_unfinished"] == [
        (name, 1, 201)
    ]
    site.aws.policies += [ApprovalPolicy("Leads", (_level("Level1", LEAD),))]
    site.aws.unread = 100
    await site.world.clock.advance(PERIOD)
    assert (await site.problems())[name].startswith("other_role: policy Leads")
    site.aws.policies, site.aws.unread = site.aws.policies[:1], 0
    assert await site.problems() == {}


async def test_problem_of_a_region_without_policies_names_the_region_as_a_possible_cause() -> None:
    """The configured Region may be wrong."""
    site = installed(new_world())
    account = Account(ACCOUNT, ("eu-south-1",))
    site.world.configuration.replace(replace(site.world.configuration.value, accounts=(account,)))
    site.aws.policies = []
    assert "in this Region" in (await site.problems())[f"policies {ACCOUNT} eu-south-1"]


# --- the queue, the clock


async def test_queue_to_which_no_one_may_send_is_a_problem(site: Site) -> None:
    """EventBridge cannot send either, and its failures have no log."""
    site.aws.queue = QueueSettings(lets_somebody_send=False, kms_key="")
    assert (await site.problems())["queue settings"].startswith("no_queue_policy: ")


async def test_unusual_queue_settings_are_no_problem_after_an_event_has_arrived(site: Site) -> None:
    """The queue seems to let no one send, and has an AWS managed key, but an event came through it."""
    site.aws.queue = QueueSettings(lets_somebody_send=False, kms_key="alias/aws/sqs")
    site.world.outcomes.succeeded(Work.EVENT, PLACE)
    assert await site.problems() == {}


@pytest.mark.parametrize("whose", ["AWS's", "Microsoft's"])
@pytest.mark.parametrize(
    ("ahead", "words"), [(61, "a minute behind"), (-610, "5 minutes ahead of"), (59, ""), (-59, "")]
)
async def test_clock_that_is_over_a_minute_from_aws_or_microsoft_is_a_problem(
    site: Site, whose: str, ahead: float, words: str
) -> None:
    """The clock may be ahead or behind. The problem says how much at least, and whose clock differs.

    59 seconds are no problem.
    """
    (site.aws if whose == "AWS's" else site.teams).ahead = ahead
    found = (await site.problems()).get("clock", "")
    assert (f"{words} {whose}" in found) if words else not found


async def test_clock_is_no_problem_while_neither_aws_nor_microsoft_answers(site: Site) -> None:
    """Other checks report that they do not answer."""
    site.aws.ahead = site.teams.ahead = None
    assert await site.problems() == {}


async def test_wrong_clock_is_reported_25_seconds_after_the_start(site: Site) -> None:
    """The first round begins 20 s after the start, and the check is repeated 5 s later."""
    site.teams.ahead = 3600
    running = asyncio.create_task(site.checks.run())
    await site.world.clock.advance(FIRST_AFTER + REPEATED_AFTER)
    assert "clock" in site.world.telemetry.health.problems()
    await site.world.clock.advance(PERIOD)
    running.cancel()


async def test_denied_decision_is_a_problem_until_aws_accepts_a_later_decision(site: Site) -> None:
    """AWS denies the role; after its policy was fixed, the next decision ends the problem."""
    site.world.aws.before["signal"] = [SignalRefused("AccessDeniedException", denied=True)]
    with capture_logs() as logs:
        async with site.world.running():
            key = await site.world.posted()
            await site.world.press(key, HANAKO)
            assert list(await site.problems()) == [f"decisions {ROLE}"]
            await site.world.press(key, HANAKO)
    assert [line["log_level"] for line in logs if line["event"] == "signal_sent"] == ["warning", "info"]
    assert await site.problems() == {}


# --- calls that say nothing, or only that nobody answers

THROTTLED = AwsThrottled("ThrottlingException")
UNREACHABLE = AwsUnavailable("EndpointConnectionError")


@pytest.mark.parametrize(
    ("call", "error", "found"),
    [
        ("read_members", ChatThrottled(1.0), {}),
        ("read_members", ChatUnavailable("http_503", ambiguous=False), {"channel approvals": "http_503: Teams does not"}),
        ("read_members", ChatRefused(ChatProblem.FORBIDDEN, "host_not_listed"), {"channel approvals": "host_not_listed: "}),
        ("sign_in", MicrosoftRefused("invalid_client AADSTS1", answered=True), {"token": "invalid_client AADSTS1: Entra refuses"}),
        ("sign_in", MicrosoftRefused("x AADSTS70011", answered=True), {"token": "x AADSTS70011: the scope belongs to another"}),
        ("sign_in", MicrosoftRefused("http_403", answered=True), {"token": "http_403: this is not Microsoft's answer"}),
        ("sign_in", MicrosoftRefused("TimeoutError", answered=False), {"token": "TimeoutError: check proxy, firewall"}),
        ("fetch_keys", MicrosoftRefused("TimeoutError", "GET x", answered=False), {"keys": "TimeoutError: GET x; check proxy"}),
        ("assume", THROTTLED, {}),
        ("approval_policies", THROTTLED, {}),
        ("queue_settings", THROTTLED, {}),
        ("queue_settings", UNREACHABLE, {"queue settings": "EndpointConnectionError: AWS cannot be reached"}),
        ("queue_settings", AwsUnavailable("RequestExpired"), {"queue settings": "RequestExpired: the clock of this machine is off"}),
        ("aws_ahead", UNREACHABLE, {}),
    ],
)  # fmt: skip
async def test_throttled_call_of_a_check_is_no_problem_and_failed_calls_except_the_clocks_are_reported(
    site: Site, call: str, error: Exception, found: dict[str, str]
) -> None:
    """Only the check whose call failed is reported. If AWS's clock cannot be read, no check reports it."""
    (site.aws if hasattr(site.aws, call) else site.teams).errors[call] = error
    shown = await site.problems()
    assert shown.keys() == found.keys()
    assert all(shown[name].startswith(words) for name, words in found.items())


async def test_problem_with_an_unknown_code_of_aws_is_the_code_alone(site: Site) -> None:
    """No advice is better than wrong advice."""
    site.aws.errors["queue_settings"] = AwsUnavailable("InternalFailure")
    assert await site.problems() == {"queue settings": "InternalFailure"}


@pytest.mark.parametrize(
    "texts", [pytest.param(texts, id=name) for name, texts in vars(advice).items() if name.isupper()]
)
def test_advice_has_no_full_stop_at_its_end(texts: object) -> None:
    """Several texts are joined with full stops between them, or continue in a sentence."""
    found = texts.values() if isinstance(texts, Mapping) else [texts]
    assert not any(each.endswith((".", "!", "?", " ")) for each in found if isinstance(each, str))


async def test_no_role_is_checked_if_the_domain_of_the_members_is_too_long_for_a_session_name(site: Site) -> None:
    """A session name has 64 characters at most."""
    site.world.people.people = [replace(HANAKO, upn=f"hanako@{'x' * 60}.example")]
    await site.problems()
    assert site.aws.sessions == []


async def test_role_is_checked_with_a_domain_of_the_configuration_if_the_members_have_none(site: Site) -> None:
    """Teams may return no UPN. Approvers are listed as `upn:`, or `people_domains` names the domain."""
    site.world.people.people = []
    value = site.world.configuration.value
    site.world.configuration.replace(replace(value, identity=IdentityRules(people_domains=frozenset({"example.org"}))))
    await site.problems()
    listed = replace(APPROVALS, levels=(LevelRule("Level2", ("upn:Mei@Example.NET",), ROLE),))
    site.world.configuration.replace(replace(value, channels=(listed,)))
    await site.problems()
    assert {each.name for each in site.aws.sessions} == {"node-access-bot@example.org", "node-access-bot@Example.NET"}


async def test_problem_with_direct_messages_names_five_people(site: Site) -> None:
    """Five object ids are enough to find the cause."""
    for number in range(7):
        site.world.outcomes.failed(Work.DIRECT, f"person-{number}", code="not_installed")
    assert "person-4 and others: upload" in (await site.problems())["direct messages"]


async def test_roster_is_read_again_only_while_its_last_read_lacked_something(site: Site) -> None:
    """The problem ends within a minute after its cause is gone. A complete roster is not read by this check."""
    check = microsoft.roster(APPROVALS, site.teams)
    site.teams.lacking = ("no_address",)
    await site.teams.read_members(CHANNEL)
    found = await check.find()
    assert found is not None
    assert found.code == "no_address"
    site.teams.lacking = ()
    assert await check.find() is None
    reads = site.teams.reads
    assert await check.find() is None
    assert site.teams.reads == reads


@pytest.mark.parametrize("problem", RosterProblem)
def test_every_problem_of_a_roster_has_advice(problem: RosterProblem) -> None:
    """Each text is longer than 40 characters, so that it can say what to do."""
    assert len(advice.ROSTER[problem]) > 40


def test_work_of_a_round_does_not_grow_with_accounts_times_channels() -> None:
    """With a hundred channels, a hundred accounts take less than twenty times as long to prepare as one account."""
    assert _seconds_to_name_checks(accounts=100, channels=100) < 20 * _seconds_to_name_checks(accounts=1, channels=100)


def _seconds_to_name_checks(*, accounts: int, channels: int) -> float:
    """Return the least time of five that it takes to name all checks."""
    world = new_world()
    rules = tuple(LevelRule(f"Level{number}", ("members",)) for number in range(3))
    many = [
        replace(APPROVALS, name=f"c{number}", conversation=f"19:{number}@thread.tacv2", levels=rules)
        for number in range(channels)
    ]
    value = replace(
        world.configuration.value,
        channels=tuple(many),
        accounts=tuple(Account(f"{number:012}", (REGION,)) for number in range(accounts)),
    )
    world.configuration.replace(value)
    installation = Installation(
        configuration=world.configuration,
        teams=world.teams_probes,
        aws=world.aws_probes,
        people=world.people,
        groups=world.groups,
        outcomes=world.outcomes,
        app_id=APP_ID,
        has_queue=True,
    )
    return min(timeit.repeat(installation.checks, number=1, repeat=5))
