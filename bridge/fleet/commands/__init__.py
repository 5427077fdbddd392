"""The commands of the fleet, a module each: `declare(parser)` says what it takes, `run(arguments, words)` does it and returns the
exit code (0 works, 1 does not, 2 wrong usage).

Answers go to stdout, progress and troubles to stderr. A module is imported only when its command was chosen.
"""

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from bridge.fleet.engines import EngineError
from bridge.fleet.project import Project
from bridge.fleet.transaction import recover
from bridge.settings import UsageError

LISTS = ("tools", "resources", "prompts")


def add_arguments(name: str, parser: argparse.ArgumentParser) -> None:
    """Declare what command `name` takes, and what it does."""
    module = importlib.import_module(f"{__name__}.{'listing' if name in LISTS else name}")
    parser.add_argument("--project", default="", metavar="DIR", help="the folder with images/ (default: this one, or the nearest above)")
    module.declare(parser)
    parser.set_defaults(word=name, run=_at_the_edge(name, module.run))


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Whoever ends us with SIGTERM, or closes the terminal, leaves no more behind than Ctrl-C: containers and images of a trial are removed.
    A second signal does not stop that."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> NoReturn:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number, handler in before.items():
            if handler == signal.SIG_DFL:  # `nohup` wants to be deaf
                signal.signal(number, interrupt)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _undo_what_was_killed(folder: str) -> None:
    try:
        project = Project.find(folder)
    except UsageError:  # which the command says itself, if it needs one
        return
    if undone := recover(project.root, project.images, project.compose):
        paths = ", ".join(os.path.relpath(path, project.root) for path in undone)
        print(f"mcp-bridge: a command was killed half-way: as it was before that one: {paths}", file=sys.stderr)


def _at_the_edge(name: str, command: Callable[[argparse.Namespace, list[str]], int]) -> Callable[[argparse.Namespace, list[str]], int]:
    """What does not work is one line each, without a traceback."""

    def run(arguments: argparse.Namespace, words: list[str]) -> int:
        if words and name != "add":
            raise UsageError(f"nothing belongs after '--' here: {' '.join(words)}")
        try:
            with _ended_like_ctrl_c():
                _undo_what_was_killed(arguments.project)
                return command(arguments, words)
        except EngineError as trouble:
            print(f"mcp-bridge: {trouble}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print(f"mcp-bridge: interrupted; `mcp-bridge {name}` goes on where this ended", file=sys.stderr)
            return 1
        except BrokenPipeError:  # `mcp-bridge tools | head` has seen enough
            sys.stdout = None
            return 1
        except OSError as error:  # a full disk, a folder that is not ours
            print(f"mcp-bridge: {error.filename or 'this machine'}: {error.strerror or error}", file=sys.stderr)
            return 1

    return run
