"""Tokens of an issuer name any number of principals: what is remembered of each has a bound."""

from types import SimpleNamespace

from bridge.protocol.audience import MANY, Audience
from bridge.protocol.eras.caller import Caller
from bridge.service.modern import REMEMBERED, ModernCalls


def test_callers_with_nothing_under_way_are_forgotten_and_others_are_not():
    setup = SimpleNamespace(name="echo", tools=None, policy=SimpleNamespace(ready_wait=1.0), log=None, now=lambda: 0.0)
    calls = ModernCalls(setup, None, None, None, None)
    busy = calls._new_caller("busy")
    busy.exchanges[1] = object()
    for number in range(3 * REMEMBERED):
        calls._new_caller(str(number))

    assert len(calls._callers) <= REMEMBERED + 1
    assert calls._callers["busy"] is busy


def test_a_child_that_many_share_has_heard_of_many_and_of_no_more():
    audience = Audience({}, None)
    for number in range(10):
        audience.join(Caller("echo", str(number), nonce=str(number)))
        assert audience.has_many_callers == (number > 0)

    assert len(audience.callers) == MANY
