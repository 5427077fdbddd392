"""The page at a fleet's door: a real nginx with the fleet's configuration, a real bridge behind it, and MCPs that took the place of theirs."""

import json
import subprocess
import sys

import httpx
import pytest
from support import eventually, zoo
from support.door import Door

from bridge.callers.tokens import hash_of
from bridge.fleet import Fleet, Stanza
from bridge.fleet.callers import shipped

ALICE = "alices-own-key-of-24-letters"
NO_TEXT = {"toString": None, "valueOf": None}
LIE = {
    "version": "9",
    "mcps": {
        "time": {"status": "ready", "tools": ["lie"]},
        "liar": {
            "status": "ready",
            "state": "<b>well</b>",
            "tools": [NO_TEXT],
            "server": NO_TEXT,
            "last_event": {"event": NO_TEXT, "time": NO_TEXT},
        },
    },
}
SCRIPT = b"<!doctype html><title>quiet</title><script>document.title = 'owned by ' + sessionStorage.length</script><h1>hello</h1>"
STANZAS = [
    Stanza(name="time", description="What time it is", pypi="mcp-server-time==1.0", command="mcp-server-time"),
    Stanza(name="liar", command="a"),
    Stanza(name="evil", command="a"),
    Stanza(name="notes", command="a", secrets={"NOTES_KEY": {}}),
    Stanza(name="far", url="https://far.example/mcp", transport="http"),
]
ROWS = (
    "Object.fromEntries([...document.querySelectorAll('.mcps tbody tr')].map(row => [row.querySelector('a').textContent, row.innerText]))"
)


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    folder = tmp_path_factory.mktemp("door")
    door = Door(folder, Fleet(stanzas=STANZAS, groups={"dev": ["time", "notes"]}))
    rules = {"alice": {"token_sha256": hash_of(ALICE).removeprefix("sha256:"), "may": {"time/echo": "execute"}}}
    (folder / "callers.yaml").write_text(json.dumps(shipped(rules)))
    options = [
        "--name",
        "time",
        "--token-file",
        folder / "keys/mcp/time",
        "--callers",
        folder / "callers.yaml",
        "--uds",
        folder / "time/socket",
    ]
    words = [
        sys.executable,
        "-m",
        "bridge",
        "serve",
        "--allowed-host",
        "*",
        "--session-key-file",
        folder / "key",
        *options,
        "--",
        *zoo("echo"),
    ]
    places = [
        door.listen("liar", b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + json.dumps(LIE).encode()),
        door.listen("evil", b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + SCRIPT),
    ]
    door.url = f"http://127.0.0.1:{door.published}"
    with door.run() as nginx, subprocess.Popen(list(map(str, words)), stderr=subprocess.DEVNULL) as bridge:
        try:
            sent = {"authorization": f"Bearer {door.token}"}
            eventually(lambda: (nginx.poll() or httpx.get(f"{door.url}/time/readyz", headers=sent, trust_env=False).status_code) == 200)
            yield door
        finally:
            nginx.terminate()
            bridge.terminate()
            for place in places:
                place.close()


def test_the_operator_sees_the_whole_fleet_and_no_mcp_speaks_for_another(browser, door):
    page = browser.open(door.url)
    page.sign_in("x" * 48)
    assert "not the operator's token" in page.until("document.querySelector('[role=alert]')?.textContent")
    page.sign_in(door.token)
    page.until("document.querySelectorAll('.pill.fine').length == 2")
    rows = page.run(ROWS)

    assert sorted(rows) == ["evil", "far", "liar", "notes", "time"]
    assert "ready" in rows["time"] and "mcp-server-time==1.0 · What time it is" in rows["time"]
    assert "lie" not in rows["time"] and "<b>well</b>" in rows["liar"] and "no answer" in rows["evil"]
    assert "off" in rows["notes"] and "it needs NOTES_KEY" in rows["notes"] and "remote" in rows["far"]
    groups = page.run("[...document.querySelectorAll('.groups li')].map(row => row.innerText)")
    assert [f"{door.url}/{name}/mcp" in row for name, row in zip(("all", "dev"), groups, strict=True)] == [True] * 2
    assert "time, notes" in groups[1] and "notes is missing: it needs NOTES_KEY" in groups[1] and "time is missing" not in groups[1]
    page.run("location.hash = '#/time/echo'")
    page.until("document.querySelector('.tool h3')?.textContent == 'echo'")
    page.run("document.querySelector('.tool textarea').value = 'through the door'")
    page.run("document.querySelector('.tool form').requestSubmit()")
    assert page.until("document.querySelector('.answer pre')?.textContent") == "through the door"
    page.run("document.querySelector('details h2').click()")
    assert "child ready" in page.until("document.querySelector('.log').innerText")
    assert page.run("broken") == []
    assert {asked["url"].split("/")[2] for asked in page.asked if not asked["url"].startswith("data:")} == {door.url[7:]}
    assert not [heard for _, heard in door.seen if door.token in heard]


