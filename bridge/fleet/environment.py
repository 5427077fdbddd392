"""What the operator says in compose/.env and compose/secrets/, completed where it says nothing.

A key that is missing is made, at random, and appended; one that is there, even without a value, is the operator's and
is never touched. Some lines are ours and are written anew: which profiles start, and where the files of compose/state
and compose/secrets are. Everything else that a stanza wants to know must come from the operator.

Values of compose/.env are copied to compose/secrets/ for the containers. compose/state/secrets.json remembers which files
are such copies: they go with their line, while a file of the operator's stays and counts.
"""

import hashlib
import json
import re
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from bridge.fleet import secrets_of_callers, tls
from bridge.fleet.bounds import why_not_mounted, why_not_named
from bridge.fleet.dotenv import quoted, read_dotenv
from bridge.fleet.model import OF_DATABASE, Fleet
from bridge.fleet.parts import REFERENCE, VARIABLE
from bridge.fleet.project import OWN_VALUE, Project, private, write_private
from bridge.fleet.stanza import Stanza
from bridge.settings import UsageError

PUBLIC = {
    "LITELLM_MASTER_KEY": ("sk-loopback-only", "sk-1234"),
    "BRIDGE_TOKEN": ("known-to-everybody", "loopback-only"),
}  # they stand in public files
OWN = ("LITELLM_MASTER_KEY", "BRIDGE_TOKEN", "POSTGRES_PASSWORD", "POSTGRES_READER_PASSWORD", *OF_DATABASE)  # read from compose/.env only
SHORTEST_TOKEN = 16  # characters: bridges refuse shorter ones
NEVER_EMPTY = ("LITELLM_MASTER_KEY", "BRIDGE_TOKEN", "POSTGRES_PASSWORD")
HEAD = "# Made by `mcp-bridge up`: yours from now on. What MCPs need stands in compose/.env.example.\n"
OURS = "# These lines are written anew by each `mcp-bridge up`:"
KEY = "litellm_key"  # in compose/state: for commands that people copy
EVERYWHERE = ("0.0.0.0", "::")
COPIES = "secrets.json"
TLS = "tls"  # the profile of what gives the door its certificate
PASSWORDS = ("POSTGRES_PASSWORD", "POSTGRES_READER_PASSWORD")
DATABASE_HOST = "database"


@dataclass(frozen=True)
class Environment:
    """The variables of compose/.env, with those whose values stand in compose/secrets/, and what they mean."""

    values: Mapping[str, str]
    refused: Mapping[str, str] = field(default_factory=dict)  # the MCPs that cannot run with what is said there, and why

    @property
    def host(self) -> str:
        """The address that ports are published on."""
        return self.values.get("LAN_BIND") or "127.0.0.1"

    @property
    def reached_at(self) -> str:
        """The address that this machine reaches those ports at."""
        return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, f"[{self.host}]" if ":" in self.host else self.host)

    @property
    def is_secure(self) -> bool:
        """Whether the door speaks https."""
        return bool(self.values.get(tls.CERTIFICATE))

    @property
    def scheme(self) -> str:
        return "https" if self.is_secure else "http"

    def as_shown(self) -> "Environment":
        """The same, for addresses that are told to people: with the name that the certificate is for; and where the network may come in,
        others can use them too."""
        if self.is_secure and (name := self.values.get(tls.HOST)):
            return Environment({**self.values, "LAN_BIND": name})
        if self.host not in EVERYWHERE:
            return self
        return Environment({**self.values, "LAN_BIND": _own_address(ipv6=self.host == "::")})

    def port(self, name: str, default: int) -> int:
        text = self.values.get(name) or str(default)
        if not text.isdecimal() or not 0 < int(text) < 65536:
            raise UsageError(f"compose/.env: {name}={text}: a port is 1 to 65535")
        return int(text)

    @property
    def profiles(self) -> list[str]:
        return [name for name in re.split(r"[,\s]+", self.values.get("COMPOSE_PROFILES", "")) if name]

    def expanded(self, text: str) -> str:
        """`${NAME}` and `${NAME:-default}` with their values, as compose would."""
        return REFERENCE.sub(lambda found: self.values.get(found[1]) or (found[2] or "").removeprefix(":-"), str(text))


def read(project: Project) -> Environment:
    """As it is. Raises UsageError for lines that are not NAME=VALUE."""
    return Environment(_from_files(project)[0] | read_dotenv(project.env_file))


