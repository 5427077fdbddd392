"""What the files of a package say."""

import json

import pytest
from trials import seen

from bridge.fleet.adding import mends, publishers
from bridge.fleet.adding.draft import Draft
from bridge.fleet.adding.trial import code_facts, package_files


def shown_variables(*names):
    return json.dumps({"mcpServers": {"it": {"command": "npx", "args": ["it"], "env": dict.fromkeys(names, "your-own")}}}, indent=1) + "\n"


@pytest.mark.parametrize(
    "code, names",
    [
        ("const key = process.env.SITE_KEY ?? process.env['B_KEY']", ["B_KEY", "SITE_KEY"]),
        ('os.environ["A_KEY"]; os.environ.get( "B_KEY"); os.getenv(\'C_KEY\')', ["A_KEY", "B_KEY", "C_KEY"]),
        ("environment SITE_KEY", []),
        ("const { A_KEY, B_URL: url = 'x' } = process.env;", ["A_KEY", "B_URL"]),
        ("z.object({ENDPOINT: z.string().url(), SITE_KEY: z\n.string()}).parse(process.env)", ["ENDPOINT", "SITE_KEY"]),
        ("key: str = Field(alias='A_KEY'); @click.option('--b', envvar=\"B_KEY\")", ["A_KEY", "B_KEY"]),
        ("requireEnv('A_KEY'); import.meta.env.B_KEY; x.envelope.C_KEY", ["A_KEY", "B_KEY"]),
        ("def _env(name): return os.environ.get(name)\n_env('A_KEY')", ["A_KEY"]),
        (
            "def _env(end): return os.environ.get(f'{BEFORE}{end}')\n_env('KEY_END'); getenv('A_KEY'); os.getenv('B_KEY')",
            ["A_KEY", "B_KEY"],
        ),
    ],
)
def test_the_variables_that_code_asks_for_are_found(code, names):
    assert sorted(code_facts.asked_for(code)) == names


@pytest.mark.parametrize(
    "file, code, readme, reads",
    [
        ("it.js", 'P(e.key,A("SITE_API_KEY"),"")', "Set SITE_API_KEY.", ["SITE_API_KEY"]),
        ("it.js", 'P(e.key,A("SITE_API_KEY"),"")', "Nothing.", []),
        ("it.js", 'throw Error("no SITE_API_KEY")', "SITE_API_KEY, one day", []),
        ("it.py", "class Settings(BaseSettings):\n    SITE_TOKEN: SecretStr\n", "Set SITE_TOKEN.", ["SITE_TOKEN"]),
        ("it.py", 'os.getenv(f"SITE_{host}_{what}")', "Set SITE_ONE_USER, or KIND_ONE.", ["SITE_ONE_USER"]),
        ("it.js", "process.env[`SITE_${host}`]", "Set SITE_ONE_USER.", ["SITE_ONE_USER"]),
        ("it.py", 'print(f"SITE_{host}")', "Set SITE_ONE_USER.", []),
    ],
)
def test_what_its_readme_names_is_a_variable_where_its_code_uses_it(tmp_path, monkeypatch, file, code, readme, reads):
    (tmp_path / file).write_text(code)
    (tmp_path / "README.md").write_text(readme)
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / file, tmp_path / "README.md"])

    assert package_files.variables("it")["reads"] == reads


def test_what_may_be_left_out_and_no_code_spells_is_somebody_else_s(tmp_path, monkeypatch):
    files = {
        "package/it.js": "new Failure('KEY_MISMATCH', 'it'); config.siteUrl; `${kind}_USER_TOKEN`; new Sdk()",
        "package/README.md": shown_variables("IT_KEY", "SITE_URL", "OPEN_USER_TOKEN", "SDK_KEY", "GITHUB_TOKEN")
        + shown_variables("IT_KEY")
        + "KEY_MISMATCH",
        "package/part/README.md": shown_variables("OPENAI_API_KEY"),
        "package/tests/it.js": "process.env.TEST_KEY",
        "sdk/sdk.js": "process.env.SDK_KEY",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(package_files, "SERVER", tmp_path)
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / name for name in files if name.startswith("package/")])

    found = package_files.variables("it")

    assert {one["name"]: one["needed"] for one in found["published"]} == {
        "IT_KEY": True,
        "SITE_URL": False,
        "OPEN_USER_TOKEN": False,
        "SDK_KEY": False,
    }
    assert {"TEST_KEY", "KEY_MISMATCH"}.isdisjoint(found["reads"])