def test_an_mcp_that_took_its_bridges_place_runs_nothing_at_the_doors_address(browser, door):
    page = browser.open(door.url)
    page.sign_in(door.token)
    page.until("document.querySelectorAll('.pill.fine').length == 2")
    page.go(f"{door.url}/evil/page.html")
    page.until("document.querySelector('h1')?.textContent == 'hello'")

    assert page.run("document.title") == "quiet"


def test_a_callers_key_goes_to_the_mcp_alone_that_it_names(browser, door):
    page = browser.open(door.url)
    page.sign_in(ALICE)
    page.until("document.querySelector('[role=alert]')?.textContent")
    page.run("document.querySelectorAll('.login input')[1].focus()")
    page.type("time")
    page.run("document.querySelectorAll('.login input')[0].value = " + json.dumps(ALICE))
    page.press("Enter")
    page.until("document.querySelectorAll('.pill.fine').length == 1")

    assert list(page.run(ROWS)) == ["time"]
    assert not [name for name, heard in door.seen if ALICE in heard]  # by those who write down what they hear
    page.run("document.getElementById('another').focus()")
    page.type("nowhere")
    page.press("Enter")
    assert page.until("document.querySelector('.inline [role=alert]').textContent") == "there is no MCP nowhere"


HOLD = """const [ask, wait] = [fetch, setTimeout]; window.delays = [];
window.fetch = (url, options) => String(url).includes(HELD) ? new Promise((go) => (window.answer = () => go(ask(url, options)))) : ask(url, options);
window.setTimeout = (what, delay) => { delays.push(delay); return wait(what, delay); };
window.pause = () => new Promise((done) => wait(done, 400)); null"""


def test_an_answer_that_comes_after_signing_out_is_not_shown(browser, door):
    page = browser.open(door.url)
    page.sign_in(door.token)
    page.until("document.querySelectorAll('.pill.fine').length == 2")
    page.run(HOLD.replace("HELD", "'time/status.json'"))
    page.run("document.dispatchEvent(new Event('visibilitychange'))")
    page.until("!!window.answer")
    page.run("document.getElementById('leave').click()")
    page.until("document.querySelector('.login')")
    page.run("window.delays?.splice(0); window.answer?.(); null")
    page.until("!window.delays || delays.includes(5000)")  # it is another document, or the look is over and the next one is due

    assert page.run("document.querySelector('.login') !== null && document.querySelector('.mcps') === null")
    assert page.run("document.getElementById('leave').hidden")


def test_a_log_that_is_left_while_it_is_asked_for_is_not_asked_for_again(browser, door):
    page = browser.open(door.url)
    page.sign_in(door.token)
    page.until("document.querySelectorAll('.pill.fine').length == 2")
    page.run("location.hash = '#/time'")
    page.until("document.querySelector('details h2')")
    page.run(HOLD.replace("HELD", "'log.json'"))
    page.run("document.querySelector('details h2').click()")
    page.until("!!window.answer")
    page.run("location.hash = '#/'")
    page.until("document.querySelector('.mcps')")
    page.run("delays.length = 0; answer(); pause()")

    assert 2000 not in page.run("delays")  # milliseconds between two looks at a log


def test_what_the_door_says_of_the_fleet_is_for_the_operator(door):
    def get(path, token="", **headers):
        return httpx.get(door.url + path, headers={"authorization": f"Bearer {token or 0}"} | headers, trust_env=False)

    assert [get("/fleet.json", token).status_code for token in ("", ALICE, door.watch)] == [401] * 3
    assert get("/fleet.json", door.token).json()["mcps"]["notes"] == {"needs": ["NOTES_KEY"]}
    assert get("/status.json").json() == {"door": True}
    assert (get("/time/", accept="text/html").status_code, get("/time/", accept="text/html").headers["location"]) == (302, "/#/time")
    assert get("/time/", door.token).status_code == 200  # a client of MCP, not a person


def test_the_door_and_a_bridge_send_the_same_page_under_the_same_rules(door):
    from bridge.page import PLACE, POLICY, SAFE, parts

    for name, part in parts().items():
        answer = httpx.get(door.url + ("/" if name == "index.html" else PLACE + name), trust_env=False)
        assert (answer.status_code, answer.content) == (200, part.content)
        assert answer.headers["content-type"] == part.media_type.partition(";")[0]
        assert answer.headers.get_list("content-security-policy") == [POLICY] and SAFE.items() <= dict(answer.headers).items()
        again = httpx.get(str(answer.url), headers={"if-none-match": answer.headers["etag"]}, trust_env=False)
        assert (again.status_code, again.headers["cache-control"]) == (304, "no-cache")
