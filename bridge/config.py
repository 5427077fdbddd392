"""`serve --config FILE`: several MCPs in one process, from whatever file names them (`bridge/clients` reads it).

    mcpServers:
      time: {command: uvx, args: [mcp-server-time]}
      notes:
        command: npx
        args: [-y, "@modelcontextprotocol/server-memory"]
        env: {MEMORY_FILE_PATH: /data/notes.jsonl}
        max_in_flight: 1                   # any per-MCP option of `serve`, with _ or -

    groups:
      dev: [time, notes]                   # both at /dev/mcp; all of them are at /all/mcp
      short: {mcps: [time, notes], prefix: when-needed, wait: 5}

    bridges:                               # members of groups that have a bridge of their own (`serve --uds PATH`)
      git: {socket: /run/mcp/git/socket}   # each caller's key is sent on to it

An entry that cannot be served is told with file, line and field, and the others are served; with `--strict`, and if it
is the only one, that ends the start.
"""

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import Field, replace
from pathlib import Path
from typing import Any

from bridge.child.environment import BadEnvironment, compose
from bridge.child.process import Command
from bridge.clients import document as documents
from bridge.clients import formats
from bridge.clients.document import Document
from bridge.clients.formats import OPTIONS, Entry
from bridge.clients.variables import Resolver, Unresolved, fill, workspace_of
from bridge.group.plan import ALL, WAIT, Plan
from bridge.log import Log
from bridge.settings import Settings, UsageError, check_replicas, check_tools

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
RESERVED = ("healthz", "readyz", "metrics", "status.json", "tools.json", "log.json", "mcp", "sse", "messages", "ws")
OF_REMOTES: dict[str, Any] = {  # a connection costs little, and is tried again for as long as somebody wants it
    "isolation": "auto",
    "child_era": "legacy",
    "spares": 0,
    "replicas": 1,
    "lazy": False,
    "idle_stop": 0.0,
    "max_children": 1000,
    "max_in_flight": 0,
    "max_restarts": 1 << 30,
    "backoff_initial": 0.25,
    "backoff_max": 3.0,
    "start_timeout": 20.0,
    "caller_secret": (),
    "pin": "off",
    "tool_allow": (),
    "tool_deny": (),
    "tool_rename": (),
}
LITERAL = "literal"  # true at the top of a file that we wrote ourselves: nothing in it is to be filled in
LEFT_OUT = "left_out"  # in such a file: what is not served, and why


def read(settings: Settings, served: Collection[str] = ()) -> dict[str, tuple[Command, Settings]]:
    """The MCPs of `settings.config`, by name, each with its command and its settings. A mistake in an entry that is `served`
    already is an error for the whole file, so that none is ended by a slip of the pen. Raises UsageError."""
    document = documents.read(settings.config)
    planned = plan(settings, document, served)
    groups(document, planned)
    return planned


def plan(settings: Settings, document: Document, served: Collection[str] = ()) -> dict[str, tuple[Command, Settings]]:
    """The same of a document that stands in that file, or is going to. Raises UsageError."""
    return plan_all(settings, document, served)[0]


def plan_all(
    settings: Settings, document: Document, served: Collection[str] = ()
) -> tuple[dict[str, tuple[Command, Settings]], dict[str, str]]:
    """With what stands there and is not served, and why. Raises UsageError."""
    log = Log()
    if settings.admin_api and formats.is_empty(document):
        return {}, {}  # they are still to come
    remote = _bridges(settings, document)
    every = [] if remote and formats.is_empty(document) else formats.entries(document)
    here = Resolver(os.environ, formats.inputs(document), workspace_of(document.path), Path(document.path).parent)
    fills = None if document.data.get(LITERAL) is True else here
    planned = dict(remote)
    absent = {name: str(why) for name, why in document.data.get(LEFT_OUT, {}).items()} if fills is None else {}
    wrong, hurts = [], settings.strict
    for entry in every:
        if entry.off or (entry.url and not entry.wrong):
            absent[entry.name] = why = entry.off or "a remote server: there is nothing to wrap"
            log.info("not served", mcp=entry.name, why=why)
            continue
        try:
            if entry.wrong:
                raise UsageError(entry.wrong)
            name = _name(entry, planned)
            planned[name] = _plan(entry, settings, fills)
            for field in entry.unknown:
                _warn(settings, log, f"{entry.where(field)}: {entry.name}: unknown field {field!r}")
        except UsageError as error:
            absent[entry.name] = str(error)
            wrong.append(str(error))
            hurts = hurts or as_name(entry.name) in served
    if wrong and (hurts or not (planned or settings.admin_api)):
        raise UsageError(wrong[0] + (f" (and {len(wrong) - 1} more)" if wrong[1:] else ""))
    for why in wrong:
        log.error("not served", why=why)
    for line in formats.ignored_fields(every):
        log.warning("ignored", why=line)
    if not planned and not settings.admin_api:
        raise UsageError(f"{settings.config}: every server in it is disabled or remote")
    return planned, absent


