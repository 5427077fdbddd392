"""What an entry has in it and belongs elsewhere: values of secrets into compose/.env, files with keys into
compose/secrets, folders into volumes. Pure, but for what stands in those files."""

import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

from bridge.clients.variables import as_name
from bridge.fleet.adding.draft import Draft, is_blank
from bridge.fleet.adding.key_files import content, is_path_of_keys, is_written_by_the_server
from bridge.fleet.adding.mends import OF_A_URL
from bridge.fleet.adding.secrecy import REFERENCE, reveals, safe, secret_name
from bridge.fleet.adding.trial.findings import place_of
from bridge.fleet.adding.wrapped import NotUnderstood

_ASKS = re.compile(r"<[^<>]+>|your[-_ ].+|.+[-_]here", re.IGNORECASE)  # in an argument: to be written by somebody
_AROUND = re.compile(r"\W*(?:bearer|basic|token|apikey|bot)?\W*", re.IGNORECASE)  # what may stand beside a reference to a secret
_KEY = re.compile(r"(?:[A-Za-z]+[_-])+(?:key|token|secret|password)|apikey|password", re.IGNORECASE)  # `config set api_key VALUE`
_USER = re.compile(r"-u|--(?:user|login|userpwd|basic-auth|credentials)")
_USER_AND_PASSWORD = re.compile(r"[^\s:/]+:(?!\d+$)[^\s:/]+")
WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\\w")
_PERSONAL = re.compile(r"~/|/(home|Users|root|mnt|media|Volumes)/|[A-Za-z]:[\\/]")
_TOKENS = "/tokens"  # in the container
_HERE = ("true", "false", "yes", "no", "none", "null", "0", "1")


@dataclass(frozen=True)
class Entry:
    """An entry as it was understood: the draft, the values of its secrets, and what was not understood."""

    draft: Draft
    values: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    skipped: bool = False
    off: bool = False  # skipped, because it is off there


def taken_out(draft: Draft, env: Mapping[str, str], notes: Iterable[str] = (), secret: Collection[str] = ()) -> Entry:
    """What looks like a secret is named in the stanza, and its value stands elsewhere. `secret` are variables and references that
    are known to be secrets. Raises NotUnderstood for one that cannot be taken apart from what stands around it."""
    taken = _Taken(draft, env, secret, list(notes))
    for name, value in env.items():
        if is_path_of_keys(name, value):
            taken.file_of_keys(name, value)
        else:
            taken.variable(name, value)
    taken.command_line()
    return taken.entry()


