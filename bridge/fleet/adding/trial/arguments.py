"""Which arguments of tools name files and folders, and which tools save where. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bridge.fleet.adding.trial.calls import A_FOLDER, CHANGES, Call, line_of, parts, path_of, sample, with_underscores

PATH = re.compile(r"(^|_)(path|file_?name|file|dir|directory|folder)s?$")
A_LOCAL_FILE = re.compile(
    r"\bfile:|\b(local|absolute) (file|path)|\b(file|folder|directory) ?paths?\b|\bpaths? or ur[li]\b"
    r"|\bpath (to|of) (the |a |an |your )?[\w ./-]*(file|image|folder|directory|document|specification)\b",
    re.IGNORECASE,
)
# The same where a path may as well be one of an API: of a repository, a bucket, a page.
SURELY_HERE = re.compile(
    r"(^|_)(local_(path|file|dir)|(output|save|download)_?(dir|directory|folder|path|to)|(project|workspace|vault)_?(root|dir|directory|folder|path))(_|$)"
)
SAID_TO_BE_HERE = re.compile(
    r"\b(local|absolute)\b[\w -]{0,30}\b(path|file|folder|directory|image)\b|\bon (disk|this machine)\b", re.IGNORECASE
)
# The same, and then it is not; and in the words of who confines paths to some folder of his own.
ELSEWHERE = re.compile(
    r"\bnot an? (?:absolute|local)|\brelative to\b|\bremote\b|\b(?:host|agent|device|repository|bucket)\b", re.IGNORECASE
)
REFUSES = re.compile(
    r"\boutside\b|\b(?:not|only) (?:allowed|permitted)|\ballowed (?:director|folder|path|root)|\bmust be (?:with)?in|\btravers|\bescap|\bdenied\b",
    re.IGNORECASE,
)
OF_A_PLACE = re.compile(r"\b(?:path|director|folder|file|location)", re.IGNORECASE)
SAVES = re.compile(r"(^|_)(saved?|downloads?|exports?|outputs?|dest|destination|generate|write|backup)(_|$)")
CONTENT = re.compile(r"(^|_)(contents?|text|code|body)$")
NO_TEXT = {"integer", "number", "boolean", "null"}


def paths(tools: Iterable[Mapping[str, Any]], surely: bool = False) -> list[str]:
    """The arguments of tools that name a file or a folder, each with its tool. `surely`: of the machine that it runs on, and not of somebody
    that it asks."""
    return [f"{name} of {tool.get('name')}" for tool, name, _ in _paths(tools, surely)]


def probes(tools: Iterable[Mapping[str, Any]], place: str) -> Iterator[tuple[str, Call]]:
    """Calls with a path below `place` for each such argument, what is surely of this machine first; and which argument that is."""
    tools = list(tools)
    every = {(id(tool), name): (tool, name, one) for surely in (True, False) for tool, name, one in _paths(tools, surely)}
    for tool, name, one in every.values():
        schema, about = tool["inputSchema"], f"{one.get('description')} {line_of(name, str(tool.get('description') or ''))}"
        path: Any = place + path_of(_snake(name), about).removeprefix(A_FOLDER)
        path = [path] if one.get("type") == "array" else path
        every_top = schema.get("properties", {})  # it may stand in an object, or in those of a list
        top = next((one for one, outer in every_top.items() if one != name and name in dict(parts(outer, schema))), name)
        path = path if top == name else [{name: path}] if "items" in every_top[top] else {name: path}
        yield (
            f"{name} of {tool.get('name')}",
            Call(str(tool.get("name")), sample(schema, str(tool.get("description") or ""))[0] | {top: path}),
        )


def _paths(tools: Iterable[Mapping[str, Any]], surely: bool) -> Iterator[tuple[Mapping[str, Any], str, Mapping[str, Any]]]:
    name_says, about_says = (SURELY_HERE, SAID_TO_BE_HERE) if surely else (PATH, A_LOCAL_FILE)
    for tool, name, one in _arguments(tools):
        is_own = name in tool["inputSchema"].get("properties", {})  # of what is inside of others the words may be about anything
        about = f"{one.get('description')} {line_of(name, str(tool.get('description') or ''))}" if is_own else ""
        is_none = "sock" in name.lower() or "enum" in one or (surely and ELSEWHERE.search(about))  # a socket is another program's
        if not is_none and (name_says.search(_snake(name)) or about_says.search(about)):
            yield tool, name, one


def makes(tools: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a tool that takes a path changes or saves what is there, as their names say, or takes beside it what is to stand there."""
    named = [(tool, name, f"{_snake(name)}_{_snake(str(tool.get('name')))}") for tool, name, _ in _paths(tools, False)]
    return any(
        CHANGES.search(words)
        or SAVES.search(words)
        or any(CONTENT.search(_snake(one)) for one in tool["inputSchema"].get("properties", {}))
        for tool, name, words in named
    )


def _arguments(tools: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], str, Mapping[str, Any]]]:
    for tool in tools:
        schema = tool.get("inputSchema")
        every = parts(schema, schema) if isinstance(schema, dict) else ()
        yield from ((tool, name, one) for name, one in every if _may_be_text(one))


def _may_be_text(one: Mapping[str, Any]) -> bool:
    kinds = {str(choice.get("type")) for choice in (one, *(one.get("anyOf") or ())) if "type" in choice}
    return not kinds or not kinds <= NO_TEXT


def _snake(name: str) -> str:
    return with_underscores(name).lower()
