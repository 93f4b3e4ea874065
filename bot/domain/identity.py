"""Identities: people in Teams, principals in AWS, and when a principal is known to be a certain person.

A session name identifies a person only if the caller of AssumeRole cannot choose it.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property, lru_cache

from bot.text.names import as_typed, exact, fold, folded

_ASSUMED_ROLE = re.compile(r"arn:(aws[\w-]*):sts::(\d{12}):assumed-role/((?:[^/]+/)*)([^/]+)/([^/]+)", re.ASCII)
_ROLE = re.compile(r"arn:(aws[\w-]*):iam::(\d{12}):role/((?:[^/]+/)*)([^/]+)", re.ASCII)
_MADE_BY_STS = re.compile(r"arn:[^:]*:sts:", re.IGNORECASE)  # sessions, and GetFederationToken's federated users
_OBJECT_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)  # Microsoft Entra's
_USER_ID = re.compile(rf"(?:[0-9a-f]{{10}}-)?{_OBJECT_ID.pattern}", re.IGNORECASE)  # IAM Identity Center's
_SEPARATOR = re.compile("[/:]")
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
ROLES_KEPT = 256  # ARNs; the rows of a list have the same few roles
SPELLINGS_KEPT = 1024  # sets of names; each row of a list is compared with the same people
PERSON_TAG = "NodeAccessPerson"  # a session's tag: the Microsoft Entra object id, which no rename changes
SSO_ROLE_PREFIX = "AWSReservedSSO_"  # only IAM Identity Center makes such roles, and it sets the session name


@dataclass(frozen=True, slots=True)
class Person:
    """A person in Teams, with the data of an authenticated activity or of the roster."""

    object_id: str  # Microsoft Entra object id
    tenant_id: str
    name: str = ""
    upn: str | None = None
    mail: str | None = None
    teams_id: str | None = None  # `29:…`
    guest: bool = False

    @property
    def user(self) -> str:
        """The object id in the form for comparisons."""
        return exact(self.object_id)

    @property
    def spellings(self) -> frozenset[str]:
        """Every id and address of this person; for guests also the address in their home tenant."""
        return spellings_of(self.object_id, self.upn, self.mail, self.teams_id, _home_address(self.upn))

    @property
    def identifying_spellings(self) -> frozenset[str]:
        """The ids and addresses that this person could not choose.

        For guests, and for people with a UPN of another tenant (`#EXT#`), the mail address does not count. The address
        in the home tenant never does.
        """
        from_elsewhere = self.guest or _home_address(self.upn) is not None
        return spellings_of(self.object_id, self.upn, None if from_elsewhere else self.mail, self.teams_id)

    def is_named(self, names: frozenset[str]) -> bool:
        """True if the person could have one of the folded names."""
        return bool(folded(self.identifying_spellings) & names)

    @property
    def names_that_may_refuse(self) -> frozenset[str]:
        """Every folded name by which `Requester.is_person` may find that this person is the requester."""
        return folded((*self.spellings, *map(_mailbox, spellings_of(self.upn, self.mail))))

    @property
    def shown_name(self) -> str:
        """The display name, else the UPN, else the object id."""
        return self.name or self.upn or self.object_id

    @property
    def session_name(self) -> str:
        """The name of the role session that signals this person's decision: the UPN if valid, else the object id."""
        upn = self.upn or ""
        return upn if _SESSION_NAME.fullmatch(upn) else self.object_id


@lru_cache(maxsize=ROLES_KEPT)
def role_of_arn(arn: str) -> tuple[str, str, str] | None:
    """Return partition, account and case-folded name of the role in an ARN of a role or session; None for any other.

    IAM allows no two role names in an account that differ only in case or path.
    """
    found = _ASSUMED_ROLE.fullmatch(arn) or _ROLE.fullmatch(arn)
    return (found[1], found[2], found[4].casefold()) if found else None


def same_role(one: str, other: str) -> bool:
    """True if two ARNs of roles or sessions name the same role. Paths count if neither is a session, which has none."""
    role = role_of_arn(one)
    if role is None or role != role_of_arn(other):
        return False
    paths = {found[3].casefold() for found in map(_ROLE.fullmatch, (one, other)) if found}
    return len(paths) < 2


