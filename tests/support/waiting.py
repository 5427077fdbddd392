"""Wait for a condition, not for a time."""

import json
import time
from collections.abc import Callable

import httpx


def eventually(condition: Callable[[], object], seconds: float = 20, message: str = ""):
    """Returns the first true value of ``condition()``; an AssertionError inside counts as not yet, and so does that nobody answers, or not in JSON."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            value, problem = condition(), None
        except (AssertionError, OSError, httpx.TransportError, json.JSONDecodeError) as failed:
            value, problem = None, failed
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(message or f"not within {seconds} s: {problem or condition}") from problem
        time.sleep(0.01)
