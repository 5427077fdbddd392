"""What clients fill in before they start a server: `${env:X}`, `${input:x}`, `${workspaceFolder}`, `%APPDATA%`, `~`. Pure.

What certainly stands for something else is found here; who reads the file says what it is. `$NAME` and `%NAME%` are
variables if they are all of a text, or the beginning of a path that everybody knows: elsewhere they may be a password.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ENV, INPUT, FILE, PLACE, UNKNOWN = "env", "input", "file", "place", "unknown"
HOME, WORKSPACE = "userHome", "workspaceFolder"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACES = {
    "userHome": HOME,
    "workspaceFolder": WORKSPACE,
    "workspaceRoot": WORKSPACE,
    "cwd": WORKSPACE,
    "workspaceFolderBasename": "workspaceFolderBasename",
    "pathSeparator": "pathSeparator",
    "/": "pathSeparator",
}
_EVERYBODY_S = (
    "HOME|USERPROFILE|HOMEPATH|HOMEDRIVE|APPDATA|LOCALAPPDATA|PROGRAMFILES|PROGRAMDATA|TEMP|TMP|TMPDIR|PWD|USER|USERNAME|XDG_[A-Z]+_HOME"
)
_FOUND = re.compile(
    rf"""
    \$\{{\{{\s*(?P<double>[^{{}}]*?)\s*\}}\}}                                          # ${{{{ secrets.X }}}}: Continue
  | \$\{{(?P<braced>(?:[^{{}}]|\$\{{[^{{}}]*\}})*)\}}                                  # ${{NAME}}, ${{env:NAME:-default}}, ${{input:x}}
  | \{{\{{\s*(?P<template>[A-Za-z_][\w.| -]*?)\s*\}}\}}                                # {{{{x}}}}: LibreChat, catalogs of Docker
  | (?<!\{{)\{{(?P<open>(?:env|file):[^{{}}]+)\}}                                      # {{env:X}}: opencode
  | ^os\.environ/(?P<litellm>\w+)$
  | ^%(?P<percent>[A-Za-z_]\w*)%$ | ^\$(?P<dollar>[A-Z_][A-Z0-9_]*)$
  | (?:(?<=^)|(?<=[=:,;\s"'/\\]))(?:\$(?P<begun>{_EVERYBODY_S})(?=[/\\:]|$) | %(?P<windows>(?i:{_EVERYBODY_S}|PROGRAMFILES\(X86\)))%)
  | (?:(?<=^)|(?<=[=:,]))(?P<home>~)(?=[/\\]|$)
""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Variable:
    spelled: str  # as it stands in the file
    kind: str
    name: str
    default: str | None = None


class Unresolved(Exception):
    """It cannot be known here; the message names it and says what to write."""


def parts(text: str) -> Iterator[str | Variable]:
    """The text in pieces: what is literal, and what stands for something else."""
    at = 0
    for found in _FOUND.finditer(text):
        if found.start() > at:
            yield text[at : found.start()]
        yield _variable(found)
        at = found.end()
    if at < len(text) or not text:
        yield text[at:]


def fill(text: str, resolve: Callable[[Variable], str]) -> str:
    """Raises what `resolve` raises."""
    return "".join(part if isinstance(part, str) else resolve(part) for part in parts(text))


def _variable(found: re.Match[str]) -> Variable:
    spelled = found.group()
    if found["home"]:
        return Variable(spelled, PLACE, HOME)
    if found["template"]:
        return Variable(spelled, UNKNOWN, found["template"])
    for group in ("litellm", "percent", "dollar", "begun", "windows"):
        if found[group]:
            name = found[group] if group != "windows" else found[group].upper()
            return Variable(spelled, PLACE, HOME) if name in ("HOME", "USERPROFILE") else Variable(spelled, ENV, name)
    inner = found["double"] or found["open"] or found["braced"] or ""
    named = re.fullmatch(r"(?:env[:.]|secrets\.|(?=[A-Za-z_]\w*(?::?[-?]|$)))([A-Za-z_]\w*)(?:(:?[-?])(.*))?", inner, re.DOTALL)
    if inner in _PLACES or inner.startswith(f"{WORKSPACE}:"):
        return Variable(spelled, PLACE, _PLACES.get(inner, inner))
    if named and named[1] in ("HOME", "USERPROFILE"):
        return Variable(spelled, PLACE, HOME)
    if named:
        return Variable(spelled, ENV, named[1], named[3] if named[2] and named[2].endswith("-") else None)
    kind, colon, name = inner.partition(":")
    return Variable(spelled, kind if colon and kind in (INPUT, FILE) else UNKNOWN, name if colon else inner)


@dataclass(frozen=True)
class Input:
    """What VS Code asks its user for."""

    default: str | None = None
    is_password: bool = False


@dataclass(frozen=True)
class Resolver:
    """Fills in what can be known on this machine."""

    environment: Mapping[str, str]
    inputs: Mapping[str, Input] = field(default_factory=dict)
    workspace: Path | None = None
    folder: Path = Path(".")  # of the file, for paths in it

    def __call__(self, variable: Variable) -> str:
        """Raises Unresolved."""
        if variable.kind == ENV:
            if variable.name in self.environment:
                return self.environment[variable.name]
            if variable.default is not None:
                return fill(variable.default, self)
            raise Unresolved(f"{variable.spelled} is not set in the environment of the bridge: set {variable.name}, or write the value")
        if variable.kind == PLACE:
            return self._place(variable)
        if variable.kind == INPUT:
            known = self.inputs.get(variable.name, Input())
            if known.default is not None and not known.is_password:
                return known.default
            raise Unresolved(
                f"{variable.spelled} is asked for by the client that this file is for: write ${{env:{as_name(variable.name)}}} and set that, or write the value"
            )
        if variable.kind == FILE:
            try:
                return (self.folder / Path(variable.name).expanduser()).read_text(encoding="utf-8").strip()
            except (OSError, ValueError):
                raise Unresolved(f"{variable.spelled} cannot be read: give the path of a file that is here") from None
        raise Unresolved(
            f"{variable.spelled} is known to the client that this file is for only: write what it stands for, or ${{env:NAME}}"
        )

    def _place(self, variable: Variable) -> str:
        if variable.name == HOME:
            return str(Path.home())
        if variable.name == "pathSeparator":
            return "/"
        if self.workspace is None:
            raise Unresolved(f"{variable.spelled} is the folder that an editor has open: write its path")
        return self.workspace.name if variable.name == "workspaceFolderBasename" else str(self.workspace)


def workspace_of(path: str) -> Path | None:
    """The folder that an editor would have open, if this file stands in one as its editor wants it."""
    file = Path(path).expanduser().absolute()
    if file.name == ".mcp.json":
        return file.parent
    if (
        file.parent.name in (".vscode", ".cursor", ".roo", ".zed", ".idea", ".gemini", ".amazonq", ".kiro")
        and file.parent.parent != Path.home()
    ):
        return file.parent.parent
    return None


def as_name(text: str) -> str:
    """The name of a variable for what is called `text`."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)).strip("_").upper()
    return name if NAME.fullmatch(name) else f"VALUE_{name}".rstrip("_")
