"""What the program reports about itself: logs, metrics, health. It does not know the parts that it reports on."""

from bot.telemetry.health import Health
from bot.telemetry.logs import EVENTS, configure_logging
from bot.telemetry.loop import LoopWatch
from bot.telemetry.metrics import METRICS, Telemetry

__all__ = ["EVENTS", "METRICS", "Health", "LoopWatch", "Telemetry", "configure_logging"]
