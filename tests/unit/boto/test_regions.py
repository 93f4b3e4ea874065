"""Tests for bot.boto.regions: which names are Regions."""

from bot.boto.regions import known_regions


def test_regions_of_all_partitions_are_known() -> None:
    """Old and new Regions, and those of the government and of China; not the names of global endpoints."""
    assert {"us-east-1", "ap-northeast-1", "ap-southeast-5", "us-gov-east-1", "cn-north-1"} <= known_regions()
    assert not any(name.endswith("-global") for name in known_regions())
