"""Which of several children of the same command gets a request, and where it goes on when one of them dies."""

import json
from types import SimpleNamespace

import pytest
from world import Outbox, World

from bridge.child.lifecycle import State
from bridge.protocol import envelope, spelling
from bridge.protocol.replicas import Replicas
from bridge.service.child import Child

SAFE, UNSAFE = {"name": "safe", "annotations": {"readOnlyHint": True}}, {"name": "unsafe"}


class Replica(World):
    woken = 0

    def wake(self, is_awaited: bool = True) -> None:
        self.woken += 1
        self.is_awaited = is_awaited


def group(count: int = 2, *, opened: int | None = None) -> list[Replica]:
    first = Replica(is_open=False)
    worlds = [first, *(Replica(beside=first, is_open=False) for _ in range(count - 1))]
    replicas = Replicas(first.relay)
    for world in worlds[1:]:
        replicas.add(world.relay)
    for world in worlds[:opened]:
        world.open(tools=[SAFE, UNSAFE])
    return worlds


def ask(worlds: list[Replica], session, name: str = "unsafe", id: int = 1, method: str = "tools/call") -> Outbox:
    """As the service does it."""
    outbox = Outbox()
    message = envelope.from_client(json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": {"name": name}}).encode())
    worlds[0].relay.replicas.of(method).request(session, message, spelling.params(message), outbox, worlds[0].now)
    return outbox


def got(world: Replica) -> list:
    return [line.get("params", {}).get("name") or line["method"] for line in world.sent()]


def test_the_one_with_the_least_to_do_gets_the_call():
    worlds = group(3)
    session = worlds[0].session()
    for number in range(7):
        ask(worlds, session, f"call-{number}", id=number)

    assert [got(world) for world in worlds] == [["call-0", "call-3", "call-6"], ["call-1", "call-4"], ["call-2", "call-5"]]


@pytest.mark.parametrize("method", ["tools/list", "prompts/list", "resources/subscribe", "logging/setLevel", "x-vendor/thing"])
def test_what_is_about_more_than_one_request_is_for_the_first(method):
    worlds = group()
    ask(worlds, worlds[0].session())

    assert worlds[0].relay.replicas.of(method) is worlds[0].relay


def test_a_new_call_goes_to_another_one_at_once_when_one_has_died():
    worlds = group()
    session = worlds[0].session()
    worlds[0].die()
    ask(worlds, session, "now")

    assert got(worlds[1]) == ["now"]
    assert worlds[0].relay.replicas.of("tools/list") is worlds[1].relay
    assert worlds[0].relay.replicas.of("resources/subscribe") is worlds[0].relay


@pytest.mark.parametrize("for_good", [False, True])
def test_what_it_had_is_done_by_another_one_where_that_is_safe_and_fails_where_it_is_not(for_good):
    worlds = group()
    session = worlds[0].session()
    safe, _, unsafe = (ask(worlds, session, name, id=id) for id, name in enumerate(("safe", "unsafe", "unsafe")))
    for world in worlds:
        world.sent()
    worlds[0].die(for_good=for_good)
    (line,) = worlds[1].sent()
    worlds[1].answer(line, "done")

    assert (line["params"]["name"], safe.answers[0]["result"], unsafe.error["code"]) == ("safe", "done", -32603)
    worlds[1].die(for_good=True)
    assert worlds[0].counts.in_flight == 0 and session.exchanges == {}


def test_what_waited_for_one_goes_on_with_the_first_that_is_there():
    worlds = group(opened=0)
    session = worlds[0].session()
    outbox = ask(worlds, session, "early")
    assert (got(worlds[0]), got(worlds[1])) == ([], [])
    worlds[1].open(tools=[SAFE])

    assert outbox.answers == [] and session.exchanges
    (exchange,) = session.exchanges.values()
    assert exchange.relay is worlds[1].relay and exchange.id in worlds[1].relay.exchanges


def test_a_start_that_fails_does_not_fail_what_another_one_can_do():
    worlds = group(opened=0)
    session = worlds[0].session()
    ask(worlds, session, "early")
    worlds[1].open()
    worlds[0].die()

    assert session.exchanges and worlds[0].counts.in_flight == 1


def test_each_of_them_logs_from_the_level_that_clients_want_also_after_a_new_start():
    worlds = group()
    session = worlds[0].session()
    message = envelope.from_client(b'{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"warning"}}')
    worlds[0].relay.request(session, message, spelling.params(message), Outbox(), worlds[0].now)
    (line,) = worlds[0].sent()
    worlds[0].answer(line)
    (told,) = worlds[1].sent()
    worlds[1].answer(told)
    worlds[1].die()
    again = worlds[1].open()

    assert line["params"] == told["params"] == {"level": "warning"}
    assert [line["params"] for line in again if line["method"] == "logging/setLevel"] == [{"level": "warning"}]


def test_news_of_lists_are_told_once_and_a_subscription_is_made_once():
    worlds = group()
    stream = Outbox()
    session = worlds[0].session(stream)
    session.subscriptions.add("test://one")
    worlds[1].notice("tools/list_changed")
    worlds[0].notice("tools/list_changed")
    worlds[1].die()

    assert stream.methods == ["notifications/tools/list_changed"]
    assert "resources/subscribe" not in [line["method"] for line in worlds[1].open()]


def test_one_that_sleeps_is_woken_when_the_others_have_something_to_do():
    worlds = group()
    session = worlds[0].session()
    worlds[1].relay.sleep()
    ask(worlds, session, id=1)
    assert worlds[1].woken == 0
    ask(worlds, session, id=2)

    assert worlds[1].woken == 1


def test_a_replaced_one_is_asked_no_more_and_what_it_had_ends_there():
    worlds = group()
    session = worlds[0].session()
    outbox = ask(worlds, session, "before")
    (line,) = worlds[0].sent()
    new = Replica(beside=worlds[0], is_open=False)
    new.open(tools=[SAFE])
    worlds[0].relay.replicas.replace(worlds[0].relay, new.relay)
    worlds[0].relay.hand_over(new.relay, new.now)
    ask([new], session, "after", id=2)
    worlds[0].answer(line, "ended")

    assert (got(worlds[0]), got(new), session.relay, outbox.answers[0]["result"]) == ([], ["after"], new.relay, "ended")


def test_one_that_was_given_up_hears_nothing_of_calls_that_others_do():
    """It starts where it has cooled down, but nobody waits for it: there is nothing to tell."""
    worlds = group(opened=1)
    session = worlds[0].session()
    for number in range(3):
        ask(worlds, session, id=number)
    lost, relay = [], SimpleNamespace(is_asleep=False, link=SimpleNamespace(reason=""), lost=lambda *given, **more: lost.append(given))
    supervisor = SimpleNamespace(state=State.FATAL, start=lambda: None)
    child = SimpleNamespace(supervisor=supervisor, relay=relay, is_over=False, start=supervisor.start, _clock=lambda: 0.0)
    Child.wake(child, worlds[1].is_awaited)

    assert worlds[1].woken and lost == []
    Child.wake(child)
    assert len(lost) == 1
