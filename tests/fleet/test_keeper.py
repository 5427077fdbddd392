"""The keeper: programs that end are started again, one that is wedged is killed, and nothing of it is left when it goes."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from environments.processes import free_port
from support import eventually

from bridge.fleet.engines import keeper

SLEEPS = "import time; time.sleep(60)"
DEAF_TO_SIGNALS = """
import http.server, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Handler(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_POST(self):
        Handler.asked += 1
        if Handler.asked > 1:
            time.sleep(60)
        self.send_response(200); self.end_headers(); self.wfile.write(b"{}")
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class Kept:
    """A keeper with these programs, and what it says of them."""

    def __init__(self, folder):
        self.folder = folder

    def plan(self, **programs) -> None:
        specs = [
            {
                "name": name,
                "argv": [sys.executable, "-c", *spec.pop("code")],
                "env": {"KEY": "k"},
                "cwd": "/",
                "stop_patience": 0.5,
                "reload": "",
                **spec,
            }
            for name, spec in programs.items()
        ]
        self.digest = str(time.monotonic())
        (self.folder / "plan.json").write_text(json.dumps({"programs": specs, "digest": self.digest}))

    def start(self) -> None:
        self.log = (self.folder / "keeper.log").open("w")
        self.process = subprocess.Popen([sys.executable, "-I", keeper.__file__, str(self.folder)], stderr=self.log)
        self.wait()

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)
        self.wait()

    def wait(self) -> None:
        eventually(lambda: self.told().get("plan") == self.digest, 10, "the plan is not taken up")

    def told(self) -> dict:
        try:
            return json.loads((self.folder / "keeper.json").read_text())
        except FileNotFoundError:
            return {}

    def pid(self, name: str) -> int:
        return self.told()["programs"][name]["pid"]

    def says(self, words: str) -> bool:
        return words in (self.folder / "keeper.log").read_text()


@pytest.fixture
def kept(tmp_path):
    kept = Kept(tmp_path)
    yield kept
    kept.process.kill()
    kept.process.wait(5)
    kept.log.close()


def gone(pid: int) -> bool:
    return keeper.identity(pid) == ""


def test_a_program_that_dies_is_started_again(kept):
    kept.plan(one={"code": [SLEEPS]})
    kept.start()
    first = kept.pid("one")
    os.kill(first, signal.SIGKILL)

    eventually(lambda: kept.pid("one") not in (None, first), 5, "it is not started again")
    one = kept.told()["programs"]["one"]
    assert one["restarts"] == 1
    assert one["why"] == "ended with signal 9"


def test_a_program_that_cannot_be_started_does_not_stop_the_others(kept):
    kept.plan(none={"code": [""]}, one={"code": [SLEEPS]})
    plan = json.loads((kept.folder / "plan.json").read_text())
    plan["programs"][0]["argv"] = ["/does/not/exist"]
    (kept.folder / "plan.json").write_text(json.dumps(plan))
    kept.start()

    assert "cannot be started" in kept.told()["programs"]["none"]["why"]
    assert not gone(kept.pid("one"))


def test_one_that_is_wedged_is_killed_though_it_ignores_sigterm(kept):
    port = free_port()
    kept.plan(
        one={
            "code": [DEAF_TO_SIGNALS, str(port)],
            "probe": {"url": f"http://127.0.0.1:{port}/mcp/", "key": "KEY", "every": 0.1, "patience": 0.2},
        }
    )
    kept.start()
    first = kept.pid("one")

    eventually(lambda: kept.says("answered nothing 3 times in a row"), 10, "its silence is not noticed")
    eventually(lambda: kept.pid("one") not in (None, first), 5, "it is not started again")
    assert kept.told()["programs"]["one"]["why"].startswith("was wedged")


def test_a_new_plan_touches_only_what_changed(kept):
    notes_sighup = "import signal, time; signal.signal(signal.SIGHUP, lambda *_: print('again', flush=True)); print('ready', flush=True); time.sleep(60)"
    kept.plan(same={"code": [SLEEPS]}, other={"code": [SLEEPS]}, reloads={"code": [notes_sighup], "reload": "1"}, ends={"code": [SLEEPS]})
    kept.start()
    before = {name: kept.pid(name) for name in ("same", "other", "reloads", "ends")}
    log = kept.folder / "reloads.log"
    eventually(lambda: "ready" in log.read_text(), 5)
    kept.plan(
        same={"code": [SLEEPS]}, other={"code": [SLEEPS, "more"]}, reloads={"code": [notes_sighup], "reload": "2"}, comes={"code": [SLEEPS]}
    )
    kept.reload()

    assert kept.pid("same") == before["same"]
    assert kept.pid("reloads") == before["reloads"]
    eventually(lambda: "again" in log.read_text(), 5, "it got no SIGHUP")
    assert kept.pid("other") != before["other"] and gone(before["other"])
    assert gone(before["ends"]) and "ends" not in kept.told()["programs"]
    assert not gone(kept.pid("comes"))
    assert kept.told()["programs"]["other"]["restarts"] == 0  # nothing failed


def test_sigterm_ends_all_of_it(kept):
    kept.plan(one={"code": [SLEEPS]}, two={"code": [f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPS}"]})
    kept.start()
    pids = [kept.pid("one"), kept.pid("two")]
    kept.process.terminate()
    kept.process.wait(5)

    assert all(map(gone, pids))
    assert kept.told() == {}


def test_it_goes_on_in_a_folder_that_is_moved(kept):
    kept.plan(one={"code": [SLEEPS]})
    kept.start()
    kept.folder = kept.folder.rename(kept.folder.with_name("moved"))
    kept.plan(one={"code": [SLEEPS]}, two={"code": [SLEEPS]})
    kept.reload()

    assert kept.told()["place"] == keeper.place(kept.folder)
    assert not gone(kept.pid("two"))


@pytest.mark.skipif(sys.platform != "linux", reason="a death signal is Linux's")
def test_programs_do_not_outlive_a_keeper_that_is_killed(kept):
    kept.plan(one={"code": [SLEEPS]})
    kept.start()
    pid = kept.pid("one")
    kept.process.kill()

    eventually(lambda: gone(pid), 5, "it outlived its keeper")


def test_a_pid_that_was_given_away_is_not_taken_for_ours():
    with subprocess.Popen([sys.executable, "-c", SLEEPS]) as process:
        first = keeper.identity(process.pid)
        process.kill()
    time.sleep(0.05)  # the kernel tells the time of a start in hundredths of a second
    with subprocess.Popen([sys.executable, "-c", SLEEPS]) as other:
        second = keeper.identity(other.pid)
        other.kill()

    assert first and second and first != second
    assert keeper.identity(process.pid) == ""
