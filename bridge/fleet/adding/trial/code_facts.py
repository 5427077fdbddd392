"""What the code of a package says: which variables it asks for and what it does without them, what it keeps, starts and asks. Pure: texts in, facts out."""

import re
from dataclasses import dataclass, field
from pathlib import Path

MOST = 200  # names of one file that stand for something else, of which it is enough to know some
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
# A home, what is put behind it, and that files are written.
_HOME = r"(?:\bhomedir\(\)|\bPath\.home\(\)|\bexpanduser\(|\benv\.HOME\b)"
AT_HOME = re.compile(rf"{_HOME}(?=([^\n;]{{1,80}}))")
HOME_NAMED = re.compile(rf"\b(\w{{2,}})(?:\s*:\s*\w+)?\s*=\s*[^\n;=]{{0,60}}?{_HOME}([^\n;]{{0,80}})")
HOME_RETURNED = re.compile(rf"\b(?:def|function)\s+(\w{{3,}})\([^\n]*\n\s*return [^\n;]{{0,60}}?{_HOME}([^\n;]{{0,80}})")
OF_NO_USE = re.compile(r"\b(?:\w+_)?(?:logs?|cache|te?mp)_?(?:dir|path|file|folder)\w*\s*[:=][^\n;]{0,200}", re.IGNORECASE)
OF_TELEMETRY = re.compile(r"/(?:telemetry|analytics)(?:/|[._-][^/]*$)")  # code that keeps and asks nothing that a server is for
# What libraries call the places of a home (XDG).
OF_A_HOME = (("data", ".local/share"), ("state", ".local/state"), ("config", ".config"))
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
A_TEST = re.compile(r"/(?:test|mock|conftest)s?[-_.][^/]*$|[-_.](?:tests?|spec|mock)\.\w+$")
# Of a script only those that begin a line, as a regular expression may have any quote in it; Python's strings are told apart from comments.
SCRIPT_COMMENT = re.compile(r"^[ \t]*(?://[^\n]*|/\*(?:(?!\*/)[^\n])*(?:\n[ \t]*\*(?!/)(?:(?!\*/)[^\n])*)*(?:\n?[ \t]*\*/)?)", re.MULTILINE)
PYTHON_TEXT = re.compile(
    r"""(?P<docs>^[ \t]*[rRuU]?(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}))|(?P<comment>\#[^\n]*)"""
    r"""|\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""",
    re.MULTILINE | re.DOTALL,
)
# What has that name in the code, and comes from elsewhere: an argument, say.
CONSTANT = re.compile(r"\b(?:const|let|var)\s+([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\s*=(?![^\n;]*\benv\b)")
RENAMED = re.compile(r"""\b(?:const|let|var)\s+([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\s*=[^\n;]*\benv(?:\.|\[["'])(?!\1\b)[A-Z]""")
NAMED = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", re.ASCII)  # also beside the letters of languages that have no blanks
AN_ERROR = re.compile(
    r"_(ERROR|EXCEPTION|FOUND|FAILED|FAILURE|INVALID|MISMATCH|DENIED|REFUSED|EXPIRED|UNREACHABLE|MISSING|REQUIRED)$"
)  # its code
# What stands before the variables of one program, where it reads all that begin so.
PREFIX = re.compile(
    r"""["'`]([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_)["'`]|[pP]refix\w*["']?\s*[=:(,]\s*["'`]([A-Z][A-Z0-9_]*)["'`]"""
    r"""|env(?:iron)?(?:\.get)?\s?[(\[]\s?(?:f["']|`)([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_)\$?\{"""
)
# What is one if the README names it, too: what some function is called with (minified code has no `getenv`), a field of Python's settings.
PERHAPS_READ = re.compile(
    r"""[\w$]\(\s*["'`]([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)["'`]\s*[,)]|^[ \t]+([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)[ \t]*:[ \t]*(?:str|SecretStr|Optional|Any\w*Url|HttpUrl)\b""",
    re.MULTILINE,
)
TAKEN_APART = re.compile(r"\{([^{}]{0,2000})\}\s*=\s*process\.env\b")
A_FLAG = re.compile(r"""["'](--(?:mcp|mcp-server|stdio))["']""")  # by which its program is the server
# The side of a client that code takes from an SDK; that of a server, or whatever another package called like the protocol has.
A_CLIENT = re.compile(
    r"""["']@modelcontextprotocol/(?:sdk/)?client["'/]|\b(?:from|import) (?:fast)?mcp\.client\b|\bfrom mcp import (?:\([^)]*|[^\n]*)\bClientSession\b"""
    r"""|\bfrom fastmcp import Client\b"""
)
A_SERVER = re.compile(
    r"""["']@modelcontextprotocol/(?:sdk/)?server["'/]|\bmcp\.server\b|\bfrom mcp import (?:\([^)]*|[^\n]*)\bserver\b|\b(?:Fast)?M[Cc][Pp]Server\b|\bFastMCP\b"""
    r"""|(?:\bfrom|\bimport|\brequire)\s*\(?\s*["'](?!@modelcontextprotocol/)(?:@[\w.-]+/)?[\w-]*mcp"""
)