@pytest.mark.parametrize(
    "file, code",
    [
        ("it.js", "/**\n * const it = process.env['OLD_KEY'];\n * fetch('https://api.old.io/'); spawn('ffmpeg')\n */"),
        ("it.d.ts", "  // process.env.OLD_KEY, fetch(`https://api.old.io/`), exec('ffmpeg')"),
        ("it.py", '"""os.environ["OLD_KEY"]\n\nrequests.get("https://api.old.io/"); run(["ffmpeg"])\n"""'),
        ("it.py", "pass  # os.environ['OLD_KEY'] requests.get('https://api.old.io/') run(['ffmpeg'])"),
        ("vendor/it.py", "os.environ['OLD_KEY']; requests.get('https://api.old.io/'); run(['ffmpeg'])"),
        ("lib/python3.12/site-packages/pip/_vendor/it.py", "os.environ['OLD_KEY']; requests.get('https://api.old.io/'); run(['ffmpeg'])"),
    ],
)
def test_comments_and_what_it_brings_of_others_are_not_its_code(tmp_path, monkeypatch, file, code):
    own = tmp_path / "node_modules/it"
    (own / file).parent.mkdir(parents=True)
    (own / file).write_text(code)
    (own / "main.py").write_text("""x =   # a
os.environ['NEW_KEY']; url = "https://api.new.io/#it"; httpx.get(url); run(['jq', ])
""")
    (own / "main.js").write_text("const glob = '/*'; x = /['\"]/; // it\n/*! it */ process.env.A_KEY; fetch('https://api.a.io/')")
    (own / "README.md").write_text("It wants jq, ffmpeg.")
    monkeypatch.setattr(package_files, "SERVER", tmp_path)

    found = package_files.variables("it")

    assert (found["reads"], sorted(found["speaks_to"]), found["starts"]) == (["A_KEY", "NEW_KEY"], ["api.a.io", "api.new.io"], ["jq"])


@pytest.mark.parametrize(
    "file, code, home",
    [
        ("a.js", "const dir = join(homedir(), '.config', 'site-it'); writeFileSync(join(dir, 'config.json'), x)", ".config/site-it"),
        ("a.js", "const d = process.env.HOME || process.env.USERPROFILE || '', file = path.join(os.homedir(), '.site-it/state.json'); writeFile(file)", ".site-it"),
        ("a.js", "new Database(`${os.homedir()}/.site-it/db/it.sqlite`)", ".site-it/db"),
        ("a.py", "path = Path.home() / '.site-it' / 'boards.json'\npath.write_text(x)", ".site-it"),
        ("a.py", "path = os.path.expanduser('~/.site-it')\nopen(path, 'w')", ".site-it"),
        ("a.py", "def _folder() -> Path:\n    return Path.home() / '.site-it'\nit = _folder() / 'x'\n(_folder() / 'boards').mkdir(parents=True)", ".site-it/boards"),
        ("a.py", "DIR = Path.home() / '.site-it'\nFILE = DIR / 'x.json'\nwith open(FILE, 'w') as file:\n", ".site-it"),
        ("a.py", "FILE = Path.home() / '.site-it' / 'profiles.toml'\nFILE.read_text()\nwith open(out, 'w') as file:\n    json.dump(x, file)", ""),
        ("a.js", "writeFile(join(homedir(), '.site-it', 'cache'))", ""),
        ("a.js", "writeFile(join(homedir(), '.aws', 'credentials'))", ""),
        ("a.js", "readFile(join(homedir(), '.site-it'))", ""),
    ],
)  # fmt: skip
def test_what_its_code_writes_in_its_home_is_kept_whatever_its_readme_says(tmp_path, monkeypatch, file, code, home):
    (tmp_path / file).write_text(code)
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / file])

    assert package_files.variables("site-it")["home"] == home


