"""What a child sees of our environment: a small inherited set and what the operator names, never our own secrets."""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from bridge import redact

# Where no other way leads out of a network. Programs differ in which case they read.
PROXIES = tuple(name for upper in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY") for name in (upper, upper.lower()))
# The MCP SDKs' set, then what a runtime needs to speak the user's language, trust the machine's certificates and reach the web.
INHERITED = (
    "HOME",
    "LOGNAME",
    "PATH",
    "SHELL",
    "TERM",
    "USER",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    *PROXIES,
)
MARK = "MCP_BRIDGE_CHILD"  # set in each child, so that a daemon it leaves behind can be told from a stranger
LONGEST = 128 * 1024  # bytes of one variable, its name included (MAX_ARG_STRLEN of Linux)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USERINFO = re.compile(r"^([a-z0-9+.-]+://)?.*@", re.IGNORECASE | re.DOTALL)  # up to the last @: passwords may hold one


class BadEnvironment(Exception):
    """A line or a flag that names no environment variable; the message says which."""


def compose(
    named: Iterable[str] = (), file: str = "", ours: Mapping[str, str] = os.environ, secrets: Iterable[str] = (), copies: Iterable[str] = ()
) -> dict[str, str]:
    """The child's environment from ours, from `file`, from `named` (NAME=VALUE, NAME to pass ours through, or '*' to pass
    all but MCP_BRIDGE_*), from `secrets` (NAME=FILE, where FILE holds the value) and from `copies` (NAME=FILE:COPY: the path of a copy).

    Later ones win. Raises BadEnvironment and OSError.
    """
    result = {name: ours[name] for name in INHERITED if name in ours}
    if file:
        result.update(read_file(file))
    for item in named:
        if item == "*":  # in a container, whose variables are there for the server; ours are not its business
            result.update((name, value) for name, value in ours.items() if not name.startswith("MCP_BRIDGE_"))
            continue
        name, given, value = item.partition("=")
        check_name(name, f"--env {name}")
        if given:
            result[name] = value
        elif name in ours:
            result[name] = ours[name]
        else:
            raise BadEnvironment(f"--env {name}: not set in the bridge's own environment (use --env {name}=VALUE)")
    for item in secrets:
        name, _, path = item.partition("=")
        check_name(name, f"--secret {name}")
        result[name] = read_secret(name, path)
    for item in copies:
        name, _, places = item.partition("=")
        check_name(name, f"--secret-copy {name}")
        result[name] = _copied(name, *places.partition(":")[::2])
    redact.know(result, [item.partition("=")[0] for item in secrets])
    return result


def proxies(environment: dict[str, str]) -> dict[str, str]:
    """The proxies that a child is told of, fit to be shown: without the names and passwords in their addresses."""
    return {name: _USERINFO.sub(rf"\1{redact.SHOWN}@", environment[name]) for name in PROXIES if environment.get(name)}


def read_secret(name: str, path: str) -> str:
    """The content of a file, without the newline that an editor puts at its end. No message of ours shows any of it."""
    where = f"--secret {name}={path}"
    try:
        with open(path, "rb") as file:
            content = file.read(LONGEST)
    except (OSError, ValueError) as error:
        raise BadEnvironment(f"{where}: {getattr(error, 'strerror', None) or 'not the name of a file'}") from None
    content = content.removesuffix(b"\r\n" if content.endswith(b"\r\n") else b"\n")
    if b"\0" in content:
        raise BadEnvironment(f"{where}: a value cannot hold a null byte")
    if len(name) + len(content) + 2 > LONGEST:
        raise BadEnvironment(f"{where}: longer than a variable can be ({LONGEST} bytes)")
    return os.fsdecode(content)


def _copied(name: str, given: str, copy: str) -> str:
    """The path of a copy that is the child's: what it wrote there stays until another file is given. From an empty one nothing is made."""
    if not given or not copy:
        raise BadEnvironment(f"--secret-copy {name}: expected NAME=FILE:COPY")
    try:
        content, place = Path(given).read_bytes(), Path(copy)
        made_of, digest = place.with_name(f".{place.name}.made-of"), hashlib.sha256(content).hexdigest()
        if content and not (place.exists() and _is_made_of(made_of, digest)):
            place.parent.mkdir(parents=True, exist_ok=True)
            beside = place.with_name(f".{place.name}.new")
            for file, text, then in ((beside, content, place), (made_of, digest.encode(), made_of)):
                file.unlink(missing_ok=True)  # a child may have laid a link there
                with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as to:
                    to.write(text)
                file.replace(then)
    except OSError as error:
        raise BadEnvironment(f"--secret-copy {name}={given}:{copy}: {error.filename}: {error.strerror}") from None
    return copy


def _is_made_of(made_of: Path, digest: str) -> bool:
    """Whether that file says this. It lies where a child writes: a pipe there would be waited for, and a long one read."""
    return made_of.is_file() and made_of.stat().st_size == len(digest) and made_of.read_bytes() == digest.encode()


def read_file(path: str) -> dict[str, str]:
    """NAME=VALUE lines; blank lines and `#` comments are skipped, matching quotes around a value are taken off."""
    result = {}
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadEnvironment(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from None
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip().removeprefix("export ")
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        name, value = name.strip(), value.strip()
        if not equals:
            raise BadEnvironment(f"{path}:{number}: expected NAME=VALUE")
        check_name(name, f"{path}:{number}")
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        if "\0" in value:
            raise BadEnvironment(f"{path}:{number}: a value cannot hold a null byte")
        result[name] = value
    return result


def check_name(name: str, where: str) -> None:
    if not _NAME.fullmatch(name):
        raise BadEnvironment(f"{where}: not the name of an environment variable")
