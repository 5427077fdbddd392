"""How the tools of a newer version differ from those that were approved, and what their list costs a model. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.fleet.lint import Finding, Tools, findings
from bridge.fleet.lint.tokens import estimate
from bridge.fleet.stanza import Stanza
from bridge.pins.changes import changes, shown
from bridge.pins.lock import Lock


@dataclass(frozen=True)
class Comparison:
    lines: list[str]  # for people
    is_changed: bool  # somebody has to agree


def compared(stanza: Stanza, before: Lock | None, now: list[dict[str, Any]], others: Mapping[str, Tools]) -> Comparison:
    """`before`: as approved, or as the running one says; None where nobody knows: then all of it is new."""
    old = before or Lock({}, {})
    lines = ["it is not known which tools it had: all are shown as new"] * (before is None) + shown(old, now)
    known = list(old.tools.values())
    cost = f"{estimate(known):,} → {estimate(now):,}" if len(known) == len(old.digests) else f"{estimate(now):,}"
    lines.append(f"{len(old.digests)} → {len(now)} tools; the list costs a model about {cost} tokens (an estimate)")
    said_before = set(findings(stanza, known, others))
    for one in findings(stanza, now, others):
        if one not in said_before:
            lines += _odd(one)
    return Comparison(lines, before is None or bool(changes(old, now)))


def agreed(approved: Lock | None, consented: list[dict[str, Any]], running: list[dict[str, Any]]) -> list[str]:
    """What the running one says that nobody agreed to: neither was it approved before, nor did the trial show it. A server that
    behaves while it is looked at is found so; a list that is longer where its volume is there is none of that."""
    lock = Lock.of(consented)
    both = Lock(lock.digests | _same(approved, lock, running), lock.tools)
    return [str(change) for change in changes(both, running) if change.what != ("gone",)]


def _same(approved: Lock | None, consented: Lock, running: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Those of the running tools that are as they were approved before the update."""
    now = Lock.of(running).digests
    return {name: digests for name, digests in (approved.digests if approved else {}).items() if now.get(name) == digests}


def _odd(one: Finding) -> list[str]:
    return [f"odd: {one.tool}: [{one.kind}] {one.why}", *[f"    {one.quote}"] * bool(one.quote)]
