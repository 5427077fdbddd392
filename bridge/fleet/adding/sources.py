"""Where a new MCP comes from: a package, an executable, an image, a URL, a command. One class for each, all with one interface.

What is asked for becomes a draft (an entry of another client's file does so in `desktop.py`), and what a draft names is pinned:
its newest version or digest, and the executable that starts it. `origins.py` asks the registries.
"""

import re
import shlex
from dataclasses import dataclass, replace
from typing import Any, Protocol

from bridge.clients.formats import transport_of
from bridge.fleet import origins
from bridge.fleet.adding import launchers
from bridge.fleet.adding.draft import Draft, comment, executable
from bridge.fleet.adding.secrecy import url_reveals
from bridge.fleet.adding.wrapped import NotUnderstood
from bridge.fleet.lock import tell
from bridge.fleet.origins import About
from bridge.fleet.parts import listed
from bridge.settings import UsageError

NO_DESCRIPTION = re.compile(
    r"\W*(?:add|insert|put|todo|write|your)\b[^.]{0,20}\bdescription\b", re.IGNORECASE
)  # as tools for new packages leave it


@dataclass(frozen=True)
class Asked:
    """What somebody asks for: the name and the words of the new MCP, and what its source is told."""

    name: str
    value: str = ""
    words: tuple[str, ...] = ()
    build: bool = False
    transport: str = ""
    token_env: str = ""
    path: str = ""

    def draft(self, **source: Any) -> Draft:
        return Draft(self.name, source, self.words, build=self.build)


class Source(Protocol):
    def draft(self, asked: Asked) -> Draft:
        """As it was asked for. Raises UsageError."""

    def pinned(self, draft: Draft, notes: list[str]) -> Draft:
        """With its version or digest and its real executable; what is to be known goes to `notes`. Raises UsageError."""


class Pypi:
    def draft(self, asked: Asked) -> Draft:
        return _of_a_registry(asked, pypi=asked.value)

    def pinned(self, draft: Draft, notes: list[str]) -> Draft:
        try:
            return self._pinned(draft, notes)
        except origins.NewerPython as why:
            tell(f"{why}: taking that")
            return self._pinned(replace(draft, python=why.python, why=draft.why | {"python": str(why)}), notes)

    def _pinned(self, draft: Draft, notes: list[str]) -> Draft:
        python = draft.python or origins.PYTHON
        packages = origins.newest_together(listed(draft.source["pypi"]), draft.build, python)
        about = origins.look_at_pypi(packages[0], draft.build, python)
        if about.is_empty and len(about.brings) == 1:  # another name for that
            name = packages[0].partition("==")[0]
            packages[0] = origins.newest_of_pypi(about.brings[0].partition(";")[0].strip(), draft.build, python)
            notes.append(f"{name} is empty, and only brings {packages[0]}: that was taken")
            about = origins.look_at_pypi(packages[0], draft.build, python)
        notes += about.notes
        if about.extra and "[" not in packages[0]:
            packages[0] = origins.with_extra(packages[0], about.extra)
        draft = replace(draft, source={"pypi": packages[0] if len(packages) == 1 else packages})
        return _with_program(draft, re.split(r"==|\[", packages[0])[0], about)


class Npm:
    def draft(self, asked: Asked) -> Draft:
        return _of_a_registry(asked, npm=asked.value)

    def pinned(self, draft: Draft, notes: list[str]) -> Draft:
        about = origins.look_at_npm(draft.source["npm"])
        notes += about.notes
        return _with_program(replace(draft, source={"npm": about.package}), about.package.rpartition("@")[0], about)


class Binary:
    def draft(self, asked: Asked) -> Draft:
        return asked.draft(binary={"url": asked.value, "path": asked.path} if asked.path else {"url": asked.value})

    def pinned(self, draft: Draft, notes: list[str]) -> Draft:
        if "url" not in draft.source["binary"]:  # a file beside the stanza
            return draft
        binary, program = origins.look_at_binary(**draft.source["binary"])
        return replace(draft, source={"binary": binary}, command=_command(draft.command, program, [program]))


