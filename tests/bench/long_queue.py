"""Lets moto's queue answer as fast with hundreds of messages as with one, so that the bot is measured and not moto.

moto checks the age of each message that it returns, and counts all messages of the queue several times for that. With
300 messages, the bot would wait for moto two thirds of the time.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from moto.sqs.models import SQSBackend


@contextmanager
def long_queue() -> Iterator[None]:
    """Leave the check out: no message of the benchmark is as old as the queue allows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SQSBackend, "is_message_valid_based_on_retention_period", lambda *_: True)
        yield
