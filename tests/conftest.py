"""Fixtures for tests that talk to a real bridge. What they are made of is in support/."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from support import Bridge, Client, Http, Sse, Ws, zoo

TRANSPORTS = {"http": Http, "sse": Sse, "ws": Ws}


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
def connect() -> Iterator[Callable[..., Client]]:
    """``connect(Http, bridge.url, capabilities={…})`` → an open client, closed after the test."""
    with ExitStack() as stack:
        yield lambda kind, url, **options: stack.enter_context(kind(url, **options))
