"""Each caller's own values of a child's variables (`--caller-secret`): where they come from, and who may share a child.

    --caller-secret GITHUB_TOKEN=header:X-GitHub-Token     the caller sends it with every request
    --caller-secret GITHUB_TOKEN=/run/secrets/github       a file for each caller, called as the caller

A child has one environment, so callers with other values have other children. A child is found by the *principal* of a request,
which here is the caller and a hash of its values, not by its session: LiteLLM opens one for every call. All that goes by a principal (sessions,
resumed streams, parked calls) goes by the values too. Who lacks a value may see lists, which the shared child answers, and is told at a call
what is missing; or, with `fallback`, it uses the shared child, with the values that the operator gave to that one.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from bridge.child.environment import BadEnvironment, check_name, read_secret
from bridge.settings import UsageError

MARK = "\x1f"  # between a caller and what is known of its values: no caller's name has it
MISSING = "?"
HEADER = "header:"
FILE_OF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@:+-]{0,199}")  # a caller's name that is the name of a file, and of nothing else
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2


class Credentials:
    """What callers of one MCP bring along. `key` makes the hashes ours, and the same after a restart."""

    def __init__(self, sources: tuple[str, ...], falls_back: bool, key: bytes):
        """Raises UsageError."""
        self.falls_back = falls_back
        self._key = hashlib.blake2b(b"caller secrets", key=key[:64]).digest()
        self._headers: dict[str, bytes] = {}
        self._folders: dict[str, Path] = {}
        for source in sources:
            name, _, place = source.partition("=")
            try:
                check_name(name, f"--caller-secret {name}")
            except BadEnvironment as error:
                raise UsageError(str(error)) from None
            if place.startswith(HEADER) and _NAME.fullmatch(place.removeprefix(HEADER)):
                self._headers[name] = place.removeprefix(HEADER).lower().encode()
            elif place and not place.startswith(HEADER):
                self._folders[name] = Path(place)
            else:
                raise UsageError(f"--caller-secret {source}: expected NAME=header:HEADER, or NAME=FOLDER with a file for each caller")
        self.names = tuple(dict.fromkeys((*self._headers, *self._folders)))

    def of(self, caller: str, headers: Mapping[bytes, bytes]) -> tuple[str, dict[str, str]]:
        """The principal of a request, and the values that its child gets."""
        values = self._read(caller, headers)
        lacking = [name for name in self.names if name not in values]
        if lacking and not self.falls_back:
            return f"{caller}{MARK}{MISSING}{','.join(lacking)}", {}
        if not values:
            return caller, {}
        whole = json.dumps([caller, values], sort_keys=True).encode("utf-8", "surrogateescape")
        return f"{caller}{MARK}{hashlib.blake2b(whole, key=self._key, digest_size=16).hexdigest()}", values

    def _read(self, caller: str, headers: Mapping[bytes, bytes]) -> dict[str, str]:
        return {name: value for name in self.names if (value := self._value(name, caller, headers))}

    def missing(self, principal: str) -> str:
        """What this principal has to bring along; empty for nothing."""
        _, mark, rest = principal.partition(MARK + MISSING)
        return "; ".join(f"{name}: {self._way(name)}" for name in rest.split(",")) if mark else ""

    def _way(self, name: str) -> str:
        ways = []
        if name in self._headers:
            ways.append(f"send it in the header {self._headers[name].decode()}")
        if name in self._folders:
            ways.append("the operator may keep it here for you")
        return ", or ".join(ways)

    def _value(self, name: str, caller: str, headers: Mapping[bytes, bytes]) -> str:
        sent = headers.get(self._headers.get(name, b""), b"")
        while sent[:7].lower() == b"bearer ":  # as LiteLLM 1.77.3 sends what somebody gave it, whatever the header is called
            sent = sent[7:].strip()
        if sent:
            return sent.decode("utf-8", "surrogateescape")
        folder = self._folders.get(name)
        if folder is None or not FILE_OF.fullmatch(caller) or not (folder / caller).is_file():
            return ""
        try:
            return read_secret(name, str(folder / caller))
        except BadEnvironment:
            return ""  # as if it were not there: which of many it is, is told to nobody


def caller_of(principal: str) -> str:
    """Whose principal it is."""
    return principal.partition(MARK)[0]


def is_own(principal: str) -> bool:
    """Whether its child has values of its own."""
    _, mark, rest = principal.partition(MARK)
    return bool(mark) and not rest.startswith(MISSING)
