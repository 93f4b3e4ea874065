"""Lets moto's queue answer as fast with hundreds of messages as with one, so that the bot is measured and not moto.

moto checks the age of each message that it returns, and counts all messages of the queue whenever one is sent or
returned. With hundreds of messages, the bot would wait for moto most of the time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from moto.sqs.models import Queue, SQSBackend

COUNTS: Final = tuple(f"approximate_number_of_messages{each}" for each in ("", "_delayed", "_not_visible"))


@contextmanager
def long_queue() -> Iterator[None]:
    """Leave both out: no message of the benchmark is as old as the queue allows, and the bot asks for no count."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SQSBackend, "is_message_valid_based_on_retention_period", lambda *_: True)
        for name in COUNTS:
            patch.setattr(Queue, name, 0)
        yield
