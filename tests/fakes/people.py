"""The sample people of the tests; nobody of them exists."""

from dataclasses import dataclass

TENANT_ID = "11111111-1111-4111-8111-111111111111"
FOREIGN_TENANT_ID = "99999999-9999-4999-8999-999999999999"
APP_ID = "22222222-2222-4222-8222-222222222222"
BOT_NAME = "Node Access Bot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A Teams user, with everything that a roster tells about them."""

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


def _person(number: int, slug: str, name: str, local: str) -> Person:
    address = f"{local}@example.com"
    return Person(
        id=f"29:1-{slug}",
        name=name,
        object_id=f"aaaaaaaa-0000-4000-8000-{number:012d}",
        upn=address,
        email=address,
    )


HANAKO = _person(1, "sato-hanako", "佐藤 花子", "hanako.sato")
ICHIRO = _person(2, "tanaka-ichiro", "田中 一郎", "ichiro.tanaka")
MEI = _person(3, "suzuki-mei", "鈴木 芽依", "mei.suzuki")
ALEX = _person(4, "alex-wilber", "Alex Wilber", "alex.wilber")
PRIYA = _person(5, "priya-nair", "Priya Nair", "priya.nair")
TARO = _person(6, "yamada-taro", "山田 太郎", "taro.yamada")
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
    """As many people as wanted, all different."""
    return tuple(_person(1000 + n, f"crowd-{n}", f"Person {n}", f"person.{n}") for n in range(size))
