"""One HTTP question, with a limit for the whole answer: what wedged programs do is to begin one, or to say nothing at all."""

import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import httpx2

PATIENCE = 5.0


class NoResponse(Exception):
    """No answer; the message says why: nobody listens, or not in time (`is_late`)."""

    def __init__(self, words: str, is_late: bool = False):
        super().__init__(words)
        self.is_late = is_late


@dataclass(frozen=True)
class Response:
    status: int
    body: bytes
    message: dict[str, Any] | None = None  # the JSON-RPC answer in it

    def json(self) -> dict[str, Any]:
        """The JSON object that it is; empty if it is none."""
        try:
            said = json.loads(self.body)
        except ValueError:
            return {}
        return said if isinstance(said, dict) else {}

    @property
    def words(self) -> str:
        """Its first words, for people."""
        text = " ".join(self.body.decode(errors="replace").split())
        return f"HTTP {self.status}: {text[:200]}" if text else f"HTTP {self.status}"


def any_certificate() -> ssl.SSLContext:
    """For what is on this machine: the certificate is for another name than the address that is asked, and nobody stands between."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Http:
    """Without proxies and certificates of the environment where what we ask is on this machine. May be used from several threads."""

    def __init__(self, is_here: bool = True) -> None:
        self._client = httpx2.Client(trust_env=False, verify=any_certificate()) if is_here else httpx2.Client()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, url: str, headers: Mapping[str, str] | None = None, patience: float = PATIENCE) -> Response:
        return self._ask("GET", url, headers, None, patience)

    def post(self, url: str, body: Any, headers: Mapping[str, str] | None = None, patience: float = PATIENCE) -> Response:
        return self._ask("POST", url, headers, body, patience)

    def _ask(self, method: str, url: str, headers: Mapping[str, str] | None, body: Any, patience: float) -> Response:
        deadline = time.monotonic() + patience
        try:
            with self._client.stream(method, url, headers=headers, json=body, timeout=patience) as response:
                return _read(response, deadline)
        except (httpx2.TimeoutException, TimeoutError):
            raise NoResponse(f"no answer within {patience:g} s", is_late=True) from None
        except httpx2.TransportError as error:
            words = "connection refused" if "refused" in str(error).lower() else str(error) or type(error).__name__
            raise NoResponse(words) from None


def _read(response: httpx2.Response, deadline: float) -> Response:
    """All of a body; of a stream of events only up to the answer, because it may stay open."""
    is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
    body = b""
    for chunk in response.iter_bytes():
        if time.monotonic() > deadline:
            raise TimeoutError
        body += chunk
        if is_stream and (message := _answer_in(body)) is not None:
            return Response(response.status_code, body, message)
    return Response(response.status_code, body, _answer_in(body) if is_stream else _message(body))


def _answer_in(events: bytes) -> dict[str, Any] | None:
    # Not splitlines: that also cuts at U+2028, which may stand inside a JSON string.
    for line in events.split(b"\n")[:-1]:
        if line.startswith(b"data:") and (message := _message(line.removeprefix(b"data:"))) is not None:
            return message
    return None


def _message(text: bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(text)
    except ValueError:
        return None
    return message if isinstance(message, dict) and ("result" in message or "error" in message) else None
