"""One process: its services, its HTTP server, its clock and its end."""

import asyncio
import resource
import signal
import socket
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from bridge import __version__, log, metrics
from bridge.callers.audit_log import AuditLog
from bridge.callers.audit_sums import Sums
from bridge.callers.credentials import caller_of as caller_of_principal
from bridge.callers.keys import revoked_by
from bridge.certificate import Certificate
from bridge.child import reaper
from bridge.http.app import App
from bridge.http.gate import Gate
from bridge.http.pages import Pages
from bridge.serve.configuration import Configuration, caller_of, read
from bridge.serve.groups import Groups
from bridge.serve.listener import is_private, url_of
from bridge.serve.server import Server, server_of
from bridge.serve.services import Services
from bridge.serve.tracing import traces
from bridge.settings import Settings, UsageError
from bridge.watched_file import WatchedFile

if TYPE_CHECKING:
    from starlette.routing import Route

    from bridge.oauth.resource import ResourceServer

SWEEP = 0.25  # seconds between two looks at what is due
EGRESS_CONNECTIONS = 256  # of the child at once; the proxy has limits of its own
LAST_WORDS = 0.5  # seconds for answers and streams to leave after the drain


class Process:
    def __init__(
        self,
        settings: Settings,
        argv: list[str],
        configuration: Configuration,
        oauth: "ResourceServer | None",
        key: bytes,
        certificate: Certificate | None,
        listener: socket.socket,
    ):
        self._settings = settings
        self._argv = argv
        self._configuration = configuration
        self._oauth = oauth
        self._key = key
        self._certificate = certificate
        self._listener = listener
        self._log = log.Log()
        self._audit_log = audit_log(settings)
        self._traces = traces(self._log)
        self._sums = Sums(self._audit_log, time.monotonic) if self._audit_log else None
        self._exit_code = 0
        self._is_hurried = False  # a second signal came: no time for what is in flight

    async def run(self) -> int:
        """Returns the exit code."""
        settings, configuration = self._settings, self._configuration
        loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload_on_signal)
        reaper.become_subreaper()
        _raise_file_limit()
        tasks = asyncio.TaskGroup()
        services = self._services = Services(
            settings, configuration, self._key, self._fatal, tasks.create_task, self._audit_log, self._sums, self._traces
        )
        is_closed = is_private(settings)
        gate = self._gate = Gate(
            settings.allowed_host, settings.allowed_origin, configuration.tokens, is_closed, configuration.admins, self._oauth, self._sums
        )
        groups = self._groups = Groups(
            services.current, settings, self._key, services.memory_of_groups(), services.audit_of, tasks.create_task
        )
        registry = metrics.registry(services.current.values(), gate.refused, groups)
        given = (gate, registry, self._reload_on_request, not settings.config)
        pages = Pages(services.current, *given, groups.current, lambda: services.configuration.absent)
        app = self._app = App(services.current, not settings.config, settings, gate, pages, self._admin_pages())
        groups.read(configuration.groups, app)
        server = server_of(app, settings.max_body, self._certificate)
        async with tasks:
            http = tasks.create_task(server.serve([self._listener]))
            clock = tasks.create_task(self._sweep())
            keys = tasks.create_task(self._oauth.keys.keep_fresh()) if self._oauth else None
            if settings.egress:
                await self._open_egress(settings.egress)
            services.start(services.current.values())
            while not server.started and not http.done():
                await asyncio.sleep(0.001)
            self._announce()
            await self._stopping.wait()
            await self._drain(server)
            clock.cancel()
            if self._sums is not None:
                self._sums.flush()
            if keys is not None:
                keys.cancel()
        if self._traces is not None:
            await self._traces.close()
        return self._exit_code

    async def _open_egress(self, path: str) -> None:
        """The way out of a server whose container has no network."""
        from bridge.egress import PORT, relay  # start-up time: only for those who use it

        away = "the fleet's egress proxy does not answer: is it started? (mcp-bridge ps, mcp-bridge logs egress)"
        connect = partial(asyncio.open_unix_connection, path)
        try:
            self._way_out = await asyncio.start_server(relay.relay(connect, away, EGRESS_CONNECTIONS), "127.0.0.1", PORT)
        except OSError as error:
            self._log.error("the server has no way out", port=PORT, why=error.strerror)

    def _admin_pages(self) -> "list[Route]":
        settings = self._settings
        if not (settings.admin_token_file or settings.callers):
            return []
        from bridge.http.admin import Admin  # start-up time: only for those who use it
        from bridge.serve.registry import ConfigRegistry  # as above

        registry = ConfigRegistry(settings, self._services.current, self._reload)
        return Admin(self._services.current, self._gate, registry, is_single=not settings.config).routes()

    def _announce(self) -> None:
        settings = self._settings
        self._log.info(
            "listening",
            url=url_of(self._listener, settings),
            bound=settings.uds or settings.host,
            endpoint="/NAME/mcp" if settings.config else "/mcp",
            version=__version__,
            profile=settings.profile,
            mcps=",".join(self._services.current) if settings.config else None,
            groups=",".join(self._groups.current) if settings.config else None,
        )
        if self._certificate is not None and self._certificate.validity.ends_soon(datetime.now(UTC)):
            self._log.warning(
                "the certificate ends soon: is it renewed?",
                file=settings.tls_cert,
                until=f"{self._certificate.validity.until:%Y-%m-%d %H:%M} UTC",
            )
        if not is_private(settings) and not (settings.allowed_host or not self._gate.is_open):
            self._log.warning(
                "open to the network without a token, and only for requests to this machine's own names: "
                "other names (a compose service's) need --allowed-host NAME; --token-file FILE asks for a token",
                host=settings.host,
            )

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        callers = WatchedFile(self._settings.callers)
        while True:
            await asyncio.sleep(SWEEP)
            self._services.sweep(loop.time(), self._groups)
            if callers.has_changed(loop.time()):
                self._reload_on_signal()
            if self._certificate is not None and self._certificate.has_changed(loop.time()):
                self._read_certificate(self._certificate)
            if self._sums is not None:
                self._sums.sweep()
            if self._oauth is not None and (expired := self._oauth.expired()):
                for served in (*self._services, *self._groups):
                    served.streams.close(expired, only_standing=True)
            reaper.sweep()

    # -- reload ---------------------------------------------------------------------------------------------------------------

    def _reload_on_signal(self) -> None:
        with suppress(UsageError):
            self._reload_on_request()

    def _read_certificate(self, certificate: Certificate) -> None:
        """Connections that are open go on with that of before."""
        try:
            certificate.read()
        except UsageError as error:
            self._log.error("certificate not reloaded, that of before stays in use", why=str(error))
        else:
            self._log.info("certificate reloaded", until=f"{certificate.validity.until:%Y-%m-%d}")

    def _reload_on_request(self) -> dict[str, list[str]]:
        """Raises UsageError, which is logged."""
        try:
            return self._reload()
        except UsageError as error:
            self._log.error("not reloaded, everything stays as it is", why=str(error))
            raise

    def _reload(self) -> dict[str, list[str]]:
        """Read tokens, config and environment files again. Raises UsageError, and then nothing was changed."""
        if self._stopping.is_set():
            raise UsageError("the bridge is shutting down")
        services, gate = self._services, self._gate
        configuration = read(self._settings, self._argv, services.configuration.mcps)
        open = {caller_of_principal(stream.principal) for served in (*services, *self._groups) for stream in served.streams}
        revoked = revoked_by(gate.tokens, configuration.tokens, open)
        if self._audit_log is not None:
            self._audit_log.reopen()
        gate.tokens, gate.admins = configuration.tokens, configuration.admins
        if self._oauth is not None:
            self._oauth.now_means(caller_of(configuration.tokens))
        became = services.reload(configuration, self._app)
        self._groups.read(configuration.groups, self._app)
        for served in (*services, *self._groups):  # those that are replaced may stay as long as a call of somebody else's takes
            served.streams.close(revoked)
        self._log.info("reloaded", **{what: ",".join(names) for what, names in became.items()})
        return became

    # -- end ------------------------------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        if self._stopping.is_set():
            self._log.warning("second signal: stopping at once")
            self._is_hurried = True
        self._stopping.set()

    def _fatal(self) -> None:
        """A service has given up its child."""
        if self._settings.exit_on_fatal and all(service.state == "fatal" for service in self._services.current.values()):
            self._exit_code = 1
            self._stopping.set()

    async def _drain(self, server: Server) -> None:
        """Finish what is in flight, end the streams, stop the children: in less than 10 s all together."""
        loop = asyncio.get_running_loop()
        services = list(self._services)
        if not any(service.is_litellm for service in services):
            server.stop_listening()
        in_flight = sum(service.in_flight for service in services)
        self._log.info("stopping", in_flight=in_flight, sessions=sum(len(service.sessions) for service in services))
        deadline = loop.time() + self._settings.drain_timeout

        def out_of_time() -> bool:
            return self._is_hurried or loop.time() >= deadline

        await asyncio.gather(*(group.finish(out_of_time) for group in self._groups))
        await asyncio.gather(*(service.finish(out_of_time) for service in services))
        # LiteLLM 1.77.3 survives a bridge that says no, but not one that is not there.
        server.stop_listening()
        for served in (*services, *self._groups):
            served.streams.close()
        server.should_exit = True
        stops = asyncio.gather(*(served.stop() for served in (*services, *self._groups)))
        await asyncio.sleep(LAST_WORDS if any(served.streams for served in (*services, *self._groups)) else 0)
        await stops
        server.force_exit = True
        for _ in range(20):  # what daemonised children left, and what that left
            if not reaper.sweep(unmarked=True):
                break
            await asyncio.sleep(0.05)
        self._log.info("stopped")


def audit_log(settings: Settings) -> AuditLog | None:
    """Raises UsageError."""
    if not settings.audit:
        return None
    tell = log.Log().warning
    return AuditLog(settings.audit, settings.audit_size, settings.audit_files, settings.audit_required, time.monotonic, tell)


def _raise_file_limit() -> None:
    """A stream is a file descriptor; the usual soft limit of 1024 is for programs that use select."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard != resource.RLIM_INFINITY else 65536, hard))
