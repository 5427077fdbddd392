"""The servers of a client's file, whatever that client calls their fields. A document in, entries out. Pure.

All spellings of a field mean the same in every file, so there is one table for all clients. A mistake belongs to its
entry: `wrong` says it, and the others are read. Nothing is filled in here (`variables`), and no value is ever quoted.
"""

import re
import shlex
from dataclasses import dataclass, field, fields
from typing import Any

from bridge.clients.document import Document
from bridge.clients.json_text import Keys
from bridge.clients.places import NAMES, NESTED, OFF_LISTS, PLACES, at, last_part, named, servers, switched_off, texts, what_else
from bridge.clients.variables import Input, as_name
from bridge.settings import Settings, UsageError

WINDOWS_PROGRAM = re.compile(
    r"""("[A-Za-z]:[\\/][^"]*"|[A-Za-z]:[\\/].*?\.(?:exe|cmd|bat|com|ps1))(?:\s+(.*)|$)""", re.IGNORECASE | re.DOTALL
)
OPTIONS = {item.name: item for item in fields(Settings) if item.metadata["per_mcp"]}

OFF = {"disabled": True, "disable": True, "enabled": False, "isActive": False, "is_active": False, "active": False}
# What means nothing to us, and is no mistake.
FOREIGN = set(
    """alwaysAllow autoApprove autoStart bundled chatMenu customUserVars dev display_name displayName dockerImage enabledMcpjsonServers
    fromGalleryId gallery iconPath icon icons id initTimeout installSource instructions isUsingBuiltInNodeForMcp key logo_url
    longRunning metadata name oauth oauth_config options provider providerUrl requiresOAuth sandbox sandboxEnabled scope
    serverInstructions settings source sse_read_timeout startup startup_timeout_ms startup_timeout_sec tags timeout toolTimeout
    tool_timeout_sec tools transportOptions trust version watch envKeys access_groups mcp_access_groups mcp_info allow_all_keys
    spec_version auth_type auth_value authentication_token alias bearer_token_env_var env_http_headers env_vars env_keys title longLived
    allowHosts ref upstream prompts resources readme toolsUrl dateAdded default_tools_approval_mode required
    supports_parallel_tool_calls registryUrl author auth""".split()
)


@dataclass(frozen=True)
class Entry:
    """One server as a file says it, with everything still to be filled in. `off` and `wrong` say why there is none."""

    document: Document
    path: Keys
    name: str
    command: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    env_file: str = ""
    secrets: dict[str, str] = field(default_factory=dict)  # variable: the file that holds it
    cwd: str = ""
    url: str = ""
    transport: str = ""  # of a url: http or sse; empty if it is not said
    headers: dict[str, str] = field(default_factory=dict)
    description: str = ""
    hidden: tuple[str, ...] = ()  # tools
    shown: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)  # of `serve`
    ignored: tuple[str, ...] = ()  # fields of other clients
    unknown: tuple[str, ...] = ()  # fields that no client has, as far as we know
    off: str = ""
    wrong: str = ""

    def where(self, *keys: str | int) -> str:
        """The file and the line of it, or of one of its fields."""
        return self.document.where(*self.path, *keys)


class InvalidEntry(Exception):
    """Nothing can be made of an entry: `at` is the field, the message says why."""

    def __init__(self, message: str, *at: str | int):
        super().__init__(message)
        self.at = at


def entries(document: Document) -> list[Entry]:
    """All servers of it, those that are off too. Raises UsageError if there is none, naming the format if it is known."""
    data = document.data if isinstance(document.data, dict) else {}
    found = [(path, key, name, raw) for path, group in servers(data) for key, name, raw in named(group)]
    if not found:
        raise UsageError(f"{document.path}: {what_else(data)}")
    off, taken = switched_off(data), dict[str, Any]()
    every: list[Entry] = []
    for path, key, name, raw in found:
        project = str(path[1]) if path[:1] == ("projects",) else ""
        if name in taken:
            if taken[name] == raw:
                continue  # the same in two projects
            name = f"{name}-{last_part(project) if project else len(every)}"
        taken[name] = raw
        one = _entry(document, (*path, key), name, raw)
        if not one.off and (key in off or (project and key in texts(data["projects"][project], *OFF_LISTS))):
            one = Entry(document, one.path, name, off="it is on the file's list of disabled servers")
        every.append(one)
    return every


