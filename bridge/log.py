"""One line per fact, for people or as JSON; facts are key=value. Never a payload, never a secret: sizes and names.

The standard library's logging does the writing; this is its format, and a logger that has facts bound to it.
"""

import json
import logging
import sys
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from bridge.printable import printable, shortened
from bridge.redact import redacted

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
WIDTH = 1000  # characters of one fact: a client's words are among them
_logger = logging.getLogger("mcp-bridge")


KEPT, KEPT_TROUBLES = 200, 20  # events of one log, for who looks at a page


@dataclass(frozen=True)
class Event:
    """What happened, for who looks at a page and at no log."""

    number: int  # from 1, in this log
    time: float  # Unix time
    level: str
    event: str
    facts: dict[str, object]

    @property
    def why(self) -> str:
        return str(self.facts.get("why") or self.facts.get("cause") or "")

    def told(self) -> dict[str, Any]:
        """As the log has it: bounded, redacted, printable."""
        facts = {key: printable(str(_bounded(value))) for key, value in self.facts.items() if value not in ("", None)}
        return {"number": self.number, "time": round(self.time, 3), "level": self.level, "event": self.event, "facts": facts}


class Events:
    """The last ones of a log, and of those the last ones that were trouble: a chatty server's stderr does not push them out."""

    def __init__(self) -> None:
        self.count = 0
        self.last: deque[Event] = deque(maxlen=KEPT)
        self.troubles: deque[Event] = deque(maxlen=KEPT_TROUBLES)

    def add(self, level: int, event: str, facts: dict[str, object]) -> None:
        self.count += 1
        kept = {key: value[: 2 * WIDTH] if isinstance(value, str) else value for key, value in facts.items()}
        made = Event(self.count, time.time(), logging.getLevelName(level).lower(), event, kept)
        self.last.append(made)
        if level > logging.INFO:
            self.troubles.append(made)

    def since(self, number: int) -> list[dict[str, Any]]:
        """What came after the event of this number, as far as it is kept."""
        return [event.told() for event in self.last if event.number > number]


class Log:
    """A logger with facts bound: `Log().bind(mcp="time").info("child ready", pid=7)`."""

    def __init__(self, **bound: object):
        self._bound = bound
        self.events = Events()  # of this log and those bound to it

    def bind(self, **facts: object) -> "Log":
        bound = Log(**{**self._bound, **facts})
        bound.events = self.events
        return bound

    @property
    def is_debug(self) -> bool:
        return _logger.isEnabledFor(logging.DEBUG)

    def debug(self, event: str, **facts: object) -> None:
        self._write(logging.DEBUG, event, facts)

    def info(self, event: str, **facts: object) -> None:
        self._write(logging.INFO, event, facts)

    def warning(self, event: str, **facts: object) -> None:
        self._write(logging.WARNING, event, facts)

    def error(self, event: str, **facts: object) -> None:
        self._write(logging.ERROR, event, facts)

    def _write(self, level: int, event: str, facts: dict[str, object]) -> None:
        if level > logging.DEBUG:
            self.events.add(level, event, facts)
        if _logger.isEnabledFor(level):
            _logger.log(level, event, extra={"facts": {**self._bound, **facts}})


def set_up(format: str, level: str) -> None:
    """Log to stderr in this format; foreign loggers (uvicorn's) only from warnings on."""
    out = logging.StreamHandler(sys.stderr)
    out.setFormatter(_Json() if format == "json" else _Human())
    logging.basicConfig(handlers=[out], level=logging.WARNING, force=True)
    _logger.setLevel(LEVELS[level])
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it reports responses that we ended on purpose


class _Human(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = "".join(f" {key}={_shown(value)}" for key, value in getattr(record, "facts", {}).items() if value not in ("", None))
        line = f"{_time(record)} {record.levelname.lower():7} {_plain(record.getMessage())}{facts}"
        return line + ("\n" + _plain(self.formatException(record.exc_info)) if record.exc_info else "")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = {key: _bounded(value) for key, value in getattr(record, "facts", {}).items() if value not in ("", None)}
        line = {"time": _time(record), "level": record.levelname.lower(), "event": _plain(record.getMessage()), **facts}
        if record.exc_info:
            line["traceback"] = _plain(self.formatException(record.exc_info))
        return json.dumps(line, default=str)


def _time(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


def _shown(value: object) -> str:
    text = str(_bounded(value))
    if not text.isprintable():  # a terminal must not obey what a client or a child says
        return json.dumps(text)
    return json.dumps(text, ensure_ascii=False) if not text or any(char.isspace() or char in '"=' for char in text) else text


def _bounded(value: object) -> object:
    return shortened(redacted(value[: 2 * WIDTH]), WIDTH) if isinstance(value, str) else value


def _plain(text: str) -> str:
    """Words that are not ours alone: other libraries' and exceptions' have a client's or a child's in them."""
    return redacted(printable(text))
