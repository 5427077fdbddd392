"""Servers of another client's file (`bridge/clients` reads it) as drafts of stanzas.

Such an entry starts a program on somebody's desk: it fetches the newest package at every start, has its secrets in
plain text and paths of that machine. Here the package becomes a source to be pinned, what looks like a secret is taken
out, and a folder becomes a volume. What is not understood is said rather than guessed, and nothing secret is ever said.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bridge.child.environment import BadEnvironment, read_file
from bridge.clients import formats
from bridge.clients.document import Document
from bridge.clients.formats import Entry as Response
from bridge.clients.formats import transport_of
from bridge.clients.variables import Unresolved, workspace_of
from bridge.fleet.adding.docker_run import docker_run
from bridge.fleet.adding.draft import Draft, is_blank, stanza_name
from bridge.fleet.adding.elsewhere import Entry, taken_out, variable_for, with_volumes
from bridge.fleet.adding.launchers import launched
from bridge.fleet.adding.references import References
from bridge.fleet.adding.secrecy import REFERENCE, looks_secret, reveals, safe, secret_name, url_reveals
from bridge.fleet.adding.wrapped import NotUnderstood, options_of, program_of, unwrapped
from bridge.fleet.targets.sidecar import HOST

LOCAL = re.compile(r"(?<![\w.-])(?:localhost|127\.0\.0\.1|\[::1\])(?![\w.-]*\.\w)(?::(\d+))?")
OF_A_MACHINE = tuple(
    """PATH HOME USER LOGNAME SHELL PWD TMPDIR TEMP TMP APPDATA LOCALAPPDATA USERPROFILE SYSTEMROOT SYSTEMDRIVE PROGRAMFILES PROGRAMDATA
    COMSPEC WINDIR PATHEXT HOMEPATH HOMEDRIVE NVM_DIR VIRTUAL_ENV PYTHONPATH NODE_PATH DISPLAY SSH_AUTH_SOCK""".split()
)
REMOTE_VALUES = set(
    """--header -H --transport --host --resource --static-oauth-client-metadata --static-oauth-client-info --auth-timeout --ignore-tool""".split()
)


def entries(document: Document) -> list[Entry]:
    """All entries of a file. Raises UsageError if it has none."""
    references = References(formats.inputs(document), workspace_of(document.path))
    return [entry(said, references) for said in formats.entries(document)]


def entry(said: Response, references: References) -> Entry:
    """One of them."""
    draft = Draft(stanza_name(said.name))
    if said.off or said.wrong:
        return Entry(draft, notes=(said.wrong or f"disabled there ({said.off}): left out",), skipped=True, off=bool(said.off))
    try:
        if looks_secret(said.name):
            raise NotUnderstood("a secret seems to stand in its name: call it otherwise")
        found = _remote(draft, said, references) if said.url else _program(draft, said, references)
        if said.description and not reveals(said.description):
            found = replace(found, draft=replace(found.draft, description=said.description))
        _check(found.draft)
    except (NotUnderstood, Unresolved) as why:
        return Entry(draft, notes=(f"{said.where()}: {why}",), skipped=True)
    return replace(found, notes=tuple(dict.fromkeys([*found.notes, *_more_notes(said, found)])))


def _more_notes(said: Response, found: Entry) -> Iterator[str]:
    if said.unknown:
        yield f"not understood: {', '.join(map(safe, sorted(said.unknown)))}"
    if said.hidden:
        yield f"tools that were hidden there: write `tools: {{deny: [{', '.join(map(safe, said.hidden))}]}}`"
    if said.shown:
        yield f"only these tools were shown there: write `tools: {{allow: [{', '.join(map(safe, said.shown))}]}}`"
    if said.options:
        yield f"options of `serve`: write them into `bridge`: {', '.join(said.options)}"
    if said.secrets:
        yield f"secrets from files: write what stands in these into compose/.env: {', '.join(said.secrets)}"
    draft = found.draft
    texts = (
        {"its url": draft.source.get("url", ""), "its arguments": " ".join(draft.command)} | draft.env | found.values | draft.static_headers
    )
    for where, text in texts.items():
        if where.upper() == "NO_PROXY":
            continue  # that is what it is for
        if isinstance(text, str) and (local := LOCAL.search(text)):
            yield (
                f"{where}: {local[0]} is the container itself here, not that machine: write {HOST}{f':{local[1]}' if local[1] else ''} "
                f"(with `egress: true`), or the name of the fleet's own service"
            )


def _check(draft: Draft) -> None:
    """The last look at what will be written: whatever was not foreseen is not written."""
    texts = {
        "source": [str(value) for name, value in draft.source.items() if name != "url"],
        "volumes": [part for volume in draft.volumes for part in volume.split(":")],
        "env": (*draft.env, *draft.env.values()),
        "command": draft.command,
        "static_headers": draft.static_headers.values(),
        "description": (draft.description,),
    }
    for where, every in texts.items():
        if any(map(reveals, every)):
            raise NotUnderstood(f"a secret seems to stand in its {where}, and it cannot be taken out: write the stanza by hand")


# ---- a program ---------------------------------------------------------------------


def _program(draft: Draft, said: Response, references: References) -> Entry:
    started = unwrapped(list(said.command))
    raw = said.env | started.env
    env = {name: references.text(text) for name, text in raw.items()} | dict.fromkeys(said.secrets, "")
    words, notes = [references.text(word) for word in started.words], started.notes
    secret = {*references.passwords, *said.secrets}

    def env_of(path: str) -> dict[str, str] | None:
        try:
            return read_file(str(Path(said.document.path).parent / Path(path).expanduser()))
        except (OSError, BadEnvironment, RuntimeError):
            return None

    if said.env_file:
        file = env_of(references.text(said.env_file))
        if file is None:
            notes.append(f"the variables of {safe(said.env_file)} are not known here: write them into `env` and `secrets`")
        env = (file or {}) | env
    if own := [name for name in env if name.upper() in OF_A_MACHINE]:
        notes.append(f"{', '.join(own)}: of that machine, left out")
        env = {name: text for name, text in env.items() if name not in own}
    if said.cwd:
        notes.append(f"cwd {safe(said.cwd)} is a folder of that machine: left out")
    if program_of(words[0]) in ("docker", "podman", "nerdctl"):
        line = docker_run(draft, words[1:], env, env_of)
        return taken_out(line.draft, line.env, [*notes, *line.notes], secret)
    draft, more = launched(draft, words)
    notes += more
    if str(draft.source.get("npm", "")).partition("@")[0] == "mcp-remote" and (remote := _through_remote(draft, said, env)):
        return remote
    if draft.source.keys() & {"npm", "pypi", "binary"}:
        draft, env = with_volumes(draft, env, notes)
    return taken_out(draft, env, notes, secret)


# ---- a remote one ----------------------------------------------------------------------


def _through_remote(draft: Draft, said: Response, env: dict[str, str]) -> Entry | None:
    """A program that is only a way to a URL: LiteLLM goes there itself. None if it must stay, because a secret stands in the URL."""
    before, rest = options_of(list(draft.command), REMOTE_VALUES)
    if not rest:
        raise NotUnderstood("mcp-remote without a URL")
    url, *rest = rest
    options, kept = list(before), []
    while rest:
        more, rest = options_of(rest, REMOTE_VALUES)
        options += more
        if rest:
            kept.append(rest.pop(0))
    if url_reveals(url):
        return None
    headers = {}
    for name, value in options:
        if name in ("--header", "-H"):
            header, _, text = value.partition(":")
            # It puts its own variables in, which clients need because they cannot quote spaces.
            headers[header.strip()] = re.sub(r"\$\{(\w+)\}", lambda found: env.get(found[1], found[0]), text).strip()
    kind = next((value for name, value in options if name == "--transport"), "")
    hidden = [value for name, value in options if name == "--ignore-tool"]
    unused = [
        name
        for name, _ in options
        if name not in ("--header", "-H", "--transport", "--ignore-tool", "--allow-http", "--debug", "--silent", "-y")
    ]
    notes = [f"arguments that mean nothing here: {', '.join(unused)}"] if unused else []
    notes += [f"tools that were hidden there: write `tools: {{deny: [{', '.join(map(safe, hidden))}]}}`"] if hidden else []
    transport = transport_of(url) if not kind else "sse" if kind.startswith("sse") else "http"
    return _to(draft, url, transport, headers, notes)


def _remote(draft: Draft, said: Response, references: References) -> Entry:
    headers = {name: references.text(value) for name, value in said.headers.items()}
    url = references.text(said.url)
    if REFERENCE.search(url):
        raise NotUnderstood(
            f"its URL has {', '.join(found[0] for found in REFERENCE.finditer(url))} in it, which only that client fills in: write the whole URL"
        )
    return _to(draft, url, said.transport, headers, [])


def _to(draft: Draft, url: str, transport: str, headers: dict[str, str], notes: list[str]) -> Entry:
    """A remote MCP with its headers: LiteLLM's `auth` has room for one secret, the others are read from its environment."""
    if url_reveals(url):
        raise NotUnderstood("its URL holds a secret: write the stanza by hand, with `auth` instead, if the server takes it as a header")
    if any(part and is_blank(part.rpartition("=")[2]) for part in re.split(r"[/?&#]", url)[3:] if part.rpartition("=")[2]):
        raise NotUnderstood("its URL has a place in it that is to be filled in: write the whole URL; a key belongs into `auth`")
    values: dict[str, str] = {}
    auth: dict[str, str] = {}
    static: dict[str, str] = {}
    has_authorization = "authorization" in map(str.lower, headers)
    for name, value in headers.items():
        lower, value = name.lower(), re.sub(r"^os\.environ/(\w+)$", r"${\1}", value)  # LiteLLM would read its own environment
        scheme, _, token = value.partition(" ")
        is_bearer = lower == "authorization" and scheme.lower() == "bearer"
        text = token.strip() if is_bearer else value
        if lower != "authorization" and not secret_name(name) and not reveals(value) and not REFERENCE.search(value):
            static[name] = value
            continue
        if REFERENCE.search(text) and not REFERENCE.fullmatch(text) and reveals(text):
            raise NotUnderstood(f"its header {safe(name)} holds a variable beside something secret: write the whole value")
        found = REFERENCE.fullmatch(text)
        text = found[0][2:-1].partition(":-")[2] if found else "" if is_blank(text) or REFERENCE.search(text) else text
        variable = variable_for(draft, "token" if lower == "authorization" else name, text, values)
        values |= {variable: text} if text else {}
        if lower == "authorization":
            auth = {"type": "bearer_token" if is_bearer else "authorization", "value_env": variable}
        elif lower == "x-api-key" and not auth and not has_authorization:
            auth = {"type": "api_key", "value_env": variable}
        else:
            static[name] = f"os.environ/{variable}"
    return Entry(
        replace(draft, source={"url": url}, command=(), transport=transport, auth=auth, static_headers=static), values, tuple(notes)
    )
