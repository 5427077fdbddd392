"""docs/options.md and docs/metrics.md, made of what the code says. After a change: `PYTHONPATH=tests python -m support.reference`."""

import re
from dataclasses import fields
from pathlib import Path

from prometheus_client.core import CounterMetricFamily

from bridge import settings
from bridge.egress.refusals import METRIC as REFUSALS
from bridge.fleet.targets.prometheus import alerts
from bridge.metrics import registry

DOCS = Path(__file__).parents[2] / "docs"
MADE = "<!-- Made by `PYTHONPATH=tests python -m support.reference`; do not edit. -->\n"


def options() -> str:
    rows = ["| option | default | what |", "|---|---|---|"]
    for item in fields(settings.Settings):
        meta = item.metadata
        name = f"--{item.name.replace('_', '-')}" + (f" {_value(meta)}" if meta["type"] is not settings.flag else "")
        default = "" if meta["repeat"] or item.default in ("", False) else f"`{item.default}`"
        notes = ["repeat it"] * meta["repeat"] + ["per MCP"] * meta["per_mcp"]
        rows.append(f"| `{name}` | {default} | {_cell(meta['help'])}{_notes(notes)} |".replace("|  |", "| |"))
    return (
        (
            f"{MADE}# Options of `mcp-bridge serve`\n\n"
            "Each also has an environment variable: `--max-body` is `MCP_BRIDGE_MAX_BODY`; values of one that may be repeated are separated by commas "
            "there, or by newlines. Those marked *per MCP* may stand in an entry of `--config FILE` too, with underscores: `max_in_flight: 1`.\n"
            "Seconds may have a fraction; sizes are bytes, or `64k`, `8m`, `1g`. What the important ones are for: [bridge.md](bridge.md).\n\n"
        )
        + "\n".join(rows)
        + "\n"
    )


def metrics() -> str:
    rows = ["| metric | type | labels | what |", "|---|---|---|---|"]
    for family in registry([], {}).collect():
        name = family.name + "_total" * isinstance(family, CounterMetricFamily)
        labels = ", ".join(f"`{label}`" for label in family._labelnames)
        rows.append(f"| `{name}` | {family.type} | {labels} | {_cell(family.documentation)} |".replace("|  |", "| |"))
    told = ["| alert | after | severity | expression | what to do |", "|---|---|---|---|---|"]
    for rule in alerts()["groups"][0]["rules"]:
        notes = rule["annotations"]
        told.append(
            f"| {rule['alert']} | {rule['for']} | {rule['labels']['severity']} | `{_cell(rule['expr'])}` | {_cell(notes['summary'])}. {_cell(notes['description'])} |"
        )
    return (
        f"{MADE}# Metrics and alerts\n\n"
        "`/metrics` of every bridge, in Prometheus' text format. `mcp` is the MCP's name in all that have it. Where tokens are asked for, `/metrics` asks for one, too.\n\n"
        + "\n".join(rows)
        + f"\n\nThe egress proxy of a fleet ([egress.md](egress.md)) has `{REFUSALS}` (counter; `mcp`, `host`, `reason`): what an MCP asked it for and did not get."
        + "\n\nThe fleet's Prometheus reads all bridges every five seconds and has these alerts (`compose/alerts.yml`):\n\n"
        + "\n".join(told)
        + "\n"
    )


PAGES = {"options.md": options, "metrics.md": metrics}


def _value(meta: dict) -> str:
    return "{" + ",".join(meta["choices"]) + "}" if meta["choices"] else meta["metavar"] or "TEXT"


def _notes(notes: list[str]) -> str:
    return f" *({', '.join(notes)})*" if notes else ""


def _cell(text: str) -> str:
    text = re.sub(r"{{ \$value[^}]*}}", "N", re.sub(r"{{ \$labels\.\w+ }}", "NAME", text))
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    for page, made in PAGES.items():
        (DOCS / page).write_text(made())