def place_of_servers(document: Document) -> Keys | None:
    """Where its servers stand by their names, or would: an empty mapping there is none yet. None if there is no such place."""
    data = document.data if isinstance(document.data, dict) else {}
    found = next(servers(data), None)
    if found is not None:
        return found[0] if isinstance(found[1], dict) else None
    return next((path for place in PLACES for path, value in at(data, place) if value in (None, {}) and "*" not in place), None)


def is_empty(document: Document) -> bool:
    """Whether it has no server yet, and a place for them."""
    data = document.data
    return not data or (isinstance(data, dict) and place_of_servers(document) is not None and next(servers(data), None) is None)


def inputs(document: Document) -> dict[str, Input]:
    """What VS Code asks for, by id."""
    data = document.data if isinstance(document.data, dict) else {}
    lists = [data.get("inputs"), *((data.get("mcp") or {}).get("inputs") if isinstance(data.get("mcp"), dict) else None,)]
    return {
        str(one["id"]): Input(one["default"] if isinstance(one.get("default"), str) else None, one.get("password") is True)
        for said in lists
        if isinstance(said, list)
        for one in said
        if isinstance(one, dict) and "id" in one
    }


def ignored_fields(every: list[Entry]) -> list[str]:
    """What was ignored, in one line for the whole file."""
    by_field: dict[str, list[str]] = {}
    for one in every:
        for name in one.ignored if not (one.off or one.wrong) else ():
            by_field.setdefault(name, []).append(one.name)
    if not by_field:
        return []
    said = ", ".join(f"{name} ({', '.join(whose[:3])}{', …' if whose[3:] else ''})" for name, whose in by_field.items())
    return [f"{every[0].document.path}: fields of other programs that mean nothing here: {said}"]


# ---- one of them -----------------------------------------------------------------------


def _entry(document: Document, path: Keys, name: str, raw: Any) -> Entry:
    try:
        if raw in (None, [], {}):
            return Entry(document, path, name, off="nothing is said about it")
        if not isinstance(raw, dict):
            raise InvalidEntry('not an object: expected {"command": …} or {"url": …}')
        said = _flat(raw)
        if off := _is_off(said):
            return Entry(document, path, name, off=off)
        return _understood(document, path, name, _of_docker(said) if path[0] == "registry" else said)
    except InvalidEntry as why:
        return Entry(document, path, name, wrong=f"{document.where(*path, *why.at)}: {name}: {why}")


def _flat(raw: dict[str, Any]) -> dict[str, Any]:
    """Without what is absent (null, [], {}), and with what stands one level deeper."""
    said = {
        str(key): value
        for key, value in raw.items()
        if value not in (None, [], {}) or (str(key).replace("-", "_") in OPTIONS and value is not None)
    }
    for name in NESTED:
        if isinstance(inner := said.get(name), dict):
            del said[name]
            inner = {"command" if name == "command" and key == "path" else key: value for key, value in inner.items()}
            said = {**said, **_flat(inner)}
    if isinstance(said.get("options"), dict) and "disabled" in said["options"]:
        said["disabled"] = said["options"]["disabled"]  # TBXark's proxy
    if isinstance(said.get("requestInit"), dict) and isinstance(said["requestInit"].get("headers"), dict):
        said.setdefault("headers", said.pop("requestInit")["headers"])
    return said


def _is_off(said: dict[str, Any]) -> str:
    for name, when in OFF.items():
        if name not in said:
            continue
        value = said[name]
        if isinstance(value, str):
            value = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}.get(
                value.strip().lower()
            )
        if not isinstance(value, bool | int):
            raise InvalidEntry(f"{name!r} is neither true nor false", name)
        if bool(value) is when:
            return f"{name}: {str(when).lower()}"
    return ""