class Image:
    def draft(self, asked: Asked) -> Draft:
        _refuse_secret("image", asked.value)
        return asked.draft(image=asked.value)

    def pinned(self, draft: Draft, notes: list[str]) -> Draft:
        image = draft.source["image"]
        about = origins.look_at_image(image)
        notes += about.notes
        words = draft.command or about.command
        if not words:
            raise UsageError(
                f"{image}: what does it run? Give that after '--': mcp-bridge add {draft.name} --image {image} -- COMMAND ARGS…"
            )
        if not draft.whole_command:
            words = (*about.entrypoint, *words)
        return replace(draft, source={"image": about.package}, command=words, description=draft.description or about.description)


class Url:
    def draft(self, asked: Asked) -> Draft:
        _refuse_secret("url", asked.value)
        auth = {"type": "bearer_token", "value_env": asked.token_env} if asked.token_env else {}
        transport = asked.transport or transport_of(asked.value)
        return replace(asked.draft(url=asked.value), command=(), transport=transport, auth=auth)

    def pinned(self, draft: Draft, notes: list[str]) -> Draft:
        return draft


class Command:
    def draft(self, asked: Asked) -> Draft:
        if asked.words and not asked.words[0].startswith("-"):
            return asked.draft()
        try:
            return replace(asked.draft(), command=(*shlex.split(asked.value), *asked.words))
        except ValueError as error:
            raise UsageError(f"--command {asked.value!r}: {error}") from None

    def pinned(self, draft: Draft, notes: list[str]) -> Draft:
        return draft


SOURCES: dict[str, Source] = {"pypi": Pypi(), "npm": Npm(), "binary": Binary(), "image": Image(), "url": Url(), "command": Command()}


def source_of(draft: Draft) -> Source:
    return SOURCES[next(iter(draft.source), "command")]


def _of_a_registry(asked: Asked, **source: str) -> Draft:
    try:
        launchers.check(asked.value)
    except NotUnderstood as why:
        raise UsageError(f"{why} (--image)") from None
    return asked.draft(**source)


def _refuse_secret(option: str, value: str) -> None:
    if url_reveals(value):
        raise UsageError(f"--{option}: a secret stands in it, and a stanza is committed: use --token-env, or write the stanza by hand")


def _with_program(draft: Draft, package: str, about: About) -> Draft:
    said = "" if NO_DESCRIPTION.match(about.description) else about.description.rstrip(" ,;:-")
    draft = replace(draft, description=draft.description or said)
    if not about.programs:
        if not draft.command or draft.command[0] == "" or draft.command[0].startswith("-"):
            says = f" It says of itself: {comment(said).rstrip('.')}." if said else ""
            if about.is_empty:
                raise UsageError(f"{package} is empty: it brings no program and next to no code.{says}")
            if about.command[:1] != ("python",):
                if not about.serves:
                    raise UsageError(f"{package} is no MCP server: it installs no program, and its code serves nothing.{says}")
                raise UsageError(f"{package} installs no program: is it a server?{says} Name what runs it after '--'")
            why = draft.why | {"taken": f"{package} installs no program: `{shlex.join(about.command)}` was taken"}
            return replace(draft, why=why, command=(*about.command, *(word for word in draft.command if word)))
        return draft
    program = executable(package, about.programs)
    if len({*about.programs}) > 1 and program not in package:
        tell(f"{package} installs {', '.join(dict.fromkeys(about.programs))}: {program} is tried first")
    return replace(draft, command=_command(draft.command, program, about.programs))


def _command(words: tuple[str, ...], program: str, programs: list[str]) -> tuple[str, ...]:
    """What to run, given what the operator said: a whole command, only arguments, or nothing."""
    if words and (words[0] in programs or words[0] in ("node", "python", "python3")):
        return words
    return (program, *(words[1:] if words and words[0] == "" else words))
