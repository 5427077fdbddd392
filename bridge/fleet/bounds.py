"""What a stanza may not say, in whatever spelling: text that begins a new line somewhere, the fleet's own names and paths.

A stanza may come from a package, a registry or somebody's chat. It is read by the operator at best, so whatever would hand
it the fleet's keys, turn its bridge's own process, or open the machine is refused here, before any target writes it. What
a target can escape, it escapes itself. Pure: `load.py` and `up` ask again with the real paths.
"""

import posixpath
import re
import unicodedata
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

FLEET_NAMES = re.compile(r"(LITELLM_|MCP_BRIDGE_|COMPOSE_|BRIDGE_TOKEN|POSTGRES_(READER_)?PASSWORD|UI_PASSWORD)", re.IGNORECASE)
# What turns the bridge's process, which starts with its child's variables: the loader's, those that the C library itself
# ignores in a privileged program, and OpenSSL's, which name libraries to load. PYTHON* are not here (the bridge runs with
# `python -I`, which ignores them), nor NODE_OPTIONS (nothing of the bridge is Node): they mean the child alone.
LOADER_NAMES = re.compile(
    r"(LD_.*|GCONV_PATH|GETCONF_DIR|GLIBC_TUNABLES|HOSTALIASES|LOCALDOMAIN|LOCPATH|MALLOC_.*|NIS_PATH|NLSPATH"
    r"|RESOLV_HOST_CONF|RES_OPTIONS|OPENSSL_.*|MCP_BRIDGE_.*)",
    re.IGNORECASE,
)
REFERENCE_OF_LITELLM = (
    "os.environ/"  # a value that begins so is replaced by the variable (1.77.3 to 1.108.7: exactly so, and only at the beginning)
)

MEANING = {"docker": "its server may start, read and end any container and see every file of this machine, as its administrator may"}
SOCKETS = ("/run/docker.sock", "/run/containerd", "/run/podman", "/run/crio", "/var/lib/docker", "/var/lib/containerd", "/var/lib/kubelet")
MACHINE = ("/proc", "/sys", "/dev", "/boot")
ALL_OF_IT = ("/etc", "/root", "/home", "/usr")  # whole ones: what is inside may be meant
OF_THE_FLEET = (
    "bridge images litellm compose/secrets compose/state compose/door compose/database compose/callers compose/litellm compose/groups "
    ".git .venv"
).split()
# Where a volume would cover what the bridge runs from, or what it and the fleet keep from the child.
OF_THE_CONTAINER = tuple(
    """/opt/bridge /run /var/run /proc /sys /dev /bin /sbin /lib /lib64 /etc /usr/bin /usr/sbin /usr/lib /usr/lib64 /usr/local""".split()
)
VOLUMES = re.compile(r"database|prometheus|keys|keys-.*|.*-(socket|audit|egress)", re.IGNORECASE)
TARGET = re.compile(r"(/[A-Za-z0-9._@+~-]+)+/?")

Place = tuple[str | int, ...]  # of a value inside of others: names of fields, numbers of items


def why_not_text(text: str) -> str:
    """Why it cannot stand in one line of a generated file; empty if it can."""
    for char in text:
        if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or "\u202a" <= char <= "\u202e" or "\u2066" <= char <= "\u2069":
            what = {"\n": "a line break", "\r": "a line break", "\t": "a tab"}.get(char, f"the character U+{ord(char):04X}")
            return f"{what} in {text[:60]!r}: take it out, this is text of one line"
    return ""


def texts(value: Any, place: Place = ()) -> Iterator[tuple[Place, str]]:
    """Every text in `value`, keys too, with its place."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(key, (*place, str(key)))
            yield from texts(inner, (*place, str(key)))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from texts(inner, (*place, number))


def one_line(text: str) -> str:
    """What a package says of itself, as a description: in one line, and nothing that LiteLLM would look up."""
    text = " ".join("".join(" " if why_not_text(char) else char for char in text).split())
    return f"'{text}'" if text.startswith(REFERENCE_OF_LITELLM) else text


def check_variable(name: str) -> None:
    """Raises ValueError for a variable that is not the child's alone."""
    if LOADER_NAMES.fullmatch(name):
        raise ValueError(
            f"{name!r} would turn the bridge itself, not only its server: the options of the bridge stand in 'bridge'; the rest belongs into the image"
        )


def check_reference(name: str) -> None:
    """Raises ValueError for a variable of compose/.env that is the fleet's own."""
    if FLEET_NAMES.match(name):
        raise ValueError(f"{name!r} is the fleet's own: give the variable in compose/.env another name")


def check_for_litellm(text: str) -> None:
    """Raises ValueError for a text that LiteLLM would take for the name of a variable."""
    if text.startswith(REFERENCE_OF_LITELLM):
        raise ValueError(f"{text[:60]!r}: LiteLLM would put the variable's value in its place, and show it: begin it with another word")


def check_target(path: str) -> str:
    """A place in the container, for a volume or to work in. Raises ValueError."""
    if not TARGET.fullmatch(path) or ".." in PurePosixPath(path).parts or "." in path.split("/"):
        raise ValueError(
            f"{path!r}: a place in the container is a whole path of letters, digits, '.', '_', '-', '@', '+' and '~', without '..'"
        )
    return path


def check_covers(path: str, read_only: bool) -> None:
    """Raises ValueError where a volume would cover what is not the server's."""
    inside = PurePosixPath(path)
    if path.startswith("/etc/") and read_only and not path.startswith("/etc/ld.so"):
        return  # /etc/localtime
    for own in map(PurePosixPath, OF_THE_CONTAINER):
        if inside == own or own in inside.parents or inside in own.parents:
            raise ValueError(f"{path!r} covers {own}, which is not the server's: choose a place of its own, such as /data")


def why_not_named(volume: str) -> str:
    """Why a volume of that name is not a stanza's; empty if it may be."""
    return f"the volume {volume!r} is the fleet's own: call it {volume}-data" if VOLUMES.fullmatch(volume) else ""


def why_not_mounted(source: str, root: str = "/fleet") -> str:
    """Why a path of the machine (relative ones begin at compose/) is not given to an MCP; empty if it may be."""
    if source.startswith("~"):
        return f"{source!r}: write the whole path instead of '~'"
    path = PurePosixPath(re.sub("^/+", "/", posixpath.normpath(posixpath.join(root, "compose", source))))
    path = PurePosixPath("/run", path.relative_to("/var/run")) if path.is_relative_to("/var/run") else path
    project = PurePosixPath(root)
    if path == project or path in project.parents or path == project / "compose":
        return f"{source!r} is the fleet's own folder or holds it, with its keys: name the folder inside or beside it that is meant"
    for own in (project / name for name in OF_THE_FLEET):
        if path.is_relative_to(own):
            return f"{source!r} is the fleet's own: keep what an MCP needs elsewhere"
    if path.parent == project / "compose" and (path.name.startswith(".") or path.suffix in (".yaml", ".yml")):
        return f"{source!r} is the fleet's own: keep what an MCP needs elsewhere"
    for socket in map(PurePosixPath, SOCKETS):
        if path.is_relative_to(socket) or path in socket.parents or path.suffix == ".sock":
            return (
                f"{source!r} holds what rules this machine's containers, and so the machine: 'grants: docker' in the stanza says that it is meant"
                if path.suffix == ".sock"
                else f"{source!r} is or holds {socket}, which rules this machine: name the folder inside that is meant"
            )
    if any(path.is_relative_to(one) for one in MACHINE) or str(path) in ALL_OF_IT:
        return f"{source!r} is the machine's own: name the folder inside that is meant"
    return ""