def test_what_is_started_with_a_list_of_arguments_is_a_program_whatever_its_readme_names(tmp_path, monkeypatch):
    (tmp_path / "it.js").write_text("await executeCommand('git', ['clone', url]); spawn('rg', words); z.enum('jq', ['a'])")
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / "it.js"])

    assert package_files.variables("it")["starts"] == ["git"]


@pytest.mark.parametrize("starts, hosts", [("", ["api.site.io"]), ("subprocess.run(['node', 'web.js'])", ["api.site.io", "pages.site.io"])])
def test_the_scripts_of_a_package_of_python_are_for_browsers_unless_it_starts_node(tmp_path, monkeypatch, starts, hosts):
    place = tmp_path / "site-packages" / "it"
    place.mkdir(parents=True)
    (place / "it.py").write_text(f"import httpx, subprocess\n{starts}\nhttpx.get('https://api.site.io/x')\n")
    (place / "web.js").write_text("fetch('https://pages.site.io/x')")
    monkeypatch.setattr(package_files, "_files", lambda *_: [place / "it.py", place / "web.js"])

    assert package_files.variables("it")["speaks_to"] == hosts


def test_a_namespace_of_xml_is_nobody_that_is_asked(tmp_path, monkeypatch):
    (tmp_path / "it.py").write_text(
        "import httpx\nhttpx.get('https://api.site.io/v1')\nICAL = 'http://site.com/ns/ical/'\nCS = 'http://site.org/ns/'\n"
    )
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / "it.py"])

    assert package_files.variables("it")["speaks_to"] == ["api.site.io"]


@pytest.mark.parametrize(
    "code, asks",
    [
        ("requests.get(f'https://www.site.io/v1/{x}')", ["www.site.io"]),
        ("const BASE_URL = process.env.SITE_URL || 'https://www.site.io/v1'; fetch(BASE_URL)", ["www.site.io"]),
        ("BASE: str = os.getenv('SITE_BASE_URL', 'https://www.site.io')\nhttpx.get(BASE)", ["www.site.io"]),
        ("axios.create({ baseURL: `https://www.site.io/v2` })", ["www.site.io"]),
        ("fetch(where); ROUTES = ['https://api.site.io/']", ["api.site.io"]),
        ("fetch(where); SCOPES = ['https://www.site.io/auth/calendar']", []),
        ("fetch(where); return `https://www.site.io/view/${id}`", []),
        ("fetch(where); const HELP_URL = 'https://www.site.io/keys', htmlUrl = 'https://www.site.io/x'", []),
        ("fetch(where); raise Error('no key: see https://www.site.io/keys')", []),
    ],
)
def test_who_is_asked_is_whom_code_gives_to_a_client_and_no_link(tmp_path, monkeypatch, code, asks):
    (tmp_path / "it.js").write_text(code)
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / "it.js"])

    assert package_files.variables("it")["speaks_to"] == asks


def test_who_only_has_text_of_a_client_asks_nobody(tmp_path, monkeypatch):
    (tmp_path / "it.py").write_text("FOUND = {'x': 'import requests; requests.get()', 'y': 'https://api.old.io/'}\n")
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / "it.py"])

    assert package_files.variables("it")["speaks_to"] == []