@dataclass
class _Taken:
    """An entry while it is gone through: its variables first, as a secret among them may stand in its command, too."""

    draft: Draft
    env: Mapping[str, str]
    secret: Collection[str]
    notes: list[str]
    values: dict[str, str] = field(default_factory=dict)  # of secrets, as far as they are known
    secrets: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)  # of these: those that are files
    copies: dict[str, str] = field(default_factory=dict)  # of these: where those are that the server writes
    plain: dict[str, str] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)

    def file_of_keys(self, name: str, path: str) -> None:
        if self._is_here(path):
            self.plain[name] = path
            return
        text, said = content(name, path)
        self.secrets.append(name)
        self.files.append(name)
        self.values |= {name: text} if text else {}
        self.notes += filter(None, [said])
        if is_written_by_the_server(name, path, text):
            last = re.sub(r"[^A-Za-z0-9._-]", "", PureWindowsPath(path).name).lstrip(".-") or name.lower()
            is_taken = f"{_TOKENS}/{last}" in self.copies.values()
            self.copies[name] = f"{_TOKENS}/{f'{name.lower()}-{last}' if is_taken else last}"
            self.notes.append(
                f"{name}: its server may write this file anew: it has a copy of its own in the volume {self.draft.name}-tokens"
            )

    def variable(self, name: str, value: str) -> None:
        refers = REFERENCE.fullmatch(value)
        is_known = name in self.secret or (refers and refers[1] in self.secret)
        if not (is_known or reveals(value) or _is_value_of_a_secret(name, value)):
            self.plain[name] = f"${{{name}}}" if is_blank(value) and not REFERENCE.search(value) else value
        elif (kept := _kept(name, value, True)) is not None:
            self.plain[name] = kept
        else:
            self.secrets.append(name)
            self.values |= _value_of(name, value)
            return
        if re.match(r"/|~/|[A-Za-z]:[\\/]", value) and not (self._is_here(value) or OF_A_URL.search(name)):
            self.notes.append(f"{name}={safe(value)} is a path of that machine: make it a volume, or say another one")

    def command_line(self) -> None:
        before = ""  # the option, or the name of a setting, whose value comes next
        for word in (_referring(one, self.values) for one in self.draft.command):
            is_option = word.startswith("-") and not reveals(word.partition("=")[0])
            option, equals, value = word.partition("=") if is_option else ("", "", word)
            self.command.append(word if option and not equals else f"{option}{equals}{self._argument(option or before, value, word)}")
            before = word if (word.startswith("-") and not equals) or _KEY.fullmatch(word) else ""

    def _argument(self, before: str, value: str, word: str) -> str:
        """What stands in the command for this value of the option (or after the word) `before`."""
        is_a_login = _USER.fullmatch(before) and _USER_AND_PASSWORD.fullmatch(value)
        named = is_a_login or _is_value_of_a_secret(before, value)
        is_asked_for = _ASKS.fullmatch(value)
        if not ((named and value and not value.startswith(self._ours)) or reveals(value) or reveals(word) or is_asked_for):
            return value
        if (kept := _kept(before or "one of its arguments", value, False)) is not None:
            return kept
        known = self.values | {one: self.env[one] for one in self.secrets}
        name = variable_for(self.draft, before or "argument", _value_of("", value).get("", ""), known)
        self.values |= _value_of(name, value)
        if named or not is_asked_for:
            self.notes.append(
                f"a secret stands in its arguments, where `ps` shows it: it is ${{{name}}} now; if the server also takes it as a variable, make that a secret"
            )
        return f"${{{name}}}"

    @property
    def _ours(self) -> tuple[str, ...]:
        """What stands in the container for a folder of that machine."""
        return ("/data/", "/app/") if self.draft.volumes or self.draft.files else ()

    def _is_here(self, path: str) -> bool:
        """Is it a path of the image, or of what is mounted there?"""
        return path.startswith(self._ours) or ("image" in self.draft.source and path.startswith("/"))

    def entry(self) -> Entry:
        plain = {name: _referring(value, self.values) for name, value in self.plain.items()}
        volumes = (*self.draft.volumes, *([f"{self.draft.name}-tokens:{_TOKENS}"] if self.copies else []))
        draft = replace(
            self.draft,
            command=tuple(self.command),
            env=plain,
            secrets=tuple(self.secrets),
            as_files=tuple(self.files),
            copies=self.copies,
            volumes=volumes,
        )
        return Entry(draft, self.values, tuple(self.notes))


def _is_value_of_a_secret(name: str, value: str) -> bool:
    """By the name of its variable or option; a switch is none."""
    return secret_name(name) and value.lower() not in _HERE


def _referring(text: str, values: dict[str, str]) -> str:
    """A value that was found to be a secret is one in every place."""
    for name, value in values.items():
        if len(value) >= 6:
            text = text.replace(value, f"${{{name}}}")
    return text


def _kept(name: str, value: str, is_variable: bool) -> str | None:
    """The text as it is, if all of a secret in it is a reference already; None if there is something to be taken out."""
    if REFERENCE.fullmatch(value):
        return None if is_variable or ":-" in value else value
    if not (first := REFERENCE.search(value)):
        return None
    around = REFERENCE.sub("", value)
    if reveals(value) or not (_AROUND.fullmatch(around) or "://" in around):
        raise NotUnderstood(
            f"{name} holds {first[0].partition(':-')[0].rstrip('}')}}} beside something secret: only that client can put them together, so write the whole value"
        )
    return value


