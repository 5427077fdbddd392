"""A `server.json` as a draft of a stanza, in the forms of each schema date (until 2025-09-16 its names were snake_case). Pure.

Of its packages the first that becomes a container is taken, a bundle only where there is no other, else the first remote. It is a stranger's document: what it sets may be read
as a value and never as a reference to a variable of the fleet, what it wants of the machine is asked for, and what would
change the sandbox is refused.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from bridge.fleet.adding.draft import Draft, stanza_name
from bridge.fleet.adding.elsewhere import Entry, taken_out, variable_for
from bridge.fleet.adding.registry.client import META
from bridge.fleet.adding.wrapped import NotUnderstood
from bridge.fleet.parts import VARIABLE, is_url
from bridge.printable import printable
from bridge.settings import UsageError

Said = dict[str, Any]
NAME = re.compile(r"[A-Za-z0-9.-]{1,200}/[A-Za-z0-9._-]{1,200}")
EXACT = re.compile(r"v?\d[\w.+!-]*")
_OLD = {"registryName": "registryType", "transportType": "type"}  # what members were called before
HINTS = {"npm": ("", "npx", "node"), "pypi": ("", "uvx", "python"), "oci": ("", "docker"), "mcpb": ("",)}
HARMLESS = {"npm": ("-y", "--yes"), "pypi": (), "oci": ("-i", "--rm", "--interactive")}  # of the arguments for npx, uvx, `docker run`
INSTEAD = {"nuget": ".NET is not among the base images", "cargo": "it would have to be compiled: --binary takes a release of it"}
AUTHORIZATION = "authorization"
ODD = (AttributeError, TypeError, ValueError, LookupError)  # what comes of a member that is of another type than it may be


class Refused(Exception):
    """This package or remote cannot be taken; the message says why."""


def is_server(document: object) -> bool:
    """Whether it looks like a server.json, or what a registry answers."""
    server = document.get("server", document) if isinstance(document, dict) else None
    return isinstance(server, dict) and isinstance(server.get("name"), str) and ("packages" in server or "remotes" in server)


def entry(document: Said, name: str = "") -> Entry:
    """`name` is what the MCP is called here, if not as in the document. Raises UsageError."""
    said = _camel(document)
    server = said.get("server", said)
    full = server["name"]
    if not NAME.fullmatch(full):
        raise UsageError(f"{printable(full[:200])!r} is not the name of a server: expected NAMESPACE/NAME, like io.github.owner/name")
    notes = list(_status(full, said, server))
    draft = Draft(name or stanza_name(full.rpartition("/")[2]), description=line(server.get("description", "")))
    reasons: list[str] = []
    for what, read, every in (("package", _package, server.get("packages")), ("remote", _remote, server.get("remotes"))):
        # A bundle comes last: what it brings is in no lock, and nothing says when there is a newer one.
        for one in sorted(every, key=_is_bundle) if isinstance(every, list) else ():
            try:
                found = read(draft, one if isinstance(one, dict) else {})
            except (Refused, NotUnderstood) as why:
                reasons.append(f"{what} {line(one.get('identifier') or one.get('url') or '') if isinstance(one, dict) else ''}: {why}")
                continue
            except ODD as why:
                reasons.append(f"{what}: it is not as its schema has it: {line(why)}")
                continue
            return replace(found, notes=(*notes, *(f"not taken: {reason}" for reason in reasons), *found.notes))
    raise UsageError(f"{full}: " + ("; ".join(reasons) or "it names neither a package nor a remote"))


def _status(full: str, said: Said, server: Said) -> Iterator[str]:
    meta = said.get("_meta")
    official = meta.get(META) if isinstance(meta, dict) else None
    status = (official.get("status") if isinstance(official, dict) else None) or server.get("status") or "active"
    why = line((official.get("statusMessage") if isinstance(official, dict) else "") or "")
    if status == "deleted":
        raise UsageError(f"{full}: the registry says that it was deleted" + (f": {why}" if why else ""))
    if status != "active":
        yield f"the registry says that it is {line(status)}" + (f": {why}" if why else "")


# ---- a package -----------------------------------------------------------------------------------------------------------


def _package(draft: Draft, package: Said) -> Entry:
    kind, identifier = str(package.get("registryType", "")).lower(), package.get("identifier") or package.get("name")
    kind = {"docker": "oci", "python": "pypi"}.get(kind, kind)
    if kind not in HINTS:
        raise Refused(INSTEAD.get(kind, f"{line(kind) or 'no'} registry type is not known here"))
    if not isinstance(identifier, str):
        raise Refused("it has no identifier")
    transport = package.get("transport")
    if isinstance(transport, dict) and transport.get("type", "stdio") != "stdio":
        raise Refused(f"it is to be reached by {line(transport['type'])}, not on its input and output")
    if package.get("runtimeHint", "") not in HINTS[kind]:
        raise Refused(f"it is to be run by {line(package['runtimeHint'])}")
    if kind == "mcpb":
        return Entry(replace(draft, source={"mcpb": _bundle(identifier, package.get("fileSha256"))}))
    notes: list[str] = []
    if base := package.get("registryBaseUrl"):
        notes.append(f"published at {line(base)}; taken from where this machine looks for packages")
    source = _source(kind, identifier, package.get("version"))
    volumes: list[str] = []
    env = _runtime(draft, kind, package.get("runtimeArguments") or [], volumes, notes)
    draft = replace(draft, source=source)
    return with_inputs(draft, package, env, volumes, notes, () if kind == "oci" else ("",))


def _is_bundle(package: object) -> bool:
    return isinstance(package, dict) and package.get("registryType") == "mcpb"


def _bundle(identifier: str, digest: object) -> dict[str, str]:
    """What is fetched, and the sum that its publisher gave (schema 2025-12-11: `fileSha256` must be there)."""
    if not identifier.startswith("https://") or not is_url(identifier):
        raise Refused("a bundle is fetched from https://HOST/… and from nowhere else")
    if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{64}", digest.lower()):
        raise Refused("its fileSha256 is not there, so nobody can say whether what comes is what was published")
    return {"url": identifier, "sha256": digest.lower()}


def with_inputs(
    draft: Draft, package: Said, env: dict[str, str], volumes: list[str], notes: list[str], command: tuple[str, ...] = ("",)
) -> Entry:
    """With the arguments and the variables that it wants to be told, behind `command` (an empty word is its own program). Raises Refused."""
    words = [word for one in package.get("packageArguments") or [] for word in _argument(draft, one, volumes, notes)]
    secret, optional = set(), []
    for one in package.get("environmentVariables") or []:
        variable = one.get("name")
        if not isinstance(variable, str) or not VARIABLE.fullmatch(variable):
            raise Refused(f"{line(variable)!r} is not the name of a variable")
        value = _value(draft, one, variable, volumes, notes, is_variable=True)
        if one.get("isSecret"):
            secret.add(variable)
            if not one.get("isRequired"):
                optional.append(variable)
            env[variable] = value or ""
        elif value is not None:
            env[variable] = value
        elif one.get("isRequired"):
            env[variable] = f"${{{variable}}}"
        else:
            notes.append(f"it also reads {variable}" + (f": {line(one.get('description'))}" if one.get("description") else ""))
        if choices := one.get("choices"):
            notes.append(f"{variable} is one of {', '.join(map(line, choices[:20]))}")
    command = () if not words and command == ("",) else (*command, *words)
    draft = replace(draft, command=command, volumes=tuple(dict.fromkeys(volumes)))
    found = taken_out(draft, env, notes, secret)
    named = tuple(name for name in optional if name in found.draft.secrets)
    return replace(found, draft=replace(found.draft, optional=named))


def _source(kind: str, identifier: str, version: object) -> dict[str, Any]:
    if kind == "oci":
        if not re.search(r":[\w.-]+$|@sha256:[0-9a-f]{64}$", identifier):
            if not isinstance(version, str) or not re.fullmatch(r"[\w.-]+", version):
                raise Refused("its image has neither a tag nor a digest")
            identifier = f"{identifier}:{version}"
        return {"image": _plain(identifier)}
    if not isinstance(version, str) or not EXACT.fullmatch(version) or version == "latest":
        raise Refused(f"its version {line(version)!r} is not an exact one")
    return {kind: _plain(f"{identifier}=={version}" if kind == "pypi" else f"{identifier}@{version}")}


def _runtime(draft: Draft, kind: str, arguments: list[Said], volumes: list[str], notes: list[str]) -> dict[str, str]:
    """What it wants of npx, uvx or `docker run`: variables and folders that are asked for, and nothing else."""
    env: dict[str, str] = {}
    for one in arguments:
        option, value = str(one.get("name") or ""), one.get("value")
        if not option and isinstance(value, str):
            option, _, value = value.partition("=") if value.startswith("--") else (value, "", None)
        if option in HARMLESS[kind] and not value:
            continue
        if kind == "oci" and option in ("-e", "--env") and isinstance(value, str):
            variable, equals, _ = value.partition("=")
            if not VARIABLE.fullmatch(variable):
                raise Refused(f"its argument {option} {line(value)} for `docker run` names no variable")
            env[variable] = _filled(draft, {**one, "value": value.partition("=")[2]}, variable, volumes) if equals else f"${{{variable}}}"
        elif kind == "oci" and option in ("--mount", "-v", "--volume") and isinstance(value, str):
            volumes.append(_mounted(draft, option, value, one, notes))
        else:
            shown = line(f"{option} {value or ''}".strip())
            raise Refused(f"it wants {shown!r} of what starts it, which may change what it is or may do")
    return env


def _mounted(draft: Draft, option: str, value: str, said: Said, notes: list[str]) -> str:
    """A folder of this machine, which the operator names: no document says which."""
    if option == "--mount":
        parts = dict(part.partition("=")[::2] for part in value.split(","))
        kind, source, target = (
            parts.get("type", "bind"),
            parts.get("src") or parts.get("source", ""),
            parts.get("dst") or parts.get("target", ""),
        )
        read_only = "readonly" in parts or "ro" in parts
    else:
        source, _, rest = value.partition(":")
        target, _, options = rest.partition(":")
        kind, read_only = "bind", "ro" in options.split(",")
    variables = said.get("variables")
    named, known = re.fullmatch(r"\{(\w+)\}", source), variables if isinstance(variables, dict) else {}
    if kind != "bind" or not named:
        raise Refused(f"it wants the mount {line(value)!r}, and who names a place of this machine is you: write the volume by hand")
    if inner := re.fullmatch(r"\{(\w+)\}", target):
        said_of = known.get(inner[1])
        default = (said_of.get("value") or said_of.get("default")) if isinstance(said_of, dict) else None
        target = str(default or f"/data/{named[1].replace('_', '-')}")
    if not re.fullmatch(r"/[\w./-]+", target) or ".." in target:
        raise Refused(f"it wants the mount {line(value)!r}, whose target is no path")
    name = variable_for(draft, named[1])
    notes.append(f"{name} in compose/.env must say which folder of this machine is {target} for it")
    return f"${{{name}}}:{target}" + ":ro" * read_only


def _argument(draft: Draft, said: Said, volumes: list[str], notes: list[str]) -> list[str]:
    """The words of one argument; none if it can be left out and nobody says what it is."""
    name = str(said.get("name") or said.get("valueHint") or "argument")
    is_named = said.get("type") == "named"
    if is_named and not re.fullmatch(r"-{0,2}[\w.:-]+", name):
        raise Refused(f"its argument {line(name)!r} is no option")
    value = _value(draft, said, name, volumes, notes)
    if value is None and said.get("isRequired") and not (is_named and not (said.get("format") or said.get("valueHint"))):
        value = f"${{{variable_for(draft, name.lstrip('-'))}}}"
    if value is None:
        if is_named and said.get("isRequired"):
            return [name]
        notes.append(f"it also takes {line(name)}" + (f": {line(said.get('description'))}" if said.get("description") else ""))
        return []
    if said.get("isSecret"):
        notes.append(f"{line(name)} is a secret among its arguments, where `ps` shows it")
    if is_named and said.get("format") == "boolean":
        return [name] if value == "true" else []
    return [name, value] if is_named else [value]


def _value(draft: Draft, said: Said, name: str, volumes: list[str], notes: list[str], is_variable: bool = False) -> str | None:
    """What an input is: fixed, with its variables filled in, or by default. A secret has none here; a path is a volume that is asked for."""
    if said.get("isSecret") and "value" not in said:
        return None if is_variable or not said.get("isRequired") else f"${{{variable_for(draft, name.lstrip('-'))}}}"
    if said.get("value") is not None:
        return _filled(draft, said, name, volumes)
    default = said.get("default")
    if said.get("format") == "filepath" and (default is None or str(default).startswith(("/", "~"))):
        if default is None and not said.get("isRequired"):
            return None
        own = variable_for(draft, name.lstrip("-"))
        target = f"/data/{re.sub(r'[^a-z0-9]+', '-', name.lstrip('-').lower()).strip('-') or 'path'}"
        volumes.append(f"${{{own}}}:{target}")
        notes.append(f"{own} in compose/.env must say which path of this machine is {target} for it")
        return target
    return None if default is None else _plain(str(default).lower() if isinstance(default, bool) else str(default))


def _filled(draft: Draft, said: Said, name: str, volumes: list[str]) -> str:
    """A fixed value with what stands for its {variables}."""
    variables = said.get("variables")
    known: Mapping[str, Any] = variables if isinstance(variables, dict) else {}

    def one(found: re.Match[str]) -> str:
        inner = known.get(found[1])
        if not isinstance(inner, dict):
            return found[0]
        value = None if inner.get("isSecret") else inner.get("value") or inner.get("default")
        return f"${{{variable_for(draft, found[1])}}}" if value is None else _plain(str(value))

    return re.sub(r"\{(\w+)\}", one, _plain(str(said["value"])))


# ---- a remote ------------------------------------------------------------------------------------------------------------


def _remote(draft: Draft, remote: Said) -> Entry:
    transport = {"streamable-http": "http", "streamable": "http", "http": "http", "sse": "sse"}.get(str(remote.get("type", "")))
    if transport is None:
        raise Refused(f"its transport {line(remote.get('type'))!r} is not known")
    url = _filled(draft, {**remote, "value": remote.get("url", "")}, "url", [])
    if "{" in url:
        raise Refused(f"its address {line(remote.get('url'))} has parts that only you know: mcp-bridge add NAME --url URL")
    if not is_url(url):
        raise Refused(f"its address {line(url)!r} is not http://HOST/… or https://HOST/…")
    auth: dict[str, str] = {}
    headers: dict[str, str] = {}
    notes: list[str] = []
    for one in remote.get("headers") or []:
        name = str(one.get("name", ""))
        if not re.fullmatch(r"[A-Za-z0-9-]{1,100}", name):
            raise Refused(f"{line(name)!r} is not the name of a header")
        value = one.get("value")
        inner = re.fullmatch(r"(?:(Bearer)\s+)?\{(\w+)\}", str(value)) if value is not None else None
        is_secret = bool(one.get("isSecret") or inner or name.lower() in (AUTHORIZATION, "x-api-key"))
        stored = variable_for(draft, inner[2] if inner else name)
        if not one.get("isRequired") and value is None and one.get("default") is None:
            notes.append(f"it also takes the header {name}" + (f": {line(one.get('description'))}" if one.get("description") else ""))
        elif name.lower() == AUTHORIZATION:
            auth = {"type": "bearer_token" if inner and inner[1] else "authorization", "value_env": stored}
        elif name.lower() == "x-api-key":
            auth = {"type": "api_key", "value_env": stored}
        elif is_secret:
            headers[name] = f"os.environ/{stored}"
        else:
            fixed = _filled(draft, {**one, "value": value if value is not None else one.get("default", "")}, name, [])
            headers[name] = f"os.environ/{stored}" if "{" in fixed or not fixed else fixed
    found = replace(draft, source={"url": url}, command=(), transport=transport, auth=auth, static_headers=headers)
    return Entry(found, notes=tuple(notes))


# ---- small print ---------------------------------------------------------------------------------------------------------


def _plain(text: str) -> str:
    """A value of the document. `${NAME}` in a stanza is a variable of compose/.env, such as another MCP's key: no document names one."""
    if "${" in text or any(not char.isprintable() for char in text):
        raise Refused(f"{line(text)!r} would be read as something else here")
    return text


def line(text: object) -> str:
    return printable(" ".join(str(text or "").replace("${", "$ {").split()))[:200]


def _camel(value: Any) -> Any:
    """Members as they are called since 2025-09-16; names of variables, which are the document's own, stay."""
    if isinstance(value, list):
        return [_camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    renamed = {}
    for name, inner in value.items():
        new = name if name.startswith("_") else re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), name)
        own = {one: _camel(said) for one, said in inner.items()} if new == "variables" and isinstance(inner, dict) else _camel(inner)
        renamed[_OLD.get(new, new)] = own
    return renamed
