"""The official conformance suite, held with the SDK's everything-server directly over HTTP and through the bridge.

Edition 0.1.16 of the suite, and 0.2 with what each of two revisions requires. The 2.3.0 server speaks both eras: every
check that passes directly passes through the bridge. The 1.30.0 one speaks the handshake era only: at 2025-11-25 it has
to do as well as directly, and at 2026-07-28, where it fails directly, everything passes whose fixture it has; for the
rest there is round_trips.py of the zoo, which really asks in mid-call.

Behind the bridge the servers are forks of a process that has done its imports: environments/forks.py says why.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache

import pytest
from environments import EverythingServer, conformance, everything_sdk1, everything_sdk2
from environments.conformance import FAILURE, INFO, SUCCESS, WARNING, Results
from environments.processes import free_port, listening
from renaming import renaming
from support import Bridge, zoo

pytestmark = pytest.mark.timeout(240)  # the first test of a case waits for the suite, twice

OLD, HANDSHAKE, MODERN = None, "2025-11-25", "2026-07-28"  # what a run of the suite requires; None: edition 0.1.16


Check = tuple[str, str]  # scenario and id


@dataclass(frozen=True)
class Case:
    server: Callable[[], EverythingServer]
    requirements: str | None
    passed: str  # the suite's own sum, directly: it must not shrink unseen
    gaps: tuple[Check, ...] = ()  # what passes directly and not through the bridge: an entry that is no longer true fails
    gains: tuple[Check, ...] = ()  # what does not pass directly but does through the bridge


# The suite reads the event streams of three tools/list, but the bridge answers in JSON where nothing precedes the answer;
# that it accepts the three side by side is a check of its own, which passes.
STREAMS = ("server-sse-multiple-streams", "server-sse-streams-functional")
# Directly, the server closes the stream of its own call to see its client poll. Behind a pipe it has none to close.
POLLING = ("server-sse-polling", "server-sse-disconnect-resume")
RETRY = ("server-sse-polling", "server-sse-retry-field")
INSTEAD = {STREAMS: INFO, POLLING: INFO, RETRY: WARNING}  # what a gap is; none is a failure
# The session is at 2025-11-25, where streams are primed; the SDK goes by the request's header, which is older.
PRIMING = ("server-sse-polling", "server-sse-priming-event")

CASES = {
    "2.3.0, suite 0.1.16": Case(everything_sdk2, OLD, "44 passed, 0 failed", gaps=(STREAMS,), gains=(PRIMING,)),
    "2.3.0 at 2025-11-25": Case(everything_sdk2, HANDSHAKE, "84 passed, 0 failed", gaps=(STREAMS, POLLING, RETRY)),
    "2.3.0 at 2026-07-28": Case(everything_sdk2, MODERN, "169 passed, 25 failed"),
    "1.30.0 at 2025-11-25": Case(everything_sdk1, HANDSHAKE, "77 passed, 1 failed", gaps=(STREAMS, POLLING, RETRY)),
}

# Scenarios at 2026-07-28 that want a fixture, and those of them that the 1.30.0 server has none for.
ASKING = "input-required-result-"
DIAGNOSTICS = ("server-stateless",)
UNSCORED = ("tasks-", "http-header-validation", "http-custom-header-server-validation", "json-schema-2020-12")


@dataclass(frozen=True)
class Place:
    """Where one server can be had, directly and through the bridge: for several runs of the suite, one after another."""

    direct: str
    bridged: str


@pytest.fixture(scope="module")
def place() -> Iterator[Callable[[Callable[[], EverythingServer]], Place]]:
    with ExitStack() as stack:

        @cache
        def opened(which: Callable[[], EverythingServer]) -> Place:
            server, port = which(), free_port()
            stack.enter_context(listening(server.http(port), port))
            bridge = stack.enter_context(Bridge(stack.enter_context(server.forks())))
            return Place(f"http://127.0.0.1:{port}/mcp", f"{bridge.url}/mcp")

        yield opened


@pytest.fixture(scope="module")
def held(place, tmp_path_factory, note) -> Callable[[str], tuple[Results, Results]]:
    """The results of a case, directly and through the bridge."""
    folder = tmp_path_factory.mktemp("conformance")

    @cache
    def hold(name: str) -> tuple[Results, Results]:
        case = CASES[name]
        where = place(case.server)
        direct = conformance.run(where.direct, folder, requirements=case.requirements, timeout=60)
        bridged = conformance.run(where.bridged, folder, requirements=case.requirements, timeout=90)
        ratio = bridged.seconds / direct.seconds
        note(f"{name}: {bridged.seconds:.1f} through the bridge, {direct.seconds:.1f} directly, {ratio:.1f} times (the goal: 3)")
        return direct, bridged

    return hold


@pytest.mark.parametrize("name", CASES)
def test_every_check_that_passes_directly_passes_through_the_bridge(held, name):
    direct, bridged = held(name)
    gaps = set(CASES[name].gaps)
    lost = direct.having(SUCCESS) - bridged.having(SUCCESS)

    assert lost == gaps, why(bridged, lost ^ gaps)
    assert {check: bridged.checks[check] for check in gaps} == {check: INSTEAD[check] for check in gaps}
    assert bridged.having(FAILURE) <= direct.having(FAILURE)
    assert bridged.having(SUCCESS) - direct.having(SUCCESS) == set(CASES[name].gains)


@pytest.mark.parametrize("name", CASES)
def test_the_suite_ran_in_full(held, name):
    """One that stops early, or a server that does not start, must not look like conformance."""
    direct, bridged = held(name)

    assert summary(direct) == CASES[name].passed
    assert bridged.checks.keys() == direct.checks.keys()


@pytest.fixture(scope="module")
def translated(place, tmp_path_factory) -> Results:
    """The suite at 2026-07-28 with the server of the handshake era."""
    return conformance.run(place(everything_sdk1).bridged, tmp_path_factory.mktemp("translated"), requirements=MODERN, timeout=90)


@pytest.fixture(scope="module")
def asking(tmp_path_factory) -> Results:
    """The same with fixtures of that era that ask. It asks for roots, too, which an operator has to let through."""
    with Bridge(zoo("round_trips"), "--client-roots", "relay") as bridge:
        return conformance.run(f"{bridge.url}/mcp", tmp_path_factory.mktemp("asking"), requirements=MODERN, timeout=90)


def test_a_server_of_the_handshake_era_passes_at_the_new_revision(translated):
    """All that is scored, but for what wants fixtures that it does not have."""
    scored = {check for check in translated.checks if not check[0].startswith((ASKING, *DIAGNOSTICS, *UNSCORED))}
    failed = translated.having(FAILURE) & scored

    assert failed == set(), why(translated, failed)
    assert len(translated.having(SUCCESS) & scored) >= 50


def test_a_server_that_asks_in_mid_call_passes_as_one_that_answers_input_required(asking):
    scored = {check for check in asking.checks if check[0].startswith((ASKING, *DIAGNOSTICS))}
    failed = (asking.having(FAILURE) | asking.having(WARNING)) & scored

    assert failed == set(), why(asking, failed)
    assert len({scenario for scenario, _ in scored}) == 15


@pytest.fixture(scope="module")
def grouped(tmp_path_factory, note) -> Callable[[str], Results]:
    """The results of a case with the server as a member of a group, beside another one of its kind, by the group's address."""
    folder = tmp_path_factory.mktemp("grouped")

    @cache
    def hold(name: str) -> Results:
        case = CASES[name]
        with case.server().forks() as command:
            server = {"command": command[0], "args": command[1:]}
            (folder / "mcps.json").write_text(json.dumps({"mcpServers": {"a": server, "b": server}}))
            with Bridge(None, "--config", folder / "mcps.json") as bridge, renaming(f"{bridge.url}/all/mcp") as url:
                results = conformance.run(url, folder, requirements=case.requirements, timeout=120)
        note(f"{name}: {results.seconds:.1f} in a group of two")
        return results

    return hold


@pytest.mark.parametrize("name", ["2.3.0 at 2025-11-25", "2.3.0 at 2026-07-28"])
def test_a_member_of_a_group_passes_by_its_address_as_it_passes_alone(held, grouped, name):
    """But for names: `renaming.py` puts the prefix before those that the suite knows, and takes it away again."""
    _, alone = held(name)
    together = grouped(name)
    lost = alone.having(SUCCESS) - together.having(SUCCESS)

    assert not lost, why(together, lost)
    assert together.having(FAILURE) <= alone.having(FAILURE)
    assert together.checks.keys() == alone.checks.keys()


def why(results: Results, checks: set) -> str:
    return "\n".join(f"{check}: {results.checks.get(check)} {results.errors.get(check, '')}" for check in sorted(checks))


def summary(results: Results) -> str:
    return next(line for line in results.output.splitlines() if line.startswith("Total:")).removeprefix("Total: ")
