"""`mcp-bridge serve`: one process from its first line of log to its exit code.

Order matters and stands in `serve`: check what can be checked, bind, start the children, listen, wait for a signal,
drain. Exit codes: 0 stopped as asked, 1 given up (`--exit-on-fatal`), 2 wrong usage.
"""

import asyncio
import ipaddress
import logging
import os
import resource
import shutil
import signal
import socket
from collections.abc import Collection
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from secrets import token_bytes

import uvicorn

from bridge import __version__, log, metrics, redact
from bridge.budget import share_of
from bridge.child import reaper
from bridge.child.environment import BadEnvironment, compose
from bridge.child.process import Command
from bridge.container import memory_limit
from bridge.http.app import App
from bridge.http.fast import FastProtocol
from bridge.http.tokens import Tokens, exposed
from bridge.private import close_memory
from bridge.service import Service
from bridge.settings import Settings, UsageError

SWEEP = 0.25  # seconds between two looks at what is due
KEEP_ALIVE = 75  # seconds; longer than clients keep idle connections, so that none is closed under a request
A_LITTLE = 1 << 16  # bytes by which a WebSocket message may be too long to be refused in words; others close their connection
LAST_WORDS = 0.5  # seconds for answers and streams to leave after the drain
LAUNCHERS = ("npx", "uvx", "uv", "bunx", "pnpm", "yarn", "python", "python3", "node", "deno", "sh", "bash", "env", "docker")


