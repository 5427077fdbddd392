"""A `docker run` line as a draft: image, command, variables and volumes; what a stanza says otherwise is told. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from bridge.fleet.adding.draft import Draft
from bridge.fleet.adding.elsewhere import WINDOWS, source_of, variable_for
from bridge.fleet.adding.secrecy import reveals, safe
from bridge.fleet.adding.wrapped import NotUnderstood, options_of

# Long options without a value; every other long option has one.
FLAGS = set(
    """--detach --disable-content-trust --help --init --interactive --no-healthcheck --oom-kill-disable --privileged --publish-all --quiet
    --read-only --rm --sig-proxy --tty --use-api-socket --replace --rmi --tls-verify --http-proxy --env-host --no-hosts --no-hostname
    --passwd""".split()
)
SHORT_VALUES = "evpuwhmlcaf"
QUIET = set(
    """-i -t -d -q --interactive --tty --detach --quiet --rm --init --name --pull --platform -l --label --sig-proxy -a --attach""".split()
)
INSTEAD = {
    "-m": "limits: {memory: …}",
    "--memory": "limits: {memory: …}",
    "--cpus": "limits: {cpus: …}",
    "--shm-size": "limits: {shm: …}",
    "--pids-limit": "limits: {pids: …}",
    "--add-host": "host.docker.internal is known to every MCP with `egress: true`",
}
GLOBAL_VALUES = {"--context", "-c", "--config", "-H", "--host", "-l", "--log-level", "--connection", "--url"}


@dataclass(frozen=True)
class Line:
    draft: Draft
    env: dict[str, str]
    notes: list[str]


def docker_run(draft: Draft, words: list[str], outer: dict[str, str], env_of: Callable[[str], dict[str, str] | None]) -> Line:
    """`outer` are the variables of docker itself, which `-e NAME` passes on; `env_of` reads an env-file, or says that it
    cannot. Raises NotUnderstood."""
    words = _command_of(words)
    options, rest = _options(words)
    if not rest:
        raise NotUnderstood("docker without an image")
    env: dict[str, str] = {}
    given: dict[str, str] = {}
    volumes: list[str] = []
    notes: list[str] = []
    entrypoint: tuple[str, ...] = ()
    for name, value in options:
        match name:
            case "-e" | "--env":
                variable, equals, text = value.partition("=")
                given[variable] = text if equals else outer.get(variable, "")
            case "--env-file":
                if (found := env_of(value)) is None:
                    notes.append(f"the variables of {safe(value)} are not known here: write them into `env` and `secrets`")
                env |= found or {}
            case "-w" | "--workdir" if re.fullmatch(r"/[\w./@+-]*", value):
                draft = replace(draft, cwd=value)
            case "-v" | "--volume":
                volumes.append(_volume(draft, value, notes))
            case "--mount":
                volumes += _mount(draft, value, notes)
            case "--entrypoint":
                entrypoint = (value,) if value else ()
            case "--network" | "--net" if value == "host":
                notes.append(
                    "not taken over: --network host: what it reaches there as localhost is host.docker.internal here (with `egress: true`)"
                )
            case "--network" | "--net":
                notes.append(f"not taken over: --network {safe(value)}: MCPs reach each other and the fleet's database by their names")
            case _ if name not in QUIET:
                instead = f": write `{INSTEAD[name]}`" if name in INSTEAD else ""
                notes.append(f"not taken over: {name} {safe(value)}".rstrip() + instead)
    image = rest[0]
    if "${" in image:
        raise NotUnderstood(f"its image is {safe(image)}, which only that client fills in: write its name")
    draft = replace(
        draft,
        source={"image": image},
        command=(*entrypoint, *rest[1:]),
        whole_command=bool(entrypoint),
        volumes=tuple(dict.fromkeys(filter(None, volumes))),
    )
    return Line(draft, env | given, notes)


def _command_of(words: list[str]) -> list[str]:
    """What stands after `run`. Raises NotUnderstood."""
    _, rest = options_of(words, GLOBAL_VALUES)
    rest = rest[1:] if rest[:1] == ["container"] else rest
    if rest[:1] != ["run"]:
        raise NotUnderstood(f"`docker {' '.join(rest[:1])}` names no image: only `docker run` does")
    return rest[1:]


def _options(words: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    options, rest = [], list(words)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            options.append((name, value if equals or name in FLAGS or not rest else rest.pop(0)))
            continue
        for at, letter in enumerate(word[1:], 1):  # -it, -eNAME=value, -ie NAME
            if letter in SHORT_VALUES:
                joined = word[at + 1 :].removeprefix("=")
                options.append((f"-{letter}", joined or (rest.pop(0) if rest else "")))
                break
            options.append((f"-{letter}", ""))
    return options, rest


def _volume(draft: Draft, value: str, notes: list[str]) -> str:
    """SOURCE:TARGET[:OPTIONS] as a stanza has it."""
    value = re.sub(r"\$\(pwd\)|`pwd`|%cd%", "${WORKSPACE_FOLDER}", value, flags=re.IGNORECASE)
    found = re.fullmatch(
        r"(?P<source>[A-Za-z]:[\\/][^:]*|(?:\$\{[^}]*\}|[^:$])+):(?P<target>/[^:]*|[A-Za-z]:[^:]*)(?::(?P<options>[\w,=-]*))?", value
    )
    if not found:
        if re.fullmatch(r"/[^:]*", value):  # a nameless volume
            return f"{draft.name}-{value.strip('/').replace('/', '-').lower() or 'data'}:{value}"
        raise NotUnderstood(f"its volume {safe(value)} is not SOURCE:TARGET: write it into the stanza by hand")
    options = [one for one in (found["options"] or "").split(",") if one]
    return _named(draft, found["source"], found["target"], "ro" in options or "readonly" in options, notes)


def _mount(draft: Draft, value: str, notes: list[str]) -> list[str]:
    parts = dict(part.partition("=")[::2] for part in value.split(","))
    source, target = parts.get("source") or parts.get("src", ""), parts.get("target") or parts.get("dst") or parts.get("destination", "")
    if parts.get("type") not in (None, "bind", "volume") or not target:
        notes.append(f"not taken over: --mount {safe(value)}")
        return []
    read_only = any(parts.get(name, "false").lower() in ("", "true", "1") for name in ("readonly", "ro"))
    return [_named(draft, source or f"{draft.name}-{target.strip('/').replace('/', '-').lower()}", target, read_only, notes)]


def _named(draft: Draft, source: str, target: str, read_only: bool, notes: list[str]) -> str:
    """Paths that mean something on that machine only are asked for in compose/.env."""
    if reveals(source):
        raise NotUnderstood("a secret seems to stand in a volume's path: write the volume by hand")
    last = target.strip("/").rpartition("/")[2] or "data"
    if WINDOWS.match(source) or source.startswith("${"):
        found = source_of(draft, source, notes)
        source = found[0] if found else source
    elif source.startswith("."):
        name = variable_for(draft, last)
        notes.append(f"{source} is a folder beside that client: {name} in compose/.env must say where it is on this machine")
        source = f"${{{name}}}"
    if source.endswith("docker.sock"):
        notes.append(f"{source}: with it the MCP can do to this machine whatever it likes")
    return f"{source}:{target}" + (":ro" if read_only else "")
