"""`subscriptions/listen`: a modern client's on a child of either era, and the bridge's own for sessions on a modern child."""

from world import World

from bridge.protocol import envelope
from bridge.protocol.eras.listens import Listen

SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


def listening(world, id=b'"abc"', **wishes):
    from world import Outbox

    outbox = Outbox()
    params = envelope.Raw(envelope.encode({"notifications": wishes}))
    Listen("test", "", id, params, world.relay.facts, outbox).begin(world.relay, world.now)
    return outbox


def passing(world, id=b'"abc"', **wishes):
    from world import Outbox

    outbox = Outbox()
    outbox.listen = world.relay.listens.open(id, envelope.encode({"notifications": wishes}), outbox, world.now)
    return outbox


def tag(message):
    return message["params"]["_meta"][SUBSCRIPTION]


# -- on a legacy child ----------------------------------------------------------------------------------------------------


def test_the_first_message_acknowledges_what_the_child_offers_and_each_carries_the_id():
    world = World(capabilities={"tools": {"listChanged": True}})
    outbox = listening(world, toolsListChanged=True, promptsListChanged=True, resourceSubscriptions=["a:b"])
    world.notice("tools/list_changed")

    assert outbox.methods == ["notifications/subscriptions/acknowledged", "notifications/tools/list_changed"]
    assert outbox.messages[0]["params"]["notifications"] == {"toolsListChanged": True}
    assert [tag(message) for message in outbox.messages] == ["abc", "abc"]


def test_what_was_not_wished_for_is_not_told():
    world = World()
    outbox = listening(world, promptsListChanged=True)
    world.notice("tools/list_changed")
    world.notice("message", level="error", data="x")

    assert outbox.methods == ["notifications/subscriptions/acknowledged"]


def test_the_acknowledgement_waits_for_the_child_and_leaves_out_what_it_refused():
    world = World()
    outbox = listening(world, resourceSubscriptions=["a:1", "a:2"])
    first, second = world.sent()
    world.answer(first)
    before = list(outbox.messages)
    world.answer(second, code=-32602, message="no")

    assert before == []
    assert outbox.messages[0]["params"]["notifications"] == {"resourceSubscriptions": ["a:1"]}


def test_the_last_one_that_leaves_unsubscribes():
    world = World()
    for _ in range(2):
        listening(world, resourceSubscriptions=["a:1"])
        for line in world.sent():
            world.answer(line)
    one, two = list(world.relay.sessions.values())
    world.relay.leave(one, world.now)
    after_the_first = world.sent()
    world.relay.leave(two, world.now)

    assert after_the_first == []
    assert [line["method"] for line in world.sent()] == ["resources/unsubscribe"]
    assert world.relay.sessions == {}


def test_a_new_child_is_subscribed_again():
    world = World()
    outbox = listening(world, resourceSubscriptions=["a:1"])
    world.answer(*world.sent())
    world.die()
    others = world.open()
    world.notice("resources/updated", uri="a:1")

    assert [line["method"] for line in others if "id" in line] == ["resources/subscribe"]
    assert outbox.methods[-1] == "notifications/resources/updated"


def test_the_end_is_said():
    world = World()
    outbox = listening(world, id=b"7", toolsListChanged=True)
    world.relay.finish()

    assert outbox.answers == [{"jsonrpc": "2.0", "id": 7, "result": {"resultType": "complete", "_meta": {SUBSCRIPTION: 7}}}]


# -- on a modern child ----------------------------------------------------------------------------------------------------


def modern():
    """A world whose child has acknowledged the bridge's own listen, if it got one."""
    world = World(era="modern", is_open=False)
    own = [line for line in world.open() if line["method"] == "subscriptions/listen"]
    world.own = own[0]["id"] if own else None
    if own:
        acknowledge(world, own[0])
    return world


def acknowledge(world, line):
    world.notice("subscriptions/acknowledged", notifications=line["params"]["notifications"], _meta={SUBSCRIPTION: line["id"]})


def test_a_listen_passes_with_the_clients_id_in_each_message():
    world = modern()
    outbox = passing(world, id=b"3", toolsListChanged=True)
    (line,) = world.sent()
    acknowledge(world, line)
    world.notice("tools/list_changed", _meta={SUBSCRIPTION: line["id"]})
    world.answer(line, {"_meta": {SUBSCRIPTION: line["id"], "kept": 1}})

    assert [tag(message) for message in outbox.messages] == [3, 3]
    assert outbox.answers == [{"jsonrpc": "2.0", "id": 3, "result": {"_meta": {SUBSCRIPTION: 3, "kept": 1}}}]


def test_a_listen_outlives_its_child_and_is_acknowledged_once():
    """Edge case 50."""
    world = modern()
    outbox = passing(world, toolsListChanged=True)
    (line,) = world.sent()
    acknowledge(world, line)
    world.die()
    again = [one for one in world.open() if one["id"] == line["id"]]
    acknowledge(world, line)
    world.notice("tools/list_changed", _meta={SUBSCRIPTION: line["id"]})

    assert [one["params"] for one in again] == [line["params"]]
    assert outbox.methods == ["notifications/subscriptions/acknowledged", "notifications/tools/list_changed"]


def test_a_client_that_leaves_cancels_its_listen_and_only_that():
    world = modern()
    outbox = passing(world, toolsListChanged=True)
    (line,) = world.sent()
    outbox.listen.close()
    outbox.listen.close()

    assert world.sent() == [{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": line["id"]}}]
    assert len(world.relay.listens) == 0


def test_a_listen_that_the_child_breaks_off_ends_without_a_word():
    world = modern()
    outbox = passing(world, toolsListChanged=True)
    (line,) = world.sent()
    world.notice("cancelled", requestId=line["id"])

    assert outbox.is_ended and outbox.answers == []


def test_sessions_hear_of_changes_by_one_listen_of_the_bridge():
    world = modern()
    from world import Outbox

    streams = [Outbox(), Outbox()]
    for stream in streams:
        world.session(stream)
    world.notice("prompts/list_changed", _meta={SUBSCRIPTION: world.own})

    assert [stream.messages for stream in streams] == [
        [{"jsonrpc": "2.0", "method": "notifications/prompts/list_changed", "params": {}}]
    ] * 2


def test_a_subscription_is_answered_when_the_new_listen_is_acknowledged_and_nothing_is_told_twice():
    world = modern()
    from world import Outbox

    stream = Outbox()
    session = world.session(stream)
    subscribe = world.request(session, "resources/subscribe", {"uri": "a:1"})
    (line,) = world.sent()
    before = list(subscribe.answers)
    acknowledge(world, line)
    (cancelled,) = world.sent()
    for id in (world.own, line["id"]):
        world.notice("resources/updated", uri="a:1", _meta={SUBSCRIPTION: id})

    assert before == []
    assert subscribe.answers == [{"jsonrpc": "2.0", "id": 1, "result": {}}]
    assert line["params"]["notifications"]["resourceSubscriptions"] == ["a:1"]
    assert cancelled["params"] == {"requestId": world.own}
    assert stream.methods == ["notifications/resources/updated"]


def test_a_subscription_that_is_not_honoured_is_an_error():
    world = modern()
    session = world.session()
    subscribe = world.request(session, "resources/subscribe", {"uri": "a:1"})
    (line,) = world.sent()
    world.answer(line, code=-32601, message="no listens here")

    assert subscribe.error["code"] == -32603
    assert session.subscriptions == set()