def _understood(document: Document, path: Keys, name: str, said: dict[str, Any]) -> Entry:
    options, ignored, unknown = {}, [], []
    known = {spelled for spellings in NAMES.values() for spelled in spellings} | set(OFF)
    for key in said:
        if key in known:
            continue
        if (option := key.replace("-", "_")) in OPTIONS:
            options[key] = said[key]
        elif key in FOREIGN or key.startswith(("x-", "_", "//", "$", "#")):
            ignored.append(key)
        elif near := _near(option, [*(spelled for spelled in known if spelled != "cmd"), *OPTIONS]):
            raise InvalidEntry(f"unknown field {key!r}: is it {near!r}?", key)
        else:
            unknown.append(key)
    ignored += [key for key in ("description",) if isinstance(said.get(key), dict | list)]
    command = _command(said)
    url, kind = _text(said, "url"), _text(said, "type").lower()
    if not command and not url:
        if "settings" in said or said.get("source") == "extension":
            raise InvalidEntry("an extension of that editor starts it, and the file does not say how: name its package")
        if kind in ("builtin", "platform", "frontend", "inline_python"):
            raise InvalidEntry(f"a {kind} extension of that client: no server that others can start")
        raise InvalidEntry("'command' is missing, and 'url' too")
    if command and url:
        command, url = (command, "") if kind in ("", "stdio", "local") else ((), url)
    return Entry(
        document,
        path,
        name,
        command=command,
        env=_environment(said),
        env_file=_text(said, "env_file"),
        secrets=_mapping(said, "secrets"),
        cwd=_text(said, "cwd"),
        url=url,
        transport=_transport(said, kind, url) if url else "",
        headers=_headers(said),
        hidden=_words(said, "hidden"),
        shown=_words(said, "shown"),
        description=said["description"] if isinstance(said.get("description"), str) else "",
        options=options,
        ignored=tuple(key for key in ignored if key not in ("name", "id", "key", "tools")),
        unknown=tuple(unknown),
    )


def _near(name: str, known: list[str]) -> str:
    from difflib import get_close_matches  # only for mistakes

    return next(iter(get_close_matches(name, known, 1, 0.8)), "")


def _command(said: dict[str, Any]) -> tuple[str, ...]:
    """Program and arguments. A whole line in `command` is taken apart; a path may have spaces."""
    key, value = _said(said, "command")
    args = _words(said, "args")
    if isinstance(value, list):
        if not all(isinstance(word, str | int | float) and not isinstance(word, bool) for word in value):
            raise InvalidEntry(f"{key!r} is not a list of texts", key)
        return (*(_joined(_scalar(word), key) for word in value), *args)
    line = re.sub(r"\{[^{}]*\}", lambda found: re.sub(r"\s", "\0", found[0]), _text(said, "command").strip())  # a variable is one word
    if not line:
        return ()
    if not re.search(r"\s", line) or _is_path(line):
        return (line.strip('"').replace("\0", " "), *args)
    if found := WINDOWS_PROGRAM.match(line):
        return (found[1].strip('"'), *_split(found[2] or "", key), *args)
    return (*_split(line, key), *args)


def _split(line: str, key: str) -> list[str]:
    try:
        return [re.sub(r'^"(.*)"$', r"\1", word).replace("\0", " ") for word in shlex.split(line, posix="\\" not in line)]
    except ValueError as error:
        raise InvalidEntry(f"{key!r}: {error}", key) from None


def _is_path(line: str) -> bool:
    """One path with spaces in it, rather than a program with arguments."""
    return re.match(r"[A-Za-z]:[\\/]|[/~.]", line) is not None and not re.search(r"\s(-|/[A-Za-z]\s|\S+[@:=])|[\"']", line)


def _transport(said: dict[str, Any], kind: str, url: str) -> str:
    if kind in ("ws", "websocket"):
        raise InvalidEntry("a WebSocket server: only http and sse reach LiteLLM", "type")
    if kind or "httpUrl" in said:
        return "sse" if kind == "sse" else "http"
    return transport_of(url)


def transport_of(url: str) -> str:
    """As its address says it, where nobody says more."""
    return "sse" if re.search(r"/sse/?($|\?)", url) else "http"


