"""Bridges that are started once for all tests of this folder which change nothing in them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from support import Bridge, zoo


@pytest.fixture(scope="session")
def around() -> Iterator[Callable[..., Bridge]]:
    """``around("notify", options=("--profile", "litellm"))`` → the Bridge around it, the same for all who ask for the same."""
    running: dict[tuple, Bridge] = {}
    with ExitStack() as stack:

        def bridge(name: str, *arguments, options=(), **more) -> Bridge:
            key = (name, arguments, tuple(options))
            if key not in running:
                running[key] = stack.enter_context(Bridge(zoo(name, *arguments), *options, **more))
            return running[key]

        yield bridge
