"""The AWS Regions that the installed botocore knows."""

from collections.abc import Mapping
from functools import cache
from typing import Any


@cache
def known_regions() -> frozenset[str]:
    """Return the names of all Regions, of every partition. Reads botocore's data files, and needs no credentials.

    `endpoints` has the Regions in which a service was listed; `partitions` is kept up to date with new Regions.
    """
    regions = [*_regions("endpoints"), *_regions("partitions")]
    return frozenset(name for name in regions if not name.endswith("-global"))


@cache
def region_names() -> Mapping[str, str]:
    """Return what AWS calls each Region, in English: "Asia Pacific (Tokyo)" by "ap-northeast-1"."""
    described = ((code, facts.get("description")) for code, facts in _regions("partitions").items())
    return {code: name for code, name in described if name and not code.endswith("-global")}


def _regions(file: str) -> dict[str, dict[str, Any]]:
    import botocore.session  # slow to import, and most commands need no Region

    data = botocore.session.get_session().get_component("data_loader")
    return {code: facts for each in data.load_data(file)["partitions"] for code, facts in each["regions"].items()}
