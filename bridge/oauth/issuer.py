"""Where the keys come from, and when: at the start, every ten minutes, and soon after a token named one that we do not have.

No request fetches anything. One whose token names an unknown key waits, for a few seconds at most, for the one attempt that all
of them share: after a rotation a 401 would send every client through a new login. There is one attempt in `COOLDOWN` seconds
whatever tokens say, and an issuer that does not answer takes no key from us that we have.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

from bridge.log import Log
from bridge.oauth.keys import BadKeys, Keys

REFRESH = 600.0  # seconds
COOLDOWN = 10.0  # between two attempts, for unknown keys and after a failure
PATIENCE = 5.0  # for one attempt, whole
MOST = 1 << 20  # bytes of a document
Fetch = Callable[[str], Awaitable[bytes]]
OPENID, OAUTH = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"


class Unavailable(Exception):
    """The keys cannot be had now; the message says why, for the operator."""


class KeyStore:
    """The keys of an issuer, or those at `jwks`, a URL or a file. `keep_fresh` is a task for as long as they are needed."""

    def __init__(self, issuer: str, jwks: str, algorithms: Sequence[str], log: Log):
        self.keys: Keys | None = None
        self.why = "they were not fetched yet"  # where there are none
        self.on_change: Callable[[], None] = lambda: None  # other keys than before
        self._issuer, self._jwks, self._algorithms = issuer, jwks, algorithms
        self._log = log
        self._wanted = asyncio.Event()
        self._ended = asyncio.Event()  # the attempt under way, or else the next one
        self._is_asking = True  # from the beginning on
        self._again_from = 0.0  # when an unknown key is a reason to ask again
        self._is_failing = False

    async def keep_fresh(self) -> None:
        async with AsyncExitStack() as stack:
            fetch = await self._fetcher(stack)
            while True:
                self._wanted.clear()
                self._is_asking = True
                await self._ask(fetch)
                self._is_asking = False
                self._again_from = asyncio.get_running_loop().time() + COOLDOWN
                ended, self._ended = self._ended, asyncio.Event()
                ended.set()
                with suppress(TimeoutError):
                    async with asyncio.timeout(COOLDOWN if self._is_failing else REFRESH):
                        await self._wanted.wait()

    def ask_again(self) -> None:
        """Now, whatever was found before."""
        self._wanted.set()

    def may_change(self) -> bool:
        """Whether it is worth while to wait for other keys."""
        return self._is_asking or asyncio.get_running_loop().time() >= self._again_from

    async def changed(self) -> None:
        """The attempt under way, or a new one, has ended, or takes too long. There is none where the last one was just now."""
        if not self.may_change():
            return
        if not self._is_asking:
            self._wanted.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._ended.wait()

    async def _ask(self, fetch: Fetch) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                content = await self._content(fetch)
            self.take(content)
        except TimeoutError:
            self._failed(f"no answer within {PATIENCE:g} s")
        except (Unavailable, BadKeys) as error:
            self._failed(str(error))

    def take(self, content: bytes) -> None:
        """These are the keys from now on. Raises BadKeys."""
        if self.keys is None or content != self.keys.content:
            self.keys = Keys.read(content, self._algorithms)
            self.on_change()
            self._log.info("keys for tokens", of=self._issuer or self._jwks, keys=len(self.keys))
        self._is_failing = False

    def _failed(self, why: str) -> None:
        self.why = why
        if not self._is_failing:
            kept = "those that are known stay good" if self.keys else "no token can be verified"
            self._log.warning("keys for tokens cannot be had", of=self._issuer or self._jwks, why=why, so=kept)
        self._is_failing = True

    async def _content(self, fetch: Fetch) -> bytes:
        """The JWK Set. Raises Unavailable."""
        if not self._jwks:
            return await fetch(await self._jwks_uri(fetch))
        return await fetch(self._jwks) if is_url(self._jwks) else read_file(self._jwks)

    async def _jwks_uri(self, fetch: Fetch) -> str:
        """What the issuer says of itself: OpenID Connect Discovery 1.0, 4, or else RFC 8414, 3. Raises Unavailable."""
        try:
            where = self._issuer.rstrip("/") + OPENID
            content = await fetch(where)
        except Unavailable as first:
            parts = urlsplit(self._issuer)
            where = f"{parts.scheme}://{parts.netloc}{OAUTH}{parts.path.rstrip('/')}"
            try:
                content = await fetch(where)
            except Unavailable:
                raise first from None
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            raise Unavailable(f"{where}: not JSON") from None
        if not isinstance(document, dict) or not isinstance(uri := document.get("jwks_uri"), str):
            raise Unavailable(f"{where}: it names no jwks_uri")
        named = document.get("issuer")
        if not isinstance(named, str) or named.rstrip("/") != self._issuer.rstrip("/"):
            raise Unavailable(f"{where}: it is of issuer {named!r}, not of {self._issuer!r} (RFC 8414, 3.3)")
        if not is_url(uri) or not uri.isascii() or (self._issuer.startswith("https:") and not uri.startswith("https:")):
            raise Unavailable(f"{where}: its jwks_uri {uri!r} is not one to trust")
        return uri

    async def _fetcher(self, stack: AsyncExitStack) -> Fetch:
        """What gets a document, as long as the stack lives."""
        if self._jwks and not is_url(self._jwks):
            return _fetch_nothing
        import httpx2  # only where something is fetched

        headers = {"accept": "application/json, application/jwk-set+json", "accept-encoding": "identity"}
        client = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=PATIENCE))

        async def fetch(url: str) -> bytes:
            content = bytearray()
            try:
                async with client.stream("GET", url) as response:
                    if response.status_code != 200:
                        raise Unavailable(f"{url}: HTTP {response.status_code}")
                    async for part in response.aiter_raw():
                        content += part
                        if len(content) > MOST:
                            raise Unavailable(f"{url}: longer than {MOST} bytes")
            except httpx2.HTTPError as error:
                raise Unavailable(f"{url}: {error or type(error).__name__}") from None
            except (httpx2.InvalidURL, UnicodeError) as error:
                raise Unavailable(f"{url}: {error}") from None
            return bytes(content)

        return fetch


def is_url(text: str) -> bool:
    return text.startswith(("https://", "http://"))


def read_file(path: str) -> bytes:
    """Raises Unavailable."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}") from None


async def _fetch_nothing(url: str) -> bytes:
    raise Unavailable(f"{url}: only a file is read")