def _home_address(upn: str | None) -> str | None:
    """Return `alice@example.org` for a guest's UPN in this tenant, `alice_example.org#EXT#@…`; None for others."""
    home, mark, _ = (upn or "").lower().partition("#ext#@")
    local, _, domain = home.rpartition("_")
    return f"{local}@{domain}" if mark and local and domain else None


@lru_cache(maxsize=SPELLINGS_KEPT)
def spellings_of(*names: str | None) -> frozenset[str]:
    """Return the names without empty ones, in the strict form for comparisons that can grant something."""
    return frozenset(exact(name) for name in names if name and name.strip())


class PrincipalKind(StrEnum):
    """Kind of an AWS principal that made a request or voted."""

    SESSION = "session"
    IDENTITY_CENTER_USER = "identity_center_user"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Principal:
    """A requester or voter as AWS names it, in `text`. `role` and `session` are set for sessions only."""

    text: str
    kind: PrincipalKind
    role: str | None = None
    session: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Principal":
        """Parse the ARN of a role session, or an Identity Center user id. Any other text is OTHER, never an error."""
        if found := _ASSUMED_ROLE.fullmatch(text):
            return cls(text, PrincipalKind.SESSION, role=found[4], session=found[5])
        if _USER_ID.fullmatch(text):
            return cls(text, PrincipalKind.IDENTITY_CENTER_USER)
        return cls(text, PrincipalKind.OTHER)

    @property
    def named_by_caller(self) -> bool:
        """True for sessions and federated users of STS: the caller chooses the name unless a trust policy fixes it."""
        return bool(_MADE_BY_STS.match(self.text))

    @property
    def own_names(self) -> tuple[str, ...]:
        """The text itself and the name in it: of a session, an IAM user without its path, a federated user, a role."""
        return tuple(filter(None, (self.text, self.session, _SEPARATOR.split(self.text)[-1])))

    @property
    def shown_name(self) -> str:
        """The session name, else the last part of the ARN, else the text itself."""
        return self.session or self.text.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class IdentityRules:
    """[identity] and [people] of node-access.toml."""

    trusted_roles: frozenset[str] = frozenset()
    people_domains: frozenset[str] = frozenset()  # case-folded
    allow_unidentified: bool = False
    allow_unmatched: bool = False  # True: an address that matches no Teams user can identify a requester
    # whether a person's sessions carry their session name as source identity, which role chaining keeps
    source_identity: bool = False
    external_id: str | None = None  # passed in every AssumeRole call
    session_tags: bool = False  # whether a person's sessions carry PERSON_TAG
    approver_roles: tuple[str, ...] = ()  # ARNs, trusted like `trusted_roles`; only to show the names of voters
    people: Mapping[str, str] | None = None  # principal -> `user:` id, UPN or mail of a Teams user

    @cached_property
    def mark(self) -> str:
        """Fingerprint of the rules: rules with equal fingerprints identify requesters in the same way."""
        people = sorted((self.people or {}).items())
        rules = [sorted(self.trusted_roles), sorted(self.people_domains), people]
        # without the setting the fingerprint is that of versions which did not have it
        identifying = json.dumps([*rules, "unmatched"] if self.allow_unmatched else rules)
        return hashlib.sha256(identifying.encode(errors="backslashreplace")).hexdigest()[:16]

    def trusts(self, principal: Principal) -> bool:
        """True for a session whose name its caller could not choose; False for all other principals."""
        role = principal.role or ""
        if role.startswith(SSO_ROLE_PREFIX) or role in self.trusted_roles:
            return True
        return any(same_role(principal.text, each) for each in self.approver_roles)

    def person_of(self, principal: Principal) -> str | None:
        """Return the [people] entry of this principal, or None. Entries for names that a caller chose are ignored."""
        if principal.named_by_caller and not self.trusts(principal):
            return None
        entry = (self.people or {}).get(principal.text)
        return as_typed(entry) if entry else None

    def people_like(self, principal: Principal) -> tuple[str, ...]:
        """Return the [people] entries whose key could mean this principal. They are used to refuse, never to identify.

        IAM allows no two user names that differ only in case, but session names are compared exactly in AWS.
        """
        key = fold(principal.text)
        return tuple(as_typed(entry) for each, entry in (self.people or {}).items() if fold(each) == key)


