"""What the files of a package say of it: the variables that its code reads, and what its README and its manifest have. Pure but for reading them."""

import json
import mmap
import os
import re
from collections.abc import Collection
from contextlib import suppress
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import NamedTuple

from bridge.fleet.adding.draft import is_blank, is_secret
from bridge.fleet.adding.trial import client_examples, published, readmes
from bridge.fleet.adding.trial.published import Variable

MANY = 200  # files that a server wrote, of which it is enough to know some
PACKAGE_JSON = re.compile(r"package\.json$")
FILES = 2000  # of a package, that are looked into
READS = (
    re.compile(r"""\b(?:env|environ)(?:\.|\[\s*["'])([A-Z][A-Z0-9_]{2,})\b"""),
    re.compile(
        r"""(?:[gG]et_?[eE]nv\w*|environ\.get|env\.get|requireEnv|env_var|envvar|env|alias)\s*[(=]\s*["']([A-Z][A-Z0-9_]{2,})["']"""
    ),
    re.compile(r"""\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)\s*:\s*z(?:od)?\s*\."""),  # a schema that process.env is parsed with
)
# A function that puts the names together itself: what it is called with is a part of one.
PUT_TOGETHER = re.compile(r"""\b(?:environ(?:\.get)?|getenv)\s*[(\[]\s*(?:f["'][^"'\n]*\{|\w+\s*\+)""")
PARTS = re.compile(r"""(?<![\w.])(?!getenv\()_?(?:[gG]et_?[eE]nv\w*|env_var|env)\(\s*["'][A-Z][A-Z0-9_]{2,}["']""")
# An option of its command line and the variable that stands for it, in one call: click's `envvar`, a default that is read from the environment.
OPTION = re.compile(
    r"""["'`](?:-\w, ?)?(--[a-z][\w-]+)[^"'`\n]{0,40}["'`](?:(?!["'`]-)[^()]|\((?:[^()]|\([^()]{0,200}\)){0,300}\)){0,400}?"""
    r"""(?:\benvvar\s*=\s*[(\[]?\s*["']|\bgetenv\(\s*["']|\benviron(?:\.get\(|\[)\s*["']|\bprocess\.env\.)([A-Z][A-Z0-9_]{2,})\b"""
)
# The two names of an option beside each other.
SHORT_AND_LONG = re.compile(
    r"""(?<![\w-])(-[A-Za-z])["'`]?\s?[,|/]\s?["'`]?(--[a-z][\w-]+)|(--[a-z][\w-]+)["'`]?\s?[,|/]\s?["'`]?(-[A-Za-z])(?![\w-])"""
)
# Two variables of which the second is read where the first has no value.
_READ = r"""(?:\b(?:getenv|environ\.get)\(\s*["']%s["'](?:\s*,\s*(?:""|''|None))?\s*\)|\bprocess\.env(?:\.%s\b|\[["']%s["']\]))"""
OR_ELSE = re.compile(
    _READ.replace("%s", "([A-Z][A-Z0-9_]{2,})")
    + r"\s*(?:\bor\b|\|\||\?\?)\s*(?:os\.)?(?="
    + _READ.replace("%s", "([A-Z][A-Z0-9_]{2,})")
    + ")"
)
OTHERWISE = re.compile(r"(?:\bor\b|\|\||\?\?)\s*(?:os\.)?" + _READ.replace("%s", "[A-Z][A-Z0-9_]{2,}"))
# A variable with the value that its code takes where it has none: a text, a number, or what a constant is called.
_TEXT = r"""(?:(?:\w{1,12}\.)?["'`]([^"'`\n]{1,300})["'`]|(\d[\d_.]*)\b|((?!(?:[\w$]+\.)*env\b)(?:[A-Za-z_$][\w$]*\.)*[A-Za-z_$][\w$]*)(?![\w$.(\[?]))"""
BEHIND_IT = tuple(
    re.compile(before + _TEXT)
    for before in (  # which begin with what is found fast in megabytes of code
        r"""env(?:\.|\[["'])([A-Z][A-Z0-9_]{2,})(?:["']\])?(?:\?\.trim\(\))?\s*(?:\|\||\?\?)\s*""",
        r"""env(?:\.|\[["'])([A-Z][A-Z0-9_]{2,})(?:["']\])?\s*\?(?=[^:;{}]{0,100}\b\1\b)[^:;{}?]{1,100}:\s*""",
        r"""nv(?<!requireEnv)(?<!require_env)(?<!mustEnv)(?<!set[eE]nv)(?:iron\.get|\w{0,12})\(\s*["']([A-Z][A-Z0-9_]{2,})["']\s*(?:,\s*(?:default\s*=\s*)?|\)\s*or\s+)""",
        r"""(?<=[,{\s])([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\s*:\s*z(?:od)?\s*\.(?:(?!,\s*[A-Z]\w+\s*:)[^;{}\n]){0,200}?\.default\(\s*""",
    )
)
# What is compared with one of the two words of a switch: without it, that is off.
A_SWITCH = re.compile(
    r"""nv(?:\.|\[["']|\w{0,12}\(\s*["']|iron(?:\.get\(|\[)\s*["'])([A-Z][A-Z0-9_]{2,})\b["'\])]*[^\n;{}]{0,40}?(?:===?|\bin\b)\s*[(\[{]?\s*["'](?:true|1|yes|on)["']"""
)
NO_VALUE = re.compile(r"(?:None|null|undefined|void|true|false|True|False|process|os|sys|args|argv|options|config|throw)\b")
OF_NOBODY = re.compile(r"//(?:[\w-]+[.-])*(?:your\w*|example|dummy|acme|mysite)[.-]")  # an address that stands for the operator's own
A_CHOICE = re.compile(r"[A-Za-z][\w-]*")  # everybody chooses "mysql", though nobody's choice is "sqlite"
ON_ITSELF = re.compile(r"localhost|127\.0\.0\.1|host\.docker\.internal")
# A home, what is put behind it, and that files are written.
_HOME = r"(?:\bhomedir\(\)|\bPath\.home\(\)|\bexpanduser\(|\benv\.HOME\b)"
AT_HOME = re.compile(rf"{_HOME}(?=([^\n;]{{1,80}}))")
HOME_NAMED = re.compile(rf"\b(\w{{2,}})(?:\s*:\s*\w+)?\s*=\s*[^\n;=]{{0,60}}?{_HOME}([^\n;]{{0,80}})")
HOME_RETURNED = re.compile(rf"\b(?:def|function)\s+(\w{{3,}})\([^\n]*\n\s*return [^\n;]{{0,60}}?{_HOME}([^\n;]{{0,80}})")
OF_NO_USE = re.compile(r"\b(?:\w+_)?(?:logs?|cache|te?mp)_?(?:dir|path|file|folder)\w*\s*[:=][^\n;]{0,200}", re.IGNORECASE)
OF_TELEMETRY = re.compile(r"/(?:telemetry|analytics)(?:/|[._-][^/]*$)")  # code that keeps and asks nothing that a server is for
# What libraries call the places of a home (XDG).
OF_A_HOME = (("data", ".local/share"), ("state", ".local/state"), ("config", ".config"))
OF_A_DESK = re.compile(r"(?:Desktop|Documents|Downloads|Movies|Music|Pictures|Videos)(?:/|$)")
# What code makes or writes: what stands in the brackets, before the mode of `open`, or before the point.
WRITES = re.compile(
    r"\b(?:mkdir\w*|makedirs|[eE]nsure_?[dD]ir\w*|writeFile\w*|appendFile\w*|outputFile\w*|createWriteStream|connect|Database\w*|PersistentClient|TinyDB)\(([^\n;]{1,160})"
    r"|\bopen\(([^\n;]{1,120}?),\s*(?:mode=)?[\"'][wax]"
    r"|((?:[\w.]|\([^()\n;]*(?:\([^()\n]*\)[^()\n]*)*\))+)\.(?:mkdir\((?:\)|\w+=)|write_(?:text|bytes)\(|open\([\"'][wax])"
)
# A program that it starts, in its languages; and that it asks somebody by HTTP, at which addresses.
STARTS = re.compile(
    r"""\b(?:spawn|spawnSync|exec|execSync|execFile|execFileSync|execa|execAsync|which|Popen|run|check_output|check_call|call|create_subprocess_exec|create_subprocess_shell|\w*(?:[Ee]xec|[Rr]un|[Ss]pawn)\w*Command)\(\s*(?:\[\s*)?["'`]([a-z][\w.+-]*)["'` ]|exec\.(?:Command|LookPath)\("([a-z][\w.+-]*)\"|\[["']([a-z][\w.+-]*)["'], ["']-{1,2}\w"""
)
# The same with a list of arguments, where nothing else could be meant.
SURELY_STARTS = re.compile(r"""\b\w*(?:[Ee]xec|[Ss]pawn)\w*\(\s*["'`]([a-z][\w.+-]*)["'`]\s*,\s*\[""")
# How code starts a browser: Selenium by a driver, the others by themselves.
DRIVER = re.compile(r"\bwebdriver\.Chrome\(|\.forBrowser\(")
LAUNCHER = re.compile(r"\b(?:playwright|puppeteer|patchright|chrome-launcher)\b")
LAUNCHES = re.compile(r"\.launch(?:PersistentContext|_persistent_context)?\(|\b(?:CHROME_PATH|CHROME_BIN|PUPPETEER_EXECUTABLE_PATH)\b")
STARTS_NODE = re.compile(r"""["'](?:node|npx)["']""")
A_PROGRAM = re.compile(r"(?<![\w/.@+-])[a-z][\w+-]*(?![\w/@+-]|\.\w)")  # in prose
CLIENT = re.compile(
    r"\bfetch\(|\baxios\b|\bgot[.(]|\bundici\b|\b(?:https?|request)\.(?:get|request|post)\(|\brequests\.|\bhttpx\b|\baiohttp\b|\burlopen\b|\burllib3\b|\bfeedparser\b"
)
ADDRESS = re.compile(r"""["'`]https?://((?:[a-z0-9-]+\.)+[a-z]{2,})(?=[/:"'`?])(?!/(?:[\w-]+/)?ns\b)""")  # no namespace of XML
# What surely is asked: an address in the call of a client, or behind a name of where a service is.
ASKED = re.compile(
    r"""(?:\b(?:fetch|get|post|put|patch|delete|head|request|urlopen|got|axios|create|stream|URL|\w*(?:Client|Session|fetch|Request|request))\(\s*(?:\{\s*)?(?:["'][A-Z]+["'],\s*)?"""
    r"""|\b(\w*)["']?\]?(?:\s*:\s*[\w.| ]+)?\s*[=:,]\s*(?:\w+=)?(?:[^\n;=,"'`]{0,60}(?:["']\w+["'][\])]*)?\s*(?:\|\||\?\?|\bor\b)\s*)?)[fr]?(?="""
    + ADDRESS.pattern
    + ")"
)
AN_API = re.compile(r"\bapis?\b")  # in a host
OF_A_SERVICE = re.compile(
    r"(?:base|api|endpoint|server|service|host|root)(?:_?(?:ur[il]|host|root|base|domain|address))?s?\d*$", re.IGNORECASE
)
NO_SERVICE = re.compile(
    r"(^|\.)(example\.(com|org|net)|dotenvx\.com|yargs\.js\.org|iana\.org|w3\.org|json-schema\.org|schema\.org|npmjs\.(com|org)|nodejs\.org|python\.org|github\.com|gitlab\.com|githubusercontent\.com|modelcontextprotocol\.io|mozilla\.org|ietf\.org|openxmlformats\.org|microsoft\.com|purl\.org|zod\.dev|pydantic\.dev|gofastmcp\.com|wikipedia\.org|stackoverflow\.com|opensource\.org|apache\.org|astral\.sh)$|(^|[.-])(example|dummy|evil|test|foo|my|your|acme|mysite)[.-]|^(registry|pypi|fonts|schemas?|docs?|www\.docs|developers?|help|support|console|blog)\."
)
MOST_HOSTS = 8
A_SHIM = 4000  # bytes of code
BIG = 32 << 20  # bytes: weights of models and the like, which name no variable
SERVER = Path("/opt/server")  # where packages are, with all that they use
SOURCES = (".js", ".mjs", ".cjs", ".ts", ".mts", ".py")
COMPILED = (".so", ".node", ".dll", ".jar", ".pyd", ".bin")
NOT_RUN = re.compile(r"/(?:__)?(?:tests?|benchmarks?|examples?|fixtures|docs)(?:__)?/|/\.(?:github|circleci|husky|vscode)/")
# What may be written for others, and is code of its own only where something imports it; and what imports, perhaps by a name that it makes.
FOR_OTHERS = re.compile(r"/(?:resources?|templates?|samples?|scaffold(?:s|ing)?|skeletons?|boilerplates?|snippets|starters?)/")
IMPORTS = re.compile(
    r"""^[ \t]*from\s+[\w.]+\s+import\s*(?:\([^)]*\)|[^\n]+)|^[ \t]*import\s+[\w., ]+|(?:\bfrom|\bimport|\brequire|import_module)\s*\(?\s*["'][^"'\n]+["']""",
    re.MULTILINE,
)
BY_ANY_NAME = re.compile(r"\bimport_module\(\s*(?:f[\"']|\w)|\b(?:iter_modules|walk_packages|spec_from_file_location)\b|\bimport\(\s*[`\w]")
A_TEST = re.compile(r"/(?:test|mock|conftest)s?[-_.][^/]*$|[-_.](?:tests?|spec|mock)\.\w+$")
# Of others, in the folder of a package itself.
VENDORED = re.compile(r"/(?:node_modules/(?:@[^/]+/)?|site-packages/)[^/]+/(?:.*/)?(?:_?vendor|site-packages)/")
# Of a script only those that begin a line, as a regular expression may have any quote in it; Python's strings are told apart from comments.
SCRIPT_COMMENT = re.compile(r"^[ \t]*(?://[^\n]*|/\*(?:(?!\*/)[^\n])*(?:\n[ \t]*\*(?!/)(?:(?!\*/)[^\n])*)*(?:\n?[ \t]*\*/)?)", re.MULTILINE)
PYTHON_TEXT = re.compile(
    r"""(?P<docs>^[ \t]*[rRuU]?(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}))|(?P<comment>\#[^\n]*)"""
    r"""|\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""",
    re.MULTILINE | re.DOTALL,
)
TO_GET_IT = re.compile(r"\bgit (?:clone|pull|checkout|submodule)\b")
EXAMPLE = re.compile(r"\.env[.-](?:example|sample|template)$|(?:example|sample)\.env$")
# What has that name in the code, and comes from elsewhere: an argument, say.
CONSTANT = re.compile(r"\b(?:const|let|var)\s+([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\s*=(?![^\n;]*\benv\b)")
RENAMED = re.compile(r"""\b(?:const|let|var)\s+([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\s*=[^\n;]*\benv(?:\.|\[["'])(?!\1\b)[A-Z]""")
README = re.compile(r"readme|METADATA$", re.IGNORECASE)  # a wheel has it in its metadata
HEADERS = re.compile(r"\AMetadata-Version:.*?(?:\n\n|\Z)", re.DOTALL)
NAMED = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", re.ASCII)  # also beside the letters of languages that have no blanks
AN_ERROR = re.compile(
    r"_(ERROR|EXCEPTION|FOUND|FAILED|FAILURE|INVALID|MISMATCH|DENIED|REFUSED|EXPIRED|UNREACHABLE|MISSING|REQUIRED)$"
)  # its code
# What stands before the variables of one program, where it reads all that begin so.
PREFIX = re.compile(r"""["'`]([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_)["'`]|[pP]refix\w*["']?\s*[=:(,]\s*["'`]([A-Z][A-Z0-9_]*)["'`]""")
SHOWN_ARGUMENTS = re.compile(r"""(?:["']?command["']?\s*[:=]\s*["']([^"'\n]*)["'],?\s*)?["']?args["']?\s*[:=]\s*(\[[^\[\]]*\])""")
# What is one if the README names it, too: what some function is called with (minified code has no `getenv`), a field of Python's settings.
PERHAPS_READ = re.compile(
    r"""[\w$]\(\s*["'`]([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)["'`]\s*[,)]|^[ \t]+([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)[ \t]*:[ \t]*(?:str|SecretStr|Optional|Any\w*Url|HttpUrl)\b""",
    re.MULTILINE,
)
TAKEN_APART = re.compile(r"\{([^{}]{0,2000})\}\s*=\s*process\.env\b")
A_FLAG = re.compile(r"""["'](--(?:mcp|mcp-server|stdio))["']""")  # by which its program is the server
# A package that is called like the protocol (mcp, fastmcp, @modelcontextprotocol/sdk), and how code speaks it without one.
OF_MCP = re.compile(r"/(?:node_modules|site-packages)/(?:@[^/]+/)?[^/]*(?:mcp|modelcontextprotocol)", re.IGNORECASE)
SPEAKS_MCP = re.compile(r"\bjsonrpc\b|\btools/list\b")
# The side of a client that code takes from an SDK; that of a server, or whatever another package called like the protocol has.
A_CLIENT = re.compile(
    r"""["']@modelcontextprotocol/(?:sdk/)?client["'/]|\b(?:from|import) (?:fast)?mcp\.client\b|\bfrom mcp import (?:\([^)]*|[^\n]*)\bClientSession\b"""
    r"""|\bfrom fastmcp import Client\b"""
)
A_SERVER = re.compile(
    r"""["']@modelcontextprotocol/(?:sdk/)?server["'/]|\bmcp\.server\b|\bfrom mcp import (?:\([^)]*|[^\n]*)\bserver\b|\b(?:Fast)?M[Cc][Pp]Server\b|\bFastMCP\b"""
    r"""|(?:\bfrom|\bimport|\brequire)\s*\(?\s*["'](?!@modelcontextprotocol/)(?:@[\w.-]+/)?[\w-]*mcp"""
)


