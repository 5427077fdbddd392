"""A real authorization server on this machine: clients register themselves, and people log in without a word (RFC 6749, 7591, 8707)."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .packages import node22, npm
from .processes import free_port, listening

SERVER = Path(__file__).with_name("authorization_server.mjs")


def authorization_server() -> list[str]:
    """The command; it takes a port, a scope, and the seconds that a token lives."""
    folder = npm("oidc-provider", "oidc-provider@9.13.3")
    script = folder / SERVER.name  # node looks for packages where the script is
    if not script.exists() or script.read_bytes() != SERVER.read_bytes():
        draft = folder / f"{SERVER.name}.draft"
        shutil.copy(SERVER, draft)
        draft.replace(script)
    return [str(node22()), str(script)]


@contextmanager
def authorizing(scope: str, seconds: int = 600) -> Iterator[str]:
    """Its issuer, which is its address."""
    port = free_port()
    with listening([*authorization_server(), str(port), scope, str(seconds)], port):
        yield f"http://127.0.0.1:{port}"
