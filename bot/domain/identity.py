"""Who is who: people in Teams, principals in AWS, and when a requester is known to be a certain person.

A session name identifies a person only where the caller of AssumeRole cannot choose it.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

_ASSUMED_ROLE = re.compile(r"arn:aws[\w-]*:sts::(\d{12}):assumed-role/(?:[^/]+/)*([^/]+)/([^/]+)", re.ASCII)
_ROLE = re.compile(r"arn:aws[\w-]*:iam::(\d{12}):role/(?:[^/]+/)*([^/]+)", re.ASCII)
_MADE_BY_STS = re.compile(r"arn:[^:]*:sts:", re.IGNORECASE)  # sessions, and GetFederationToken's federated users
_OBJECT_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)  # Microsoft Entra's
_USER_ID = re.compile(rf"(?:[0-9a-f]{{10}}-)?{_OBJECT_ID.pattern}", re.IGNORECASE)  # IAM Identity Center's
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
PERSON_TAG = "NodeAccessPerson"  # a session's tag: the Microsoft Entra object id, which no rename changes
SSO_ROLE_PREFIX = "AWSReservedSSO_"  # only IAM Identity Center makes such roles, and it sets the session name


@dataclass(frozen=True, slots=True)
class Person:
    """A person in Teams as a signed activity or the roster names them."""

    object_id: str  # Microsoft Entra object id
    tenant_id: str
    name: str = ""
    upn: str | None = None
    mail: str | None = None
    teams_id: str | None = None  # `29:…`
    guest: bool = False

    @property
    def spellings(self) -> frozenset[str]:
        """Every id and address of this person, case-folded; a guest's address at home too."""
        return spellings_of(self.object_id, self.upn, self.mail, self.teams_id, _home_address(self.upn))

    @property
    def certain_spellings(self) -> frozenset[str]:
        """Those by which somebody else's name may be read as this person's: a guest chose the own mail address.

        So did, or another tenant did, whoever comes from there, full member or not.
        """
        from_elsewhere = self.guest or _home_address(self.upn) is not None
        return spellings_of(self.object_id, self.upn, None if from_elsewhere else self.mail, self.teams_id)

    @property
    def shown_name(self) -> str:
        """The best name to show."""
        return self.name or self.upn or self.object_id

    @property
    def session_name(self) -> str:
        """The role session name under which AWS records this person's signal."""
        upn = self.upn or ""
        return upn if _SESSION_NAME.fullmatch(upn) else self.object_id


def role_of_arn(arn: str) -> tuple[str, str] | None:
    """Return account and name of the role that an ARN names, the role's own or a session's; None for any other."""
    found = _ASSUMED_ROLE.fullmatch(arn)
    if found:
        return found[1], found[2].casefold()  # IAM tells names of roles apart by more than case
    role = _ROLE.fullmatch(arn)
    return (role[1], role[2].casefold()) if role else None


def assumed_role_arn(role: str, session: str) -> str:
    """Return the session's ARN as CloudTrail shows it; a role's path is not part of it."""
    partition, account, name = role.split(":")[1], role.split(":")[4], role.rsplit("/", 1)[-1]
    return f"arn:{partition}:sts::{account}:assumed-role/{name}/{session}"


def _home_address(upn: str | None) -> str | None:
    """Read `alice@example.org` from the name that a guest gets here: `alice_example.org#EXT#@…`."""
    home, mark, _ = (upn or "").casefold().partition("#ext#@")
    local, _, domain = home.rpartition("_")
    return f"{local}@{domain}" if mark and local and domain else None


def spellings_of(*names: str | None) -> frozenset[str]:
    """Case-fold names for comparison, without the empty ones."""
    return frozenset(name.strip().casefold() for name in names if name and name.strip())


class PrincipalKind(StrEnum):
    """What sort of AWS principal asked."""

    SESSION = "session"
    IDENTITY_CENTER_USER = "identity_center_user"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Principal:
    """The requester as AWS names it."""

    text: str
    kind: PrincipalKind
    role: str | None = None
    session: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Principal":
        """Read an ARN or an Identity Center user id; what is neither is OTHER, never an error."""
        if found := _ASSUMED_ROLE.fullmatch(text):
            return cls(text, PrincipalKind.SESSION, role=found[2], session=found[3])
        if _USER_ID.fullmatch(text):
            return cls(text, PrincipalKind.IDENTITY_CENTER_USER)
        return cls(text, PrincipalKind.OTHER)

    @property
    def named_by_caller(self) -> bool:
        """True for whatever STS made: who calls it chooses the name, unless a trust policy pins it."""
        return bool(_MADE_BY_STS.match(self.text))

    @property
    def shown_name(self) -> str:
        """The shortest name that still says who."""
        return self.session or self.text.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class IdentityRules:
    """[identity] and [people] of node-access.toml."""

    trusted_roles: frozenset[str] = frozenset()
    people_domains: frozenset[str] = frozenset()  # case-folded
    allow_unidentified: bool = False
    source_identity: bool = False  # of a person's sessions: the same name, which role chaining keeps
    external_id: str | None = None  # told whenever a role is assumed
    session_tags: bool = False  # of a person's sessions: PERSON_TAG
    people: Mapping[str, str] | None = None  # principal -> `user:` id, UPN or mail of a Teams user

    @property
    def mark(self) -> str:
        """A short text that differs where requesters may be placed differently."""
        people = sorted((self.people or {}).items())
        identifying = json.dumps([sorted(self.trusted_roles), sorted(self.people_domains), people])
        return hashlib.sha256(identifying.encode(errors="backslashreplace")).hexdigest()[:16]

    def trusts(self, principal: Principal) -> bool:
        """True where the caller could not choose the session name."""
        role = principal.role or ""
        return role.startswith(SSO_ROLE_PREFIX) or role in self.trusted_roles

    def person_of(self, principal: Principal) -> str | None:
        """The [people] entry of this principal; a session or federated user whose name the caller chose has none."""
        if principal.named_by_caller and not self.trusts(principal):
            return None
        return (self.people or {}).get(principal.text)


