"""The key of the session ids: given, kept in a file, or made for the life of this process."""

import os
from pathlib import Path
from secrets import token_bytes

from bridge import log
from bridge.callers.tokens import exposed
from bridge.settings import Settings, UsageError

SHORTEST = 16  # bytes


def session_key(settings: Settings) -> bytes:
    """The key of the session ids: from its file, which is made where there is none."""
    if text := os.environ.get("MCP_BRIDGE_SESSION_KEY"):
        return _long_enough(text.encode(), "MCP_BRIDGE_SESSION_KEY")
    given = settings.session_key_file
    state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    path = Path(given or os.path.join(state, "mcp-bridge", "session.key"))
    try:
        if not path.exists():
            _make_key(path)
        key = _long_enough(path.read_bytes().strip(), str(path))
        if why := exposed(str(path)):
            log.Log().warning("the session key can be read by others", why=why)
        return key
    except OSError as error:
        if given:
            raise UsageError(f"--session-key-file: {error}") from None
        log.Log().info("sessions will not survive a restart of the bridge (--session-key-file FILE)", why=str(error))
        return token_bytes(32)


def _make_key(path: Path) -> None:
    """There at once and whole: another bridge may read it, or make it, at the same moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(token_bytes(32).hex().encode() + b"\n")
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # another bridge was faster
    except OSError:  # a file system without links
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _long_enough(key: bytes, where: str) -> bytes:
    if len(key) < SHORTEST:
        raise UsageError(f"{where}: a session key needs at least {SHORTEST} bytes (openssl rand -hex 32 makes one)")
    return key