@dataclass(frozen=True, slots=True)
class Directory:
    """The data to identify a requester: members of the rosters, and the names in the Identity Center record."""

    people: tuple[Person, ...] = ()
    identity_center_names: tuple[str, ...] = ()  # user name and primary mail address; "" for a missing one
    complete: bool = True  # False: a roster could not be read, so people may be missing


@dataclass(frozen=True, slots=True)
class Requester:
    """Who made a request: the principal, the names, ids and addresses known for it, and the Teams user if known."""

    principal: Principal
    identified: bool
    spellings: frozenset[str]
    person: Person | None = None  # the Teams user, if exactly one is known
    name: str = ""
    rules: str = ""  # IdentityRules.mark of the rules that were applied
    unmatched: str = ""  # the address by which the requester is known, if it matches no Teams user
    sought_everywhere: bool = True  # False: no Teams user was found, but not every roster could be read

    @property
    def may_be_found(self) -> bool:
        """True if no Teams user was found, but not every roster could be read: a later read may find one."""
        return self.person is None and not self.sought_everywhere

    @property
    def _learnt(self) -> frozenset[str]:
        """The names that are not in the principal."""
        return self.spellings - spellings_of(self.principal.text, self.principal.session)

    @property
    def known_by_address_only(self) -> bool:
        """True if an address that matches no Teams user identifies the requester: it may be an alias of any of them."""
        if self.person is not None or not self.identified:
            return False
        learnt = self._learnt
        return not learnt or any(map(_is_address, learnt))

    @property
    def own_names(self) -> frozenset[str]:
        """Every folded name, id and address of the requester. A person with none of them is somebody else."""
        return folded((*self.spellings, *self.principal.own_names))

    def is_person(self, person: Person) -> bool:
        """True if the requester may be this person, because they share any id, name or address. Used to refuse.

        While the requester is unidentified, the name `jiro` may also be the person with the address `jiro@…`.
        """
        return self.person_check()(person)

    def person_check(self) -> Callable[[Person], bool]:
        """Return `is_person` for a comparison with many people: it prepares the requester's own names once."""
        own = self.own_names

        def is_person(person: Person) -> bool:
            if own & folded(person.spellings):
                return True
            return not self.identified and bool(own & folded(map(_mailbox, spellings_of(person.upn, person.mail))))

        return is_person

    def is_identified_as(self, person: Person) -> bool:
        """True only if the requester is identified as this person. Used to show people their own requests.

        Names that a caller or a guest chose count for `is_person`, but not here.
        """
        if self.person is not None:
            return self.identified and self.person.user == person.user
        return self.identified and bool(self.spellings & person.identifying_spellings)

    def refusing_as(self, earlier: "Requester | None") -> "Requester":
        """Add the names that an earlier read found for the same principal; its display name, if any, replaces this one.

        The added names are used to refuse a person, never to identify the requester.
        """
        if earlier is None or earlier.principal != self.principal:
            return self
        return replace(self, spellings=self.spellings | earlier.spellings, name=earlier.name or self.name)

    def comparable_with(self, person: Person) -> bool:
        """True if the person and the requester can be compared, so that differing names prove two people.

        - A requester who is matched to a Teams user: the person needs an address.
        - An unidentified requester: the person needs a UPN.
        - A requester known only by addresses: the person needs a UPN, and an address in one of the same domains.
        - A requester known only by an object id: the person needs an object id.

        An Identity Center user name may look like an object id, so an object id next to an address does not count.
        """
        addresses = spellings_of(person.upn, person.mail)
        if self.person is not None:
            return bool(addresses)
        if not self.identified:
            return bool(person.upn)
        if any(map(_OBJECT_ID.fullmatch, self._learnt)) and not any(map(_is_address, self._learnt)):
            return bool(person.object_id)
        if not person.upn:
            return False  # everyone has a UPN: Teams did not return it, and it may be the requester's
        return bool({_domain(each) for each in addresses} & {_domain(each) for each in self.spellings if "@" in each})


def requester_names(text: str, rules: IdentityRules) -> tuple[str, ...]:
    """Return the addresses and ids by which a directory may know this requester, that of a [people] entry first."""
    principal = Principal.parse(text)
    session = principal.session if rules.trusts(principal) else None
    names = (rules.person_of(principal), session)
    return tuple(map(_entry_name, filter(None, names)))