def _headers(said: dict[str, Any]) -> dict[str, str]:
    """Codex and LiteLLM also name variables and tokens beside them."""
    headers = _mapping(said, "headers")
    for name, variable in (said.get("env_http_headers") or {}).items() if isinstance(said.get("env_http_headers"), dict) else ():
        headers[name] = f"${{{variable}}}"
    if isinstance(variable := said.get("bearer_token_env_var"), str):
        headers["Authorization"] = f"Bearer ${{{variable}}}"
    if isinstance(token := said.get("authentication_token") or said.get("auth_value"), str):
        kind = str(said.get("auth_type", "")).lower()
        if kind == "api_key":
            headers["X-API-Key"] = token
        else:
            headers["Authorization"] = token if kind == "authorization" else f"{'Basic' if kind == 'basic' else 'Bearer'} {token}"
    return headers


def _of_docker(said: dict[str, Any]) -> dict[str, Any]:
    """An entry of a Docker catalog as the `docker run` that its gateway makes of it."""
    if not isinstance(image := said.get("image"), str):
        remote = said.get("remote")
        return {**remote, "type": remote.get("transport_type", "")} if isinstance(remote, dict) else {}
    words, env = ["run", "-i", "--rm"], {}
    for kind, one in (*(("secret", one) for one in _listed(said, "secrets")), *(("env", one) for one in _listed(said, "env"))):
        if not isinstance(one, dict) or not isinstance(name := one.get("env") or one.get("name"), str):
            raise InvalidEntry("'secrets' and 'env' of a catalog are lists of {name, env} and {name, value}", "env")
        words += ["-e", name]
        env[name] = f"${{{as_name(name)}}}" if kind == "secret" else str(one.get("value", ""))
    for volume in _listed(said, "volumes"):
        words += ["-v", str(volume)]
    return {
        "command": "docker",
        "args": [*words, image, *_listed(said, "command")],
        "env": env,
        "description": str(said.get("description", "")),
    }


def _listed(said: dict[str, Any], name: str) -> list[Any]:
    value = said.get(name, [])
    if not isinstance(value, list):
        raise InvalidEntry(f"{name!r} is not a list", name)
    return value


# ---- what may stand at a field: the message names it and what belongs there ---------------


def _said(said: dict[str, Any], name: str) -> tuple[str, Any]:
    """The spelling that is used, and its value."""
    return next(((key, said[key]) for key in NAMES[name] if key in said), (NAMES[name][0], None))


def _text(said: dict[str, Any], name: str) -> str:
    key, value = _said(said, name)
    if value is None or (isinstance(value, dict) and name == "description"):
        return ""
    if not isinstance(value, str):
        raise InvalidEntry(f"{key!r} is not a text", key)
    return _joined(value, key)


def _words(said: dict[str, Any], name: str) -> tuple[str, ...]:
    key, value = _said(said, name)
    if name == "shown" and value is None and isinstance(said.get("tools"), list):  # Copilot's agent
        key, value = "tools", said["tools"]
    if value is None or (name == "shown" and value == ["*"]):
        return ()
    if not isinstance(value, list) or not all(isinstance(one, str | int | float) for one in value):
        raise InvalidEntry(f'{key!r} is not a list of texts: ["…", "…"]', key)
    return tuple(_joined(_scalar(one), key) for one in value)


def _environment(said: dict[str, Any]) -> dict[str, str]:
    """Goose and Codex also name variables that are passed on."""
    named = [one for key in ("env_keys", "env_vars") if isinstance(said.get(key), list) for one in said[key] if isinstance(one, str)]
    return {name: f"${{{name}}}" for name in named} | _mapping(said, "env")


def _mapping(said: dict[str, Any], name: str) -> dict[str, str]:
    key, value = _said(said, name)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(one, str | int | float | None) for one in value.values()):
        raise InvalidEntry(f'{key!r} is not an object of texts: {{"NAME": "…"}}', key)
    return {_joined(str(one), key): "" if text is None else _joined(_scalar(text), key) for one, text in value.items()}


def _scalar(value: str | int | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _joined(text: str, key: str) -> str:
    """With the halves of a pair put together, which YAML leaves apart. JSON can say what neither a file nor a variable can hold."""
    try:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        raise InvalidEntry(f"{key!r} holds half a character (a lone surrogate)", key) from None
    if "\0" in text:
        raise InvalidEntry(f"{key!r} holds a null byte", key)
    return text
