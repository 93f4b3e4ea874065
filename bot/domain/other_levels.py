"""Finds out who approved the other levels of a request: bot.domain.rules.permission restricts who approves several.

Approvals count that AWS shows, from Teams or elsewhere, and those in the row that are in progress or accepted. This
module also finds out whether a channel lists enough people for a policy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.domain.decision import Decision, DecisionState
from bot.domain.identity import Directory, IdentityRules, Person, Principal, Requester, identify_requester
from bot.domain.record import Record
from bot.domain.request import Level, LevelState, Verdict, Vote
from bot.domain.routing import MEMBERS, Channel
from bot.domain.rules.approvers import entries_of, groups_in
from bot.domain.rules.claims import may_be_of, names_only_role, voted_by
from bot.domain.rules.permission import has_votable_approver
from bot.text.names import folded


@dataclass(frozen=True, slots=True)
class Voter:
    """A person who approved outside Teams. `user` is the Microsoft Entra object id, None if the Teams user is unknown.

    `proven` says whether the caller could not choose the name in the principal.
    """

    named: Requester
    user: str | None
    proven: bool

    def is_person(self, person: Person) -> bool | None:
        """Return whether the voter is this person; None if that is unknown."""
        if self.user is not None:
            alike = folded(self.named.principal.own_names) & folded(person.spellings)
            return True if self.user == person.user else None if alike else False
        if self.named.is_person(person):
            return True if self.proven else None
        return False if self.named.identified and self.named.comparable_with(person) else None


@dataclass(frozen=True, slots=True)
class OtherLevels:
    """The approvals at all levels of a request but one: of people in Teams, and of voters elsewhere.

    If not `certain`, approvals are missing, or a voter could be anybody.
    """

    people: tuple[Person, ...]
    voters: tuple[Voter, ...]
    certain: bool

    def approved_by(self, person: Person) -> bool | None:
        """Return whether the person approved one of the levels; None if that is unknown."""
        answers = [voter.is_person(person) for voter in self.voters]
        if True in answers or any(is_same_person(person, each) for each in self.people):
            return True
        return None if None in answers or not self.certain else False


def other_levels(record: Record, step: str, rules: IdentityRules) -> OtherLevels:
    """Return the approvals at the levels of a row's request other than `step`. `rules` identify the voters."""
    if record.request and len(record.request.levels) == 1:
        return OtherLevels((), (), certain=True)  # whatever the row has, it is about this level
    people = [each.person for each in record.decisions if each.step != step and is_approval(each)]
    voters: list[Voter] = []
    certain = not record.has_unrecognized_decision
    levels = record.request.levels if record.request else ()
    for level in levels:
        if level.step == step or level.state is LevelState.NOT_STARTED:
            continue
        here = [each for each in record.decisions if each.step == level.step and each.verdict is Verdict.APPROVE]
        approvals = [vote for vote in level.votes or () if vote.verdict is Verdict.APPROVE]
        people += [each.person for each in here if any(voted_by(vote, each) for vote in approvals)]
        outside = [_voter(vote, record, rules) for vote in _outside(approvals, here)]
        voters += outside
        certain &= _is_complete(level, approvals, here) and all(each.user or each.named.identified for each in outside)
    return OtherLevels(tuple(people), tuple(voters), certain)


def is_approval(decision: Decision) -> bool:
    """True for an approval in progress, or one that AWS accepted."""
    kept = decision.state.live or decision.state is DecisionState.CONFIRMED
    return kept and decision.verdict is Verdict.APPROVE


def approvers_elsewhere(record: Record) -> frozenset[tuple[str, str]]:
    """Return step and object id of each approval in Teams at a level that does not wait for decisions."""
    waiting = record.request.waiting.step if record.request and record.request.waiting else None
    return frozenset((each.step, each.person.user) for each in record.decisions if _is_elsewhere(each, waiting))


def is_same_person(one: Person, other: Person) -> bool:
    """True if two people share an id, name or address. Used to refuse."""
    return one.user == other.user or bool(folded(one.spellings) & folded(other.spellings))


def _is_elsewhere(decision: Decision, waiting: str | None) -> bool:
    return is_approval(decision) and decision.step != waiting


def _outside(approvals: Sequence[Vote], here: Sequence[Decision]) -> list[Vote]:
    """Return AWS's approvals at a level that are not those of the row's decisions there."""
    others = [vote for vote in approvals if not any(voted_by(vote, each) for each in here)]
    unshown = _unshown(approvals, here)
    for vote in tuple(others):
        own = next((each for each in unshown if names_only_role(vote, each) and may_be_of(vote, each)), None)
        if own:  # AWS shows neither its session nor its comment
            unshown.remove(own)
            others.remove(vote)
    return others


def _unshown(approvals: Sequence[Vote], here: Sequence[Decision]) -> list[Decision]:
    """Return the row's approvals at a level that no vote in AWS names."""
    return [each for each in here if is_approval(each) and not any(voted_by(vote, each) for vote in approvals)]


def _is_complete(level: Level, approvals: Sequence[Vote], here: Sequence[Decision]) -> bool:
    """True if AWS and the row show as many approvals as ended the level.

    While the votes are unreadable, the level's number of approvals must be known.
    """
    if level.votes is None and level.required is None:
        return False
    if level.votes is not None and level.state is not LevelState.APPROVED:
        return True
    accepted = [each for each in _unshown(approvals, here) if each.state is DecisionState.CONFIRMED]
    return len(approvals) + len(accepted) >= (level.required or 1)


def _voter(vote: Vote, record: Record, rules: IdentityRules) -> Voter:
    principal = Principal.parse(vote.by)
    proven = rules.trusts(principal) or not principal.named_by_caller
    user = dict(record.voter_users).get(vote.by) if proven else None
    return Voter(identify_requester(vote.by, rules, Directory()), user, proven)


# --- before any request: whether a policy can be approved at all


def lacks_people(channel: Channel, levels: Sequence[Level]) -> bool:
    """True if a channel lists too few people to approve all levels of a policy, as each approves one level only.

    Levels that the console decides, that list no one, `members` or a group, or whose rule allows several levels, do
    not count. Nor does a level that lists too few people for itself. An object id and a UPN count as two people.
    """
    if not channel.decide:
        return False
    places: list[frozenset[str]] = []  # of each approval, the people who may give it
    for level in levels:
        listed = entries_of(channel.approvers_at(level.step))
        counted = MEMBERS not in listed and not groups_in(listed)
        if channel.one_level_at(level.step) and has_votable_approver(level) and counted:
            places += [listed] * min(level.required or 1, len(listed))
    taken: dict[str, int] = {}
    return not all(_is_placed(place, places, taken, set()) for place in range(len(places)))


def _is_placed(place: int, places: Sequence[frozenset[str]], taken: dict[str, int], tried: set[str]) -> bool:
    """Give an approval to a person, who may pass an earlier one on to another person. False if no one is left."""
    for person in sorted(places[place] - tried):
        tried.add(person)
        if person not in taken or _is_placed(taken[person], places, taken, tried):
            taken[person] = place
            return True
    return False