@pytest.mark.parametrize(
    "file, readme, starts",
    [
        ("it.js", "git clone https://git.site.io/it", []),
        ("it.js", "It needs git.", ["git"]),
        ("test-helper.js", "It needs git.", []),
        ("it.spec.js", "It needs git.", []),
    ],
)
def test_a_program_by_which_one_gets_it_or_that_a_test_starts_is_none_that_it_starts(tmp_path, monkeypatch, file, readme, starts):
    (tmp_path / file).write_text("execSync('git diff')")
    (tmp_path / "README.md").write_text(readme)
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / file, tmp_path / "README.md"])

    assert package_files.variables("it")["starts"] == starts


def test_of_a_package_that_only_starts_another_the_files_of_that_count_too(tmp_path):
    site = tmp_path / "lib/python3.13/site-packages"
    for name, requires, code in (("old", "Requires-Dist: new>=2\n", "import new.main"), ("new", "Requires-Dist: old\n", "x" * 9000)):
        (site / f"{name}-1.0.dist-info").mkdir(parents=True)
        (site / f"{name}-1.0.dist-info/METADATA").write_text(f"Name: {name}\nVersion: 1.0\n{requires}")
        (site / f"{name}-1.0.dist-info/RECORD").write_text(f"{name}.py,,\n")
        (site / f"{name}.py").write_text(code)

    assert [path.name for path in package_files._files("old", tmp_path)] == ["old.py", "new.py"]
    assert [path.name for path in package_files._files("new", tmp_path)] == ["new.py"]


def test_what_its_readme_has_beside_it_is_known_but_for_what_is_there(tmp_path):
    site = tmp_path / "lib/python3.13/site-packages"
    for name in ("it", "there_too"):
        (site / f"{name}-1.0.dist-info").mkdir(parents=True)
        (site / f"{name}-1.0.dist-info/METADATA").write_text(f"Name: {name}\nVersion: 1.0\n")
    readme = "uvx --with there-too --with 'driver-a[fast]>=1' it"
    (site / "it-1.0.dist-info/METADATA").write_text(f"Name: it\nVersion: 1.0\n\n{readme}\n")
    (site / "it-1.0.dist-info/RECORD").write_text("it-1.0.dist-info/METADATA,,\n")

    assert package_files.variables("it", tmp_path)["withs"] == ["driver-a[fast]"]


def test_the_programs_of_a_package_are_known_from_what_it_installs(tmp_path):
    about = tmp_path / "lib/python3.13/site-packages/it-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Name: it\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[console_scripts]\nit = it:main\nit-mcp = it:serve\n")
    for package, bins in (("@me/one", '"cli.js"'), ("@me/two", '{"two-mcp": "cli.js"}')):
        (tmp_path / "node_modules" / package).mkdir(parents=True)
        (tmp_path / "node_modules" / package / "package.json").write_text(f'{{"bin": {bins}}}')

    assert [package_files._programs(one, tmp_path) for one in ("it", "@me/one", "@me/two")] == [["it", "it-mcp"], ["one"], ["two-mcp"]]


@pytest.mark.parametrize(
    "code, starts",
    [
        ("executeShellCommand('git', args)", ["git"]),
        ("await runCommand('helm', x)", []),
        ("find('git', x)", []),
        ("scans = {'all': ['git', '-T4', '--all']}", ["git"]),
        ("menu = ['git', 'other']", []),
    ],
)
def test_a_program_that_is_started_by_a_function_of_its_own_is_seen(tmp_path, monkeypatch, code, starts):
    (tmp_path / "it.js").write_text(code)
    (tmp_path / "README.md").write_text("It wants git.")
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / "it.js", tmp_path / "README.md"])

    assert package_files.variables("it")["starts"] == starts


