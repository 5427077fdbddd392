"""The secrets that each caller has its own of (`per: caller` in a stanza): compose/secrets/NAME/CALLER.

A bridge sees the folder and reads a file at each request, so a new value counts at once and nothing is started anew. Containers run as
another user than the operator: files are made readable by all, and compose/secrets, where only the operator may look in, protects them.
What the MCP itself has, from compose/.env, lies beside them by a name that no caller can have.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from bridge.callers.credentials import FILE_OF
from bridge.fleet.callers import LITELLM, check
from bridge.fleet.model import Fleet
from bridge.fleet.project import OWN_VALUE, Project, private, write_private
from bridge.fleet.stanza import Stanza
from bridge.settings import UsageError

READABLE = 0o444


def misplaced(project: Project, fleet: Fleet) -> dict[str, str]:
    """Where there is a file in the place of a folder, or a folder with something in it in that of a file: the name, and the way out."""
    of_all = {stanza.stored(name) for stanza in fleet.stanzas for name in stanza.secrets} - fleet.caller_secrets
    return {
        name: f"compose/secrets/{name} is a file, and each caller has its own value (per: caller): move it to "
        f"compose/secrets/{name}/CALLER, or into compose/.env if it is what the MCP itself shall have"
        for name in sorted(fleet.caller_secrets)
        if (project.secrets / name).is_file()
    } | {
        name: f"compose/secrets/{name} is a folder, and all have the same value: move what is in it elsewhere"
        for name in sorted(of_all)
        if (project.secrets / name).is_dir() and any((project.secrets / name).iterdir())
    }


def write_own(project: Project, fleet: Fleet, values: Mapping[str, str]) -> None:
    """The folders, with the values that MCPs have themselves, and all files such that containers can read them."""
    for name in sorted(fleet.caller_secrets - misplaced(project, fleet).keys()):
        folder = _folder(project, name)
        if values.get(name):
            write_private(folder / OWN_VALUE, values[name], READABLE)
        else:
            (folder / OWN_VALUE).unlink(missing_ok=True)
        for file in folder.iterdir():
            if not _is_readable(file):
                with suppress(PermissionError):  # somebody else's: `missing` tells it
                    file.chmod(READABLE)


def keep(project: Project, name: str, caller: str, value: str) -> None:
    """Raises UsageError."""
    if not FILE_OF.fullmatch(caller):
        raise UsageError(f"{caller!r} is not the name of a file: a caller with values of its own is called with letters, digits and ._@:+-")
    write_private(_folder(project, name) / caller, value + "\n" * value.endswith("\n"), READABLE)


def forget(project: Project, name: str, caller: str) -> bool:
    """Returns whether there was one."""
    file = project.secrets / name / caller
    is_there = bool(FILE_OF.fullmatch(caller)) and file.is_file()
    if is_there:
        file.unlink()
    return is_there


def owners(project: Project, name: str) -> list[str]:
    """The callers who have a value that their bridge can read."""
    folder = project.secrets / name
    try:
        return sorted(file.name for file in folder.iterdir() if FILE_OF.fullmatch(file.name) and _is_readable(file) and file.stat().st_size)
    except (FileNotFoundError, NotADirectoryError):
        return []


def lacking(project: Project, stanza: Stanza, caller: str) -> list[str]:
    """The secrets without which this caller's calls of the MCP are refused, as far as nothing but a header can bring them."""
    return [name for name in stanza.refuses_without if caller not in owners(project, stanza.stored(name))]


def told(project: Project, fleet: Fleet) -> Iterator[str]:
    """A line for each: who has a value, which callers of images/fleet.yaml have none, and what is wrong with files."""
    for stanza in fleet.sidecars:
        callers = _who_see(fleet, stanza) if stanza.caller_secrets else []
        for name in stanza.caller_secrets:
            stored, secret = stanza.stored(name), stanza.secrets[name]
            there = owners(project, stored)
            ways = [f"compose/secrets/{stored}/CALLER", *([f"the header {secret.header}"] if secret.header else [])]
            line = f"{stanza.name}: {name} is each caller's own ({' or '.join(ways)}): {', '.join(there) or 'nobody'} {'have' if len(there) > 1 else 'has'} one"
            if without := [caller for caller in callers if caller not in there]:
                what = "are refused without" if secret.missing == "refuse" else "get the MCP's own"
                line += f"; {', '.join(without)}: not here, so they {what}"
            yield line
            yield from (f"{stanza.name}: {path}: no container can read it: chmod 644" for path in _unreadable(project, stored))


def _who_see(fleet: Fleet, stanza: Stanza) -> list[str]:
    known = check(fleet.callers) if fleet.callers else None
    return [name for name in fleet.callers if known and name != LITELLM and not known.of(name).on(stanza.name).is_hidden]


def _folder(project: Project, name: str) -> Path:
    private(project.secrets)
    folder = project.secrets / name
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    return folder


def _unreadable(project: Project, name: str) -> list[Path]:
    folder = project.secrets / name
    return [file for file in folder.iterdir() if FILE_OF.fullmatch(file.name) and not _is_readable(file)] if folder.is_dir() else []


def _is_readable(file: Path) -> bool:
    return file.is_file() and bool(file.stat().st_mode & 0o004)
