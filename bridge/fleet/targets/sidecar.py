"""What a container around one MCP needs to be told, whatever runs it: variables, secrets, mounts. Compose and Kubernetes agree on it."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bridge.fleet.model import Fleet
from bridge.fleet.parts import REFERENCE
from bridge.fleet.stanza import Stanza
from bridge.fleet.targets.dockerfile import in_words
from bridge.pins.lock import FILE as PINS

SECRETS = "/run/secrets"
CALLER_SECRETS = "/run/caller-secrets"  # with a folder for each, in which each caller has a file
APPROVED = (
    "/run/approved"  # the folder that says which tools were approved; a folder, because a file that is replaced would stay the old one
)
HOST = "host.docker.internal"  # what a container calls the machine that it runs on
HARDENED = {  # of every container of the fleet
    "read_only": True,
    "init": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
}


def options(fleet: Fleet, stanza: Stanza, token_file: str, as_files: Iterable[str] | None = None) -> dict[str, str]:
    """What the bridge and its server are told in exactly these words: options (MCP_BRIDGE_*), and where secrets are.

    `as_files`: the secrets that are there as files, all unless said otherwise.
    """
    there = stanza.secrets if as_files is None else {name: stanza.secrets[name] for name in as_files}
    said: dict[str, str] = {"name": stanza.name} | ({"token_file": token_file} if token_file else {})
    said |= {name: _option(value) for name, value in stanza.bridge.items()}
    if stanza.pin != "off":
        said |= {"pin": stanza.pin, "pin_file": f"{APPROVED}/{PINS}"}
    if origins := [*fleet.origins, *stanza.origins]:
        said["allowed_origin"] = _option(list(dict.fromkeys(origins)))
    if stanza.tools.allow:
        said["tool_allow"] = _option(stanza.tools.allow)
    if stanza.tools.deny:
        said["tool_deny"] = _option(stanza.tools.deny)
    if stanza.tools.rename:
        said["tool_rename"] = _option([f"{old}={new}" for old, new in stanza.tools.rename.items()])
    if values := [f"{name}={secret_path(stanza.stored(name))}" for name, secret in there.items() if secret.kind == "value"]:
        said["secret"] = _option(values)
    if stanza.caller_secrets:
        said["caller_secret"] = _option(caller_secret(stanza, lambda name: f"{CALLER_SECRETS}/{stanza.stored(name)}"))
        said["caller_secret_missing"] = stanza.secrets[stanza.caller_secrets[0]].missing
    if copies := [f"{name}={secret_path(stanza.stored(name))}:{copy}" for name, copy in stanza.copies.items() if name in there]:
        said["secret_copy"] = _option(copies)
    paths = {name: secret_path(stanza.stored(name)) for name, secret in there.items() if secret.kind == "file" and not secret.copy_to}
    return {f"MCP_BRIDGE_{name.upper()}": value for name, value in said.items()} | paths


def caller_secret(stanza: Stanza, folder: Callable[[str], str]) -> list[str]:
    """Where the bridge finds each caller's own values, as `serve --caller-secret` wants to know it."""
    headers = [f"{name}=header:{header}" for name in stanza.caller_secrets if (header := stanza.secrets[name].header)]
    return [*headers, *(f"{name}={folder(name)}" for name in stanza.caller_secrets)]


def variables(stanza: Stanza) -> dict[str, str]:
    """The server's own, which may hold ${NAME} and ${NAME:-default}."""
    return {name: in_words(value) for name, value in stanza.env.items()}


def parts(text: str) -> Iterator[tuple[str, str, str | None]]:
    """`text` in pieces: (literal, "", None), or ("", NAME, default) for a reference; its default is None if it has none."""
    end = 0
    for found in REFERENCE.finditer(text):
        yield text[end : found.start()], "", None
        yield "", found[1], found[2] and found[2].removeprefix(":-")
        end = found.end()
    yield text[end:], "", None


def secret_path(name: str) -> str:
    return f"{SECRETS}/{name.lower()}"


def scratch(memory: str) -> str:
    """How big /tmp may be where it is memory: half of what the container has, so that a full one is an error and no killing."""
    number, unit = int(memory[:-1]), memory[-1]
    return f"{number // 2}{unit}" if number % 2 == 0 or unit == "k" else f"{number * 512}{ {'g': 'm', 'm': 'k'}[unit] }"


def has_references(texts: Iterable[object]) -> bool:
    return any(REFERENCE.search(str(text)) for text in texts)


def _option(value: Any) -> str:
    """As `settings.read` takes it apart again: at commas, but at line breaks where a word has a comma itself."""
    if not isinstance(value, list | tuple):
        return in_words(value)
    words = list(map(in_words, value))
    return "\n".join([*words, ""]) if any("," in word for word in words) else ",".join(words)
