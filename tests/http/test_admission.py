"""The tables of admission, as lists."""

import asyncio
from types import SimpleNamespace

import pytest

from bridge.http import call as call_of
from bridge.http import permission, record, traces
from bridge.http.admission import Admission
from bridge.http.steps import Batch
from bridge.service import Service

CALLS = SimpleNamespace(find_child=1, tool=2, special=3, room=4, send=5)
HAS = {"access": 1, "audit": 1, "credentials": 1, "tracing": 1, "pins": None}
TABLES = vars(Admission(SimpleNamespace(modern=CALLS, **HAS)))
HIDING = vars(Admission(SimpleNamespace(modern=CALLS, **(HAS | {"pins": SimpleNamespace(hides=True)}))))
PERMITS = {permission.permit, permission.permit_modern, permission.permit_notice, permission.permit_part}


@pytest.mark.parametrize("name", [name for name, steps in TABLES.items() if isinstance(steps, tuple)])
def test_a_rule_about_the_caller_stands_in_each_table_that_puts_something_on_its_way(name):
    """For a batch in that of each of its messages. What opens or ends a session names nothing of the MCP."""
    steps = TABLES[name]
    parts = [steps[-1].request, steps[-1].notification] if isinstance(steps[-1], Batch) else [steps]
    is_on_its_way = any(word in name for word in ("request", "notification", "batch")) and name != "modern_notification"

    assert [len(PERMITS & set(part)) for part in parts] == [int(is_on_its_way)] * len(parts)
    if is_on_its_way and "modern" not in name:
        silent = (permission.credentials, traces.tell_child)  # which look at no name
        asked = [[step for step in part[:-1] if step not in silent] for part in parts]
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


@pytest.mark.parametrize("has", [(), ("access",), ("audit",), ("credentials",), ("tracing",), ("access", "audit")])
def test_a_table_lacks_the_rows_about_what_its_service_has_not_and_no_others(has):
    about = {
        "access": PERMITS | {permission.rate, permission.rate_of_batch},
        "audit": {record.record, record.record_modern},
        "credentials": {permission.credentials},
        "tracing": {traces.trace, traces.tell_child},
    }
    silent = set().union(*(steps for name, steps in about.items() if name not in has))
    service = SimpleNamespace(modern=CALLS, pins=None, **{name: name in has or None for name in about})
    tables = {name: _flat(steps) for name, steps in vars(Admission(service)).items() if isinstance(steps, tuple)}

    assert tables == {name: [step for step in _flat(TABLES[name]) if step not in silent] for name in tables}


def test_a_service_that_was_made_without_rules_is_held_to_none():
    """Its tables have no rows for them."""
    with pytest.raises(ValueError, match="without rules"):
        Service.hold_to(SimpleNamespace(access=None), SimpleNamespace())


def _flat(steps: tuple) -> list:
    """With those of each message where the last one is about a batch."""
    *rest, last = steps
    parts = (*last.request, *last.notification) if isinstance(last, Batch) else (last,)
    return [getattr(step, "__func__", step) for step in (*rest, *parts)]


def test_the_entry_of_a_call_whose_client_leaves_while_it_waits_ends_as_cancelled():
    ended: list[str] = []
    waiting = asyncio.Event()
    entry = SimpleNamespace(is_taken=False, client=None, end=ended.append)

    async def leave() -> None:
        going_on = asyncio.create_task(call_of._go_on(call_of._go_on(waiting.wait(), call, None), call, None))
        await asyncio.sleep(0.01)
        going_on.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going_on

    call = SimpleNamespace(entry=entry, session=SimpleNamespace(client=b"{}"))
    asyncio.run(leave())

    assert set(ended) == {"cancelled"} and entry.client == b"{}"