class Variables(NamedTuple):
    """What a package's files say of its configuration; the fields are those of a `Report`."""

    reads: list[str]
    documented: list[str]
    shown: list[list[str]]
    published: list[Variable]
    misspelt: list[str]
    installs: list[str]
    withs: list[str]
    program: str
    login: str
    browser: str
    platform: str
    elsewhere: str
    home: str
    starts: list[str]
    speaks_to: list[str]
    speaks_mcp: bool
    is_client: bool
    options: dict[str, str]
    drives: str
    about: str
    installer: str
    flag: str


def variables(package: str, root: Path | None = None) -> Variables:
    """The variables that the code of a package asks for (of its own files, and not of what it uses), which of them its README names, and with
    which arguments that shows it. What the README names counts as asked for, too, where the code hands it to a function, or has its prefix,
    where it stands in an executable, or a client's configuration has it.
    What may be left out and stands nowhere in the code, nor in that of what it uses, is somebody else's."""
    found: set[str] = set()
    spelt: set[str] = set()
    perhaps: set[str] = set()
    prefixes: set[str] = set()
    constants: set[str] = set()
    renamed: set[str] = set()
    started: set[str] = set()
    certain: set[str] = set()
    kept: set[str] = set()
    flags: set[str] = set()
    hosts: dict[str, None] = {}
    options: dict[str, str] = {}
    longs: dict[str, str] = {}  # of options: their longer names
    switches: set[str] = set()
    alternatives: set[tuple[str, str]] = set()
    alone: set[str] = set()  # what is read without another before it
    behind: dict[str, str] = {}  # what is taken where a variable is not set
    bare: set[str] = set()  # what is read with nothing behind it
    drives: set[str] = set()
    is_client = is_server = False
    own = _files(package, root or SERVER)
    sources = [one for one in own if one.suffix in SOURCES and not (NOT_RUN.search(str(one)) or VENDORED.search(str(one)))][:FILES]
    if any(
        "/site-packages/" in str(path) and "/node_modules/" not in str(path) for path in own
    ):  # its scripts are for browsers, unless it starts Node
        python = [path for path in sources if path.suffix == ".py"]
        sources = python if python and not any(STARTS_NODE.search(_text(path)) for path in python) else sources
    sources = _reached(sources)
    for path in sources:
        code = _code(path)
        read = asked_for(code)
        found |= read
        spelt.update(NAMED.findall(code))
        options = {option: name for option, name in OPTION.findall(code) if _is_spoken_of(option, name)} | options
        longs = long_options(code) | longs
        switches.update(A_SWITCH.findall(code))
        values, rest = behind_them(code)
        behind = values | behind
        bare |= asked_for(rest) if values else read
        pairs = [tuple(filter(None, pair)) for pair in OR_ELSE.findall(code)]
        alternatives.update((one, other) for one, other in pairs if one != other)
        alone |= asked_for(OTHERWISE.sub("", code)) if pairs else read
        perhaps.update(one for pair in PERHAPS_READ.findall(code) for one in pair if one)
        prefixes.update(f"{one.rstrip('_')}_" for pair in PREFIX.findall(code) for one in pair if one)
        constants.update(CONSTANT.findall(code))
        is_client, is_server = is_client or bool(A_CLIENT.search(code)), is_server or bool(A_SERVER.search(code))
        is_counting = bool(OF_TELEMETRY.search(str(path)))
        kept.update(() if is_counting else at_home(code))
        if DRIVER.search(code):
            drives.add("chromium-driver")
        elif LAUNCHER.search(code) and LAUNCHES.search(code):
            drives.add("chromium-headless-shell")
        flags.update(A_FLAG.findall(code))
        renamed.update(RENAMED.findall(code))
        started.update(name for pair in STARTS.findall(code) for name in pair if name and not A_TEST.search(str(path)))
        certain.update(SURELY_STARTS.findall(code) if path.suffix != ".py" and not A_TEST.search(str(path)) else ())
        if not is_counting and CLIENT.search(PYTHON_TEXT.sub("", code) if path.suffix == ".py" else code):
            hosts.update(dict.fromkeys(filter(AN_API.search, ADDRESS.findall(code))))
            hosts.update(dict.fromkeys(host for name, host in ASKED.findall(code) if not name or OF_A_SERVICE.search(name)))
    constants -= found | perhaps
    readme, programs = "\n".join(map(_text, _at_the_top(own, README))), _programs(package, root or SERVER)
    named = set(NAMED.findall(readme))
    environment = "\n".join(map(_text, _at_the_top(own, EXAMPLE)))
    described = next((_text(path) for path in own if path.name == "server.json"), "")
    said = published.variables(readme, package, environment, described)
    said = [one for one in said if one["name"] not in constants]
    absent = {one["name"] for one in said if not (one["name"] in spelt or one["name"].startswith(tuple(prefixes)))}
    absent -= _spelt(absent, sources, own) if absent else set()
    misspelt = sorted(one["name"] for one in said if one["name"] in absent | (renamed - found) and one["needed"])
    said = [one for one in said if one["name"] not in absent or one["needed"]]
    found |= {one["name"] for one in said if one["shown"]} | {name for name in named & perhaps if not AN_ERROR.search(name)}
    defaults = {name: value for name, value in behind.items() if name not in bare and not (is_blank(value) or OF_NOBODY.search(value))}
    defaults = dict.fromkeys(switches, "false") | defaults
    for one in said:
        value = defaults.get(one["name"], "")
        is_chosen = one["first"] and one["value"] != value and A_CHOICE.fullmatch(one["value"]) and A_CHOICE.fullmatch(value)
        is_told = one["needed"] and one["said"]  # that it is required, whatever its code does without
        one["default"] = one["default"] or ("" if is_chosen or is_told else value)
    known = {one["name"] for one in said}
    said += [published.left_out(name, value) for name, value in defaults.items() if name not in known and not ON_ITSELF.search(value)]
    unread = named - found
    alternatives |= {(one, last) for one, other in alternatives for first, last in alternatives if other == first}
    found -= {
        other
        for one, other in alternatives
        if one in found and other not in alone | (known if one in known else named) and (one in named or is_secret(one) >= is_secret(other))
    }
    found -= {one for one, other in alternatives if other in found and one not in named and other in named}
    compiled = {name for path in own if unread and _is_executable(path) for name in _in_executable(path, unread)}
    found |= compiled | {name for name in unread if name.startswith(tuple(prefixes))}
    longs = long_options(readme) | longs
    shown = shown_arguments(readme + client_examples.in_links(readme), package, programs)
    return Variables(
        sorted(found),
        sorted(found & named - published.only_elsewhere(readme)),
        [[longs.get(word, word) for word in words] for words in shown],
        said,
        misspelt,
        [one for one in readmes.installs(readme) if one != package],
        [one for one in readmes.withs(readme) if not _is_installed(root or SERVER, one)],
        readmes.program(readme, programs),
        readmes.login(readme, [package, *programs]),
        readmes.browser(readme),
        readmes.platform(readme),
        readmes.elsewhere(readme),
        readmes.home("\n".join([readme, *(f"It stores ~/{path}" for path in sorted(kept))]), package)
        or next(filter(OF_A_DESK.match, sorted(kept)), ""),
        sorted(started & set(A_PROGRAM.findall(TO_GET_IT.sub("", readme))) | certain),
        [host for host in hosts if not NO_SERVICE.search(host)][:MOST_HOSTS],
        not sources or _speaks_mcp(sources, own),
        is_client and not is_server,
        options,
        min(drives, default=""),
        readmes.about(HEADERS.sub("", readme)),
        _installer(own),
        min(flags, default=""),
    )


