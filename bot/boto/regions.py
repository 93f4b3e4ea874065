"""The AWS Regions that the installed botocore knows."""

from functools import cache


@cache
def known_regions() -> frozenset[str]:
    """Return the names of all Regions, of every partition. Reads botocore's data files, and needs no credentials.

    `endpoints` has the Regions in which a service was listed; `partitions` is kept up to date with new Regions.
    """
    import botocore.session  # slow to import, and most commands need no Region

    data = botocore.session.get_session().get_component("data_loader")
    listed = [data.load_data(name)["partitions"] for name in ("endpoints", "partitions")]
    names = {region for partitions in listed for partition in partitions for region in partition["regions"]}
    return frozenset(name for name in names if not name.endswith("-global"))
