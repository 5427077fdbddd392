"""A verdict, for people: a table, and one line for each thing that is wrong with what to do about it."""

from collections.abc import Iterator

from bridge.fleet.columns import columns
from bridge.fleet.verify.result import FAILED, HOPS, NONE, OK, SKIPPED, Report, Verdict
from bridge.printable import printable

SHOWN = 3  # reasons for which models may refuse tools of one MCP
MARKS = {OK: "ok", FAILED: "FAILED", SKIPPED: "-", NONE: "."}


def table(verdict: Verdict) -> str:
    return printable("\n".join(_lines(verdict)))


def _lines(verdict: Verdict) -> Iterator[str]:
    shown = [name for name in HOPS if any(hop.name == name for report in verdict.mcps for hop in report.hops)]
    rows = [["MCP", "tools", *(HOPS[name] for name in shown)]]
    for report in verdict.mcps:
        tools = "" if report.tools is None else str(len(report.tools))
        rows.append([report.name, tools, *(MARKS[report.state(name)] for name in shown)])
    yield from columns(rows)
    for report in (*verdict.mcps, *verdict.shared):
        yield from _troubles(report)
    if len(verdict.left_out) == 1:
        yield from (f"{name}: not started: {why}" for name, why in verdict.left_out.items())
    elif verdict.left_out:
        yield f"not started, because something is missing: {', '.join(verdict.left_out)} (`mcp-bridge catalog` says what)"
    bad = [report.name for report in (*verdict.mcps, *verdict.shared) if not report.is_ok]
    if bad:
        yield f"does not work: {', '.join(bad)} ({verdict.seconds:.1f} s)"
    elif verdict.mcps:
        yield f"all {len(verdict.mcps)} work ({verdict.seconds:.1f} s)"
    else:
        yield "there is no MCP to verify"


def _troubles(report: Report) -> Iterator[str]:
    for hop in report.failures:
        yield f"{report.name}: {HOPS.get(hop.name, hop.name)}: {hop.seen}"
        if hop.todo:
            yield f"{' ' * len(report.name)}  → {hop.todo}"
    for number, odd in enumerate(report.odd):
        if number == SHOWN:
            yield f"{report.name}: its tools are odd for {len(report.odd) - SHOWN} more reasons (--json has all)"
            break
        yield f"{report.name}: models may refuse {odd}"
    if report.unapproved:
        yield f"{report.name}: not all of its tools are as they were approved (`mcp-bridge approve {report.name}` says that they are good):"
        yield from (f"  {line}" for line in report.unapproved)
    for hop in report.hops:
        if hop.name == "smoke" and hop.state == NONE:
            yield f"{report.name}: not called: {hop.seen}"