@dataclass(frozen=True, slots=True)
class Directory:
    """What was looked up about a requester: people of the rosters, and the Identity Center record's names."""

    people: tuple[Person, ...] = ()
    identity_center_names: tuple[str, ...] = ()  # user name and primary mail address, empty where there is none


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asked: the principal, every known spelling, and, where placed, the person."""

    principal: Principal
    identified: bool
    spellings: frozenset[str]
    person: Person | None = None  # the one Teams user, where one is known
    name: str = ""
    rules: str = ""  # the mark of the rules by which all this was said

    def is_person(self, person: Person) -> bool:
        """True if any id or address of the person is a known spelling of the requester."""
        return bool(self.spellings & person.spellings)

    def is_certainly(self, person: Person) -> bool:
        """True only where it is certain that this person asked.

        `is_person` refuses on less: a session name that the caller chose, an address that a guest did. Neither is a
        reason to show anybody a request.
        """
        if self.person is not None:
            return self.identified and self.person.object_id.casefold() == person.object_id.casefold()
        return self.identified and bool(self.spellings & person.certain_spellings)

    def refusing_as(self, earlier: "Requester | None") -> "Requester":
        """Keep what an earlier look knew of the same principal, and this one could not read, to refuse by.

        It places nobody: whoever was placed by it is not until it is read again.
        """
        if earlier is None or earlier.principal != self.principal:
            return self
        return replace(self, spellings=self.spellings | earlier.spellings, name=earlier.name or self.name)

    def comparable_with(self, person: Person) -> bool:
        """True if a difference between the two means that they are two people.

        Whoever is matched to a Teams user is told from others by an address, and so is whoever is not placed at all;
        whoever is known by an address alone, by an address of the same domain; by an object id alone, by that.
        A user name of Identity Center may look like an object id and be none: beside an address it does not count.
        """
        addresses = spellings_of(person.upn, person.mail)
        if self.person is not None or not self.identified:
            return bool(addresses)
        learnt = self.spellings - spellings_of(self.principal.text, self.principal.session)
        if any(map(_OBJECT_ID.fullmatch, learnt)) and not any(map(_is_address, learnt)):
            return bool(person.object_id)
        return bool({_domain(each) for each in addresses} & {_domain(each) for each in self.spellings if "@" in each})


def requester_names(text: str, rules: IdentityRules) -> tuple[str, ...]:
    """Return the addresses and ids by which this requester may be looked up in a directory, most certain first."""
    principal = Principal.parse(text)
    session = principal.session if rules.trusts(principal) else None
    names = (rules.person_of(principal), session)
    return tuple(name.removeprefix("user:").removeprefix("upn:") for name in names if name)


def needs_record(text: str, rules: IdentityRules) -> bool:
    """True for a user of IAM Identity Center of whom [people] says nothing: the record alone can tell who that is."""
    principal = Principal.parse(text)
    return principal.kind is PrincipalKind.IDENTITY_CENTER_USER and not rules.person_of(principal)


def _domain(address: str) -> str:
    return address.rpartition("@")[2]


def _is_address(name: str) -> bool:
    local, mark, domain = name.rpartition("@")
    return bool(local and mark and domain)


def identify_requester(text: str, rules: IdentityRules, directory: Directory) -> Requester:
    """Say who the requester is, as far as that is certain.

    Placed by a [people] entry, by an Identity Center record that has an address, or by a trusted session name that
    equals (whole, case-folded) UPN or mail of exactly one known person or lies in one of `people_domains`.
    """
    principal = Principal.parse(text)
    record = _record_names(text, rules, directory)
    certain = spellings_of(*requester_names(text, rules), *record)
    matches = _matching(directory.people, certain)
    person = matches[0] if len(matches) == 1 else None
    identified = person is not None or _identified_by_name(principal, certain, rules, record)
    if len(matches) > 1:
        identified = False  # an address of several people says nothing about which of them asked
    known = certain | spellings_of(principal.text, principal.session)
    spellings = known.union(*(match.spellings for match in matches))
    name = person.shown_name if person else next(iter(record), principal.shown_name)
    return Requester(principal, identified=identified, spellings=spellings, person=person, name=name, rules=rules.mark)


def _record_names(text: str, rules: IdentityRules, directory: Directory) -> tuple[str, ...]:
    """Return what the record says, where it counts; a record says nothing about any other kind of principal."""
    if not needs_record(text, rules):
        return ()
    return tuple(name.strip() for name in directory.identity_center_names if name.strip())


def _matching(people: Iterable[Person], names: frozenset[str]) -> list[Person]:
    unique = {person.object_id.casefold(): person for person in people if person.certain_spellings & names}
    return list(unique.values())


def _identified_by_name(
    principal: Principal, certain: frozenset[str], rules: IdentityRules, record: tuple[str, ...]
) -> bool:
    if rules.person_of(principal) or any(map(_is_address, record)):
        return True
    return any(name.rpartition("@")[2] in rules.people_domains for name in certain if "@" in name)
