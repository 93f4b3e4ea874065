"""Figure 9: cards in a channel of many members with Japanese names, of whom the reason mentions one.

The roster is read before. `people` is also what the growth with the members is measured with.
"""

from tests.fakes.people import Person

MEMBERS = 10_000
CARDS = 20
FAMILY = ("佐藤", "鈴木", "高橋", "田中", "伊藤", "渡辺", "山本", "中村", "小林", "加藤")
GIVEN = ("花子", "太郎", "美咲", "翔太", "さくら", "健一", "陽子", "大輔", "明美", "直樹")


def people(number: int) -> list[Person]:
    """Return this many members with Japanese names, no two alike."""
    return [
        Person(
            id=f"29:1-member-{each}",
            name=f"{FAMILY[each % 10]} {GIVEN[each // 10 % 10]}（第{each}課）",
            object_id=f"aaaaaaaa-0000-4000-9000-{each:012d}",
            upn=f"member.{each}@example.com",
            email=f"member.{each}@example.com",
        )
        for each in range(number)
    ]
