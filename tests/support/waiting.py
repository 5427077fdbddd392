"""Wait for a condition, not for a time."""

import json
import time
from collections.abc import Callable

import httpx


def eventually(condition: Callable[[], object], seconds: float = 20, message: str = ""):
    """Returns the first true value of ``condition()``; an AssertionError inside counts as not yet, and so does that nobody answers, or not in JSON.

    The longer it has waited, the more seldom it looks: what is waited for needs the processor more than we do.
    """
    began = time.monotonic()
    while True:
        try:
            value, problem = condition(), None
        except (AssertionError, OSError, httpx.TransportError, json.JSONDecodeError) as failed:
            value, problem = None, failed
        if value:
            return value
        waited = time.monotonic() - began
        if waited > seconds:
            raise AssertionError(message or f"not within {seconds} s: {problem or condition}") from problem
        time.sleep(max(0.01, waited / 20))