def _bridges(settings: Settings, document: Document) -> dict[str, tuple[Command, Settings]]:
    """The MCPs that have a bridge of their own. Raises UsageError."""
    said = document.data.get("bridges") if isinstance(document.data, dict) else None
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise UsageError(f"{document.where('bridges')}: bridges: expected names, each with the socket that it listens on")
    from bridge.remote import Remote  # start-up time: only for those who use it

    planned = {}
    for name, value in said.items():
        where = f"{document.where('bridges', name)}: bridges: {name}"
        _refuse_no_name(name, (*RESERVED, ALL), where)
        entry = value if isinstance(value, dict) else {}
        if unknown := [field for field in entry if field not in ("socket", "key_file", "headers", "keys_of")]:
            raise UsageError(f"{where}: unknown field {unknown[0]!r}: socket, key_file, headers and keys_of are known")
        path, key_file = entry.get("socket"), entry.get("key_file", "")
        lists = [entry.get(field, []) for field in ("headers", "keys_of")]
        if not isinstance(path, str) or not isinstance(key_file, str):
            raise UsageError(f"{where}: expected {{socket: PATH}}, where a bridge listens (serve --uds PATH)")
        if not all(isinstance(one, list) and all(isinstance(word, str) for word in one) for one in lists):
            raise UsageError(f"{where}: headers and keys_of are lists of names")
        headers, keys_of = map(tuple, lists)
        remote = Remote(name, path, key_file, headers, keys_of)
        planned[name] = Command((f"unix:{path}",), {}, None, remote), replace(settings, **OF_REMOTES)
    return planned


def groups(document: Document, mcps: Collection[str]) -> dict[str, Plan]:
    """The groups of the document, by name, and that of all its MCPs. Raises UsageError."""
    planned = {ALL: Plan(ALL, tuple(mcps))}
    said = document.data.get("groups") if isinstance(document.data, dict) else None
    if said is None:
        return planned
    if not isinstance(said, dict):
        raise UsageError(f"{document.where('groups')}: groups: expected names, each with a list of MCPs")
    known = {
        as_name(entry.name): entry.off or "it is not served" for entry in ([] if formats.is_empty(document) else formats.entries(document))
    }
    for name, value in said.items():
        where = f"{document.where('groups', name)}: groups: {name}"
        _refuse_no_name(name, RESERVED, where)
        if name in mcps or name in known:
            raise UsageError(f"{where}: there is an MCP of this name: rename one")
        planned[name] = _group(name, value, mcps, known, where)
    return planned


def _group(name: str, value: Any, mcps: Collection[str], known: Mapping[str, str], where: str) -> Plan:
    """Raises UsageError."""
    said = value if isinstance(value, dict) else {"mcps": value}
    if unknown := [field for field in said if field not in ("mcps", "prefix", "wait")]:
        raise UsageError(f"{where}: unknown field {unknown[0]!r}: mcps, prefix and wait are known")
    wanted = said.get("mcps", list(mcps) if name == ALL else None)
    if not isinstance(wanted, list) or not all(isinstance(one, str) for one in wanted):
        raise UsageError(f"{where}: expected a list of MCPs, or {{mcps: […], prefix: when-needed, wait: 3}}")
    members = []
    for one in dict.fromkeys(map(as_name, wanted)):
        if one in mcps:
            members.append(one)
        elif one in known:
            Log().warning("a member is missing from the group", group=name, of=one, why=known[one])
        else:
            raise UsageError(f"{where}: there is no MCP {one!r}: {', '.join(mcps)}")
    prefix, wait = said.get("prefix", True), said.get("wait", WAIT)
    if prefix not in (True, False, "always", "when-needed"):
        raise UsageError(f"{where}: prefix: must be always, or when-needed (which false means, too), not {prefix!r}")
    if isinstance(wait, bool) or not isinstance(wait, int | float) or not 0 < wait <= 60:
        raise UsageError(f"{where}: wait: must be a number of seconds, up to 60")
    return Plan(name, tuple(members), prefix in (True, "always"), float(wait))


