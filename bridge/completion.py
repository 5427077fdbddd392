"""`mcp-bridge completion SHELL`: a script that completes commands, options, files and the names of MCPs. shtab writes it from the
parser itself, so it knows what the parser knows.

    bash  eval "$(mcp-bridge completion bash)"            in ~/.bashrc
    zsh   eval "$(mcp-bridge completion zsh)"             in ~/.zshrc, after compinit
    fish  mcp-bridge completion fish | source             in ~/.config/fish/config.fish
"""

import argparse
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

SHELLS = ("bash", "zsh", "fish")
NAMES = "mcp-bridge completion --names 2>/dev/null"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("shell", nargs="?", choices=SHELLS, metavar="SHELL", help="bash, zsh or fish")
    what.add_argument("--names", action="store_true", help="print the names of the MCPs here, which the scripts ask for")


def run(arguments: argparse.Namespace, whole_parser: Callable[[], argparse.ArgumentParser]) -> int:
    if arguments.names:
        print("\n".join(_names(Path.cwd())))
        return 0
    shtab: Any = import_module("shtab")  # start-up time: only for the scripts; it has no types for `complete`

    parser = whole_parser()
    one: Any
    for one in _actions(parser):
        if one.dest == "names":
            one.complete = shtab.cmd(NAMES)
        elif one.metavar in ("FILE", "PATH"):
            one.complete = shtab.FILE
        elif one.metavar in ("DIR", "FOLDER"):
            one.complete = shtab.DIRECTORY
    script = shtab.complete(parser, arguments.shell)
    if arguments.shell == "zsh":
        script = script.replace('"(*)::', '"*:')  # as _arguments says "any number"; shtab 1.13 completes only the first of them
    print(script)
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _actions(below)


def _names(here: Path) -> list[str]:
    """The MCPs of the folder, as far as folders tell it: nobody waits for a parser while he types."""
    images = next((folder / "images" for folder in (here, *here.parents) if (folder / "images").is_dir()), None)
    return sorted(stanza.parent.name for stanza in images.glob("*/stanza.yaml")) if images else []
