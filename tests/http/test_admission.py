"""The tables of admission, as lists."""

from types import SimpleNamespace

import pytest

from bridge.http import permission
from bridge.http.admission import Admission
from bridge.http.steps import Batch

CALLS = SimpleNamespace(find_child=1, tool=2, special=3, room=4, send=5)
TABLES = vars(Admission(SimpleNamespace(modern=CALLS, pins=None)))
HIDING = vars(Admission(SimpleNamespace(modern=CALLS, pins=SimpleNamespace(hides=True))))
PERMITS = {permission.permit, permission.permit_modern, permission.permit_notice, permission.permit_part}


@pytest.mark.parametrize("name", [name for name, steps in TABLES.items() if isinstance(steps, tuple)])
def test_a_rule_about_the_caller_stands_in_each_table_that_puts_something_on_its_way(name):
    """For a batch in that of each of its messages. What opens or ends a session names nothing of the MCP."""
    steps = TABLES[name]
    parts = [steps[-1].request, steps[-1].notification] if isinstance(steps[-1], Batch) else [steps]
    is_on_its_way = any(word in name for word in ("request", "notification", "batch")) and name != "modern_notification"

    assert [len(PERMITS & set(part)) for part in parts] == [int(is_on_its_way)] * len(parts)
    if is_on_its_way and "modern" not in name:
        asked = [[step for step in part[:-1] if step is not permission.credentials] for part in parts]  # which looks at no name
        assert all(part[-1] in PERMITS for part in asked)  # the last thing that is asked


def test_a_modern_call_is_permitted_before_anything_of_its_child_is_told():
    steps = TABLES["modern_request"]

    assert steps.index(CALLS.find_child) + 1 == steps.index(permission.permit_modern) < steps.index(CALLS.tool)


def test_where_tools_are_hidden_until_they_are_approved_each_table_of_requests_asks_that_and_no_other_does():
    for name, steps in HIDING.items():
        if not isinstance(steps, tuple):
            continue
        whole = (*steps, *(steps[-1].request if isinstance(steps[-1], Batch) else ()))
        at = [number for number, step in enumerate(whole) if step is permission.approved]
        is_asked = any(step in (permission.permit, permission.permit_modern) for step in whole)

        assert len(at) == int(is_asked), name
        assert all(whole[number - 1] in PERMITS for number in at), "nobody hears of it who may not call"
        assert permission.approved not in TABLES[name], "it costs nothing where nobody wants it"