def _plan(entry: Entry, settings: Settings, here: Resolver | None) -> tuple[Command, Settings]:
    """Raises UsageError."""

    def filled(text: str, *field: str | int) -> str:
        try:
            return fill(text, here) if here else text
        except Unresolved as why:
            raise UsageError(f"{entry.where(*field)}: {entry.name}: {why}") from None

    where, folder = f"{entry.where()}: {entry.name}", Path(entry.document.path).parent
    changes = {
        OPTIONS[option].name: _option(OPTIONS[option], value, where)
        for name, value in entry.options.items()
        if (option := name.replace("-", "_")) in OPTIONS
    }
    if entry.hidden:
        changes["tool_deny"] = (*changes.get("tool_deny", settings.tool_deny), *entry.hidden)
    if entry.shown:
        changes["tool_allow"] = (*changes.get("tool_allow", settings.tool_allow), *entry.shown)
    own = replace(settings, cwd=filled(entry.cwd, "cwd") or settings.cwd, **changes)
    if changes:
        _check(own, where)
    named = (*settings.env, *(f"{name}={filled(text, 'env', name)}" for name, text in entry.env.items()))
    file = filled(entry.env_file, "envFile")
    secrets = (*settings.secret, *(f"{name}={folder / filled(path, 'secrets', name)}" for name, path in entry.secrets.items()))
    try:
        environment = compose(named, str(folder / file) if file else settings.env_file, secrets=secrets, copies=own.secret_copy)
    except (BadEnvironment, OSError) as error:
        raise UsageError(f"{where}: {error}") from None
    program, *arguments = entry.command
    return Command(
        (filled(program, "command"), *(filled(word, "args", number) for number, word in enumerate(arguments))), environment, own.cwd or None
    ), own


def _option(item: Field[Any], value: Any, where: str) -> Any:
    meta = item.metadata
    if meta["repeat"]:
        return _repeated(item, value, where)
    try:
        parsed = meta["type"](_text(value))
    except ValueError as error:
        raise UsageError(f"{where}: {item.name}: {error}") from None
    if meta["choices"] and parsed not in meta["choices"]:
        raise UsageError(f"{where}: {item.name}: must be one of {', '.join(meta['choices'])}, not {value!r}")
    return parsed


def _repeated(item: Field[Any], value: Any, where: str) -> tuple[str, ...]:
    """A list of texts, or where the option is `A=B` a mapping."""
    if isinstance(value, dict) and "=" in item.metadata["metavar"]:
        value = [f"{left}={right}" for left, right in value.items()]
    if not isinstance(value, list) or not all(isinstance(word, str | int | float) for word in value):
        raise UsageError(f"{where}: {item.name}: expected a list" + (" or a mapping" if "=" in item.metadata["metavar"] else ""))
    return tuple(map(_text, value))


def _check(settings: Settings, where: str) -> None:
    try:
        check_tools(settings)
        check_replicas(settings)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _name(entry: Entry, taken: Collection[str]) -> str:
    """It stands in a path, and clients call their servers as they like."""
    name = as_name(entry.name)
    if name == ALL:
        raise UsageError(f"{entry.where()}: {entry.name}: /{ALL}/mcp is the address of all MCPs together: rename this one")
    if name != entry.name:
        Log().warning("a name stands in a path: letters, digits, '.', '_' and '-' only", of=entry.name, served_as=name)
    if name in taken:
        raise UsageError(f"{entry.where()}: {entry.name}: would also be served as {name!r}: rename one")
    return name


def _refuse_no_name(name: object, reserved: Collection[str], where: str) -> None:
    """Raises UsageError for what cannot stand in a path."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or name in reserved:
        raise UsageError(f"{where}: a name stands in a path: letters, digits, '.', '_' and '-', and none of {', '.join(reserved)}")


def as_name(text: str) -> str:
    if not NAME.fullmatch(text):
        text = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._") or "server"
    return f"my-{text}" if text in RESERVED else text


def _warn(settings: Settings, log: Log, text: str) -> None:
    """Raises UsageError if it is to be strict."""
    if settings.strict:
        raise UsageError(text)
    log.warning("ignored", why=text)
