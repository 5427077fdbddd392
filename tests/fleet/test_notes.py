"""What an operator is told of a trial."""

from dataclasses import replace

import pytest
from trials import made, seen, tool

from bridge.fleet.adding import mends, notes
from bridge.fleet.adding.draft import Draft
from bridge.fleet.adding.trial import findings, needs, readmes


def test_a_key_that_a_readme_never_names_that_shows_how_it_is_started_is_for_others():
    undocumented = seen(made("look"), reads=["SITE_API_KEY", "SITE_OWN_KEY"], documented=["SITE_OWN_KEY"], shown=[[]])

    assert mends.with_variables(Draft("it", {"npm": "site-mcp@1"}), undocumented).secrets == ("SITE_OWN_KEY",)
    assert not any("SITE_API_KEY" in line for line in notes._lacks(Draft("it", egress=True), undocumented))


def test_a_crash_that_is_printed_beside_its_help_is_why_it_does_not_start():
    crash = [
        "node:internal/deps/undici:1",
        "Error.captureStackTrace(err);",
        "^",
        "TypeError: fetch failed",
        "at node:internal/deps/undici:1:2",
    ]
    it = seen(words=crash, started=0.0, help=["usage: it [-h]", *crash], reached=[(2.0, "api.example.org:443")])
    notes_of = notes.of_one_that_did_not_start(Draft("it", reached=("api.example.org",), why={"egress": "it did not"}), it, [], [])

    assert needs.last_words(it) == "TypeError: fetch failed"
    assert (
        notes_of[0] == "it did not start: at its start it asks api.example.org, which cannot be reached from here: TypeError: fetch failed"
    )


def test_a_folder_of_an_operator_s_is_offered_where_its_working_directory_is_what_its_tools_read():
    kept = Draft("it", volumes=("it-data:/data",), cwd="/data", why={"egress": "", "volumes": "write wrote ./a: kept"})
    told = [list(notes._decisions(replace(kept, why=kept.why | {"paths": one})))[1] for one in ("path of read", "")]

    named = replace(kept, cwd="", why={"egress": "", "volumes": "its command names it", "paths": "path of read"})
    at_home = replace(named, env={"HOME": "/data"})
    assert [any("in its place" in one for one in notes._decisions(draft)) for draft in (named, at_home)] == [True, False]
    assert told[0] == "storage: it-data:/data: write wrote ./a: kept; /a/folder/of/yours:/data in its place gives it yours"
    assert told[1] == "storage: it-data:/data: write wrote ./a: kept"


def test_who_was_seen_to_look_at_a_path_is_told_how_it_sees_the_operator_s():
    draft = Draft("it", env={"HOME": "/data"}, volumes=("it:/data",), why={"egress": "", "smoke": "", "paths": "repo_path of index"})
    told = next(line for line in notes.of_a_started_one(draft, "it", seen()) if "of yours" in line)

    assert told.startswith("its tools take paths (repo_path of index) of where it runs") and "`/a/folder/of/yours:/files`" in told


def test_a_server_elsewhere_is_told_where_the_package_starts_none():
    readme = '{"url": "http://localhost:3000/mcp"} {"type": "http", "url": "https://mcp.site.io/mcp?a=1&b", "headers": {}}'
    silent = seen(started=0.0, why_not="no answer", elsewhere=readmes.elsewhere(readme))

    told = notes.of_one_that_did_not_start(Draft("it", why={"egress": ""}), silent, [], [])

    assert told[1].endswith("take this stanza away, and `mcp-bridge add it --url 'https://mcp.site.io/mcp?a=1&b'` adds that")


def test_what_surely_keeps_it_from_starting_is_told_alone():
    draft = Draft("it", {"pypi": "it==1.0"}, ("it",), egress=True, why={"egress": "its code asks it.example"})
    desk = seen(words=["tkinter.TclError: no display name and no $DISPLAY"], started=0.0, login="it auth")

    assert notes.of_one_that_did_not_start(draft, desk, [], ["IT_HOST"]) == [
        "it did not start: it wants a desktop, which no container has: let it run beside yours, behind `mcp-bridge serve`, and add it by --url"
    ]


