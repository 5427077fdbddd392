"""What is remembered of a caller's right to call a tool, and for how long it is true."""

from msgspec import Raw

from bridge.callers.access import View
from bridge.callers.caller import Caller
from bridge.callers.rules import LEVELS, Rule
from bridge.protocol.envelope import Envelope, Params


def view(**may: str) -> View:
    return View(Caller("alice", tuple(Rule.parse(f"echo/{name}", LEVELS[level]) for name, level in may.items())), "echo")


def denial(view: View, name: bytes, own_names: dict[str, str] | None = None):
    names = own_names or {}
    return view.denial(Envelope(method="tools/call"), Params(name=Raw(name)), lambda name: names.get(name, name))


def test_a_tool_that_may_be_called_may_be_called_again_and_others_may_not():
    alice = view(good="execute")

    assert [denial(alice, name) is None for name in (b'"good"', b'"good"', b'"g\\u006fod"', b'"bad"', b'"good "', b'"bad"')] == [
        *(True, True, True, False, False, False)
    ]


def test_a_name_by_which_another_tool_is_called_from_now_on_is_decided_anew():
    """LiteLLM's profile gives tools names that models take; the next list may give one of them to another tool."""
    alice, names = view(good="execute", bad="deny"), {"short": "good"}
    allowed = denial(alice, b'"short"', names)
    names["short"] = "bad"

    assert allowed is None
    assert denial(alice, b'"short"', names).rule == "echo/bad: deny"
