"""`mcpServers` of a desktop client (Claude Desktop, Cursor, VS Code, …) as drafts of stanzas. Pure.

Such an entry starts a program on somebody's desk: it fetches the newest package at every start, has its secrets in
plain text and paths of that machine. Here the package becomes a source to be pinned, what looks like a secret is taken
out, and a folder becomes a volume. What is not understood is said rather than guessed.
"""

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from bridge.fleet.draft import Draft, is_blank, is_secret, stanza_name
from bridge.settings import UsageError

KNOWN = {"command", "args", "env", "url", "serverUrl", "headers", "type", "transport", "disabled", "description", "name", "cwd",
         "autoApprove", "alwaysAllow", "disabledTools", "timeout", "icon", "gallery", "version"}
NPX_VALUES = {"-p", "--package", "-c", "--call", "--registry", "--cache"}
UVX_VALUES = {"--from", "--with", "--python", "-p", "--index", "--index-url", "--default-index", "--extra-index-url", "--directory"}
DOCKER_VALUES = {"-e", "--env", "--env-file", "-v", "--volume", "--mount", "--name", "--network", "--net", "-p", "--publish", "-u", "--user",
                 "-w", "--workdir", "--entrypoint", "--platform", "-m", "--memory", "--cpus", "--add-host", "-h", "--hostname", "--pull",
                 "-l", "--label", "--tmpfs", "--shm-size", "--cap-add", "--cap-drop", "--security-opt", "--gpus", "--device"}
DOCKER_QUIET = {"run", "-i", "-t", "-it", "-ti", "--interactive", "--tty", "--rm", "--init", "--name", "--pull", "--platform", "-l", "--label"}


Scalar = str | int | float  # bool is an int


@dataclass(frozen=True)
class Entry:
    """An entry as it was understood: the draft, the values of its secrets, and what was not understood."""

    draft: Draft
    values: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    skipped: bool = False


class NotUnderstood(Exception):
    """Nothing can be made of this entry; the message says why."""


