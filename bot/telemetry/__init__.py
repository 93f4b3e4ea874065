"""The program's reports about itself: log events, metrics, health.

Start with `logs.py` (EVENTS) and `metrics.py` (METRICS); `lines.py` writes the lines. This package must not know the
parts that report.
"""

from bot.telemetry.health import Health
from bot.telemetry.logs import EVENTS, configure_logging, silence_logging
from bot.telemetry.loop import LoopWatch
from bot.telemetry.metrics import METRICS, Telemetry, observe_wait

__all__ = [
    "EVENTS",
    "METRICS",
    "Health",
    "LoopWatch",
    "Telemetry",
    "configure_logging",
    "observe_wait",
    "silence_logging",
]
