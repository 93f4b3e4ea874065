"""Says how a request stands, from two witnesses that may lag behind each other. Pure.

The OpsItem is what access is granted by; the automation execution is where approvers decide.

    OpsItem says          execution says                            the request is
    anything              nothing, or it could not be read          as the OpsItem says
    revoked               anything                                  revoked: only the OpsItem knows that
    approved              pending, approved or a new word           approved
    approved              rejected, timed out, cancelled, failed    unknown: somebody is wrong, so nobody is told
    pending               pending                                   pending
    pending               approved                                  pending: access is granted by the OpsItem, very soon
    pending               rejected, timed out, cancelled, failed    as the execution says: it ended first
    pending               a new word                                unknown
    a new word            pending or a new word                     unknown
    a new word            any end                                   as the execution says
    failed                rejected, timed out, cancelled            as the execution says: it knows why
    any other end         anything                                  as the OpsItem says
"""

from bot.domain.request import Status

_REFUSED = frozenset({Status.REJECTED, Status.TIMED_OUT, Status.CANCELLED})
_UNDECIDED = frozenset({Status.PENDING, Status.UNKNOWN})


def merged_status(ops_item: Status, execution: Status | None) -> Status:
    """Return the status that the table gives."""
    if execution is None or ops_item is Status.REVOKED:
        return ops_item
    if ops_item is Status.APPROVED:
        return Status.UNKNOWN if execution in {*_REFUSED, Status.FAILED} else Status.APPROVED
    if ops_item is Status.FAILED:
        return execution if execution in _REFUSED else ops_item
    if ops_item not in _UNDECIDED:
        return ops_item
    return _undecided(ops_item, execution)


def _undecided(ops_item: Status, execution: Status) -> Status:
    if ops_item is Status.PENDING and execution is Status.APPROVED:
        return Status.PENDING
    if execution.ended:
        return execution
    return Status.PENDING if ops_item is execution is Status.PENDING else Status.UNKNOWN
