"""What starts LiteLLM, and gives it another configuration without starting it anew (compose/litellm_server.py).

One of each version for all tests, which stand in their order: the last one ends it.
"""

import json
import os
import signal
import subprocess
import threading
import urllib.request
from pathlib import Path

import environments
import pytest
from environments.processes import free_port
from support import ROOT, eventually

from bridge.fleet.engines.reason import why

pytestmark = pytest.mark.timeout(180)
SERVER = ROOT / "compose/litellm_server.py"
KEY = "sk-3b7f0c9d1e5a4826"


class Started:
    """LiteLLM as the container starts it: its variables are files."""

    def __init__(self, python: Path, home: Path):
        self.python, self.home, self.port = python, home, free_port()
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        self.key(KEY)
        (home / "config.yaml").write_text(configuration("one"))
        command = [
            python,
            SERVER,
            "--keys",
            home / "keys",
            "--config",
            home / "config.yaml",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
        ]
        self.process = subprocess.Popen(command, env=self.environment, stdout=(home / "log").open("wb"), stderr=subprocess.STDOUT)
        eventually(self.served, 120)

    def key(self, value: str) -> None:
        (self.home / "keys").mkdir(exist_ok=True)
        (self.home / "keys/LITELLM_MASTER_KEY").write_text(value)
        self.own = value

    def reloads(self) -> None:
        """SIGHUP, until it serves."""
        before = int(self.served()[1])
        os.kill(self.process.pid, signal.SIGHUP)
        eventually(lambda: int(self.served()[1]) == before + 1, 60)

    def children(self) -> list[str]:
        return Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()

    def served(self) -> list[str]:
        assert self.process.poll() is None, (self.home / "log").read_text()[-2000:]
        file = self.home / "litellm-served"
        return file.read_text().split() if file.exists() else []

    def take(self, text: str, code: int = 0) -> str:
        done = subprocess.run(
            [self.python, SERVER, "--take"], input=text, env=self.environment, capture_output=True, text=True, timeout=120
        )
        assert (done.returncode, done.stderr) == (code, "")
        return done.stdout

    def models(self) -> list[str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v1/models", headers={"Authorization": f"Bearer {self.own}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return [one["id"] for one in json.load(answer)["data"]]


def configuration(model: str) -> str:
    return json.dumps(
        {
            "model_list": [{"model_name": model, "litellm_params": {"model": "openai/fake", "api_key": "none"}}],
            "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
        }
    )


@pytest.fixture(scope="module", params=["litellm_1773", "litellm_newest"])
def started(request, tmp_path_factory):
    made = Started(getattr(environments, request.param)(), tmp_path_factory.mktemp("home"))
    try:
        yield made
    finally:
        made.process.terminate()
        try:
            made.process.wait(20)
        finally:
            made.process.kill()


def test_litellm_takes_another_configuration_and_other_keys_in_the_same_process(started):
    first = started.models()
    started.key(f"{KEY}9c")
    started.take(configuration("two"))
    second = started.models()
    (started.home / "litellm-taken.yaml").unlink()  # as where there is no container: the file counts
    (started.home / "config.yaml").write_text(configuration("three"))
    started.reloads()

    assert (first, second, started.models()) == (["one"], ["two"], ["three"])
    assert started.served()[:2] == [str(started.process.pid), "3"]


BAD = [
    json.dumps({"mcp_servers": {"time": {"url": "http://x", "transport": "carrier pigeon"}}}),
    "mcp_servers: [",
    configuration("x").replace("model_list", "model_lost") + "]",
]


def test_a_configuration_that_it_refuses_changes_nothing_and_its_reason_is_told(started):
    """Also after that it may be given another one, and begins with the last good one."""
    started.take(configuration("good"))
    eventually(lambda: len(started.children()) == 1, 40)
    before = started.children()
    for bad in BAD[:2]:
        said = started.take(bad, code=3)
        assert why(said), said
        assert started.models() == ["good"] and started.children() == before
    (started.home / "config.yaml").write_text("mcp_servers: [")
    started.reloads()
    again = started.models()
    started.take(configuration("better"))

    assert (again, started.models()) == (["good"], ["better"])


def test_nobody_is_refused_while_another_configuration_is_taken(started):
    started.take(configuration("one"))
    codes, is_over = [], threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            codes.append(started.models())

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for name in ("two", "three"):
            started.take(configuration(name))
            assert started.models() == [name]
    finally:
        is_over.set()
        asking.join(30)

    assert not asking.is_alive()
    # Nobody is refused. For a moment both listen; once a configuration is taken, the one before answers no more (asked above).
    assert [names for place, names in enumerate(codes) if names not in codes[:place]] == [["one"], ["two"], ["three"]]
    assert codes[-1] == ["three"]


def test_one_that_hangs_is_replaced_too_and_one_that_ends_is_not_kept_alive(started):
    eventually(lambda: len(started.children()) == 1, 40)
    os.kill(int(started.children()[0]), signal.SIGSTOP)
    started.take(configuration("four"))

    assert started.models() == ["four"]
    [server] = started.children()
    os.kill(int(server), signal.SIGKILL)
    assert started.process.wait(20) == 128 + signal.SIGKILL