def with_keys(environment: Environment) -> Environment:
    """With the keys that `up` would make, to know what can start: the values are of no use."""
    return Environment({**_random(environment.values), **environment.values})


def complete(project: Project, fleet: Fleet, made_before: Callable[[], Mapping[str, str]] = dict) -> Environment:
    """The environment with all keys that the fleet itself needs; compose/.env and compose/secrets/ say the same afterwards.

    `made_before` gives those of a start without compose/.env, which stay good. Raises UsageError for what cannot be right of the
    fleet's own, before anything is written. What one MCP cannot run with is its own trouble: `refused`.
    """
    said, (files, unreadable) = read_dotenv(project.env_file), _from_files(project)
    needed = (*NEVER_EMPTY, *OF_DATABASE) if fleet.litellm.database else NEVER_EMPTY
    known = said if all(name in said for name in needed) else {**made_before(), **said}
    made = {
        name: files.get(name, value)
        for name, value in _random(known).items()
        if name not in said and (name not in files or name in OWN) and (name in needed or name not in OF_DATABASE)
    }
    values = files | said | made
    for name in needed:
        if not values[name]:
            raise UsageError(f"compose/.env: {name} is empty: take that line out, and `mcp-bridge up` makes a random one")
    refuse_public_defaults(values)
    if len(values["BRIDGE_TOKEN"]) < SHORTEST_TOKEN:
        raise UsageError(
            f"compose/.env: BRIDGE_TOKEN has less than {SHORTEST_TOKEN} characters and can be guessed: "
            "take that line out, and `mcp-bridge up` makes a random one"
        )
    _refuse_proxies(values)
    secure = tls.lines(values)
    misplaced, said_twice = secrets_of_callers.misplaced(project, fleet), _with_two_values(project, said, files)
    refused = _refused(project, fleet, values, unreadable | misplaced, said_twice)
    wrong = {*unreadable, *misplaced, *said_twice}
    fresh = not project.env_file.exists()
    before = "" if fresh else project.env_file.read_text(encoding="utf-8")
    text = HEAD if fresh else before
    if made:
        text = text.rstrip("\n") + "\n" + "".join(f"{name}={quoted(value)}\n" for name, value in made.items())
    if text != before:
        write_private(project.env_file, text)
    project.env_file.chmod(0o600)
    _write_secrets(project, fleet, {name: value for name, value in values.items() if name not in wrong}, said | made)
    write_private(private(project.state) / KEY, values["LITELLM_MASTER_KEY"] + "\n")
    return Environment({name: value for name, value in (values | secure).items() if value is not None}, refused)


def own_lines(project: Project, lines: Mapping[str, str | None]) -> bool:
    """Write the lines that are ours at the end of compose/.env, those without a value not at all. Returns whether anything changed."""
    text = project.env_file.read_text(encoding="utf-8")
    kept = [line for line in text.splitlines() if line != OURS and line.partition("=")[0].strip().removeprefix("export ") not in lines]
    while kept and not kept[-1].strip():
        kept.pop()
    ours = [f"{name}={value}" for name, value in lines.items() if value is not None]
    return write_private(project.env_file, "\n".join([*kept, "", OURS, *ours]) + "\n")


def for_compose(environment: Environment, fleet: Fleet, started: list[Stanza]) -> dict[str, str | None]:
    """Our lines: which profiles start, and which files compose takes instead of its defaults. (Without a value: of earlier versions.)"""
    per_caller = fleet.caller_secrets
    return {
        "COMPOSE_PROFILES": ",".join(_profiles(environment, fleet, started)) or None,
        **{name: environment.values.get(name) for name in (tls.FOLDER, tls.HOST)},
        "LITELLM_CONFIG": "./state/litellm.yaml",
        "PROMETHEUS_CONFIG": "./state/prometheus.yml",
        "GROUPS_CONFIG": "./state/groups.yaml" if fleet.groups else None,
        **{f"{name}_FILE": None for name in ("BRIDGE_TOKEN", *PASSWORDS)},
        "DOCKER_GROUP": _group_of_docker() if any("docker" in stanza.grants for stanza in started) else None,
        **{
            f"{name}_FILE": f"./secrets/{name}" if environment.values.get(name) else None
            for name in sorted(fleet.may_be_missing - per_caller)
        },
        **{f"{name}_FILE": f"./secrets/{name}/{OWN_VALUE}" if environment.values.get(name) else None for name in sorted(per_caller)},
        **{f"{name}_CALLERS": f"./secrets/{name}" for name in sorted(per_caller)},
    }


