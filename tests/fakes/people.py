"""The invented people of the tests: the sandbox's sample people, a guest, a person of another tenant, and crowds."""

from dataclasses import dataclass

from bot.sandbox.teams import people as sandbox

TENANT_ID = sandbox.SAMPLE_TENANT
FOREIGN_TENANT_ID = "99999999-9999-4999-8999-999999999999"
APP_ID = sandbox.SAMPLE_APP_ID
BOT_NAME = sandbox.BOT_NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A Teams user, with every member of a roster entry."""

    id: str
    name: str
    object_id: str
    upn: str
    email: str
    tenant_id: str = TENANT_ID
    role: str = "user"

    def as_member(self) -> dict[str, str]:
        return {
            "id": self.id,
            "aadObjectId": self.object_id,
            "name": self.name,
            "email": self.email,
            "userPrincipalName": self.upn,
            "tenantId": self.tenant_id,
            "userRole": self.role,
        }


def _sample(person: sandbox.Person) -> Person:
    return Person(id=person.mri, name=person.name, object_id=person.object_id, upn=person.upn, email=person.upn)


HANAKO = _sample(sandbox.HANAKO)
ICHIRO = _sample(sandbox.ICHIRO)
MEI = _sample(sandbox.MEI)
ALEX = _sample(sandbox.ALEX)
PRIYA = _sample(sandbox.PRIYA)
TARO = _sample(sandbox.TARO)
PEOPLE = (HANAKO, ICHIRO, MEI, ALEX, PRIYA, TARO)

GUEST = Person(
    id="29:1-guest",
    name="Guest of the house",
    object_id="aaaaaaaa-0000-4000-8000-000000000090",
    upn="guest_example.org#EXT#@example.com",
    email="guest@example.org",
    role="guest",
)
FOREIGNER = Person(
    id="29:1-foreigner",
    name="Somebody of another tenant",
    object_id="aaaaaaaa-0000-4000-8000-000000000091",
    upn="somebody@example.net",
    email="somebody@example.net",
    tenant_id=FOREIGN_TENANT_ID,
)


def crowd(size: int) -> tuple[Person, ...]:
    """Return this many people, all different."""
    return tuple(_one_of_a_crowd(number) for number in range(size))


def _one_of_a_crowd(number: int) -> Person:
    return Person(
        id=f"29:1-crowd-{number}",
        name=f"Person {number}",
        object_id=f"aaaaaaaa-0000-4000-8000-{1000 + number:012d}",
        upn=f"person.{number}@example.com",
        email=f"person.{number}@example.com",
    )