def test_a_login_that_it_asks_for_is_told_without_what_else_its_code_reads_and_with_a_folder_for_a_file_of_its_home():
    wanted = seen(words=["Value error: no token. Run 'it-mcp auth' first"], started=0.0, home=".it-mcp.env")
    draft = Draft("it", {"pypi": "it-mcp==1.0"}, ("it-mcp",), env={"HOME": "/data"}, egress=False, why={"egress": "it did not start"})

    told = notes.of_one_that_did_not_start(draft, wanted, [], ["IT_TOKEN"])

    way = "volumes: [/a/folder/of/yours:/data] with a copy of your ~/.it-mcp.env in it brings what that writes"
    assert told[1:] == [f"it wants a login by hand, once: run `it-mcp auth` where you have a browser: {way}"]


def test_a_program_of_a_desk_that_it_asks_for_is_told_with_where_to_run_it():
    words = ["No module named 'EditorScript'", "Make sure Video Editor is running", "ModuleNotFoundError: No module named 'EditorScript'"]
    draft = Draft("it", {"pypi": "it==1.0"}, ("it",), why={"egress": "x"})

    [told, *_] = notes.of_one_that_did_not_start(draft, seen(words=words, started=0.0), [], [])

    assert "a program of a desk beside it (Make sure Video Editor is running): let it run there" in told
    assert needs.desk(seen(words=["RuntimeError: No Drawit instance is currently running."], started=0.0))
    assert not needs.desk(seen(words=["No Redis instance is running", "No API instance"], started=0.0))
    assert not needs.desk(seen(words=["Error: is Redis running?", "Make sure the Docker daemon is running"], started=0.0))


def test_what_only_starts_or_fetches_something_else_says_what():
    wrapper = seen(words=["it moved"], started=0.0, starts=["site"], speaks_mcp=False)

    told = notes.of_one_that_did_not_start(Draft("it", why={"egress": ""}, reached=("get.it.example",)), wrapper, [], [])

    assert "speaks MCP, but it starts site, fetches something from get.it.example: let it run where it has that" in told[0]


def test_a_module_that_it_neither_has_nor_requires_is_told_with_the_way_out():
    broken = seen(words=["Traceback", "ModuleNotFoundError: No module named 'it_server'"], started=0.0)
    draft = Draft("it", {"pypi": "it==1.0"}, ("it",), why={"egress": "x"})

    [told, *_] = notes.of_one_that_did_not_start(draft, broken, [], [])

    assert "it imports it_server, which it neither has nor requires" in told and "`pypi: [it==1.0, NAME]` brings it" in told


def test_where_nothing_speaks_mcp_that_is_said_in_the_place_of_what_it_lacks():
    draft = Draft("it", command=("it",), why={"egress": ""})
    help = ["Usage: it [OPTIONS] COMMAND", "Commands:", "  serve  Start the server"]
    ended = seen(words=["Missing command", "✗ Web dependencies missing"], help=help, started=0.0, speaks_mcp=False)

    told = notes.of_one_that_did_not_start(draft, ended, [], ["OPENAI_API_KEY"])

    assert told[0] == "it did not start, and nothing that it installs speaks MCP: is it a server?"
    assert not any("OPENAI_API_KEY" in one for one in told)
    assert mends.with_options(draft, ended) == draft


def test_who_asks_somebody_at_his_start_with_a_made_up_key_is_told_so_and_nothing_of_other_variables():
    draft = Draft("it", secrets=("SITE_KEY",), reached=("api.site.io",), why={"egress": ""})
    ended = seen(words=["TypeError: cannot read 'status' of undefined"], started=0.0)

    told = notes.of_one_that_did_not_start(draft, ended, ["SITE_KEY"], ["API_URL"])

    assert told[0] == (
        "it did not start without a real SITE_KEY: at its start it asks api.site.io, which the trial keeps from it: "
        "TypeError: cannot read 'status' of undefined"
    )
    assert not any("API_URL" in one for one in told)


def test_a_login_by_hand_is_told_with_the_place_of_what_it_leaves():
    it = seen(words=["Error: no credentials"], started=0.0, login="npx it-mcp auth", home=".it-mcp/tokens.json")
    draft = mends.with_home(Draft("it", {"npm": "it@1"}, ("it",), why={"egress": ""}), it)
    told = notes.of_one_that_did_not_start(draft, it, [], [])

    assert (draft.env, draft.volumes) == ({"HOME": "/data"}, ("it-data:/data",))
    assert any("`npx it-mcp auth`" in line and "/your/home/.it-mcp:/data/.it-mcp" in line for line in told)

    without = notes.of_one_that_did_not_start(Draft("it", why={"egress": ""}), it, [], [])  # its home is /tmp then, as everybody's
    assert any("/your/home/.it-mcp:/tmp/.it-mcp" in line for line in without)


