"""The sample people and conversations of the simulated Teams, and the Playground's configuration with them.

No network and no process.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

SAMPLE_TENANT: Final = "11111111-1111-4111-8111-111111111111"
SAMPLE_APP_ID: Final = "22222222-2222-4222-8222-222222222222"
BOT_NAME: Final = "Node Access Bot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Language and time zone that a Teams client sends with each activity."""

    locale: str
    timezone: str


JAPANESE: Final = Client(locale="ja-JP", timezone="Asia/Tokyo")
ENGLISH: Final = Client(locale="en-US", timezone="UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user of the sample tenant: `mri` is the id on the wire (`29:…`), `object_id` Microsoft Entra's.

    Equal if the ids are: the name and the client depend on the language of the sandbox.
    """

    mri: str
    object_id: str
    name: str = field(compare=False)
    given_name: str = field(compare=False)
    surname: str = field(compare=False)
    upn: str  # user principal name; here the mail address as well
    client: Client = field(compare=False)

    @property
    def spellings(self) -> frozenset[str]:
        """Return every id by which an API may name this person, case-folded."""
        return frozenset(spelling.casefold() for spelling in (self.mri, self.object_id, self.upn))


def _person(number: int, mri: str, client: Client, *, surname: str, given_name: str, upn: str) -> Person:
    names = (surname, given_name) if client is JAPANESE else (given_name, surname)
    return Person(
        mri=mri,
        object_id=f"aaaaaaaa-0000-4000-8000-{number:012d}",
        name=" ".join(names),
        given_name=given_name,
        surname=surname,
        upn=upn,
        client=client,
    )


HANAKO: Final = _person(
    1, "29:1-sato-hanako", JAPANESE, surname="佐藤", given_name="花子", upn="hanako.sato@example.com"
)
ICHIRO: Final = _person(
    2, "29:1-tanaka-ichiro", JAPANESE, surname="田中", given_name="一郎", upn="ichiro.tanaka@example.com"
)
MEI: Final = _person(3, "29:1-suzuki-mei", JAPANESE, surname="鈴木", given_name="芽依", upn="mei.suzuki@example.com")
ALEX: Final = _person(
    4, "29:1-alex-wilber", ENGLISH, surname="Wilber", given_name="Alex", upn="alex.wilber@example.com"
)
PRIYA: Final = _person(5, "29:1-priya-nair", ENGLISH, surname="Nair", given_name="Priya", upn="priya.nair@example.com")
TARO: Final = _person(6, "29:1-yamada-taro", JAPANESE, surname="山田", given_name="太郎", upn="taro.yamada@example.com")

PEOPLE: Final = (HANAKO, ICHIRO, MEI, ALEX, PRIYA, TARO)  # the Playground requires exactly six
APPROVERS: Final = (HANAKO, ICHIRO, MEI, ALEX)  # of the sandbox's channel
READER: Final = PRIYA  # a member of that channel who decides nothing
AT_THE_BROWSER: Final = HANAKO  # the Playground's current user: it shows only this person's 1:1 chat


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """The sample people as a sandbox in one language shows them: the same ids, but other names and clients."""

    people: tuple[Person, ...]
    colleague: Person  # has a Teams client in the other language

    def called(self, spelling: str) -> Person | None:
        """Return the person with this `29:` id, object id or UPN, ignoring case, or None."""
        return next((person for person in self.people if spelling.casefold() in person.spellings), None)

    def shown(self, person: Person) -> Person:
        """Return this person with the name and the client of this cast."""
        return next(each for each in self.people if each == person)


def _in_english(person: Person, given_name: str, surname: str) -> Person:
    return replace(person, name=f"{given_name} {surname}", given_name=given_name, surname=surname, client=ENGLISH)


_COLLEAGUE: Final = replace(_in_english(MEI, "Mei", "Suzuki"), name="Mei Suzuki (鈴木 芽依)", client=JAPANESE)
CASTS: Final = MappingProxyType(  # by the language of the sandbox
    {
        "en": Cast(
            people=(
                _in_english(HANAKO, "Hanako", "Sato"),
                _in_english(ICHIRO, "Ichiro", "Tanaka"),
                _COLLEAGUE,
                ALEX,
                PRIYA,
                _in_english(TARO, "Taro", "Yamada"),
            ),
            colleague=_COLLEAGUE,
        ),
        "ja": Cast(people=PEOPLE, colleague=ALEX),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Ids of the conversations in the Playground, which has one of each kind."""

    personal: str = "a:1-personal-hanako"
    group: str = "19:group-approvers@thread.v2"
    team: str = "19:team-general@thread.tacv2"  # also the id of the team's General channel, as in Teams
    channel: str = "19:approvers@thread.tacv2"


PLACES: Final = Places()
CHANNEL_NAME: Final = "approvers"
GROUP_NAMES: Final = MappingProxyType({"en": "On-call group", "ja": "承認者グループ"})


def person_called(spelling: str) -> Person | None:
    """Return the person with this `29:` id, object id or UPN, ignoring case, or None. The name is the Japanese one."""
    return CASTS["ja"].called(spelling)


def playground_configuration(*, app_id: str, tenant_id: str, locale: str = "ja") -> dict[str, Any]:
    """Return the Playground's configuration: every key below is required and no other is allowed."""
    cast = CASTS[locale]
    return {
        "version": "0.1.1",
        "tenantId": tenant_id,
        "bot": {"id": f"28:{app_id}", "name": BOT_NAME},
        "currentUser": _user(cast.shown(AT_THE_BROWSER)),
        "users": _users(person for person in cast.people if person != AT_THE_BROWSER),
        "personalChat": {"id": PLACES.personal},
        "groupChat": {"id": PLACES.group, "name": GROUP_NAMES[locale]},
        "team": {
            "id": PLACES.team,
            "name": "Cloud Operations",
            "aadGroupId": "bbbbbbbb-0000-4000-8000-000000000001",
            "channels": [{"id": PLACES.channel, "name": CHANNEL_NAME}],
        },
    }


def _users(people: Iterable[Person]) -> list[dict[str, str]]:
    return [_user(person) for person in people]


def _user(person: Person) -> dict[str, str]:
    return {
        "id": person.mri,
        "name": person.name,
        "userPrincipleName": person.upn,  # the file's spelling; on the wire it is userPrincipalName
        "aadObjectId": person.object_id,
        "givenName": person.given_name,
        "surname": person.surname,
        "email": person.upn,
    }