@dataclass
class Code:
    """What is known of a package by its sources, which it takes one after the other."""

    reads: set[str] = field(default_factory=set)  # variables that it asks for
    bare: set[str] = field(default_factory=set)  # of these: with nothing behind it, somewhere
    alone: set[str] = field(default_factory=set)  # of these: without another before it, somewhere
    behind: dict[str, str] = field(default_factory=dict)  # what is taken where a variable is not set
    switches: set[str] = field(default_factory=set)  # variables that are off if they are not set
    alternatives: set[tuple[str, str]] = field(default_factory=set)  # the second is read where the first has no value
    spells: set[str] = field(default_factory=set)  # all names that might be those of variables
    perhaps: set[str] = field(default_factory=set)  # of these: the variables, if a README names them, too
    constants: set[str] = field(default_factory=set)  # names of what does not come from a variable
    renamed: set[str] = field(default_factory=set)  # names of what comes from a variable of another name
    prefixes: set[str] = field(default_factory=set)  # with which its variables may begin
    options: dict[str, str] = field(default_factory=dict)  # of its command line, and the variables that stand for them
    longs: dict[str, str] = field(default_factory=dict)  # the longer names of options
    flags: set[str] = field(default_factory=set)  # options that make its program the server
    keeps: set[str] = field(default_factory=set)  # folders of a home that it makes or writes in
    perhaps_starts: set[str] = field(default_factory=set)  # programs, if a README names them, too
    starts: set[str] = field(default_factory=set)  # programs, by a call that can mean nothing else
    drives: set[str] = field(default_factory=set)  # the Debian package or the build of the browser that it starts
    asks: dict[str, None] = field(default_factory=dict)  # hosts, in the order of the code
    is_client: bool = False  # it has a client of MCP
    is_server: bool = False  # and perhaps a server

    def take(self, path: Path, text: str) -> None:
        """Adds what one more file says."""
        code = _without_comments(path, text)
        self._take_variables(code)
        self._take_names(code)
        self._take_programs(code, path)
        self.is_client = self.is_client or bool(A_CLIENT.search(code))
        self.is_server = self.is_server or bool(A_SERVER.search(code))
        if not OF_TELEMETRY.search(str(path)):
            self.keeps |= at_home(code)
            self.asks |= _asked_hosts(code, path)

    def _take_variables(self, code: str) -> None:
        read = asked_for(code)
        values, rest = behind_them(code)
        pairs = [tuple(filter(None, pair)) for pair in OR_ELSE.findall(code)]
        self.reads |= read
        self.bare |= asked_for(rest) if values else read
        self.alone |= asked_for(OTHERWISE.sub("", code)) if pairs else read
        self.behind = values | self.behind
        self.switches.update(A_SWITCH.findall(code))
        self.alternatives.update((one, other) for one, other in pairs if one != other)

    def _take_names(self, code: str) -> None:
        self.spells.update(NAMED.findall(code))
        self.perhaps.update(one for pair in PERHAPS_READ.findall(code) for one in pair if one)
        self.constants.update(CONSTANT.findall(code))
        self.renamed.update(RENAMED.findall(code))
        self.prefixes.update(f"{one.rstrip('_')}_" for pair in PREFIX.findall(code) for one in pair if one)
        self.options = {option: name for option, name in OPTION.findall(code) if _is_spoken_of(option, name)} | self.options
        self.longs = long_options(code) | self.longs
        self.flags.update(A_FLAG.findall(code))

    def _take_programs(self, code: str, path: Path) -> None:
        if not A_TEST.search(str(path)):
            self.perhaps_starts.update(name for pair in STARTS.findall(code) for name in pair if name)
            self.starts.update(SURELY_STARTS.findall(code) if path.suffix != ".py" else ())
        if DRIVER.search(code):
            self.drives.add("chromium-driver")
        elif LAUNCHER.search(code) and LAUNCHES.search(code):
            self.drives.add("chromium-headless-shell")


def _without_comments(path: Path, text: str) -> str:
    """Nor the strings that only document it: what they show is an example."""
    if path.suffix != ".py":
        return SCRIPT_COMMENT.sub("", text)
    return PYTHON_TEXT.sub(lambda found: "" if found["docs"] or found["comment"] else found[0], text)


def _asked_hosts(code: str, path: Path) -> dict[str, None]:
    """Those that it has a client for: all that are called an API, and those that stand where an address is asked."""
    if not CLIENT.search(PYTHON_TEXT.sub("", code) if path.suffix == ".py" else code):
        return {}
    apis = filter(AN_API.search, ADDRESS.findall(code))
    services = (host for name, host in ASKED.findall(code) if not name or OF_A_SERVICE.search(name))
    return dict.fromkeys([*apis, *services])


def asked_for(code: str) -> set[str]:
    """The variables of the environment that this code asks for, as its languages spell that."""
    code = PARTS.sub("", code) if PUT_TOGETHER.search(code) else code
    taken = " ".join(TAKEN_APART.findall(code))
    return {name for pattern in READS for name in pattern.findall(code)} | set(re.findall(r"\b[A-Z][A-Z0-9_]{2,}\b", taken))


def behind_them(code: str) -> tuple[dict[str, str], str]:
    """The values that code has for variables that nobody sets, and the code without these reads: who reads one elsewhere may want it."""
    found: dict[str, str] = {}
    texts: dict[str, str] = {}  # of constants; a package may have any number of them

    def text_of(constant: str) -> str:
        if constant not in texts and len(texts) < MOST:
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
    named = {name: _place(first) for pattern in (HOME_NAMED, HOME_RETURNED) for name, first in pattern.findall(code)[:MOST]}
    for _ in range(2):  # const home = …, folder = join(home, ".it"), file = join(folder, "it.json")
        every = "|".join(named)
        again = rf"\b(\w{{2,}})(?:\s*:\s*\w+)?\s*=\s*[^\n;=]{{0,60}}?\b({every})\b([^\n;]{{0,80}})"
        for name, first, rest in re.findall(again, code) if every else ():
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