@pytest.mark.parametrize(
    "complaint, command",
    [
        ("It isn't signed in on this device yet. Run `site login` to sign in.", "site login"),
        ("Not configured. Run: site-mcp setup", "site-mcp setup"),
        ("To get started with GitHub CLI, please run:  gh auth login", "gh auth login"),
        ("No token: run 'npx -y @me/site-mcp auth' first", "npx -y @me/site-mcp auth"),
        ("Please run the setup again", ""),
        ("Not built. Run `npm run setup`", ""),
    ],
)
def test_a_login_that_a_failed_call_asks_for_is_told(complaint, command):
    it = seen(made("look", complaint), login="other login")
    told = [*notes._login(Draft("it"), it)]

    assert needs.login(it) == command
    assert told[0].startswith(f"it wants a login by hand, once: run `{command}`" if command else "its README logs in by hand")


def test_a_folder_that_a_login_leaves_is_brought_and_not_all_that_is_beside_it():
    it = seen(words=["Error: no session"], started=0.0, login="it-mcp login", home=".local/state/it-mcp")

    told = notes.of_one_that_did_not_start(Draft("it", why={"egress": ""}), it, [], [])
    assert any("volumes: [/your/home/.local/state/it-mcp:/tmp/.local/state/it-mcp]" in line for line in told)


def test_a_login_in_a_browser_that_its_readme_only_tells_is_told_unless_it_has_a_key():
    readme = "Drop this in.\n- A browser opens on first run for sign-in; later starts reuse `~/.it-mcp/{version}`, where it is stored."
    said = {"browser": readmes.browser(readme), "home": readmes.home(readme, "it-mcp")}
    line = notes._login(Draft("it", why={"egress": ""}), seen(**said))
    with_keys = [*notes._login(Draft("it", {"npm": "it-mcp@1.0"}, secrets=("IT_TOKEN",), optional=("IT_TOKEN",)), seen(**said))]

    assert said == {"browser": "A browser opens on first run for sign-in;", "home": ".it-mcp"}
    assert all(
        "a container has none" in one and "volumes: [/your/home/.it-mcp:/tmp/.it-mcp] brings what that writes" in one
        for one in (*line, *with_keys)
    )
    assert with_keys and all(one.endswith("; or give it a key (IT_TOKEN)") for one in with_keys)
    of_another = Draft("it", {"npm": "it-mcp@1.0"}, secrets=("MODEL_API_KEY",), optional=("MODEL_API_KEY",))
    assert not any("or give it a key" in one for one in notes._login(of_another, seen(**said)))
    assert not [*notes._login(Draft("it", secrets=("IT_TOKEN",)), seen(**said))]
    assert [*notes._login(Draft("it", secrets=("GOOGLE_CLIENT_SECRET",)), seen(**said))]  # with which a login begins
    assert findings.egress(seen(made("look"), **said), False).allowed
    assert not readmes.browser("Your client opens your browser to log in. Open the docs in a browser. **Browser doesn't open to log in:**")
    assert not readmes.browser("2. Open the provided URL in your browser to authorize it.\n3. Then open your browser and sign in")
    assert readmes.browser("It opens the sign-in page in your browser")
    assert readmes.browser("A browser window will open. Enter your credentials, authorize the app, and you are done!")
    of_a_client = notes._login(Draft("it", secrets=("IT_CLIENT_SECRET",), optional=("IT_CLIENT_SECRET",)), seen(browser="A browser opens"))
    assert [one.partition("log in elsewhere")[2] for one in of_a_client] == [", and bring what that writes by a volume"]


def test_a_setup_by_hand_is_not_told_where_a_key_says_the_same():
    setup = readmes.login("```\nnpx it-mcp setup\n```\n1. **Authenticate** your account", ["it-mcp"])
    it = seen(words=["Error: no credentials"], started=0.0, login=setup)

    def told(draft):
        return any("npx it-mcp setup" in line for line in notes.of_one_that_did_not_start(draft, it, [], []))

    assert told(Draft("it", why={"egress": ""}))
    assert not told(Draft("it", secrets=("IT_KEY",), why={"egress": ""}))