@pytest.mark.parametrize(
    "own, beside, speaks",
    [
        ("app.listen(3176)", "node_modules/express/index.js", False),
        ("app.listen(3176)", "node_modules/@modelcontextprotocol/sdk/index.js", True),
        ("app.listen(3176)", "node_modules/@me/fast-mcp/index.js", True),
        ("app.listen(3176)", "lib/python3.13/site-packages/fastmcp/server.py", True),
        ("app.listen(3176)", "node_modules/express/mcp.js", False),
        ("write({ jsonrpc: '2.0', id })", "node_modules/express/index.js", True),
    ],
)
def test_whether_anything_that_is_installed_speaks_mcp_is_seen_in_names_and_code(tmp_path, monkeypatch, own, beside, speaks):
    monkeypatch.setattr(package_files, "SERVER", tmp_path)
    for path, code in (("node_modules/it-mcp/index.js", own), (beside, "1")):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(code)

    assert package_files.variables("it-mcp")["speaks_mcp"] is speaks


@pytest.mark.parametrize(
    "name, code, is_client",
    [
        ("it.js", "import { Client } from '@modelcontextprotocol/sdk/client/index.js'", True),
        ("it.js", 'import {Client} from "@modelcontextprotocol/client"; const c = new Client()', True),
        ("it.js", "import { Client } from '@modelcontextprotocol/sdk/client/index.js'; import { McpServer } from './sdk.js'", False),
        ("it.js", "import {a} from '@modelcontextprotocol/sdk/client'; import {b} from '@modelcontextprotocol/sdk/server/stdio.js'", False),
        ("it.js", "import {a} from '@modelcontextprotocol/sdk/client'; import {b} from 'mcp-kit'", False),
        ("it.py", "from mcp import ClientSession, StdioServerParameters\nfrom mcp.client.stdio import stdio_client", True),
        ("it.py", "from mcp import (\n    ClientSession,\n)\nfrom mcp.server import Server", False),
        ("it.py", "from fastmcp import Client", True),
        ("it.py", "from fastmcp import Client, FastMCP", False),
        ("it.py", "from aiohttp import ClientSession", False),
    ],
)
def test_a_client_takes_only_that_side_of_an_sdk(tmp_path, monkeypatch, name, code, is_client):
    (tmp_path / name).write_text(code)
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / name])

    assert package_files.variables("it")["is_client"] is is_client


def test_other_code_than_that_of_a_package_of_that_name_may_speak_mcp(tmp_path, monkeypatch):
    monkeypatch.setattr(package_files, "SERVER", tmp_path)
    for path, code in (("node_modules/it-mcp/index.js", "run()"), ("node_modules/kit/index.js", 'on("tools/list")')):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(code)

    assert package_files.variables("it-mcp")["speaks_mcp"]
    assert package_files.variables("")["speaks_mcp"]


@pytest.mark.parametrize(
    "code, options",
    [
        ('@click.option("--auth-token", "token", envvar="SITE_TOKEN", required=True)', {"--auth-token": "SITE_TOKEN"}),
        ("p.add_argument('--base-url', help=f(g(1)), default=os.environ.get('SITE_URL'))", {"--base-url": "SITE_URL"}),
        ("p.option('-k, --key <key>', 'the key', process.env.SITE_KEY)", {"--key": "SITE_KEY"}),
        ("p.add_argument('--key')\nos.getenv('SITE_KEY')", {}),
        ("p.add_argument('--port', default=80 if os.getenv('SITE_KEY') else 81)", {}),
    ],
)
def test_the_variable_of_an_option_stands_in_the_same_call(tmp_path, monkeypatch, code, options):
    file = tmp_path / "it.py"
    file.write_text(code)
    monkeypatch.setattr(package_files, "_files", lambda *_: [file])

    assert package_files.variables("it")["options"] == options


