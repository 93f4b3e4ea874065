"""Tests for bot.boto.regions: which names are Regions."""

from bot.boto.regions import known_regions, region_names


def test_regions_of_all_partitions_are_known() -> None:
    """Old and new Regions are known, also for China and for government. Names of global endpoints are left out."""
    assert {
        "us-east-1",
        "ap-northeast-1",
        "ap-southeast-5",
        "us-gov-east-1",
        "cn-north-1",
        "us-iso-east-1",
    } <= known_regions()
    assert not any(name.endswith("-global") for name in known_regions())


def test_regions_have_the_names_that_aws_gives_them() -> None:
    """Old and new Regions of each partition have a name. A name that is not a Region has none."""
    names = region_names()
    assert names["ap-northeast-1"] == "Asia Pacific (Tokyo)"
    assert names["cn-north-1"] == "China (Beijing)"
    assert {"ap-southeast-5", "us-gov-east-1"} <= names.keys()
    assert names.keys() <= known_regions()