def _reached(sources: list[Path]) -> list[Path]:
    """Without the files that its code only hands on: those of templates and the like that nothing else of it imports."""
    reached = [path for path in sources if not FOR_OTHERS.search(str(path))]
    rest, new = [path for path in sources if path not in {*reached}] if reached else [], reached
    while rest and new:
        codes = [_text(path) for path in new]
        if any(map(BY_ANY_NAME.search, codes)):
            return sources
        named = {word for code in codes for line in IMPORTS.findall(code) for word in re.findall(r"[\w-]+", line)}
        new = [path for path in rest if (path.parent.name if path.stem in ("__init__", "index") else path.stem) in named]
        rest = [path for path in rest if path not in new]
    return [path for path in sources if path not in {*rest}] if rest else sources


def behind_them(code: str) -> tuple[dict[str, str], str]:
    """The values that code has for variables that nobody sets, and the code without these reads: who reads one elsewhere may want it."""
    found: dict[str, str] = {}
    texts: dict[str, str] = {}  # of constants; a package may have any number of them

    def text_of(constant: str) -> str:
        if constant not in texts and len(texts) < MANY:
            own = re.escape(constant)
            named = re.search(rf"""{own}(?<![\w$.]{own})\s*(?::\s*\w+\s*)?=\s*["'`]([^"'`\n]+)["'`]""", code)
            texts[constant] = named[1] if named else constant if re.fullmatch(r"[A-Z][A-Z0-9_]+", constant) else ""
        return texts.get(constant, "")

    def taken(one: re.Match[str]) -> str:
        name, text, number, constant = one.groups()
        value = text or number or text_of(constant)
        if not value or NO_VALUE.match(value):
            return one[0]
        found.setdefault(name, value)
        return f"'{value}'"

    for pattern in (*BEHIND_IT, *BEHIND_IT[:1] * 3):  # one behind the other: A || B || "x"
        code = pattern.sub(taken, code)
    return found, code


