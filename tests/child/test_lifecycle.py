"""Recorded lives: what happens to a child, and what must follow. No process, no clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.child.lifecycle import COOL_DOWN, FETCH_PATIENCE, LASTING, STOP_STEPS, TABLE, Event, Lifecycle, Pace, State
from bridge.failure import Failure

PACE = Pace(start_timeout=10.0, backoff_initial=1.0, backoff_max=5.0, max_restarts=3)
START, SPAWNED, FETCHING, RUNS, OPENED, SERVED, REFUSED, CLOSED, EXITED, TIMER, STOP = Event
STOPPED, STARTING, HANDSHAKING, READY, BACKOFF, STOPPING, FATAL = State
TO_READY = [(START, STARTING), (SPAWNED, HANDSHAKING), (OPENED, READY)]
PATIENCE = [patience for _, patience in STOP_STEPS]


class Child:
    """Notes what was done to it. `after` says what happened and returns the actions that followed."""

    def __init__(self, pace=PACE):
        self.actions = []
        self.now = 0.0
        self.life = Lifecycle(self, pace, jitter=lambda: 0.5)

    def after(self, *events, reason="died") -> list:
        """TIMER comes when it is due, everything else at once."""
        before = len(self.actions)
        for event in events:
            if event is TIMER:
                assert self.life.timer is not None, f"no timer in {self.life.state}"
                self.now = self.life.timer
            self.life.on(event, self.now, Failure(reason))
        return self.actions[before:]

    def spawn(self):
        self.actions.append("spawn")

    def close_stdin(self):
        self.actions.append("close_stdin")

    def terminate(self):
        self.actions.append("terminate")

    def kill(self):
        self.actions.append("kill")

    def gone(self, why, for_good):
        self.actions.append(("gone", str(why), for_good))

    @property
    def due(self):
        return None if self.life.timer is None else self.life.timer - self.now


@pytest.fixture
def child():
    return Child()


@pytest.fixture
def ready(child):
    child.after(START, SPAWNED, OPENED)
    return child


HISTORIES = {
    "the good way": [*TO_READY, (TIMER, READY), (STOP, STOPPING), (EXITED, STOPPED)],
    "it dies and comes again": [*TO_READY, (EXITED, BACKOFF), (TIMER, STARTING), (SPAWNED, HANDSHAKING), (OPENED, READY)],
    "the command does not exist": [
        (START, STARTING),
        (EXITED, BACKOFF),
        (TIMER, STARTING),
        (EXITED, BACKOFF),
        (TIMER, STARTING),
        (EXITED, FATAL),
    ],
    "it dies in its handshake": [(START, STARTING), (SPAWNED, HANDSHAKING), (EXITED, BACKOFF)],
    "it refuses the handshake": [(START, STARTING), (SPAWNED, HANDSHAKING), (REFUSED, STOPPING), (EXITED, BACKOFF)],
    "it closes a pipe": [*TO_READY, (CLOSED, STOPPING), (EXITED, BACKOFF)],
    "it closes a pipe in its handshake": [(START, STARTING), (SPAWNED, HANDSHAKING), (CLOSED, STOPPING), (EXITED, BACKOFF)],
    "it closes a pipe while it is stopped": [*TO_READY, (STOP, STOPPING), (CLOSED, STOPPING), (EXITED, STOPPED)],
    "it is too slow": [(START, STARTING), (SPAWNED, HANDSHAKING), (TIMER, STOPPING), (EXITED, BACKOFF)],
    "it downloads first": [(START, STARTING), (SPAWNED, HANDSHAKING), (FETCHING, HANDSHAKING), (RUNS, HANDSHAKING), (OPENED, READY)],
    "it downloads for ever": [(START, STARTING), (SPAWNED, HANDSHAKING), (FETCHING, HANDSHAKING), (TIMER, STOPPING), (EXITED, BACKOFF)],
    "it answers too late": [(START, STARTING), (SPAWNED, HANDSHAKING), (TIMER, STOPPING), (OPENED, STOPPING), (EXITED, BACKOFF)],
    "it is stopped while it starts": [(START, STARTING), (SPAWNED, HANDSHAKING), (STOP, STOPPING), (OPENED, STOPPING), (EXITED, STOPPED)],
    "it is stopped before it was spawned": [(START, STARTING), (STOP, STOPPING), (EXITED, STOPPED)],
    "it is stopped while it waits": [*TO_READY, (EXITED, BACKOFF), (STOP, STOPPED)],
    "it is stopped when it was given up": [
        (START, STARTING),
        *[(EXITED, BACKOFF), (TIMER, STARTING)] * 2,
        (EXITED, FATAL),
        (STOP, STOPPED),
    ],
    "it is stopped while it is being restarted": [
        (START, STARTING),
        (SPAWNED, HANDSHAKING),
        (REFUSED, STOPPING),
        (STOP, STOPPING),
        (EXITED, STOPPED),
    ],
    "it is stopped twice": [*TO_READY, (STOP, STOPPING), (STOP, STOPPING), (EXITED, STOPPED), (STOP, STOPPED)],
    "it is started again after a stop": [*TO_READY, (STOP, STOPPING), (EXITED, STOPPED), *TO_READY],
    "it is of use and dies": [*TO_READY, (SERVED, READY), (EXITED, BACKOFF), (TIMER, STARTING)],
    "it is of use while it is stopped": [*TO_READY, (STOP, STOPPING), (SERVED, STOPPING), (EXITED, STOPPED)],
    "it hears nothing new": [
        (SPAWNED, STOPPED),
        (EXITED, STOPPED),
        (START, STARTING),
        (START, STARTING),
        (SPAWNED, HANDSHAKING),
        (START, HANDSHAKING),
        (OPENED, READY),
        (OPENED, READY),
    ],
}


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
def test_history(child, history):
    for number, (event, state) in enumerate(history):
        child.after(event)

        assert child.life.state is state, f"after {number + 1} events: {event}"


def test_all_states_and_actions_of_the_table_exist():
    assert set(TABLE) == set(State)
    for events in TABLE.values():
        for method in events.values():
            assert callable(getattr(Lifecycle, method))


# -- stopping ---------------------------------------------------------------------------------------------------------------


def test_a_stop_closes_stdin_then_terminates_then_kills_until_it_is_gone(ready):
    """No single signal works on every server."""
    assert ready.after(STOP) == ["close_stdin"]
    assert ready.due == PATIENCE[0]
    assert ready.after(TIMER) == ["terminate"]
    assert ready.due == PATIENCE[1]
    assert ready.after(TIMER, TIMER, TIMER) == ["kill", "kill", "kill"]
    assert ready.after(EXITED) == [("gone", "stopped", True)]
    assert (ready.life.state, ready.due) == (STOPPED, None)


def test_stopping_fits_into_the_time_that_docker_gives():
    assert sum(PATIENCE) < 10


def test_a_second_stop_does_not_start_over(ready):
    ready.after(STOP, TIMER)

    assert ready.after(STOP) == []
    assert ready.after(TIMER) == ["kill"]


def test_what_is_not_there_is_gone_at_once(ready):
    ready.after(EXITED)

    assert ready.after(STOP) == [("gone", "stopped", True)]
    assert ready.due is None


# -- dying ------------------------------------------------------------------------------------------------------------------


def test_its_user_hears_why_and_that_it_comes_again(ready):
    assert ready.after(EXITED, reason="code 3") == [("gone", "code 3", False)]
    assert str(ready.life.failure) == "code 3"
    assert ready.after(TIMER) == ["spawn"]


def test_the_pause_doubles_up_to_its_limit():
    child = Child(Pace(10.0, backoff_initial=1.0, backoff_max=5.0, max_restarts=99))
    child.after(START)
    pauses = []
    for _ in range(5):
        child.after(SPAWNED, EXITED)
        pauses.append(child.due)
        child.after(TIMER)

    assert pauses == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_the_pause_varies_so_that_many_children_do_not_start_at_once():
    pauses = set()
    for jitter in (0.0, 0.999):
        child = Child()
        child.life.jitter = lambda jitter=jitter: jitter
        child.after(START, EXITED)
        pauses.add(round(child.due, 1))

    assert pauses == {0.8, 1.2}


def test_an_operator_may_never_give_up():
    """2 ** 1100 seconds do not fit into a float."""
    child = Child(Pace(10.0, 1.0, 5.0, max_restarts=10**9))
    child.after(START)
    for _ in range(1200):
        child.after(EXITED, TIMER)

    assert child.life.state is STARTING


def test_too_many_failures_in_a_row_are_fatal_and_say_so():
    child = Child()
    child.after(START, EXITED, TIMER, EXITED, TIMER)

    assert child.after(EXITED, reason="code 1") == [("gone", "3 starts in a row failed, the last one: code 1", True)]
    assert (child.life.state, child.due) == (FATAL, None)


@pytest.mark.parametrize("way", [[OPENED, EXITED], [EXITED], [REFUSED, EXITED], [CLOSED, EXITED], [TIMER, EXITED]])
def test_short_lives_count_as_failures_whatever_ends_them(way):
    """A server that answers its handshake and dies is no better than one that does not."""
    child = Child()
    child.after(START)
    for life in range(3):
        if life:
            child.after(TIMER)
        child.after(SPAWNED, *way)

    assert child.life.state is FATAL


def test_one_that_is_of_use_and_dies_is_never_given_up():
    """Killed a hundred times under busy clients: each time it comes again after the first pause."""
    child = Child()
    child.after(START)
    pauses = set()
    for _ in range(100):
        child.after(SPAWNED, OPENED, SERVED, EXITED)
        pauses.add(child.due)
        child.after(TIMER)

    assert (child.life.state, pauses) == (STARTING, {1.0})


def test_use_in_an_earlier_life_does_not_count_for_long():
    child = Child()
    child.after(START, SPAWNED, OPENED, EXITED, TIMER, SPAWNED, OPENED, SERVED, EXITED, TIMER)
    child.after(SPAWNED, OPENED, EXITED, TIMER, SPAWNED, OPENED, EXITED)

    assert child.life.state is FATAL, "the useful one was killed, two more could only shake hands"


def test_use_does_not_stop_the_clock_of_one_that_lasts(ready):
    ready.after(SERVED)

    assert ready.due == LASTING


def test_one_that_lasted_starts_with_a_clean_slate(ready):
    ready.after(EXITED, TIMER, SPAWNED, EXITED, TIMER, SPAWNED, OPENED)
    assert ready.due == LASTING
    ready.after(TIMER)
    assert ready.due is None
    ready.after(EXITED)

    assert (ready.life.state, ready.due) == (BACKOFF, 1.0)


def test_a_refusal_is_remembered_as_the_reason_not_the_exit_that_follows():
    child = Child()
    child.after(START, SPAWNED)

    assert child.after(REFUSED, reason="too old") == ["close_stdin"]
    assert child.after(EXITED, reason="killed by SIGTERM") == [("gone", "too old", False)]


def test_one_that_closed_a_pipe_and_lives_on_is_terminated_then_killed(ready):
    """It ignores SIGTERM: without SIGKILL it would be READY for ever, and each call wait for --request-timeout."""
    assert ready.after(CLOSED, reason="closed its stdout") == ["terminate"]
    assert ready.after(TIMER) == ["kill"]
    assert ready.after(EXITED, reason="killed by SIGKILL") == [("gone", "closed its stdout", False)]


def test_one_that_closes_a_pipe_while_it_is_stopped_has_its_time_to_tidy_up(ready):
    assert ready.after(STOP, CLOSED) == ["close_stdin"]
    assert ready.due == PATIENCE[0]


def test_a_start_takes_only_so_long():
    child = Child()
    child.after(START, SPAWNED)
    assert child.due == 10.0
    child.after(TIMER, reason="")

    assert child.after(EXITED)[0][1] == "no answer to initialize within 10 s (--start-timeout)"


def test_zero_is_no_limit_for_a_start():
    child = Child(Pace(0, 1.0, 5.0, 3))
    child.after(START, SPAWNED)

    assert child.due is None


# -- given up -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def fatal(child):
    child.after(START, EXITED, TIMER, EXITED, TIMER, EXITED)
    return child


def test_one_that_was_given_up_stays_down_for_a_while(fatal):
    fatal.now += COOL_DOWN - 0.1

    assert fatal.after(START) == []
    assert fatal.life.state is FATAL


def test_after_that_a_request_gets_one_try(fatal):
    fatal.now += COOL_DOWN
    assert fatal.after(START) == ["spawn"]
    fatal.after(SPAWNED, EXITED)

    assert fatal.life.state is FATAL
    assert fatal.after(START) == []


def test_if_it_lasts_this_time_all_is_forgiven(fatal):
    fatal.now += COOL_DOWN
    fatal.after(START, SPAWNED, OPENED, TIMER, EXITED)

    assert fatal.life.state is BACKOFF


@pytest.mark.parametrize("restarts", [0, 1])
def test_without_restarts_the_first_failure_is_fatal(restarts):
    child = Child(Pace(10.0, 1.0, 5.0, restarts))
    child.after(START, EXITED)

    assert child.life.state is FATAL
    child.now += COOL_DOWN
    child.after(START, EXITED)
    assert child.life.state is FATAL


# -- any order ---------------------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(list(Event)), max_size=60))
def test_whatever_happens_it_knows_where_it_is(events):
    """It is spawned only when it is not there, gone only when it was, and a stop always ends."""
    child = Child()
    is_there = False
    for event in events:
        if (event is TIMER and child.life.timer is None) or (event is SPAWNED and child.life.state is not STARTING):
            continue
        if event is EXITED and not is_there:
            continue
        for deed in child.after(event):
            if deed == "spawn":
                assert not is_there
                is_there = True
            elif deed[0] == "gone":
                is_there = False
        if event is EXITED:
            is_there = False
        assert (child.life.timer is not None) or child.life.state in (STOPPED, STARTING, READY, FATAL)
    child.after(STOP)
    for _ in range(20):
        if child.life.state is STOPPING:
            child.after(TIMER)
    if child.life.state is STOPPING:
        child.after(EXITED)

    assert child.life.state is STOPPED
    assert child.life.timer is None


def test_the_time_to_start_begins_when_what_was_downloaded_runs(child):
    child.after(START, SPAWNED)
    child.now = 9.0
    child.after(FETCHING, reason="npx")
    assert child.due == FETCH_PATIENCE
    child.now = 300.0
    child.after(RUNS)
    assert child.due == 10.0
    child.after(TIMER, reason="")
    assert "--start-timeout" in str(child.life.failure)


def test_what_downloads_for_ever_is_told_by_its_launcher(child):
    child.after(START, SPAWNED)
    child.after(FETCHING, reason="npx")
    child.now = child.due
    child.life.on(TIMER, child.now, Failure("", said="; its last words: no route to host"))
    assert child.life.failure == Failure("npx has started nothing within 900 s", "; its last words: no route to host")
