"""A caller's own key, sent on to the bridge that an MCP has of its own: so that one decides what the caller may do, and writes it down.

Who connects there is found by what `Credentials` says of a request, as where callers have children with values of their own: callers with
other keys have other connections. A key of the fleet's own callers (`Remote.keys_of`) is good at the group's address only, and what each MCP
gets is derived from it: none learns what opens another, and nobody who holds no key can derive any.
"""

import hmac
from collections.abc import Mapping

from bridge.callers.credentials import Credentials
from bridge.callers.tokens import presented
from bridge.child.process import Remote


class Forwarded(Credentials):
    """What is sent on to one bridge, in place of the values of a child's variables. Who has no key shares the connection that has none."""

    def __init__(self, remote: Remote, key: bytes):
        super().__init__((), not remote.has_key, key)
        self._remote = remote
        self.names = ("Authorization",)

    def _read(self, caller: str, headers: Mapping[bytes, bytes]) -> dict[str, str]:
        given = headers.get(b"authorization") or headers.get(b"x-api-key") or b""
        if not given:
            return {}
        remote = self._remote
        if caller in remote.keys_of:
            given = b"Bearer " + derived(presented(headers), remote.name).encode()
        also = {name: value for name in remote.headers if (value := headers.get(name.lower().encode()))}
        return {name: value.decode("latin-1") for name, value in {"Authorization": given, **also}.items()}

    def _way(self, name: str) -> str:
        return "send it"


def derived(key: bytes, name: str) -> str:
    return hmac.new(key, name.encode(), "sha256").hexdigest()
