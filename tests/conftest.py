"""Fixtures for tests that talk to a real bridge. What they are made of is in support/."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support import Bridge, Client, Http, Sse, Ws, eventually, zoo

TRANSPORTS = {"http": Http, "sse": Sse, "ws": Ws}


# Files that take half a minute and more, so that with several workers (-n) none of them begins last.
LONG = (
    "docker/test_fleet.py",
    "docker/test_forty.py",
    "docker/test_strangers.py",
    "docker/test_litellm_database.py",
    "docker/test_fleet_callers.py",
    "docker/test_postgres_attacks.py",
    "with_litellm/test_matrix.py",
    "fleet/test_engine_embedded.py",
    "conformance/test_conformance.py",
    "with_litellm/test_server.py",
    "with_litellm/test_checklist.py",
    "with_litellm/test_newest.py",
    "with_litellm/test_callers_through.py",
    "parity/test_parity.py",
    "fleet/test_update.py",
    "fleet/test_add.py",
    "fleet/test_lock.py",
    "http/test_limits.py",
)
WITH_DOCKER = 2  # workers that may be in tests/docker at the same time: a third fleet would take the processors that two need
SLOW_FILES = 10  # that are named in the end, with --durations


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((place for place, name in enumerate(LONG) if str(item.path).endswith(name)), len(LONG)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    from xdist.scheduler import LoadFileScheduling  # only there with -n

    class Files(LoadFileScheduling):
        """One file after another, in the order of above, but no third one of tests/docker while something else is left."""

        def _assign_work_unit(self, node) -> None:
            files = [(name, tests) for other, own in self.assigned_work.items() if other is not node for name, tests in own.items()]
            if sum("/docker/" in name and not all(tests.values()) for name, tests in files) >= WITH_DOCKER:
                others = [name for name in self.workqueue if "/docker/" not in name]
                for name in others[:1]:
                    self.workqueue.move_to_end(name, last=False)
            super()._assign_work_unit(node)

    return Files(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Each report says how much of a processor its step took, in this process and in those that it waited for."""
    outcome = yield
    now = sum(os.times()[:4])
    outcome.get_result().processor = now - _measured.get("before", now)
    _measured["before"] = now


_measured: dict[str, float] = {}


def pytest_terminal_summary(terminalreporter) -> None:
    """With --durations: the files that took longest. What Docker's containers take of a processor is seen in the time alone."""
    if not terminalreporter.config.option.durations:
        return
    seconds, processor = Counter(), Counter()
    for report in (one for reports in terminalreporter.stats.values() for one in reports if hasattr(one, "processor")):
        name = report.nodeid.partition("::")[0]
        seconds[name] += report.duration
        processor[name] += report.processor
    terminalreporter.section(f"slowest {SLOW_FILES} files")
    for name, total in seconds.most_common(SLOW_FILES):
        terminalreporter.line(f"{total:.0f}s, {processor[name]:.0f}s of a processor  {name}")


@pytest.fixture
def start() -> Iterator[Callable[..., Bridge]]:
    """``start("echo", "--pages", 3, options=["--profile", "litellm"])`` → a running Bridge, stopped after the test."""
    with ExitStack() as stack:

        def start_one(name: str, *arguments, options=(), **more) -> Bridge:
            return stack.enter_context(Bridge(zoo(name, *arguments), *options, **more))

        yield start_one


@pytest.fixture(scope="session")
def echo() -> Iterator[Bridge]:
    """One bridge around `echo` for all tests that change nothing in it."""
    with Bridge(zoo("echo")) as bridge:
        yield bridge


@pytest.fixture(params=TRANSPORTS)
def transport(request) -> type[Client]:
    """The class of a client; a test with it runs once for each transport."""
    return TRANSPORTS[request.param]


@pytest.fixture
def written(tmp_path) -> Callable[[str], list[str]]:
    """``written("from echo import child …")`` → the command of a child of this one test; it may import those of the zoo."""

    def write(source: str) -> list[str]:
        path = tmp_path / "child.py"
        path.write_text(f"import sys\nsys.path.insert(0, {str(Path(zoo('echo')[1]).parent)!r})\n{source}")
        return [sys.executable, str(path)]

    return write


@pytest.fixture
def connect() -> Iterator[Callable[..., Client]]:
    """``connect(Http, bridge.url, capabilities={…})`` → an open client, closed after the test."""
    with ExitStack() as stack:
        yield lambda kind, url, **options: stack.enter_context(kind(url, **options))


@pytest.fixture(scope="session")
def around() -> Iterator[Callable[..., Bridge]]:
    """``around("notify", options=("--profile", "litellm"))`` → a Bridge, the same for all tests that ask for the same.

    For those that leave it as it was: no call under way, no session open.
    """
    running: dict[tuple, Bridge] = {}
    with ExitStack() as stack:

        def shared(name: str, *arguments, options=(), **more) -> Bridge:
            key = (name, arguments, tuple(options))
            if key not in running:
                running[key] = stack.enter_context(Bridge(zoo(name, *arguments), *options, **more))
            return running[key]

        yield shared
        for bridge in running.values():  # all at once; leaving the stack then looks after what is left
            bridge.tree()
            bridge.process.terminate()


@pytest.fixture
def under_way() -> Callable[[Bridge, int], None]:
    """``under_way(bridge, 2)`` waits for two requests in flight: of what is sent on two connections, the second may be first."""
    return lambda bridge, count: eventually(lambda: bridge.metrics().value("mcp_bridge_requests_in_flight") >= count)