def names_to_look_up(text: str, rules: IdentityRules, record: Iterable[str] = ()) -> frozenset[str]:
    """Return the folded ids and addresses of all people who could have made the request.

    `text` is the requester as AWS writes it, and `record` has the names in the Identity Center record.
    """
    principal = Principal.parse(text)
    return folded((*requester_names(text, rules), *record, *_doubtful_names(principal, rules), *principal.own_names))


def _entry_name(entry: str) -> str:
    return entry.removeprefix("user:").removeprefix("upn:")


def needs_record(text: str, rules: IdentityRules) -> bool:
    """True for an IAM Identity Center user without a [people] entry: only the user record can identify them."""
    principal = Principal.parse(text)
    return principal.kind is PrincipalKind.IDENTITY_CENTER_USER and not rules.person_of(principal)


def _domain(address: str) -> str:
    return address.rpartition("@")[2]


def _mailbox(address: str) -> str:
    return address.rpartition("@")[0]


def _is_address(name: str) -> bool:
    local, mark, domain = name.rpartition("@")
    return bool(local and mark and domain)


def identify_requester(text: str, rules: IdentityRules, directory: Directory) -> Requester:
    """Return who the requester is.

    A requester is identified by one of these:

    - A [people] entry with an object id.
    - A name that equals an id or address of exactly one known person. The whole name counts, and letter case is
      ignored. The name comes from a [people] entry, the Identity Center record, or the session of a trusted role.
    - With `allow_unmatched`, an address that no known person has, if a [people] entry has it or if its domain is in
      `people_domains`.

    A name that may belong to several people identifies no one. Nor does a name that only resembles a known one.
    """
    principal = Principal.parse(text)
    record = _record_names(text, rules, directory)
    names = spellings_of(*requester_names(text, rules), *record)
    similar = _similar(directory.people, folded(names))
    person = similar[0] if len(similar) == 1 and similar[0].identifying_spellings & names else None
    doubtful = _doubtful_names(principal, rules)
    by_name = not similar and not doubtful and is_identified_by_name(principal, names, rules)
    identified = person is not None or by_name
    known = names | doubtful | spellings_of(principal.text, principal.session)
    suspects = similar if identified else _similar(directory.people, names_to_look_up(text, rules, record))
    return Requester(
        principal,
        identified=identified,
        spellings=known.union(*(suspect.spellings for suspect in suspects)),
        person=person,
        name=person.shown_name if person else next(iter(record), principal.shown_name),
        rules=rules.mark,
        unmatched="" if similar or doubtful else _address(principal, rules, record),
        sought_everywhere=directory.complete or bool(similar) or not names,
    )


def _doubtful_names(principal: Principal, rules: IdentityRules) -> frozenset[str]:
    """Return the names in [people] for principals that resemble this one; empty if [people] has this one."""
    entries = () if rules.person_of(principal) else rules.people_like(principal)
    return spellings_of(*map(_entry_name, entries))


def _record_names(text: str, rules: IdentityRules, directory: Directory) -> tuple[str, ...]:
    """Return the names in the Identity Center record; empty for principals that it does not identify."""
    if not needs_record(text, rules):
        return ()
    return tuple(name.strip() for name in directory.identity_center_names if name.strip())


def _similar(people: Iterable[Person], names: frozenset[str]) -> list[Person]:
    """Return the people who could have one of the folded names, those with a similar name included."""
    unique = {person.user: person for person in people if person.is_named(names)}
    return list(unique.values())


def is_identified_by_name(principal: Principal, names: frozenset[str], rules: IdentityRules) -> bool:
    """True if the names, which match no Teams user, identify a requester: by object id, or if addresses are allowed."""
    entry = rules.person_of(principal)
    if entry and not _is_address(_entry_name(entry)):
        return True
    if not rules.allow_unmatched:
        return False
    return bool(entry) or any(_domain(name) in rules.people_domains for name in names if _is_address(name))


def _address(principal: Principal, rules: IdentityRules, record: tuple[str, ...]) -> str:
    """Return the address by which the requester is known; "" if it is known by no address, or by an object id."""
    names = requester_names(principal.text, rules)[:1]  # the [people] entry, else the trusted session name
    return next(filter(_is_address, (*names, *record)), "")