def test_a_program_that_its_code_starts_and_its_readme_names_is_told_with_its_debian_package():
    it = seen(made("look"), starts=["ffmpeg", "helm", "create"])

    assert [line for line in notes._lacks(Draft("it"), it) if "starts" in line] == [
        "it starts ffmpeg, helm, which its image has not: `apt: [ffmpeg]` gives it what Debian has"
    ]
    assert not [line for line in notes._lacks(Draft("it", apt=("ffmpeg",)), it) if "ffmpeg" in line]


def test_a_program_that_debian_has_not_is_told_so():
    it = Draft("it", egress=True, why={"egress": "x", "smoke": "y"})

    told = notes.of_a_started_one(it, "it", seen(made("look", "helm: command not found"), starts=["helm"]))

    assert any("starts helm" in line and "Debian has no package" in line for line in told)


def test_a_key_that_must_stand_among_its_arguments_is_told():
    draft = Draft(
        "it",
        command=("it", "--key=${IT_API_KEY}", "${IT_URL}"),
        smoke={"tool": "look"},
        egress=True,
        why={"egress": "its tool look tried x.org"},
    )
    told = notes.of_a_started_one(draft, "it", seen(made("look")))

    assert told == [
        "egress: true: its tool look tried x.org",
        "IT_API_KEY stands among its arguments, which every process in its container sees: no variable was found that it reads instead",
        "works: look was called",
    ]


@pytest.mark.parametrize(
    "words, told",
    [
        (
            "Error: Configuration file not found: /tmp/home/.it/config.json",
            "Error: Configuration file not found: ~/.it/config.json (volumes: [/a/file/of/yours:/tmp/.it/config.json:ro] gives it that)",
        ),
        ("Error: cannot lock /tmp/home/.it/config.json", "Error: cannot lock ~/.it/config.json"),
        ("Error: /etc/it.json not found", "Error: /etc/it.json not found"),
    ],
)
def test_a_file_that_it_wants_in_its_home_is_told_with_where_that_is_in_the_fleet(words, told):
    notes_of_it = notes.of_one_that_did_not_start(
        Draft("it", egress=False, why={"egress": "none"}), seen(words=[words], started=0.0), [], []
    )

    assert notes_of_it[0] == f"it did not start: {told}"


@pytest.mark.parametrize(
    "words, told",
    [
        ("browserType.launch: Executable doesn't exist at /tmp/home/.cache/ms-playwright/chromium-1169/chrome-linux/chrome", "a browser"),
        ("Error: Could not find Chrome (ver. 131.0.6778.204).", "a browser"),
        ("The CHROME_PATH environment variable must be set to a Chrome/Chromium executable no older than Chrome stable.", "a browser"),
        ("Could not find Google Chrome executable for channel 'stable' at:\n - /opt/google/chrome/chrome.", "a browser"),
        ("Chromium distribution 'chrome' is not found at /opt/google/chrome/chrome", "a browser"),
        ("An `executablePath` or `channel` must be specified for `puppeteer-core`", "a browser"),
        ("Browser was not found at the configured executablePath (/usr/bin/x)", "a browser"),
        ("No Chrome installations found.", "a browser"),
        ("The CHROME_PATH environment variable must be set to a Chrome executable", "a browser"),
        ('Xlib.error.DisplayConnectionError: Can\'t connect to display ":0"', "a desktop"),
        ("KeyError: 'DISPLAY'", "a desktop"),
        ('exec: "dbus-launch": executable file not found in $PATH', "the keyring"),
        ("[unixODBC][Driver Manager]Can't open lib 'SQL Server' : file not found (0) (SQLDriverConnect)", "an ODBC driver"),
        ("EOFError: EOF when reading a line", "an answer in a terminal"),
        ("the DISPLAY_NAME of a browser is wrong", ""),
    ],
)
def test_what_no_package_brings_is_told_with_the_way_out(words, told):
    draft = Draft("it", egress=False, why={"egress": "", "smoke": ""})

    [first, *_] = notes.of_one_that_did_not_start(draft, seen(words=[words], started=0.0), [], [])
    running = notes.of_a_started_one(draft, "it", seen(made("look", words)))

    assert (f"it wants {told}" in first) is bool(told)
    assert findings.egress(seen(made("look", words)), False).allowed is (told == "a browser")
    assert any(f"it wants {told}" in note for note in running) is bool(told)


