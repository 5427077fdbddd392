"""The page for people in a real browser: signing in, looking, calling, and servers that want to be more than text on it."""

import json
import re

import httpx
import pytest
from support import Bridge, Http, eventually, zoo

OPERATOR, ALICE = "the-operators-own-token", "alices-own-token-of-24"
CALLERS = {
    "callers": {
        "operator": {"token_file": "operator", "may": {"*/*": "admin"}},
        "alice": {"token_file": "alice", "may": {"echo/echo": "execute", "echo/add": "read"}},
    }
}
HEADERS = {"authorization": f"Bearer {OPERATOR}"}
ROWS = "[...document.querySelectorAll('.mcps tbody tr')]"


def entry(name, *arguments, **options):
    command, *words = zoo(name, *arguments)
    return {"command": command, "args": words, **options}


@pytest.fixture(scope="module")
def bridge(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    (folder / "operator").write_text(OPERATOR)
    (folder / "alice").write_text(ALICE)
    (folder / "callers.json").write_text(json.dumps(CALLERS))
    servers = {
        "echo": entry("echo"),
        "hostile": entry("hostile"),
        "dead": entry("dies_at_start", max_restarts=1, backoff_initial=0.01),
        "late": entry("late"),
        "keyless": {"command": "x", "env": {"KEY": "${PAGE_TEST_KEY}"}},
    }
    groups = {"dev": ["echo", "dead", "hostile"], "odd.1": {"mcps": ["hostile"]}}
    (folder / "mcps.json").write_text(json.dumps({"mcpServers": servers, "groups": groups}))
    with Bridge(None, "--config", folder / "mcps.json", "--callers", folder / "callers.json", headers=HEADERS) as bridge:
        with Http(f"{bridge.url}/echo", headers=HEADERS) as client:
            for number in range(7):
                client.call("echo", message=number)
            client.call("fail")
        eventually(lambda: bridge.get("/dead/readyz").json()["state"] == "fatal")
        yield bridge


@pytest.fixture(scope="module")
def seen(browser, bridge):
    """The page as the operator has it."""
    page = browser.open(bridge.url)
    page.sign_in(OPERATOR)
    page.until(f"{ROWS}.length == 5")
    return page


def show(page, where):
    page.run(f"location.hash = {json.dumps(where)}")


def unbroken(page, bridge):
    """It broke no rule of its own, ran nothing of anybody's, and asked nobody else."""
    assert page.run("broken") == [] and page.run("ran") == 0
    assert {asked["url"].split("/")[2] for asked in page.asked if not asked["url"].startswith(("data:", "blob:"))} == {bridge.url[7:]}
    assert not [asked["url"] for asked in page.asked if OPERATOR in asked["url"] or ALICE in asked["url"]]


def test_a_wrong_token_is_told_and_the_right_one_opens(browser, bridge):
    page = browser.open(bridge.url)
    page.sign_in("nobodys")

    assert page.until("document.querySelector('[role=alert]').textContent") == "Wrong token: nobody is known by it here."
    assert page.run("sessionStorage.length") == 0
    page.sign_in(OPERATOR)
    page.until(f"{ROWS}.length == 5")
    page.run("document.getElementById('leave').click()")
    page.until("document.activeElement.type == 'password'")
    assert page.run("sessionStorage.length + localStorage.length + document.cookie.length") == 0
    assert "echo" not in page.text
    unbroken(page, bridge)


def test_an_admin_sees_how_all_are_with_graphs_and_why_one_is_dead(seen, bridge):
    show(seen, "#/")
    echo, dead = (
        seen.until(f"{ROWS}.find(row => row.querySelector('a')?.textContent == '{name}')?.innerText") for name in ("echo", "dead")
    )

    assert re.search(r"echo\s+echo 1\s+ready\s+\d+\s", echo)
    assert seen.run("document.querySelector('rect.failed') !== null && document.querySelectorAll('svg .took').length == 1")
    assert "calls in each of the last 60 minutes: 8 in this one" in seen.run(f"{ROWS}[1].querySelector('svg').getAttribute('aria-label')")
    assert "fatal" in dead and "API_KEY is not set" in dead
    assert re.search(r"off\s.*PAGE_TEST_KEY", seen.run(f"{ROWS}.find(row => row.innerText.startsWith('keyless')).innerText"), re.DOTALL)
    show(seen, "#/dead")
    assert "child is FATAL" in seen.until("document.querySelector('.happened')?.innerText")
    assert "They are not known while it is not ready." in seen.text
    unbroken(seen, bridge)


def test_a_tool_is_called_by_its_form(seen, bridge):
    show(seen, "#/echo/add")
    seen.until("document.querySelector('.tool h3')?.textContent == 'add'")
    assert "It does not say that it only reads" in seen.text
    assert re.search(r"Callers\s+operator \(\d+\)", seen.text)
    fields = seen.run("[...document.querySelectorAll('.field label')].map(label => label.innerText)")
    assert fields[:2] == ["a number, required", "b number, required"]
    seen.run("document.querySelector('.tool form').requestSubmit()")
    assert "please" in seen.until("[...document.querySelectorAll('.tool [role=alert]')].map(said => said.textContent).join('')")
    seen.run("document.querySelectorAll('.tool input, .tool textarea').forEach((field, index) => field.value = index + 20)")
    seen.run("document.querySelector('.tool form').requestSubmit()")

    assert seen.until("document.querySelector('.answer pre')?.textContent") == "41"
    unbroken(seen, bridge)


def test_nothing_of_a_hostile_server_runs_or_is_more_than_text(seen, bridge):
    show(seen, "#/hostile")
    seen.until("document.querySelectorAll('nav li a').length > 50")
    seen.run("document.querySelector('details h2').click()")
    seen.until("document.querySelectorAll('.log li').length > 2")
    show(seen, "#/hostile/trap")
    seen.until("document.querySelector('.tool h3')?.textContent == 'trap'")
    assert seen.run("document.querySelector('.tool button.main').disabled") is True
    seen.run(f"[...document.querySelectorAll('.tool input')].find(field => field.inputMode == 'numeric').value = '{2**70}'")
    seen.run("document.querySelector('.tool input[type=checkbox]').click()")
    seen.run("document.querySelector('.tool form').requestSubmit()")
    told = seen.until("document.querySelector('.answer h4') && document.querySelector('.answer').innerText")

    got = json.loads(seen.run("[...document.querySelectorAll('.answer pre')].at(-2).textContent"))["got"]
    assert got["__proto__"].endswith("onerror=alert(2)>") and got["big"] == 2**70
    assert "<script>alert(1)</script>" in told and "image/svg+xml" in told
    assert seen.run("({}).ran") is None
    assert seen.run("document.querySelectorAll('script, iframe, object, embed, base, style').length") == 1
    assert seen.run("[...document.images].map(image => image.src.slice(0, 5))") == ["blob:"]
    assert seen.run("[...document.links].every(link => link.origin == location.origin)") is True
    assert seen.run("document.documentElement.scrollWidth <= innerWidth") is True
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", seen.text)
    show(seen, "#/")
    seen.until(f"{ROWS}.length == 5")
    unbroken(seen, bridge)


def test_a_caller_sees_what_it_may(browser, bridge):
    assert "absent" not in httpx.get(f"{bridge.url}/status.json", headers={"authorization": f"Bearer {ALICE}"}, trust_env=False).json()
    page = browser.open(bridge.url)
    page.sign_in(ALICE)

    assert page.until(f"{ROWS}.map(row => row.querySelector('a').textContent)") == ["echo"]
    show(page, "#/echo")
    page.until("document.querySelectorAll('nav li a').length == 2")
    assert page.run("document.querySelector('details').hidden") is True  # its log
    show(page, "#/")
    told = page.until("document.querySelector('.groups')?.innerText")
    assert f"{bridge.url}/all/mcp" in told and "echo" in told and "hostile" not in page.text and "dead" not in page.text
    unbroken(page, bridge)


def test_groups_are_shown_with_their_address_to_copy_and_who_is_missing_and_why(seen, bridge):
    show(seen, "#/")
    groups = seen.until(
        "Object.fromEntries([...document.querySelectorAll('.groups li')].map(row => [row.querySelector('bdi').textContent, row.innerText]))"
    )

    assert groups.keys() == {"dev", "odd.1", "all"}
    assert f"{bridge.url}/dev/mcp" in groups["dev"] and "echo, dead, hostile" in groups["dev"]
    assert "dead is missing: " in groups["dev"] and "API_KEY is not set" in groups["dev"] and "echo is missing" not in groups["dev"]
    seen.tab_to("[aria-label='Copy the address of dev']", 90)
    seen.press("Enter")
    assert seen.until("getSelection().toString()") == f"{bridge.url}/dev/mcp"
    seen.until("['copied', 'chosen: copy it'].includes(document.querySelector('#live').textContent)")
    assert seen.run("document.activeElement.textContent") == "Copy"
    unbroken(seen, bridge)


def test_everything_can_be_done_with_the_keyboard_alone(browser, bridge):
    page = browser.open(bridge.url)
    page.sign_in(OPERATOR)
    page.until(f"{ROWS}.length == 5")
    page.tab_to("a[href='#/echo']")
    page.press("Enter")
    page.until("document.querySelectorAll('nav li a').length > 5")
    page.tab_to("a[href='#/echo/echo']")
    page.press("Enter")
    page.until("document.querySelector('.tool h3') == document.activeElement")
    page.tab_to("textarea")
    page.type("typed")
    page.press("Enter", modifiers=2)

    assert page.until("document.querySelector('.answer pre')?.textContent") == "typed"
    assert page.run("document.querySelector('#live').textContent").startswith("answered after")
    page.tab_to("summary")
    page.press("Enter")
    page.until("document.querySelector('details[open]')")
    nameless = "[...document.querySelectorAll('input, textarea, select, button, a, svg[role=img]')].filter(one => !one.hidden && !(one.labels?.length || one.ariaLabel || one.textContent.trim())).length"
    assert page.run(nameless) == 0
    assert page.run("['header', 'main', 'nav[aria-label]', 'h1'].map(one => document.querySelectorAll(one).length)") == [1, 1, 1, 1]
    unbroken(page, bridge)


def test_it_is_dark_where_the_reader_likes_that_and_legible_in_both(seen):
    show(seen, "#/")
    contrasts = {}
    for scheme in ("light", "dark"):
        seen.scheme(scheme)
        contrasts[scheme] = seen.run(f"({CONTRAST})()")

    assert contrasts["light"][0] > 0.8 > 0.2 > contrasts["dark"][0]
    assert min(contrasts["light"][1:] + contrasts["dark"][1:]) >= 4.5  # WCAG 2, 1.4.3


CONTRAST = """() => {
  const light = color => { const [r, g, b] = color.match(/[\\d.]+/g).map(part => part / 255).map(part => part <= 0.04 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b };
  const ground = element => { for (let one = element; one; one = one.parentElement) { const color = getComputedStyle(one).backgroundColor;
    if (color != "rgba(0, 0, 0, 0)") return light(color) } };
  return [ground(document.body), ...[...document.querySelectorAll("main *")].filter(one => one.textContent.trim() && !one.closest("svg")).map(one => {
    const [a, b] = [light(getComputedStyle(one).color), ground(one)]; return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) })] }"""


# ---- its files


def test_it_is_small_kept_by_browsers_and_the_same_for_everybody(bridge):
    answers = {"/": httpx.get(bridge.url, trust_env=False)}
    for path in re.findall(r'(?:href|src)="(-/[^"]+)"', answers["/"].text):
        answers[path] = httpx.get(f"{bridge.url}/{path}", trust_env=False)

    assert {path.rpartition(".")[2] for path in answers} == {"/", "css", "js"}
    assert {answer.status_code for answer in answers.values()} == {200}
    assert sum(len(answer.content) for answer in answers.values()) < 64 * 1024
    for path, answer in answers.items():
        again = httpx.get(f"{bridge.url}/{path.lstrip('/')}", headers={"if-none-match": answer.headers["etag"]}, trust_env=False)
        assert (again.status_code, again.content, again.headers["cache-control"]) == (304, b"", "no-cache")
    assert bridge.get("/-/page/../config.py").status_code == 404


def test_no_script_makes_markup_of_text():
    from bridge.page import parts

    scripts = {name: part.content.decode() for name, part in parts().items() if name.endswith(".js")}

    assert len(scripts) == 9
    for name, script in scripts.items():
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(|\.href = |https?://(?!www\.w3\.org)", script
        ), name