def at_home(code: str) -> set[str]:
    """The folders of a home that code makes or writes in: mkdir(join(homedir(), ".config", "it")), open(f"{Path.home()}/.it/db", "w"); also by a name
    that stands for the first part of them, or for all."""
    code = OF_NO_USE.sub("", code)
    for kind, place in OF_A_HOME:
        code = re.sub(rf"\b(?:xdg_{kind}_home\(\)|user_{kind}_(?:dir|path)\()", f'Path.home() / "{place}" ', code)
    named = {name: _place(first) for pattern in (HOME_NAMED, HOME_RETURNED) for name, first in pattern.findall(code)[:MANY]}
    for _ in range(2):  # const home = …, folder = join(home, ".it"), file = join(folder, "it.json")
        every = "|".join(named)
        for name, first, rest in (
            re.findall(rf"\b(\w{{2,}})(?:\s*:\s*\w+)?\s*=\s*[^\n;=]{{0,60}}?\b({every})\b([^\n;]{{0,80}})", code) if every else ()
        ):
            named.setdefault(name, _place(rest, named[first]))
    found = set()
    for text in ("".join(one) for one in WRITES.findall(code)):
        found |= {_place(following) for following in AT_HOME.findall(text)}
        found |= {_place(text.partition(name)[2], named[name]) for name in named.keys() & set(re.findall(r"\w+", text))}
    return found - {""}


