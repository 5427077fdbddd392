"""The plan carried out, one transport after the other, and told: answers to stdout, troubles to stderr."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from bridge.inspect import openai, show
from bridge.inspect.connect import Said, Visit, visit
from bridge.inspect.connection import Connection
from bridge.inspect.plan import Plan
from bridge.inspect.survey import Answer, Facts, call, differences, survey
from bridge.printable import printable


def complain(text: str) -> None:
    print(f"mcp-bridge inspect: {text}", file=sys.stderr)


def run(plan: Plan) -> int:
    for name in ("mcp", "client"):  # the SDK logs tracebacks for what we report in one line
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        status = _run(plan)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # `inspect … | head` has seen enough; the interpreter would complain once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(plan: Plan) -> int:
    if plan.call:
        return _tell_answer(plan, plan.call[0], asyncio.run(_call_once(plan, *plan.call)))
    if plan.openai:
        return _tell_functions(asyncio.run(_visit_endpoints(plan, survey, 1)))
    return _tell_facts(plan, asyncio.run(_visit_endpoints(plan, survey, len(plan.endpoints))))


async def _visit_endpoints(plan: Plan, talk: Callable[[Connection], Awaitable[Said]], enough: int) -> list[Visit[Said]]:
    """In turn, not at once: they may share one child, and their times shall be comparable."""
    visits: list[Visit[Said]] = []
    for endpoint in plan.endpoints:
        visits.append(await visit(endpoint, plan, talk))
        if (failure := visits[-1].failure) and failure.unreachable:
            break
        if sum(not visited.failure for visited in visits) >= enough:
            break
    return visits


async def _call_once(plan: Plan, tool: str, arguments: dict[str, Any]) -> list[Visit[Answer]]:
    """On the first endpoint that takes the call. What was sent may have been done, even if no answer came: it is not sent again to another endpoint."""
    was_sent = False

    async def talk(connection: Connection) -> Answer:
        nonlocal was_sent
        was_sent = True
        return await call(connection, tool, arguments)

    visits: list[Visit[Answer]] = []
    for endpoint in plan.endpoints:
        visits.append(await visit(endpoint, plan, talk))
        failure = visits[-1].failure
        if failure and was_sent and not failure.refused and endpoint is not plan.endpoints[-1]:
            complain(f"{tool} may have been done: it is not called again on another transport (--transport names one)")
        if failure is None or failure.unreachable or (was_sent and not failure.refused):
            break
        was_sent = False
    return visits


def _tell_facts(plan: Plan, visits: list[Visit[Facts]]) -> int:
    working = {visited.endpoint.name: visited.said for visited in visits if visited.said}
    first, *others = working.values() or (None,)
    differing = {name: found for name, said in working.items() if first and (found := differences(first, said))}
    if plan.json:
        _print_json(_everything(visits, differing))
    elif first:
        _print(show.transports(visits))
        for transport, found in differing.items():
            _print("\n".join(f"differs on {transport}: {difference}" for difference in found))
        if others and not differing:
            print("all that work say the same:")
        _print("\n" + show.facts(first))
    _complain_about(visits, reasons=not working)
    problems = [problem for said in working.values() for problem in said.problems]
    for problem in dict.fromkeys(problems):
        complain(problem)
    broken = problems or any(visited.failure and visited.failure.state == "failed" for visited in visits)
    return 1 if broken or not working else 0


def _tell_functions(visits: list[Visit[Facts]]) -> int:
    _complain_about(visits)
    if not (result := visits[-1].said):
        return 1
    definitions, notes = openai.functions(result.lists["tools"])
    _print_json(definitions)
    for note in notes + result.problems:
        complain(note)
    return 1 if result.problems else 0


def _tell_answer(plan: Plan, tool: str, visits: list[Visit[Answer]]) -> int:
    _complain_about(visits)
    if not (answer := visits[-1].said):
        return 1
    if plan.json:
        _print_json(answer.result if answer.result is not None else {"error": answer.error})
    elif answer.result is not None:
        text = show.result(answer.result)
        print(printable(text) if sys.stdout.isatty() else text)
    if answer.tools is not None and tool not in answer.tools:
        complain(f"there is no tool {tool!r}; there are: {', '.join(sorted(answer.tools)) or 'none'}")
    elif answer.error or answer.result is None:
        complain(f"{tool} failed: {answer.error}")
    elif answer.result.get("isError"):
        complain(f"{tool} answered with an error")
    elif answer.result.get("resultType") == "input_required":
        complain(f"{tool} wants more input, which inspect cannot give; --json shows what it asks")
    elif plan.expect not in show.result(answer.result):
        complain(f"{tool} answered without {plan.expect!r} in it")
    else:
        return 0
    return 1


def _everything(visits: list[Visit[Facts]], differing: dict[str, list[str]]) -> dict[str, Any]:
    result = next((visited.said for visited in visits if visited.said), None)
    everything = {"transports": [_transport(visited) for visited in visits], "differences": differing}
    if result is None:
        return everything
    return everything | {
        "server": result.server,
        "revision": result.revision,
        "capabilities": result.capabilities,
        "instructions": result.instructions,
        **result.lists,
        "problems": result.problems,
        "opening": result.opening,
    }


def _transport(visited: Visit[Facts]) -> dict[str, Any]:
    where = {"command": list(visited.endpoint.command)} if visited.endpoint.command else {"url": visited.endpoint.url}
    if visited.failure:
        outcome: dict[str, Any] = {"state": visited.failure.state, "reason": visited.failure.reason}
    else:
        assert visited.said is not None
        tools = len(visited.said.lists["tools"])
        outcome = {"state": "works", "revision": visited.said.revision, "tools": tools, "milliseconds": visited.milliseconds}
    era = {"era": visited.endpoint.era} if visited.endpoint.era != "auto" else {}
    return {"transport": visited.endpoint.transport, **era, **where, **outcome}


def _complain_about(visits: list[Visit[Any]], reasons: bool = True) -> None:
    """What failed and why; a transport that is only not offered is news when nothing else works."""
    works = any(visited.said for visited in visits)
    for visited in visits:
        failure, target = visited.failure, visited.endpoint.target
        if failure and reasons and failure.state == "failed":
            complain(f"{target}: {failure.reason}")
        elif failure and reasons and not works:
            complain(f"{target}: {visited.endpoint.transport} is not offered there ({failure.reason})")
        for line in visited.last_words if failure else ():
            print(printable(f"  stderr: {line}"), file=sys.stderr)
        if visited.noise:
            complain(f"{target}: {visited.noise} message(s) that are not MCP were skipped")
    if reasons and len(visits) == 1 and visits[0].failure and visits[0].failure.state == "not offered":
        complain("a base URL, such as http://host:8000, tries every transport")


def _print(text: str) -> None:
    print(printable(text))


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))