def _group_of_docker() -> str:
    """The group that may use Docker's socket; root's where it cannot be seen (Docker Desktop has it in a machine of its own)."""
    try:
        return str(Path("/var/run/docker.sock").stat().st_gid)
    except OSError:
        return "0"


def _profiles(environment: Environment, fleet: Fleet, started: list[Stanza]) -> list[str]:
    """Those of the MCPs that start, and those of the operator's that are no MCP's."""
    of_mcps = {"postgres", TLS, *(stanza.name for stanza in fleet.stanzas)}
    own = [name for name in environment.profiles if name not in of_mcps]
    needed = [stanza.profile for stanza in started if stanza.profile]
    if any("database" in stanza.needs for stanza in started):
        needed.append("postgres")
    if environment.is_secure:
        needed.append(TLS)
    return list(dict.fromkeys([*own, *needed]))


def startable(environment: Environment, fleet: Fleet) -> tuple[list[Stanza], dict[str, str]]:
    """The MCPs that nothing is missing for, and why the others cannot start. Those for tests are neither without their profile."""
    good, left_out = [], {}
    for stanza in fleet.stanzas:
        if stanza.tests_only and "tests" not in environment.profiles:
            continue
        if why := absent(stanza, environment):
            left_out[stanza.name] = why
        else:
            good.append(stanza)
    return good, left_out


def absent(stanza: Stanza, environment: Environment) -> str:
    """What is missing for it to start, in one line with the way out; empty if nothing is."""
    missing = stanza.missing(environment.values)
    if stanza.auth and stanza.auth.value_env and not environment.values.get(stanza.auth.value_env):
        missing.append(stanza.auth.value_env)
    if not missing:
        return ""
    about = {stanza.stored(name): secret.description for name, secret in stanza.secrets.items()}
    described = [f"{name} ({about[name]})" if about.get(name) else name for name in missing]
    return f"needs {', '.join(described)}: write {'it' if len(missing) == 1 else 'them'} into compose/.env"


def refuse_public_defaults(values: Mapping[str, str]) -> None:
    """Raises UsageError for a key that stands in a public file: any web page that is open on this machine could use it."""
    for name, known in PUBLIC.items():
        if values.get(name) in known:
            raise UsageError(f"compose/.env: {name} is known to everybody: take that line out, and `mcp-bridge up` makes a random one")


def _refused(
    project: Project, fleet: Fleet, values: Mapping[str, str], wrong: Mapping[str, str], said_twice: Mapping[str, str]
) -> dict[str, str]:
    """Why some MCPs cannot run with what compose/.env and compose/secrets/ say, by their names. Raises UsageError for a variable of two values
    that is no MCP's."""
    used = {
        stanza.name: [*map(stanza.stored, stanza.secrets), *([stanza.auth.value_env] if stanza.auth else [])] for stanza in fleet.stanzas
    }
    for name in said_twice.keys() - {name for names in used.values() for name in names}:
        raise UsageError(said_twice[name])
    wrong = {**wrong, **said_twice}
    found = {name: next((wrong[one] for one in names if one in wrong), "") for name, names in used.items()}
    found |= {stanza.name: why for stanza in fleet.sidecars if (why := _why_not_there(project, stanza, values))}
    return {name: why for name, why in found.items() if why}


def _why_not_there(project: Project, stanza: Stanza, values: Mapping[str, str]) -> str:
    """Where a variable names a place for a volume that no stanza could name, or none at all; empty if all is well."""
    for volume in stanza.volumes:
        source = Environment(values).expanded(volume.source)
        if not source or source == volume.source:  # one that lacks its variable is left out for that
            continue
        is_path = source[0] in "/.~"
        real = source if not is_path or source.startswith("~") else str((project.compose / source).resolve())
        why = why_not_mounted(real, str(project.root.resolve())) if is_path else why_not_named(source)
        if not is_path and not why and source != volume.named:
            why = "write a whole path, from / on, or one that begins with ./ (in compose/)"
        if ":" in source:
            why = "Docker takes no path with ':' in it"
        if why:
            return f"its volume {volume.source} is {source} by compose/.env: {why}"
    return ""