def entries(text: str) -> Iterator[Entry]:
    """All entries of a file. Raises UsageError if it has none."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise UsageError(f"not JSON: {error}") from None
    document = document if isinstance(document, dict) else {}
    inner = document.get("mcp")
    servers = document.get("mcpServers") or document.get("servers") or (inner.get("servers") if isinstance(inner, dict) else None)
    if not isinstance(servers, dict) or not servers:
        raise UsageError("no 'mcpServers' in it: expected {\"mcpServers\": {NAME: {\"command\": …}}}")
    for name, said in servers.items():
        yield entry(name, said)


def entry(name: str, said: Any) -> Entry:
    """One of them."""
    draft = Draft(stanza_name(name))
    if not isinstance(said, dict):
        return Entry(draft, notes=("not an object",), skipped=True)
    if said.get("disabled"):
        return Entry(draft, notes=("disabled there: left out",), skipped=True)
    try:
        _check_characters(said)
        found = _remote(draft, said) if said.get("url") or said.get("serverUrl") else _program(draft, said)
        hidden = _list(said, "disabledTools")
    except NotUnderstood as why:
        return Entry(draft, notes=(str(why),), skipped=True)
    notes = list(found.notes)
    if strange := sorted(set(said) - KNOWN):
        notes.append(f"not understood: {', '.join(strange)}")
    if hidden:
        notes.append(f"tools that were hidden there: write `tools: {{deny: [{', '.join(hidden)}]}}`")
    if isinstance(said.get("description"), str):
        found = replace(found, draft=replace(found.draft, description=said["description"]))
    return replace(found, notes=tuple(notes))


# ---- what JSON may say at a field: the message names the field and what belongs there ----

def _check_characters(value: Any) -> None:
    """JSON can say what neither a file nor a variable can hold."""
    if isinstance(value, str) and ("\0" in value or re.search("[\ud800-\udfff]", value)):
        raise NotUnderstood("it holds a null byte, or half a character")
    for one in (*value, *value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_characters(one)


def _text(said: dict, name: str) -> str:
    value = said.get(name) or ""
    if not isinstance(value, str):
        raise NotUnderstood(f"'{name}' is not a text: {json.dumps(value)}")
    return value


def _list(said: dict, name: str) -> list[str]:
    value = said.get(name) or []
    if not isinstance(value, list) or not all(isinstance(one, Scalar) for one in value):
        raise NotUnderstood(f"'{name}' is not a list of texts: [\"…\", \"…\"]")
    return [_scalar(one) for one in value]


def _mapping(said: dict, name: str) -> dict[str, str]:
    value = said.get(name) or {}
    if not isinstance(value, dict) or not all(isinstance(one, Scalar | None) for one in value.values()):
        raise NotUnderstood(f"'{name}' is not an object of texts: {{\"NAME\": \"…\"}}")
    return {key: "" if one is None else _scalar(one) for key, one in value.items()}


def _scalar(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# ---- a program ---------------------------------------------------------------------

def _program(draft: Draft, said: dict) -> Entry:
    command = _text(said, "command")
    if not command:
        raise NotUnderstood("neither 'command' nor 'url'")
    try:
        words = [*shlex.split(command, posix="\\" not in command), *_list(said, "args")]
    except ValueError as error:
        raise NotUnderstood(f"'command': {error}") from None
    if len(words) > 2 and PurePosixPath(words[0].replace("\\", "/")).stem.lower() == "cmd" and words[1].lower() == "/c":
        words = words[2:]
    if words and words[0] == "env":
        words = words[1:]
    if not words:
        raise NotUnderstood("its command is empty")
    program = re.sub(r"\.(exe|cmd|ps1|bat)$", "", words[0].replace("\\", "/").rpartition("/")[2].lower())
    env = _mapping(said, "env")
    match program, words[1:]:
        case ("npx" | "bunx" | "pnpx", rest) | ("pnpm" | "yarn", ["dlx", *rest]) | ("npm", ["exec" | "x", *rest]) | ("bun", ["x", *rest]):
            draft, notes = _npx(draft, rest)
        case ("uvx", rest) | ("uv", ["tool", "run", *rest]) | ("pipx", ["run", *rest]):
            draft, notes = _uvx(draft, rest)
        case ("docker" | "podman", rest):
            return _docker(draft, rest, env)
        case _:
            draft, notes = _local(draft, program, words)
    if "url" in draft.source:
        return Entry(draft, notes=tuple(notes))
    if said.get("cwd"):
        notes.append(f"cwd {said['cwd']} is a folder of that machine: left out")
    return taken_out(_with_volumes(draft, notes), env, notes)


def _npx(draft: Draft, words: list[str]) -> tuple[Draft, list[str]]:
    options, rest = _options(words, NPX_VALUES)
    packages = [value for name, value in options if name in ("-p", "--package")]
    if not packages and not rest:
        raise NotUnderstood("npx without a package")
    package = packages[0] if packages else rest.pop(0)
    if package.partition("@")[0] == "mcp-remote" and rest:
        return replace(draft, source={"url": rest[0]}, transport="sse" if rest[0].rstrip("/").endswith("/sse") else "http"), (
            [f"arguments of mcp-remote that were left out: {len(rest) - 1}"] if rest[1:] else [])
    if re.match(r"(github:|git\+|https?:|\.|/|file:)", package):
        raise NotUnderstood(f"{package} does not come from a registry: build it into an image of yours, and use `image`")
    return replace(draft, source={"npm": _unpinned(package)}, command=tuple(rest)), []


def _uvx(draft: Draft, words: list[str]) -> tuple[Draft, list[str]]:
    options, rest = _options(words, UVX_VALUES)
    if not rest:
        raise NotUnderstood("uvx without a package")
    package = next((value for name, value in options if name in ("--from", "--spec")), "")
    program = rest.pop(0) if package else ""
    package = package or rest.pop(0)
    if re.match(r"(git\+|https?:|\.|/|file:)", package):
        raise NotUnderstood(f"{package} does not come from a registry: build it into an image of yours, and use `image`")
    packages = [package.replace("@", "=="), *(value for name, value in options if name == "--with")]
    packages = [one.removesuffix("==latest") for one in packages]
    notes = [f"{name} {value}: left out" for name, value in options if name in ("--index", "--index-url", "--extra-index-url", "--default-index", "--directory")]
    return replace(draft, source={"pypi": packages[0] if len(packages) == 1 else packages}, command=(program, *rest)), notes


def _local(draft: Draft, program: str, words: list[str]) -> tuple[Draft, list[str]]:
    """A program of that machine: its files must come into the image."""
    rest = words[1:]
    if program == "uv" and "run" in rest:
        before, after = rest[:rest.index("run")], rest[rest.index("run") + 1:]
        options, rest = _options(after, UVX_VALUES | {"--project"})
        options += _options(before, UVX_VALUES | {"--project"})[0]
        program = "python3" if rest and rest[0] in ("python", "python3") else "uv"
        rest = rest[1:] if program == "python3" else rest
        if program == "uv":
            where = next((value for name, value in options if name in ("--directory", "--project")), "a folder of that machine")
            raise NotUnderstood(f"`uv run` in {where}: publish that package (`pypi`), or build it into an image of yours (`image`)")
    if re.fullmatch(r"python[\d.]*|py", program):
        if rest[:1] == ["-m"]:
            return replace(draft, command=("python3", *rest)), [
                f"{rest[1] if rest[1:] else '?'} must be installed for it: if it comes from PyPI, take this stanza away and `mcp-bridge add {draft.name} --pypi PACKAGE`"]
        return _script(draft, "python3", rest, ())
    if program in ("node", "bun", "deno", "tsx"):
        return _script(draft, "node", rest, ("nodejs",))
    if len(words[0].replace("\\", "/").split("/")) > 1:
        name = words[0].replace("\\", "/").rpartition("/")[2]
        return replace(draft, source={"binary": {"file": name}}, command=(name, *rest)), [
            f"copy {words[0]} to images/{draft.name}/{name}; it must be a Linux program"]
    return replace(draft, command=tuple(words)), [f"{words[0]!r} must be in the image: name the Debian package that has it in `apt`"]


def _script(draft: Draft, runtime: str, words: list[str], apt: tuple[str, ...]) -> tuple[Draft, list[str]]:
    at = next((number for number, word in enumerate(words) if not word.startswith("-")), None)
    if at is None:
        raise NotUnderstood(f"{runtime} without a file")
    path = words[at].replace("\\", "/")
    command = (runtime, *words[:at], f"/app/{path.rpartition('/')[2]}", *words[at + 1:])
    return replace(draft, command=command, files="app", apt=apt), [f"copy {path.rpartition('/')[0] or '.'} (with what it imports) to images/{draft.name}/app"]


def _docker(draft: Draft, words: list[str], env: dict[str, str]) -> Entry:
    words = words[1:] if words[:1] == ["container"] else words
    if words[:1] != ["run"]:
        raise NotUnderstood(f"`docker {' '.join(words[:1])}` names no image: only `docker run` does")
    options, rest = _options(words[1:], DOCKER_VALUES)
    if not rest:
        raise NotUnderstood("docker without an image")
    volumes, notes, outer = [], [], dict(env)
    env = {}
    for name, value in options:
        if name in ("-e", "--env"):
            variable, given, text = value.partition("=")
            env[variable] = text if given else outer.get(variable, "")
        elif name in ("-v", "--volume"):
            volumes.append(value)
        elif name == "--mount":
            parts = dict(part.partition("=")[::2] for part in value.split(","))
            source, target = parts.get("source") or parts.get("src", ""), parts.get("target") or parts.get("dst") or parts.get("destination", "")
            volumes.append(f"{source}:{target}" + (":ro" if parts.keys() & {"readonly", "ro"} else ""))
        elif name not in DOCKER_QUIET:
            notes.append(f"not taken over: {name} {value}".rstrip())
    draft = replace(draft, source={"image": rest[0]}, command=tuple(rest[1:]), volumes=tuple(volumes))
    return taken_out(draft, env, notes)


def _options(words: list[str], with_value: set[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """The options before the first word that is none, and the words from there on."""
    options, rest = [], list(words)
    while rest and rest[0].startswith("-"):
        name, equals, value = rest.pop(0).partition("=")
        if name == "--":
            break
        if not equals and name in with_value and rest:
            value = rest.pop(0)
        options.append((name, value))
    return options, rest


def _unpinned(package: str) -> str:
    """Without a version that is none: @latest, @next, ^1."""
    name, _, version = package.rpartition("@")
    return name if name and not version[:1].isdigit() else package


# ---- what belongs elsewhere ----------------------------------------------------------

def _with_volumes(draft: Draft, notes: list[str]) -> Draft:
    """Folders of that machine among the arguments become volumes."""
    if not draft.source.keys() & {"npm", "pypi", "binary"}:
        return draft
    command, volumes = [], []
    for word in draft.command:
        option, equals, path = word.partition("=") if word.startswith("-") else ("", "", word)
        if re.match(r"[A-Za-z]:[\\/]", path):
            notes.append(f"{path} is a path of Windows: make it a volume")
        elif re.match(r"(/|~/).+", path):
            target = f"/data/{PurePosixPath(path).name}"
            volumes.append(f"{path}:{target}")
            word = f"{option}{equals}{target}"
        command.append(word)
    return replace(draft, command=tuple(command), volumes=tuple(volumes))


def taken_out(draft: Draft, env: dict[str, str], notes: Iterable[str] = ()) -> Entry:
    """What looks like a secret is named in the stanza, and its value stands elsewhere."""
    notes = list(notes)
    values, secrets, plain = {}, [], {}
    for name, value in env.items():
        if is_secret(name) or _has_password(value):
            secrets.append(name)
            if not is_blank(value):
                values[name] = value
        else:
            plain[name] = f"${{{name}}}" if is_blank(value) else value
            if re.match(r"/|~/|[A-Za-z]:[\\/]", value):
                notes.append(f"{name}={value} is a path of that machine: make it a volume, or say another one")
    command, after = [], ""
    for word in draft.command:
        option, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
        flag = (option or after).lstrip("-").replace("-", "_")
        if (value if equals or not option else "") and (is_secret(flag) or _has_password(value)):
            name = _unused(f"{draft.name}_{flag or 'argument'}", value, values | {variable: env[variable] for variable in secrets})
            if not is_blank(value):
                values[name] = value
            notes.append(f"a secret stands in its arguments, where `ps` shows it: it is ${{{name}}} now; if the server also takes it as a variable, make that a secret")
            word = f"{option}{equals}${{{name}}}"
        after = word if word.startswith("-") and not equals else ""
        command.append(word)
    return Entry(replace(draft, command=tuple(command), env=plain, secrets=tuple(secrets)), values, tuple(notes))


def _unused(text: str, value: str, values: dict[str, str]) -> str:
    """A variable called like `text`, but not like one that has another value."""
    wanted = name = re.sub(r"\W", "_", text, flags=re.ASCII).upper()
    number = 1
    while values.get(name, value) != value:
        number += 1
        name = f"{wanted}_{number}"
    return name


def _has_password(text: str) -> bool:
    return bool(re.match(r"[a-z][a-z0-9+.-]*://[^/@\s:]*:[^/@\s]+@", text))


# ---- a remote one ----------------------------------------------------------------------

def _remote(draft: Draft, said: dict) -> Entry:
    url = _text(said, "url") or _text(said, "serverUrl")
    kind = (_text(said, "type") or _text(said, "transport")).lower()
    transport = "sse" if kind == "sse" or not kind and url.rstrip("/").endswith("/sse") else "http"
    values, notes, auth, static = {}, [], {}, {}
    headers = _mapping(said, "headers")
    has_authorization = "authorization" in map(str.lower, headers)
    for name, value in headers.items():
        scheme, _, token = value.partition(" ")
        variable = _unused(f"{draft.name}_{'token' if name.lower() == 'authorization' else name}", value, values)
        if name.lower() == "authorization" and scheme.lower() == "bearer":
            auth = {"type": "bearer_token", "value_env": variable}
            values |= {} if is_blank(token) else {variable: token}
        elif name.lower() == "authorization":
            auth = {"type": "authorization", "value_env": variable}
            values |= {} if is_blank(value) else {variable: value}
        elif is_secret(name.replace("-", "_")):
            if name.lower() == "x-api-key" and not auth and not has_authorization:
                auth = {"type": "api_key", "value_env": variable}
            else:
                static[name] = f"os.environ/{variable}"
            values |= {} if is_blank(value) else {variable: value}
        else:
            static[name] = value
    if re.search(r"[?&][^=&]*(token|key|secret)[^=&]*=[^&]+", url, re.IGNORECASE):
        raise NotUnderstood("its URL holds a secret: write the stanza by hand, with `auth` instead")
    return Entry(replace(draft, source={"url": url}, transport=transport, auth=auth, static_headers=static), values, tuple(notes))