def test_who_has_the_library_of_odbc_wants_a_driver():
    draft = Draft("it", apt=("libodbc2",), egress=False, why={"egress": "", "smoke": ""})

    assert any(
        "it wants an ODBC driver" in note and note.endswith("names it") for note in notes.of_a_started_one(draft, "it", seen(made("look")))
    )


def test_who_waits_for_somebody_of_a_desk_is_told():
    waiting = seen(made("look"), listens=["127.0.0.1:3025"])
    draft = Draft("it", {"npm": "it@1"}, ("it",), egress=True)

    assert any("waits at 127.0.0.1:3025, where nobody outside" in line for line in notes._lacks(draft, waiting))
    assert not any("waits" in line for line in notes._lacks(draft, seen(made("look"))))


@pytest.mark.parametrize(
    "words, says",
    [
        ("SyntaxError: Unexpected token", "it did not start: SyntaxError: Unexpected token"),
        ("Error: the key is invalid", "it did not start without a real A_KEY: Error: the key is invalid"),
        ("Error: 401 from the API", "it did not start without a real A_KEY: Error: 401 from the API"),
        ("TypeError: x is not a function", "it did not start with what stood in for A_KEY: TypeError: x is not a function"),
    ],
)
def test_only_of_an_end_that_is_about_a_key_it_is_said_that_it_was_for_want_of_that(words, says):
    assert notes._why_not(Draft("it", {"npm": "it@1"}, secrets=("A_KEY",)), seen(words=[words], started=0.0), ["A_KEY"]) == says


def test_what_an_install_script_would_have_brought_is_told():
    draft = Draft("it", {"npm": "it@1"}, ("it",), egress=True, why={"egress": ""})
    says = ": what it lacks its install script brings (`node install.js`), which is not run, as it is code of the package"
    words = ["Error: ENOENT: no such file, open '/opt/server/node_modules/it/bin/it'"]
    absent = {"words": words, "started": 0.0, "installer": "node install.js"}

    assert notes._obstacle(draft, seen(**absent), []).startswith(says)
    assert notes._obstacle(draft, seen(**absent | {"words": ["x"], "speaks_mcp": False}), []).startswith(says)
    assert "install script" not in notes._obstacle(draft, seen(**absent | {"words": ["no account"]}), [])
    assert "install script" not in notes._obstacle(draft, seen(**absent | {"installer": ""}), [])


def test_where_else_it_waits_is_told_only_where_it_seems_to_wait_for_somebody_of_a_desk():
    draft = Draft("it", egress=True, why={"egress": "", "smoke": ""})
    at, alone = ["127.0.0.1:3025"], made("tab", "no extension is connected")

    def told(one, what):
        return any("it also waits at 127.0.0.1:3025" in line for line in notes._lacks(one, what))

    assert told(draft, seen(alone, listens=at))
    assert not told(replace(draft, smoke={"tool": "tab"}), seen(alone, listens=at))
    assert not told(draft, seen(made("tab", "fetch failed"), listens=at, reached=[(10.5, "a.example.org")]))


def test_what_has_no_value_is_named_once():
    draft = Draft("it", egress=True, why={"egress": "x", "smoke": "IT_KEY has no value yet"})

    assert notes.of_a_started_one(draft, "it", seen(made("look", "no key")))[-1] == "only listed: no call was proved (it lacks values)"
    assert "not proved: IT_KEY has no value yet" in replace(draft, unproved={"tool": "look"}).text