def _refuse_proxies(values: Mapping[str, str]) -> None:
    """Every bridge would end over it."""
    for one in filter(None, (word.strip() for word in values.get("TRUSTED_PROXY", "").split(","))):
        try:
            ip_network(one)
        except ValueError as error:
            raise UsageError(f"compose/.env: TRUSTED_PROXY={one}: an address or a network (10.0.0.0/8): {error}") from None


def _random(said: Mapping[str, str]) -> dict[str, str]:
    """A value for each key of the fleet's own."""
    reader = said.get("POSTGRES_READER_PASSWORD") or secrets.token_hex(16)
    return {
        "LITELLM_MASTER_KEY": said.get("LITELLM_MASTER_KEY") or f"sk-{secrets.token_hex(24)}",
        "BRIDGE_TOKEN": said.get("BRIDGE_TOKEN") or secrets.token_hex(24),
        "POSTGRES_PASSWORD": said.get("POSTGRES_PASSWORD") or secrets.token_hex(16),
        "POSTGRES_READER_PASSWORD": reader,
        "LITELLM_SALT_KEY": said.get("LITELLM_SALT_KEY") or f"sk-{secrets.token_hex(24)}",
        "LITELLM_DATABASE_PASSWORD": said.get("LITELLM_DATABASE_PASSWORD") or secrets.token_hex(16),
        "DATABASE_URI": f"postgresql://mcp_reader:{reader}@{DATABASE_HOST}:5432/postgres",
    }


def _write_secrets(project: Project, fleet: Fleet, values: Mapping[str, str], said: Mapping[str, str]) -> None:
    """One file for each secret: its value and nothing else. The folder protects them, because a container's user must be
    able to read them through a bind mount that keeps their owner."""
    private(project.secrets)
    secrets_of_callers.write_own(project, fleet, values)
    names = [stanza.stored(name) for stanza in fleet.stanzas for name in stanza.secrets if name not in stanza.caller_secrets]
    wanted = {name: values[name] for name in names if values.get(name)}
    for name, value in wanted.items():
        if (project.secrets / name).is_dir():  # Docker makes an empty one of a file that is missing where it is mounted
            (project.secrets / name).rmdir()
        write_private(project.secrets / name, value, 0o444)
    (project.secrets / "bridge_token").unlink(missing_ok=True)  # of versions before 0.3
    copies = {name: value for name, value in wanted.items() if said.get(name)}
    for name, digest in _copies(project).items():
        if name not in copies and _is_copy(project.secrets / name, digest):
            (project.secrets / name).unlink()
    write_private(
        private(project.state) / COPIES, json.dumps({name: _digest(value.encode()) for name, value in copies.items()}, indent=1) + "\n"
    )


def _with_two_values(project: Project, said: Mapping[str, str], files: Mapping[str, str]) -> dict[str, str]:
    """A file of the operator's is not overwritten. (Before the first list of copies nobody can tell: it was always one.)"""
    if not (project.state / COPIES).exists():
        return {}
    return {
        name: f"compose/.env and compose/secrets/{name} have different values: take the line out, or delete the file"
        for name, value in said.items()
        if value and files.get(name, value).rstrip("\n") != value.rstrip("\n")
    }


def _copies(project: Project) -> dict[str, str]:
    """The files of compose/secrets/ that we copied from compose/.env, with a digest of each."""
    try:
        said = json.loads((project.state / COPIES).read_text())
        return {str(name): str(digest) for name, digest in said.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _is_copy(path: Path, digest: str | None) -> bool:
    try:
        return digest is not None and _digest(path.read_bytes()) == digest
    except FileNotFoundError:
        return False


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _from_files(project: Project) -> tuple[dict[str, str], dict[str, str]]:
    """What the operator gave as files, because a secret need not stand in .env; and which cannot be read, and why."""
    copies, found, unreadable = _copies(project), {}, {}
    for path in sorted(project.secrets.iterdir()) if project.secrets.is_dir() else ():
        if VARIABLE.fullmatch(path.name) and path.name != "bridge_token" and path.is_file():
            try:
                if not _is_copy(path, copies.get(path.name)):
                    found[path.name] = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                unreadable[path.name] = f"compose/secrets/{path.name}: {getattr(error, 'strerror', None) or 'not UTF-8'}"
    return found, unreadable


def _own_address(ipv6: bool = False) -> str:
    """The address by which this machine reaches others; nothing is sent to find it."""
    with socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("2001:db8::1" if ipv6 else "192.0.2.1", 9))
        except OSError:
            return "::1" if ipv6 else "127.0.0.1"
        return str(probe.getsockname()[0])
