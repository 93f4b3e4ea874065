"""The figures of the benchmark: what each is, its target, and the table of several runs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

Values = dict[str, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. `least`: the target is the smallest good value, otherwise the largest; None: only reported.

    `cpu`: a CPU time of the measured process, whose target is for the reference machine of the yardstick.
    """

    key: str
    shown: str
    target: float | None = None
    least: bool = False
    cpu: bool = False

    def ratio(self, measured: float) -> float | None:
        """Return how far the target is reached: 1 or more is good. None without a target or a measured value."""
        if self.target is None:
            return None
        better, worse = (measured, self.target) if self.least else (self.target, measured)
        return better / worse if worse else None


FIGURES: Final = (
    Figure("invoke_to_stock", "1 invoke: times less CPU than the stock CloudAdapter", 12, least=True),
    Figure("invoke_to_bare", "1 invoke: % of a bare handler's speed", 35, least=True),
    Figure("refresh_to_invoke", "1 automatic refresh: CPU of an invoke", 1),
    Figure("invoke_calls", "1 invoke and refresh: calls to AWS and Teams", 0),
    Figure("invoke_ms", "1 invoke: ms CPU", cpu=True),
    Figure("stock_ms", "1 stock CloudAdapter: ms CPU", cpu=True),
    Figure("bare_ms", "1 bare handler: ms CPU", cpu=True),
    Figure("click_trips_aws", "2 click: trips to AWS in a row", 3),
    Figure("click_trips_teams", "2 click: trips to Teams in a row", 1),
    Figure("click_above_ms", "2 click to decided card: ms above the trips", 15),
    Figure("click_apart", "2 note and message: start apart, in trips to Teams", 0.1),
    Figure("event_trips", "3 event to card: trips to AWS in a row", 2),
    Figure("event_above_ms", "3 event to card: ms above the trips", 15),
    Figure("decisions_effects", "4 300 decisions at once: take effect", 300, least=True),
    Figure("decisions_s", "4 300 decisions at once: s until the last is sent", 106),
    Figure("decisions_p99_s", "4 300 decisions at once: s until an answer, 99th percentile", 3),
    Figure("decisions_assumed", "4 300 decisions of 20 people: AssumeRole", 20),
    Figure("cards_reads", "4 150 cards in a channel: GetOpsItem a card", 1),
    Figure("cards_window", "4 150 cards in a channel: % of Teams' second window", 95, least=True),
    Figure("cards_refused", "4 150 cards in a channel: 429 earned", 0),
    Figure("cards_s", "4 150 cards in a channel: s until the last"),
    Figure("card_ms", "5 event to card and message: ms CPU", 8, cpu=True),
    Figure("card_alone_ms", "5 the same, one request after another: ms CPU", cpu=True),
    Figure("card_writes", "5 event to card and message: writes of the row", 5),
    Figure("card_writes_together", "5 the same with 300 requests at once"),
    Figure("cards_per_s", "5 cards a second, at once"),
    Figure("card_aws", "5 event to card and message: calls to AWS without the queue"),
    Figure("intake_per_s", "5 events taken a second, 50 ms a call to SQS", 150, least=True),
    Figure("dynamo_trips", "5 on DynamoDB: calls a request"),
    Figure("dynamo_row_writes", "5 on DynamoDB: writes of the row", 5),
    Figure("dynamo_reads", "5 on DynamoDB: units of reading a request"),
    Figure("dynamo_writes", "5 on DynamoDB: units of writing a request, without indexes"),
    Figure("sweep_lists", "6 sweep: list calls", 201),
    Figure("sweep_us", "6 sweep: us CPU a request", 100, cpu=True),
    Figure("sweep_stall_ms", "6 sweep: longest stall of the loop, ms at most", 20),
    Figure("sweep_mib", "6 sweep: MiB above idle", 15),
    Figure("pending_stall_ms", "6 `pending` with 10,000 open: longest stall of the loop, ms at most", 10),
    Figure("pending_ms", "6 `pending` with 10,000 open: ms CPU", 10, cpu=True),
    Figure("audit_s", "6 audit of 300,000 entries: s CPU", 5),
    Figure("ready_s", "7 ready: s"),
    Figure("ready_cpu_s", "7 ready: s CPU", cpu=True),
    Figure("idle_mib", "7 idle: MiB"),
    Figure("idle_cpu_s", "7 idle: s CPU a minute", cpu=True),
    Figure("bind_us", "8 bind a card: us CPU", 150),
    Figure("render_us", "8 render a card: us CPU", 250),
    Figure("members_ms", "9 card, 10,000 members and a mention: ms CPU", 15, cpu=True),
    Figure("members_above_ms", "9 card: ms CPU on the loop above ten members", 5, cpu=True),
    Figure("members_loop_ms", "9 card: ms CPU on the loop", cpu=True),
    Figure("members_to_few", "9 card: CPU of one with ten members"),
    Figure("rosters_a_second", "9 100 channels: rosters read in a second", 19),
    Figure("rosters_s", "9 100 channels: s until all rosters are read"),
    Figure("fakes_s", "fakes and load: s CPU of their own process"),
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run: the measured values, and by what to multiply each CPU time for the reference machine."""

    values: Values
    scales: Values


def rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return the measured figures: median, target, ratio to the target, lowest and highest value of the runs.

    A CPU time also has the median for the reference machine, which its ratio uses.
    """
    found = []
    for figure in FIGURES:
        having = [run for run in runs if figure.key in run.values]
        if having:
            values = [run.values[figure.key] for run in having]
            scaled = median(run.values[figure.key] * run.scales[figure.key] for run in having) if figure.cpu else None
            ratio = figure.ratio(median(values) if scaled is None else scaled)
            reached = {"scaled": scaled, "target": figure.target, "least": figure.least, "ratio": ratio}
            spread = [min(values), max(values)]
            found.append({"figure": figure.shown, "measured": median(values), **reached, "spread": spread})
    return found


def text(table: Sequence[dict[str, Any]]) -> str:
    """Return the table as aligned text. The ratio is 1 or more where the target is reached."""
    cells = [("figure", "measured", "scaled", "target", "ratio", "spread"), *(_cells(row) for row in table)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    sign = ">=" if row["least"] else "<="
    target = "" if row["target"] is None else f"{sign} {row['target']:g}"
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
    scaled = "" if row["scaled"] is None else f"{row['scaled']:.4g}"
    low, high = row["spread"]
    return row["figure"], f"{row['measured']:.4g}", scaled, target, ratio, f"{low:.4g} to {high:.4g}"


def keep(table: Sequence[dict[str, Any]], about: dict[str, Any], file: Path) -> None:
    """Write the table as JSON, with what is known about the run."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**about, "figures": table}, indent=2) + "\n", "utf-8")