def test_who_waits_for_the_operators_own_address_does_not_serve_http():
    waiting = seen(
        words=["connecting to http://it-url.placeholder.invalid", "Streamable HTTP"],
        why_not="no answer within 40 s",
        started=0.0,
        reached=[(10.5, "it-url.placeholder.invalid:80")],
    )
    draft = Draft("it", env={"IT_URL": "${IT_URL}"})

    assert notes._why_not(draft, waiting, ["IT_URL"]) == "it did not start without a real IT_URL: it wants to reach that at its start"
    ended = seen(
        words=["Candidate it-url.placeholder.invalid:9030 failed connectivity check (OperationalError)"],
        started=0.0,
        reached=[(10.5, "it-url.placeholder.invalid:9030")],
    )
    assert (
        notes._why_not(draft, ended, ["IT_KEY", "IT_URL"]) == "it did not start without a real IT_URL: it wants to reach that at its start"
    )
    assert "it serves HTTP" in notes._obstacle(draft, waiting, []) and not notes._obstacle(draft, waiting, ["IT_URL"])


def test_a_program_whose_commands_serve_nothing_is_told_as_one():
    help = ["Usage: it [OPTIONS] COMMAND", "Commands:", "  check    Checks whether MCP is used", "  version  Prints the version"]
    draft, told = (
        Draft("it", {"pypi": "it"}, ("it",), why={"egress": ""}),
        "the commands of its program (check, version) serve nothing: is it a server?",
    )
    ended = {"words": ["Not running in a site"], "started": 0.0}

    assert told in notes.of_one_that_did_not_start(draft, seen(help=help, **ended), [], [])
    assert not any(
        "serve nothing" in one for one in notes.of_one_that_did_not_start(draft, seen(help=[*help, "  run  Starts it"], **ended), [], [])
    )


@pytest.mark.parametrize(
    "name, line",
    [
        ("setApiKey", "its key is given by its tool setApiKey"),
        ("site_login", "its login is made by its tool site_login"),
        ("set_title", ""),
        ("token_count", ""),
    ],
)
def test_a_tool_that_takes_the_key_or_logs_in_is_told_where_no_variable_gives_one(name, line):
    it = seen(made("look"), tools=[tool("look"), tool(name)])
    told = [one for one in notes._lacks(Draft("it"), it) if "by its tool" in one]

    assert told == [line][: bool(line)]
    assert not any("by its tool" in one for one in notes._lacks(Draft("it", secrets=("SITE_KEY",)), it))


def test_the_packages_that_its_readme_has_beside_it_are_told():
    readme = '"args": ["--from", "it==1.0", "--with", "driver-a[fast]", "it"]\nuvx --with driver-b>=0.42 --with \'mcp<2\' --with=it it'
    drivers = [one for one in readmes.withs(readme) if one != "it"]
    draft = Draft("it", {"pypi": "it==1.0"}, ("it",), why={"egress": "…", "smoke": "…"})
    line = "its README has driver-a[fast], driver-b, mcp beside it, each where that is used: `pypi: [it==1.0, NAME]` brings it"

    assert line in notes.of_a_started_one(draft, "it", seen(made("look"), withs=drivers))
    assert line.replace(", mcp", "") in notes.of_a_started_one(
        replace(draft, constraints={"mcp<2": "…"}), "it", seen(made("look"), withs=drivers)
    )
    assert not any("beside it" in one for one in notes.of_a_started_one(draft, "it", seen(made("look"), withs=[])))


def test_who_looks_for_a_program_of_a_desk_and_takes_no_other_place_is_to_run_there():
    looks = seen(made("look", "All connection attempts failed"), reached=[(10.5, "127.0.0.1:8765")])

    def told(one):
        return next(notes._decisions(Draft("it", egress=True, why={"egress": findings.egress(one, False).why})))

    assert told(looks) == f"egress: true: it looks for a service at 127.0.0.1:8765, which in a container is itself: {notes.RUNS_THERE}"
    named = seen(made("look", "failed"), reached=[(10.5, "127.0.0.1:8765")], reads=["DESK_HOST"])
    assert told(named).endswith("tell it where that is (its code reads DESK_HOST)")


def test_what_its_readme_has_installed_from_debian_is_told_but_for_what_any_desk_has():
    readme = "Requirements:\n- Debian: `sudo apt-get install -y ffmpeg tesseract-ocr git build-essential`\n- apt install ffmpeg"
    read = seen(made("look"), debian=readmes.debian(readme))
    line = "its README has ffmpeg, tesseract-ocr installed, which its image has not: `apt: [ffmpeg, tesseract-ocr]` gives it that"

    assert list(notes._programs(Draft("it"), read)) == [line]
    assert list(notes._programs(Draft("it", apt=("ffmpeg", "tesseract-ocr")), read)) == []
