"""One line per fact, for people or as JSON; facts are key=value. Never a payload, never a secret: sizes and names.

The standard library's logging does the writing; this is its format, and a logger that has facts bound to it.
"""

import json
import logging
import sys
import time
from dataclasses import dataclass

from bridge.printable import printable, shortened
from bridge.redact import redacted

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
WIDTH = 1000  # characters of one fact: a client's words are among them
_logger = logging.getLogger("mcp-bridge")


@dataclass(frozen=True)
class Event:
    """What happened last, for who looks at a page and at no log."""

    time: float  # Unix time
    level: str
    event: str
    why: str = ""


class Log:
    """A logger with facts bound: `Log().bind(mcp="time").info("child ready", pid=7)`."""

    def __init__(self, **bound: object):
        self._bound = bound
        self._last: list[Event] = []

    def bind(self, **facts: object) -> "Log":
        bound = Log(**{**self._bound, **facts})
        bound._last = self._last
        return bound

    @property
    def last(self) -> Event | None:
        """The last event that was worth a line, of this log and those bound to it."""
        return self._last[0] if self._last else None

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
            self._last[:] = [
                Event(time.time(), logging.getLevelName(level).lower(), event, str(facts.get("why") or facts.get("cause") or ""))
            ]
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
