"""The real LiteLLM proxy, used as its users do: by its MCP gateway at /mcp/, without a session.

Every wait has a limit, because a wedged gateway (which is what the tests look for) answers nothing at all any more
while the rest of the proxy looks healthy.
"""

import json
import os
import secrets
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import httpx
import yaml

from .processes import free_port, start, stop

START_PATIENCE = 90
TIMEOUT = "timeout"
INITIALIZE = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}}


class LiteLLM:
    """``with LiteLLM(python, {"mcp_servers": {...}}) as proxy:`` starts it and waits until it is live."""

    def __init__(self, python: Path, config: dict, env: Mapping[str, str] | None = None):
        self.python = python
        self.config = config
        self.env = dict(env or {})
        self.key = f"sk-{secrets.token_hex(16)}"
        self.headers: dict[str, str] = {}  # that requests have beside the key

    def __enter__(self) -> Self:
        self._home = tempfile.TemporaryDirectory(prefix="litellm-")
        home = Path(self._home.name)
        general = {"master_key": "os.environ/LITELLM_MASTER_KEY", **self.config.get("general_settings", {})}
        (home / "config.yaml").write_text(yaml.safe_dump({**self.config, "general_settings": general}))
        self._log = (home / "log").open("w+")

        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        # Loopback needs neither a proxy nor certificates.
        self._http = httpx.Client(trust_env=False, verify=False)
        command = [self.python.with_name("litellm"), "--config", home / "config.yaml", "--host", "127.0.0.1"]
        self.process = start([*command, "--port", str(port)], self._log, cwd=home, env=self._environment(home))
        try:
            self._wait_until_live()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _environment(self, home: Path) -> dict[str, str]:
        # Little of ours: a DATABASE_URL or a model's API key in the developer's shell would change what is tested.
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MASTER_KEY": self.key,
            **self.env,
        }

    def _wait_until_live(self) -> None:
        deadline = time.monotonic() + START_PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self._http.get(f"{self.url}/health/liveliness", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise RuntimeError(f"LiteLLM did not start (exit code {self.process.poll()})\n{self.log[-3000:]}")

    def __exit__(self, *_: object) -> None:
        stop(self.process)
        self._http.close()
        self._last_log = self.log
        self._log.close()
        self._home.cleanup()

    @property
    def log(self) -> str:
        """What it printed so far; still there after the end."""
        if self._log.closed:
            return self._last_log
        return Path(self._log.name).read_text(errors="replace")

    def tools(self, timeout: float = 60) -> list[dict]:
        status, result = self.post("tools/list", {}, timeout)
        if status != 200 or not isinstance(result, dict) or "tools" not in result:
            raise RuntimeError(f"tools/list through LiteLLM: {status} {result}")
        return result["tools"]

    def call(self, name: str, arguments: dict, timeout: float = 60) -> tuple[int | None, dict | str]:
        """The HTTP status and the result, or the error (with "code" and "message"), or another body's text.

        Without an answer in time it is (None, "timeout").
        """
        return self.post("tools/call", {"name": name, "arguments": arguments}, timeout)

    def alive(self, timeout: float = 5) -> bool:
        """Whether the MCP gateway still answers; /health/liveliness does even when this does not.

        A wedged one (1.77.3) answers 500 once or not at all, and afterwards never.
        """
        status, result = self.post("initialize", INITIALIZE, timeout)
        return status == 200 and isinstance(result, dict) and "protocolVersion" in result

    def post(self, method: str, params: dict, timeout: float) -> tuple[int | None, dict | str]:
        deadline = time.monotonic() + timeout
        request = self._http.build_request(
            "POST",
            f"{self.url}/mcp/",
            headers={"accept": "application/json, text/event-stream", "x-litellm-api-key": f"Bearer {self.key}"} | self.headers,
            json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params},
            timeout=timeout,
        )
        try:
            response = self._http.send(request, stream=True)
            try:
                return response.status_code, _answer(response, deadline)
            finally:
                response.close()
        except (httpx.TimeoutException, TimeoutError):
            return None, TIMEOUT


def _answer(response: httpx.Response, deadline: float) -> dict | str:
    """The answer in a JSON body, or in the events of a stream, where notices and pings may come before it."""
    streamed = response.headers.get("content-type", "").startswith("text/event-stream")
    body = b""
    for chunk in response.iter_bytes():
        if time.monotonic() > deadline:
            raise TimeoutError
        body += chunk
        # Not iter_lines: it also cuts at U+2028, which may stand inside a JSON string.
        while streamed and b"\n" in body:
            line, body = body.split(b"\n", 1)
            if line.startswith(b"data:") and (answer := _outcome(line.removeprefix(b"data:"))) is not None:
                return answer
    answer = _outcome(body)
    return body.decode(errors="replace") if answer is None else answer


def _outcome(text: bytes) -> dict | None:
    try:
        message = json.loads(text)
    except ValueError:
        return None
    if not isinstance(message, dict):
        return None
    return message.get("result", message.get("error"))