@pytest.mark.parametrize(
    "code, readme, reads",
    [
        ('os.getenv("A_TOKEN") or os.environ.get("A_KEY", "")', "", ["A_TOKEN"]),
        ('os.getenv("A_TOKEN") or os.getenv("A_KEY")', "set A_KEY", ["A_KEY"]),
        ('os.getenv("A_TOKEN") or os.getenv("A_KEY")', "set A_TOKEN or A_KEY", ["A_KEY", "A_TOKEN"]),
        (
            'os.getenv("A_TOKEN") or os.getenv("A_KEY") or os.getenv("A_PAT")',
            "- `A_TOKEN`: required. Also reads A_KEY and A_PAT.",
            ["A_TOKEN"],
        ),
        ('os.getenv("A_TOKEN"), os.getenv("A_KEY")', "", ["A_KEY", "A_TOKEN"]),
        ('os.getenv("A_TKN") or os.getenv("A_TOKEN")', "", ["A_TKN", "A_TOKEN"]),
        ('[os.getenv("LOG_TOKEN") or os.getenv("A_TOKEN"), os.getenv("A_TOKEN")]', "", ["A_TOKEN", "LOG_TOKEN"]),
    ],
)
def test_of_variables_of_which_one_is_read_in_the_place_of_the_other_one_counts(tmp_path, monkeypatch, code, readme, reads):
    (tmp_path / "it.py").write_text(f"import os\nx = {code}\n")
    (tmp_path / "README.md").write_text(readme)
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / "it.py", tmp_path / "README.md"])

    assert package_files.variables("it")["reads"] == reads


@pytest.mark.parametrize(
    "code, drives",
    [
        ("import puppeteer from 'puppeteer'; b = await puppeteer.launch({headless: true})", "chromium-headless-shell"),
        ("import {chromium} from 'playwright'; b = await chromium.launchPersistentContext(dir)", "chromium-headless-shell"),
        ("from playwright.async_api import x\nb = await getattr(p, kind).launch(headless=True)", "chromium-headless-shell"),
        ("import {connect} from 'puppeteer-real'; connect(process.env.CHROME_PATH)", "chromium-headless-shell"),
        ("import rocket; rocket.launch()", ""),
        ("driver = webdriver.Chrome(options=options)", "chromium-driver"),
        ("new Builder().forBrowser('chrome')", "chromium-driver"),
        ("import {chromium} from 'playwright'; await chromium.connectOverCDP(url)", ""),
    ],
)
def test_how_code_starts_a_browser(tmp_path, monkeypatch, code, drives):
    (tmp_path / "it.py").write_text(code)
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / "it.py"])

    assert package_files.variables("it")["drives"] == drives


@pytest.mark.parametrize(
    "code, defaults",
    [
        ("const url = process.env.A_URL || 'https://your-domain.site.io';", {}),
        ('process.env.A_URL || "https://x.io"', {"A_URL": "https://x.io"}),
        ('process.env["A_URL"] ?? DEFAULT_URL', {"A_URL": "DEFAULT_URL"}),
        ('const Ab="https://q.io";f(e.env.A_URL||Ab)', {"A_URL": "https://q.io"}),
        ('process.env.A_ONE ?? process.env.B_ONE ?? "x"', {"A_ONE": "x", "B_ONE": "x"}),
        ('A_X: z.string().optional(), B_X: z.enum(["p", "q"]).default("q")', {"B_X": "q"}),
        ('os.environ.get("A_X", "y"); os.getenv("B_X") or "z"; env("C_X", default=5)', {"A_X": "y", "B_X": "z", "C_X": "5"}),
        ('process.env.A_X || ""; os.getenv("B_X", None); process.env.C_X || options.c; requireEnv("D_X", "no D_X")', {}),
        ('process.env.A_X || "y"; if (!process.env.A_X) exit()', {}),
        ("process.env.A_X ? parseInt(process.env.A_X, 10) : 1000", {"A_X": "1000"}),
        ('log(process.env.A_X ? "set" : "not set")', {}),
        ('process.env.A_KIND || "sqlite"', {}),
    ],
)
def test_a_variable_that_has_a_value_in_the_code_is_not_needed(tmp_path, monkeypatch, code, defaults):
    (tmp_path / "it.js").write_text(code)
    (tmp_path / "README.md").write_text('{"command": "npx", "args": ["it"], "env": {"A_URL": "https://other.io", "A_KIND": "mysql"}}')
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / "it.js", tmp_path / "README.md"])

    found = package_files.variables("it")
    draft = publishers.with_published(Draft("it"), seen(published=found["published"]))

    assert {one["name"]: one["default"] for one in found["published"] if one["default"]} == defaults
    assert "A_URL" not in defaults or (
        "A_URL" not in draft.env and mends.unsaid(Draft("it"), seen(reads=["A_URL"], published=found["published"])) == []
    )