def _value_of(name: str, value: str) -> dict[str, str]:
    """The value, if there is one: of a reference its default, of a placeholder none."""
    if found := REFERENCE.fullmatch(value):
        value = found[0][2:-1].partition(":-")[2]
    return {} if is_blank(value) else {name: value}


def _unused(text: str, value: str, values: dict[str, str]) -> str:
    """A variable called like `text`, but not like one that has another value."""
    wanted = name = re.sub(r"\W", "_", text, flags=re.ASCII).upper()
    number = 1
    while values.get(name, value) != value:
        number += 1
        name = f"{wanted}_{number}"
    return name


def variable_for(draft: Draft, text: str, value: str = "", values: dict[str, str] | None = None) -> str:
    """The name in compose/.env for what `text` is to this MCP."""
    own, prefix = as_name(text), as_name(draft.name)
    return _unused(own if own.startswith(f"{prefix}_") else f"{prefix}_{own}", value, values or {})


# ---- folders -----------------------------------------------------------------------------


def with_volumes(draft: Draft, env: dict[str, str], notes: list[str]) -> tuple[Draft, dict[str, str]]:
    """Folders and files of that machine become volumes: those among the arguments, and those of its people among the variables."""
    volumes = list(draft.volumes)

    def mounted(path: str) -> str:
        """Where it is in the container; the text itself if it is no path of that machine."""
        if reveals(path) or not (found := source_of(draft, path, notes)):
            return path
        source, last = found
        target = f"/data/{re.sub(r'[^A-Za-z0-9._@+~-]+', '-', last)}"
        while any(volume.endswith(f":{target}") and volume != f"{source}:{target}" for volume in volumes):
            target += "-2"
        volumes.append(f"{source}:{target}")
        return target

    command = []
    for word in draft.command:
        option, equals, path = word.partition("=") if word.startswith("-") else ("", "", word)
        command.append(f"{option}{equals}{mounted(path)}")
    variables = {}
    for name, value in env.items():
        several = re.split(r"([,;]|:(?=[~/]))", value)
        theirs = all(_PERSONAL.match(one) or (place_of(one) and Path(one).exists()) for one in several[::2])
        variables[name] = (
            "".join(mounted(os.path.expanduser(one)) for one in several) if theirs and not is_path_of_keys(name, value) else value
        )
    return replace(draft, command=tuple(command), volumes=tuple(dict.fromkeys(volumes))), variables


def source_of(draft: Draft, path: str, notes: list[str]) -> tuple[str, str] | None:
    """What stands before the ':' of a volume, and the path's last name; None if it is no path of that machine."""
    if WINDOWS.match(path):
        windows = PureWindowsPath(path)
        drive = Path("/mnt") / windows.drive[:1].lower()
        last = windows.name or "drive"
        if windows.drive.endswith(":") and drive.is_dir():  # this is that machine, seen from WSL
            return str(drive.joinpath(*windows.parts[1:])), last
        return _asked(draft, last, path, "a path of Windows", notes), last
    path = path.replace("\\", "/") if path[:1] in ("/", "$") else path
    if found := re.match(r"\$\{(\w+)\}(/.*)?$", path):
        if not found[2] and found[1] != "WORKSPACE_FOLDER":
            return None
        last = PurePosixPath(found[2] or "/workspace").name
        notes.append(f"{path} is known to that client only: {found[1]} in compose/.env must say what it is on this machine")
        return path, last
    if re.match(r"/.+", path):
        return path, PurePosixPath(path).name or "root"
    return None


def _asked(draft: Draft, last: str, path: str, what: str, notes: list[str]) -> str:
    name = variable_for(draft, last)
    notes.append(f"{safe(path)} is {what}: {name} in compose/.env must say what it is on this machine")
    return f"${{{name}}}"
