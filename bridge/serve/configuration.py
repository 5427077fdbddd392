"""What to serve, and to whom: read when the bridge starts, and again at each reload."""

import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bridge import log
from bridge.callers.keys import Keys
from bridge.callers.tokens import Tokens
from bridge.child.environment import BadEnvironment, compose
from bridge.child.process import Command
from bridge.settings import Settings, UsageError

LAUNCHERS = ("npx", "uvx", "uv", "bunx", "pnpm", "yarn", "python", "python3", "node", "deno", "sh", "bash", "env", "docker")

Planned = dict[str, tuple[Command, Settings]]


@dataclass(frozen=True)
class Configuration:
    """The MCPs by name, the tokens of clients, and those of admins."""

    mcps: Planned
    tokens: Tokens | None
    admins: Tokens | None


def read(settings: Settings, argv: list[str], served: Collection[str] = ()) -> Configuration:
    """`served` are the names of now. Raises UsageError."""
    mcps = _mcps(settings, argv, served)
    configuration = Configuration(mcps, _keys(settings), _tokens(settings.admin_token_file))
    if configuration.tokens is None and any(settings.isolation == "principal" for _, settings in mcps.values()):
        raise UsageError("--isolation principal needs --token-file or --callers: without tokens there are no principals")
    return configuration


def _mcps(settings: Settings, argv: list[str], served: Collection[str]) -> Planned:
    if settings.config:
        if argv:
            raise UsageError("give either --config FILE or -- COMMAND, not both")
        from bridge import config  # start-up time: only for those who use it

        return config.read(settings, served)
    if not argv:
        raise UsageError("no command: mcp-bridge serve [options] -- COMMAND ARGS…")
    try:
        environment = compose(settings.env, settings.env_file, secrets=settings.secret)
    except (BadEnvironment, OSError) as error:
        raise UsageError(str(error)) from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{settings.env_file}: {error}") from None
    _check_command(argv[0], environment, settings.cwd)
    name = settings.name or _name_of(argv)
    return {name: (Command(tuple(argv), environment, settings.cwd or None), settings)}


def _check_command(program: str, environment: Mapping[str, str], cwd: str) -> None:
    """Raises UsageError where there is no such command."""
    path = os.path.join(cwd, program) if cwd and os.sep in program else program
    if shutil.which(path, path=environment.get("PATH", os.defpath)) is None:
        raise UsageError(f"command not found: {program!r}: is it installed, and on PATH?")


def _name_of(argv: list[str]) -> str:
    """`npx -y @scope/server-everything` -> `server-everything`."""
    for word in argv:
        base = (
            word.rstrip("/").rpartition("/")[2].partition("@")[0] if not word.startswith("@") else word.rpartition("/")[2].partition("@")[0]
        )
        base = base.removesuffix(".py").removesuffix(".js")
        if base and not word.startswith("-") and base not in LAUNCHERS:
            return base
    return os.path.basename(argv[0])


def _keys(settings: Settings) -> Tokens | None:
    """The tokens, and what a callers file adds to them."""
    tokens = _tokens(settings.token_file)
    if not settings.callers:
        return tokens
    from bridge.callers.file import read  # start-up time: only for those who use it

    return Keys(read(settings.callers, tokens), tokens)


def _tokens(path: str) -> Tokens | None:
    if not path:
        return None
    tokens = Tokens.read(path)
    if tokens.exposed:
        log.Log().warning("tokens can be read by others", why=tokens.exposed)
    return tokens