def _place(following: str, first: str = "") -> str:
    """The folder that the texts behind a home make, or behind the `first` part of them."""
    path = "/".join([first, *re.findall(r"""["'`}](?:~?/)?([\w.-]*\w[\w./-]*)(?=["'`])""", following)]).strip("/")
    return re.sub(r"(?<=\w)/[^/]*\.\w+$", "", path)


def long_options(text: str) -> dict[str, str]:
    """Of options that a text has by two names: the longer one, which says more."""
    return {short or last: long or first for short, long, first, last in SHORT_AND_LONG.findall(text)}


def _is_spoken_of(option: str, name: str) -> bool:
    """Whether they have a word in common: --auth-token and SITE_TOKEN, not --port and A_KEY."""
    return bool(set(option.upper().lstrip("-").split("-")) & set(name.split("_")))


def _speaks_mcp(sources: list[Path], own: list[Path]) -> bool:
    """Whether its own code does, or what is installed beside it, as the name of that says or its code. What is compiled may do so."""
    if any(path.suffix in COMPILED or _is_executable(path) for path in own) or any(SPEAKS_MCP.search(_text(path)) for path in sources):
        return True
    known = set(own)
    others = [
        path
        for folder, _, files in os.walk(SERVER)
        for name in files
        if name.endswith((*SOURCES, *COMPILED)) and (path := Path(folder, name)) not in known
    ]
    return any(OF_MCP.search(str(path)) for path in others) or any(
        path.suffix in SOURCES and "tools/list" in _text(path) for path in others
    )


