"""Rows of the result and the Markdown that shows them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

NOTHING = "—"


@dataclass(frozen=True)
class Goal:
    text: str
    holds: Callable[[float], bool]


def at_least(limit: float, unit: str = "") -> Goal:
    return Goal(f"≥ {limit:g}{unit}", lambda value: value >= limit)


def at_most(limit: float, unit: str = "") -> Goal:
    return Goal(f"≤ {limit:g}{unit}", lambda value: value <= limit)


@dataclass(frozen=True)
class Row:
    measure: str
    ours: str = NOTHING
    bare: str = NOTHING
    peer: str = NOTHING
    ratio: str = NOTHING
    goal: str = NOTHING
    met: bool | None = None  # None: there is no goal, or nothing to judge


def markdown(rows: Iterable[Row]) -> str:
    lines = ["| measure | ours | bare uvicorn | best peer | ratio | goal | met? |", "|---|--:|--:|--:|--:|--:|---|"]
    verdicts = {True: "yes", False: "**no**", None: NOTHING}
    for row in rows:
        cells = (row.measure, row.ours, row.bare, row.peer, row.ratio, row.goal, verdicts[row.met])
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def per_second(value: float) -> str:
    return f"{value:,.0f}/s"


def milliseconds(value: float) -> str:
    return f"{value * 1000:,.3g} ms" if value < 0.1 else f"{value * 1000:,.0f} ms"


def mebibytes(value: float) -> str:
    return f"{value / 2**20:.1f} MiB"


def kibibytes(value: float) -> str:
    return f"{value / 2**10:.1f} KiB"