def test_the_script_that_an_installation_would_run_is_known(tmp_path):
    (tmp_path / "package.json").write_text('{"scripts": {"build": "tsc", "postinstall": "node install.js"}}')
    assert package_files._installer([tmp_path / "package.json"]) == "node install.js"

    (tmp_path / "package.json").write_text('{"scripts": {"build": "tsc"}}')
    assert package_files._installer([tmp_path / "package.json"]) == ""
    (tmp_path / "package.json").write_text("[1]")
    assert package_files._installer([tmp_path / "package.json"]) == ""


def test_a_home_that_has_a_name_is_one():
    code = (
        'const home = process.env.HOME || "";\nconst place = path.join(home, "Downloads", "pictures");\nconst other = os.homedir();'
        ' mkdir(place); mkdirSync(join(other, ".it"))'
    )
    xdg = 'const base = process.env.XDG_CONFIG_HOME || path.join(homedir(), ".config");\nconst it = join(base, "it-mcp", "tokens.json")'
    python = 'home_dir = os.path.expanduser("~")\nos.makedirs(os.path.join(home_dir, ".it_mcp", "keys"))\nstate = xdg_state_home() / "it"\n'

    assert code_facts.at_home(code) == {"Downloads/pictures", ".it"}
    assert code_facts.at_home(f"{xdg}; mkdir(path.dirname(base))") == {".config"}
    assert code_facts.at_home(f'{xdg}; writeFile(join(base, "it-mcp", "tokens.json"))') == {".config/it-mcp"}
    assert not code_facts.at_home('CACHE_DIR: str = os.getenv("IT_CACHE_DIR", str(os.path.expanduser("~/.it-mcp")))')
    assert not code_facts.at_home("const logDir = path.join(os.homedir(), '.it', 'it-mcp');\nLOG_FILE = Path.home() / '.it' / 'x'")
    assert code_facts.at_home(f'{python}state.mkdir()\nos.mkdir(user_data_dir("it"))') >= {
        ".it_mcp/keys",
        ".local/state/it",
        ".local/share/it",
    }


def test_code_that_only_counts_who_uses_it_neither_keeps_nor_asks_what_a_server_is_for(tmp_path, monkeypatch):
    files = [tmp_path / "telemetry/session.js", tmp_path / "index.js"]
    for file, host in zip(files, ("gate.site.io", "api.site.io"), strict=True):
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"fetch('https://{host}/x'); fs.writeFileSync(join(homedir(), '.it-mcp', '{host}', 'it.json'))")
    monkeypatch.setattr(package_files, "_files", lambda *_: files)

    said = package_files.variables("it-mcp")
    assert (said["speaks_to"], said["home"]) == (["api.site.io"], ".it-mcp/api.site.io")


@pytest.mark.parametrize(
    "code",
    [
        "if (process.env.IT_FLAG === 'true') x()",
        "const on = process.env['IT_FLAG']?.toLowerCase() == \"1\"",
        "on = os.getenv('IT_FLAG', '').lower() in ('1', 'true')",
        "on = os.environ.get('IT_FLAG') == 'yes'",
    ],
)
def test_what_is_compared_with_a_switch_s_word_is_off_by_default(tmp_path, monkeypatch, code):
    (tmp_path / ("it.js" if "process" in code else "it.py")).write_text(code)
    (tmp_path / "README.md").write_text("`export IT_FLAG=true` shows more.")
    monkeypatch.setattr(package_files, "_files", lambda *_: sorted(tmp_path.iterdir()))

    assert {one["name"]: one["default"] for one in package_files.variables("it")["published"]} == {"IT_FLAG": "false"}