def _at_the_top(paths: list[Path], name: re.Pattern[str]) -> list[Path]:
    """The files of such a name that lie highest: those below are of parts that may be something else."""
    found = [path for path in paths if name.match(path.name)]
    least = min((len(path.parts) for path in found), default=0)
    return [path for path in found if len(path.parts) == least]


def _spelt(names: set[str], sources: list[Path], own: list[Path]) -> set[str]:
    """Those that stand in the code, if only as fields (siteUrl, site_url) or the end of a pattern, or in that of what it uses; all of them where the code cannot be read."""
    if not sources or any(path.suffix in COMPILED or _is_executable(path) for path in own):
        return names
    found: set[str] = set()
    for path in sources:
        code = _text(path)
        fields = code.lower().replace("_", "")
        found |= {name for name in names - found if name.lower().replace("_", "") in fields or f"}}_{name.partition('_')[2]}" in code}
    for folder, _, files in os.walk(SERVER) if names - found else ():
        for path in (Path(folder, name) for name in files if name.endswith((*SOURCES, *COMPILED))):
            with suppress(OSError, ValueError):  # an empty file cannot be mapped
                found |= _in_executable(path, names - found) if path.stat().st_size < BIG else set()
        if names <= found:
            break
    return found


def shown_arguments(readme: str, package: str, programs: Collection[str] = ()) -> list[list[str]]:
    """What follows the package (by its name, or one that says as much) in the `args` of clients' configurations that a text shows, or all of
    these where one of its `programs` is the `command`."""
    found: list[list[str]] = []
    for before, text in SHOWN_ARGUMENTS.findall(readme):
        try:
            words = [str(one) for one in json.loads(re.sub(r",\s*\]", "]", text))]
        except ValueError:
            continue
        words = [package, *words] if before in programs else words
        own = [at for at, word in enumerate(words) if _is_same_package(word, package)]
        if own:  # options of uvx may name it, too
            at = own[-1] + (2 if words[own[-1] - 1 : own[-1]] == ["--from"] else 1)
            at += 2 if words[at : at + 1] == ["--"] else 0  # npx --package IT -- PROGRAM
            by_http = client_examples.SERVES.search(" ".join(words)) or any(word.startswith("--port") for word in words)
            found += [words[at:]] if words[at:] not in found and not by_http else []
    return found[:5]


