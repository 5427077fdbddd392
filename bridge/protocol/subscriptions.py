"""Standing wishes: which session wants which resource's changes, and how much of the log."""

from collections.abc import Iterable
from itertools import islice
from sys import getsizeof

from bridge.protocol.session import Session

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")  # RFC 5424, 6.2.1
EACH = 128  # bytes that one takes beside its URI
MOST, LONGEST = 1000, 8192  # resources that one session may have watched, and characters of their URIs
PARTS = 100  # of a URI, that may be what somebody subscribed to: 8,192 slashes have as many parts, of 4 KB each
UNASKED = "info"  # what a session that never set a level gets once another one has made the child more talkative


def too_much(session: Session, uri: str) -> str:
    """Why a session may not have this resource watched, too; empty if it may. A bridge lives for months."""
    if len(uri) > LONGEST:
        return f"the uri is longer than {LONGEST} characters"
    if len(session.subscriptions) >= MOST and uri not in session.subscriptions:
        return f"this session has subscribed to {MOST} resources already: unsubscribe from some"
    if session.hold is not None and not session.hold.pot.has_room(session.caller, getsizeof(uri) + EACH):
        return "there is no memory for more subscriptions (--memory)"
    return ""


def holders(sessions: Iterable[Session], uri: str) -> list[Session]:
    """The sessions that subscribed to a resource, or to one that it is a part of.

    They are asked for what it may be a part of, which is little; each may hold a thousand others.
    """
    parts = wholes(uri)
    return [session for session in sessions if session.subscriptions and not parts.isdisjoint(session.subscriptions)]


def is_held(sessions: Iterable[Session], uri: str | None) -> bool:
    return any(uri in session.subscriptions for session in sessions)


def not_held(sessions: Iterable[Session], uris: set[str]) -> set[str]:
    """Of these resources, those that no session has subscribed to."""
    return uris.difference(*(uris & session.subscriptions for session in sessions if session.subscriptions))


def level_needed(sessions: Iterable[Session], wanted: str) -> str:
    """The most talkative level that any session wants; `wanted` is that of the one that asks now."""
    return min([wanted, *(session.level or UNASKED for session in sessions if not session.is_modern)], key=LEVELS.index)


def level_of(sessions: Iterable[Session]) -> str | None:
    """What a new child must be told; None if no session ever asked."""
    asked = next((session.level for session in sessions if session.level), None)
    return asked and level_needed(sessions, asked)


def lets_through(session: Session, level: str | None, anyone_set: bool) -> bool:
    """Whether a log message of this level is for this session. Unknown levels pass."""
    if level not in LEVELS or not anyone_set:
        return True
    return LEVELS.index(level) >= LEVELS.index(session.level or UNASKED)


def is_wanted(wanted: str, level: str | None) -> bool:
    """Whether a log message of this level is for a request that wants `wanted` (empty: none)."""
    return bool(wanted) and (level not in LEVELS or LEVELS.index(level) >= LEVELS.index(wanted))


def wholes(uri: str) -> set[str]:
    """The resource and what it is a part of (server/resources, "Subscriptions"): file:///a/b is one of file:///a and of file:///a/."""
    begin = uri[: LONGEST + 1]  # a longer one cannot have been subscribed to
    found = {uri} if len(uri) <= LONGEST else set()
    for end in islice((end for end, char in enumerate(begin) if char in "/#?"), PARTS):
        found.add(begin[:end])
        if begin[end] == "/":
            found.add(begin[: end + 1])
    return found