def serve(settings: Settings, argv: list[str]) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code. Raises UsageError before anything was started."""
    close_memory()
    log.set_up(settings.log_format, settings.log_level)
    planned = _plan(settings, argv)
    tokens = _tokens(settings.token_file)
    admins = _tokens(settings.admin_token_file)
    _check_principals(planned, tokens)
    key = _session_key(settings)
    listener = _bind(settings)
    try:
        import uvloop as loops  # an optional package: there is none for PyPy
    except ImportError:
        loops = asyncio
    try:
        return loops.run(_Bridge(settings, argv, planned, tokens, admins, key, listener).run())
    finally:
        if settings.uds:
            Path(settings.uds).unlink(missing_ok=True)


class _Bridge:
    """The process: its services, its HTTP server, its clock and its end."""

    def __init__(self, settings: Settings, argv: list[str], planned: dict, tokens, admins, key: bytes, listener: socket.socket):
        self.settings = settings
        self.argv = argv
        self.admins = admins
        self.planned = planned
        self.tokens = tokens
        self.key = key
        self.listener = listener
        self.log = log.Log()
        self.exit_code = 0
        self.services: dict[str, Service] = {}
        self.leaving: list[Service] = []  # replaced or removed, and still finishing what they began
        self.hurried = False  # a second signal came: no time for what is in flight

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        self.stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        reaper.become_subreaper()
        _raise_file_limit()
        loop.add_signal_handler(signal.SIGHUP, self._reload_on_signal)
        services = self.services = {name: self._service(name) for name in self.planned}
        app = self.app = App(services, not self.settings.config, self.settings, self.tokens, self._is_private)
        app.pages.registry = metrics.registry(services.values(), app.gate.refused)
        app.gate.admins, app.pages.reread = self.admins, self._reload
        server = _Server(_uvicorn_config(app, self.settings.max_body))
        async with asyncio.TaskGroup() as tasks:
            self.tasks = tasks
            http = tasks.create_task(server.serve([self.listener]))
            clock = tasks.create_task(self._sweep())
            for service in services.values():
                service.start()
            while not server.started and not http.done():
                await asyncio.sleep(0.001)
            self._announce()
            await self.stopping.wait()
            await self._drain(server)
            clock.cancel()
        return self.exit_code

    def _stop(self) -> None:
        if self.stopping.is_set():
            self.log.warning("second signal: stopping at once")
            self.hurried = True
        self.stopping.set()

    def _fatal(self, service: Service) -> None:
        others_live = any(other.state != "fatal" for other in self.services.values())
        if self.settings.exit_on_fatal and not others_live:
            self.exit_code = 1
            self.stopping.set()

    def _service(self, name: str) -> Service:
        command, settings = self.planned[name]
        redact.know(command.environment, argv=command.argv)
        log = self.log.bind(mcp=name) if self.settings.config else self.log
        memory = (self.settings.memory or share_of(memory_limit())) // len(self.planned)
        # Without tokens all who come from one address are one caller, and on loopback there is just one.
        is_fair = not self.tokens.has_one_caller if self.tokens else not (self.settings.uds or _is_loopback(self.settings.host))
        return Service(name, command, settings, self.key, log, self._fatal, memory=memory, is_fair=is_fair)

    def _reload_on_signal(self) -> None:
        try:
            self._reload()
        except UsageError as error:
            self.log.error("not reloaded, everything stays as it is", why=str(error))

    def _reload(self) -> dict:
        """Read tokens, config and environment files again. What did not change goes on; the rest finishes and is replaced.

        Raises UsageError, and then nothing was changed.
        """
        if self.stopping.is_set():
            raise UsageError("the bridge is shutting down")
        tokens, planned = _tokens(self.settings.token_file), _plan(self.settings, self.argv, self.planned)
        admins = _tokens(self.settings.admin_token_file)
        _check_principals(planned, tokens)
        revoked = Tokens.revoked(self.tokens, tokens)
        before, self.planned, self.tokens = self.planned, planned, tokens
        self.app.gate.tokens, self.app.gate.admins = tokens, admins
        came = {
            "added": [name for name in planned if name not in before],
            "changed": [name for name in planned if name in before and planned[name] != before[name]],
            "removed": [name for name in before if name not in planned],
            "unchanged": [name for name in planned if before.get(name) == planned[name]],
        }
        replaced = {name: self.services.pop(name) for name in (*came["changed"], *came["removed"])}
        for service in replaced.values():
            self._dismiss(service)
        for name in came["removed"]:
            self.app.unmount(name)
        for name in (*came["changed"], *came["added"]):
            service = self.services[name] = self._service(name)
            if name in replaced:
                service.succeed(replaced[name])
            service.start()
            self.app.mount(name, service)
        for name in came["unchanged"]:
            self.services[name].streams.close(revoked)
        self.log.info("reloaded", **{what: ",".join(names) for what, names in came.items()})
        return came

    def _dismiss(self, service: Service) -> None:
        self.leaving.append(service)
        self.tasks.create_task(self._retire(service))

    async def _retire(self, service: Service) -> None:
        """Let a service finish what it began, then end its streams and its children."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.settings.drain_timeout
        try:
            await service.finish(lambda: loop.time() >= deadline, "the server was changed or removed by a reload")
            service.streams.close()
            await service.stop()
        except Exception:  # the other MCPs go on
            logging.getLogger("mcp-bridge").exception("bug in the bridge", extra={"facts": {"mcp": service.name}})
        self.leaving.remove(service)
        for other in self.services.values():
            if other.older is service:
                other.older = None

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP)
            for service in (*self.services.values(), *self.leaving):
                try:
                    service.sweep(loop.time())
                except Exception:  # what is due for the others must not wait for a bug of ours
                    logging.getLogger("mcp-bridge").exception("bug in the bridge", extra={"facts": {"mcp": service.name}})
            reaper.sweep()

    async def _drain(self, server: "_Server") -> None:
        """Finish what is in flight, end the streams, stop the children: in less than 10 s all together."""
        loop = asyncio.get_running_loop()
        services = [*self.services.values(), *self.leaving]
        if not any(service.is_litellm for service in services):
            self._close(server)
        in_flight = sum(service.in_flight for service in services)
        self.log.info("stopping", in_flight=in_flight, sessions=sum(len(s.sessions) for s in services))
        deadline = loop.time() + self.settings.drain_timeout
        await asyncio.gather(*(service.finish(lambda: self.hurried or loop.time() >= deadline) for service in services))
        # LiteLLM 1.77.3 survives a bridge that says no, but not one that is not there.
        self._close(server)
        for service in services:
            service.streams.close()
        server.should_exit = True
        stops = asyncio.gather(*(service.stop() for service in services))
        await asyncio.sleep(LAST_WORDS if any(s.streams for s in services) else 0)
        await stops
        server.force_exit = True
        for _ in range(20):  # what daemonised children left, and what that left
            if not reaper.sweep(unmarked=True):
                break
            await asyncio.sleep(0.05)
        self.log.info("stopped")

    def _close(self, server: "_Server") -> None:
        for listening in server.servers:
            listening.close()

    @property
    def _is_private(self) -> bool:
        """Whether only this machine can reach it."""
        return bool(self.settings.uds) or _is_loopback(self.settings.host)

    def _address(self) -> tuple[str, str]:
        """An address that works where the log is read, and what was bound."""
        if self.settings.uds:
            return f"http+unix:{self.settings.uds}", self.settings.uds
        host, port = self.listener.getsockname()[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}", self.settings.host

    def _announce(self) -> None:
        url, bound = self._address()
        path = "/mcp" if not self.settings.config else "/NAME/mcp"
        self.log.info(
            "listening",
            url=url,
            bound=bound,
            endpoint=path,
            version=__version__,
            profile=self.settings.profile,
            mcps=",".join(self.services) if self.settings.config else None,
        )
        if not self._is_private and not (self.settings.allowed_host or self.tokens):
            self.log.warning(
                "open to the network without a token, and only for requests to this machine's own names: "
                "other names (a compose service's) need --allowed-host NAME; --token-file FILE asks for a token",
                host=self.settings.host,
            )


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: signals mean a drain here, which is ours."""

    def capture_signals(self):
        return nullcontext()


def _uvicorn_config(app, max_body: int) -> uvicorn.Config:
    return uvicorn.Config(
        app.asgi,
        http=partial(FastProtocol, bridge=app),
        ws=partial(_websocket_protocol, write_timeout=app.write_timeout),
        lifespan="off",
        interface="asgi3",
        proxy_headers=False,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=2,
        # No deflate: 61 KB of it are 180 MiB, and no client of ours needs it.
        ws_max_size=max_body + A_LITTLE,
        ws_per_message_deflate=False,
        backlog=2048,
    )


def _websocket_protocol(*args, **kwargs):
    from bridge.http.websocket_protocol import WebSocketProtocol  # by the first WebSocket

    return WebSocketProtocol(*args, **kwargs)


def _tokens(path: str) -> Tokens | None:
    if not path:
        return None
    tokens = Tokens.read(path)
    if tokens.exposed:
        log.Log().warning("tokens can be read by others", why=tokens.exposed)
    return tokens


def _check_principals(planned: dict, tokens: Tokens | None) -> None:
    """Raises UsageError."""
    if tokens is None and any(settings.isolation == "principal" for _, settings in planned.values()):
        raise UsageError("--isolation principal needs --token-file: without tokens there are no principals")


def _plan(settings: Settings, argv: list[str], served: Collection[str] = ()) -> dict[str, tuple[Command, Settings]]:
    """What to serve, by name; `served` are the names of now."""
    if settings.config:
        if argv:
            raise UsageError("give either --config FILE or -- COMMAND, not both")
        from bridge.config import read  # only for those who use it

        return read(settings, served)
    if not argv:
        raise UsageError("no command: mcp-bridge serve [options] -- COMMAND ARGS…")
    try:
        environment = compose(settings.env, settings.env_file, secrets=settings.secret)
    except (BadEnvironment, OSError) as error:
        raise UsageError(str(error)) from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{settings.env_file}: {error}") from None
    check_command(argv[0], environment, settings.cwd)
    name = settings.name or _name_of(argv)
    return {name: (Command(tuple(argv), environment, settings.cwd or None), settings)}


def check_command(program: str, environment: dict, cwd: str) -> None:
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


def _bind(settings: Settings) -> socket.socket:
    if settings.uds:
        return _bind_unix(settings.uds)
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, proto)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        raise UsageError(f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error} (--port, --host)") from None
    listener.setblocking(False)
    return listener


def _bind_unix(path: str) -> socket.socket:
    """A socket that is left over from a bridge that died is replaced, one that answers is not."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if Path(path).is_socket():
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
                if other.connect_ex(path) == 0:
                    raise UsageError(f"--uds {path}: another bridge listens there")
            Path(path).unlink()
        listener.bind(path)
        Path(path).chmod(0o666)  # who may reach it is decided by its folder
        listener.listen(2048)
    except OSError as error:
        raise UsageError(f"cannot listen on {path}: {error.strerror or error} (--uds)") from None
    listener.setblocking(False)
    return listener


def _session_key(settings: Settings) -> bytes:
    """The key of the session ids: from its file, which is made where there is none."""
    if key := os.environ.get("MCP_BRIDGE_SESSION_KEY"):
        return _long_enough(key.encode(), "MCP_BRIDGE_SESSION_KEY")
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
    if len(key) < 16:
        raise UsageError(f"{where}: a session key needs at least 16 bytes (openssl rand -hex 32 makes one)")
    return key


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _raise_file_limit() -> None:
    """A stream is a file descriptor; the usual soft limit of 1024 is for programs that use select."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard != resource.RLIM_INFINITY else 65536, hard))
