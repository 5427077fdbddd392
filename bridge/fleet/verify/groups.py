"""Groups: is each one's list that of its members, and does a call go through it?"""

from bridge.fleet.model import Fleet
from bridge.fleet.stanza import Stanza
from bridge.fleet.verify import direct
from bridge.fleet.verify.result import FAILED, NONE, OK, Hop, Report
from bridge.inspect.connection import Connection
from bridge.inspect.plan import Endpoint
from bridge.inspect.survey import Answer, Facts, call, survey


async def check(fleet: Fleet, name: str, url: str, mcps: dict[str, Report], headers: dict[str, str], caller: Stanza | None) -> Report:
    """`mcps`: what was found out about the MCPs that work; `caller`: one of them whose smoke call may be made."""
    report = Report(f"group {name}", url)
    members = [member for member in fleet.members_of(name) if member in mcps]
    endpoint = Endpoint("streamable-http", f"{url}/mcp", is_here=True)
    visited = await direct.patient_visit(endpoint, headers, direct.TALK, survey)
    facts: Facts | None = visited.said
    if visited.failure is not None or facts is None:
        report.add(Hop("streamable-http", FAILED, direct.reason(visited), "mcp-bridge logs groups; mcp-bridge up"))
        return report
    report.tools = [str(tool.get("name")) for tool in facts.lists["tools"]]
    listed = set(report.tools)
    for member in members:
        tools = mcps[member].tools or []
        if tools and not any(f"{member}-{tool}" in listed or tool in listed for tool in tools):
            report.add(Hop("streamable-http", FAILED, f"it has no tool of {member}", "mcp-bridge logs groups"))
            return report
    report.add(Hop("streamable-http", OK, f"{facts.revision}, {len(report.tools)} tools of {len(members)} MCPs"))
    report.add(await _call(endpoint, headers, caller) if caller is not None else Hop("called", NONE, "no member has a smoke call"))
    return report


async def _call(endpoint: Endpoint, headers: dict[str, str], stanza: Stanza) -> Hop:
    smoke = stanza.smoke
    assert smoke is not None
    tool = f"{stanza.name}-{direct.seen_as(stanza, smoke)}"

    async def talk(connection: Connection) -> Answer:
        return await call(connection, tool, smoke.arguments)

    visited = await direct.patient_visit(endpoint, headers, direct.CALL, talk)
    if visited.failure is None and direct.is_right(visited.said, smoke):
        return Hop("called", OK, tool)
    said = (
        direct.reason(visited) if visited.failure else (visited.said and visited.said.error) or "another answer than the MCP itself gives"
    )
    return Hop("called", FAILED, f"{tool} failed: {said}", "mcp-bridge logs groups")
