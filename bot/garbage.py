"""Spares the garbage collector the objects that live as long as the program.

A full collection walks through all objects: modules, the schemas of stored rows, botocore's models of AWS's services.
It stops the event loop for about 0.1 seconds, and a decision makes so many objects that every tenth causes one. Frozen
objects are left out. They are still freed when nothing refers to them, unless they refer to each other.
"""

import gc
from typing import Final

from bot.ports.clock import Clock

PAUSES: Final = (0.0, 10.0, 50.0)
"""Seconds before each time. The first calls of each service load its model. The checks and the first sweep make most of
them in the first minute."""


async def freeze_long_lived(clock: Clock) -> None:
    """Collect garbage and freeze what remains: now, and twice in the first minute."""
    for pause in PAUSES:
        await clock.sleep(pause)
        gc.collect()
        gc.freeze()
