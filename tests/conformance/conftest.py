"""Says at the end what the suite took: a figure to look at, not one to pass or fail by."""

import pytest

TIMES = pytest.StashKey[list[str]]()


def pytest_configure(config):
    config.stash[TIMES] = []


@pytest.fixture(scope="session")
def note(request):
    """``note("…")`` is printed below the tests."""
    return request.config.stash[TIMES].append


def pytest_terminal_summary(terminalreporter, config):
    if times := config.stash.get(TIMES, None):
        terminalreporter.section("conformance, seconds")
        for line in times:
            terminalreporter.line(line)