def _is_same_package(word: str, package: str) -> bool:
    """Whether a word names it: perhaps with a version, with extras, or as it was called before (server-it of server-it-mcp)."""
    one, other = (re.sub(r"(?<=.)@[^/]*$|==.*$|\[.*\]$", "", name).lower().replace("_", "-").replace(".", "-") for name in (word, package))
    return one == other or (len(one) > 5 and f"{other}-".startswith(f"{one}-")) or one.startswith(f"{other}-")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path.stat().st_size < 6 << 20 else ""
    except OSError:
        return ""


def _code(path: Path) -> str:
    """Without its comments and the strings that only document it: what they show is an example."""
    text = _text(path)
    if path.suffix != ".py":
        return SCRIPT_COMMENT.sub("", text)
    return PYTHON_TEXT.sub(lambda found: "" if found["docs"] or found["comment"] else found[0], text)


def _is_executable(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return path.suffix not in (".node", ".so") and file.read(4) == b"\x7fELF"
    except OSError:
        return False


def _in_executable(path: Path, names: set[str]) -> set[str]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as code:
        return {name for name in names if code.find(name.encode()) >= 0 or code.find(name.encode("utf-16-le")) >= 0}


def asked_for(code: str) -> set[str]:
    """The variables of the environment that this code asks for, as its languages spell that."""
    if PUT_TOGETHER.search(code):
        code = PARTS.sub("", code)
    found = {name for pattern in READS for name in pattern.findall(code)}
    for names in TAKEN_APART.findall(code):
        found.update(re.findall(r"\b[A-Z][A-Z0-9_]{2,}\b", names))
    return found


def _files(package: str, root: Path, is_first: bool = True) -> list[Path]:
    """The files of a package; of npm with those of the packages that bring its executable for one kind of machine, of one that only
    starts the one package that it requires (it was renamed, say) with those of that."""
    if not package:
        return []
    node = root / "node_modules" / package
    if node.is_dir():
        return [
            path
            for folder in (node, *node.parent.glob(f"{node.name}-*"))
            for path in folder.rglob("*")
            if path.is_file() and "node_modules" not in path.relative_to(folder).parts
        ]
    if not (same := _distribution(package, root)):
        return []
    found = [Path(str(file.locate())) for file in same.files or []]
    needed = [one[0] for said in same.requires or [] if "extra ==" not in said and (one := re.match(r"[\w.-]+", said))]
    size = sum(path.stat().st_size for path in found if path.suffix in SOURCES and path.is_file())
    is_shim = is_first and len(needed) == 1 and size < A_SHIM
    return found + _files(needed[0], root, False) if is_shim else found


def _installer(own: list[Path]) -> str:
    """The script that npm would run when it installs the package, which is not done here; empty if there is none."""
    for path in _at_the_top(own, PACKAGE_JSON):
        with suppress(ValueError, AttributeError):
            scripts = json.loads(_text(path)).get("scripts") or {}
            return next((str(scripts[name])[:80] for name in ("preinstall", "install", "postinstall") if scripts.get(name)), "")
    return ""


def _is_installed(root: Path, package: str) -> bool:
    """Whether that package of PyPI is there, whoever brought it."""
    return any(root.glob(f"lib/python*/site-packages/{re.sub(r'[-_.]+', '_', package.partition('[')[0]).lower()}-*.dist-info"))


def _programs(package: str, root: Path) -> list[str]:
    """What it installs, by the names that stand in its own files."""
    if installed := _distribution(package, root):
        return [one.name for one in installed.entry_points if one.group == "console_scripts"]
    try:
        listed = json.loads(_text(root / "node_modules" / package / "package.json") or "{}").get("bin") or {}
    except (ValueError, AttributeError):
        return []
    return list(listed) if isinstance(listed, dict) else [package.rpartition("/")[2]]


def _distribution(package: str, root: Path) -> Distribution | None:
    """What Python knows of it."""
    places = [str(place) for place in (root / "lib").glob("python*/site-packages")]
    name = re.sub("[-_.]+", "-", package).lower()
    return next((one for one in distributions(path=places) if re.sub("[-_.]+", "-", one.name).lower() == name), None)
