"""Which caller a request comes from: what the gate asks where there is a callers file, in place of its tokens."""

import time
from collections.abc import Collection, Mapping

from bridge.callers.caller import Callers
from bridge.callers.tokens import Tokens


class Keys(Tokens):
    """The tokens of --callers and of --token-file together, passwords, and whoever may come in without any."""

    def __init__(self, callers: Callers, tokens: Tokens | None = None):
        own = {digest: caller.name for caller in callers.by_name.values() for digest in caller.digests}
        super().__init__({**(tokens.by_digest if tokens else {}), **own}, tokens.exposed if tokens else "")
        self.callers = callers

    @property
    def has_one_caller(self) -> bool:
        return False  # what a child wrote is shown to admins

    def principal(self, headers: Mapping[bytes, bytes], client: str = "") -> str | None:
        found = super().principal(headers, client)
        if found is not None:
            return found
        given = headers.get(b"authorization") or headers.get(b"x-api-key") or b""
        if not given:
            return "" if self.callers.everybody.may_anything else None
        kind, _, rest = given.partition(b" ")
        return self.callers.of_basic(rest.strip(), client, time.monotonic()) if kind.lower() == b"basic" else None


def revoked_by(before: Tokens | None, after: Tokens | None, open: Collection[str] = ()) -> set[str]:
    """The principals of whom a key is not good any more, or who may not do what they could: what they have open ends. `open` are those
    who have something open, of whom the files may know nothing."""
    revoked = Tokens.revoked(before, after)
    if isinstance(before, Keys) and isinstance(after, Keys):
        after.callers.attempts = before.callers.attempts
        revoked |= before.callers.changed(after.callers, open)
    return revoked
