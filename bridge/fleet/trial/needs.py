"""What a server says that it lacks: variables, and what could stand in their place; programs; an account. Pure."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from math import inf
from typing import Any

from bridge.fleet.draft import holds_secret
from bridge.fleet.engines import reason
from bridge.fleet.parts import OF_A_BROWSER
from bridge.fleet.sdks import SDKS
from bridge.fleet.trial import usage
from bridge.fleet.trial.calls import NO_KEY, NO_NETWORK, line_of, parts, with_underscores
from bridge.fleet.trial.container import Seen
from bridge.fleet.trial.published import BY_HAND
from bridge.fleet.trial.witness import AN_ERROR, LISTENING, NAMED

WANTS = re.compile(
    r"require|missing|must|not (been )?(set|found|provided|defined|configured)|\bset\b|provide|need|environment|undefined|export|KeyError|empty|invalid|specify|expected|configure",
    re.IGNORECASE,
)
NOT_ENGLISH = re.compile(r"[^\W\d_A-Za-z]")  # the letters of other languages, whose words for that nobody lists
NO_VARIABLE = re.compile(
    r"^KUBERNETES_MASTER$|^(ERR|MODULE|NODE|PYTHON|UV|NPM|SSL|HTTP|HTTPS|NO|EAI|MCP_BRIDGE|LD|LC|JSON|JSON_RPC|METHOD|INVALID|CERT|FASTMCP)_|_EXPORTED$"
    r"|(^|_)(ALLOW|DISABLE|ENABLE|SKIP|FORCE|DEBUG|VERBOSE|INSECURE)(_|$)"  # a switch: advice, and no need
)
# What one may set, and need not.
ADVICE = re.compile(
    r"\bto (?:limit|filter|restrict|reduce|narrow|enable|disable|silence|suppress|change|override|customi[sz]e|opt out)\b", re.IGNORECASE
)
# Among what a complaint wants to be set.
SAID_TO_BE_OPTIONAL = re.compile(
    r"\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?=\W{1,4}(?i:optional)\b)|(?<=[Ll]eave )([A-Z][A-Z0-9_]+)(?= empty| unset)"
    r"|\b(?i:also|optionally) (?:set|use|provide) (?:the )?[`'\"]?([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)"
)
MISTAKE = re.compile(r"error|exception|must|require|missing|cannot|failed|invalid|not |\bexpired\b", re.IGNORECASE)
DENIAL = re.compile(r"\b(no|without|only|usage)\b", re.IGNORECASE)
OR = re.compile(r"\b(?:or|alternatively|otherwise)\b", re.IGNORECASE)
TOGETHER = re.compile(r"\band\b|&|\+|\bboth\b", re.IGNORECASE)
MOST_GUESSES = 4
PATH = re.compile(r"(^|_)(path|file_?name|file|dir|directory|folder)s?$")
A_LOCAL_FILE = re.compile(
    r"\bfile:|\b(local|absolute) (file|path)|\b(file|folder|directory) ?paths?\b|\bpaths? or ur[li]\b"
    r"|\bpath (to|of) (the |a |an |your )?[\w ./-]*(file|image|folder|directory|document|specification)\b",
    re.IGNORECASE,
)
# The same where a path may as well be one of an API: of a repository, a bucket, a page.
SURELY_HERE = re.compile(
    r"(^|_)(local_(path|file|dir)|(output|save|download)_?(dir|directory|folder|path|to)|(project|workspace|vault)_?(root|dir|directory|folder|path))(_|$)"
)
SAID_TO_BE_HERE = re.compile(
    r"\b(local|absolute)\b[\w -]{0,30}\b(path|file|folder|directory|image)\b|\bon (disk|this machine)\b", re.IGNORECASE
)
SAVES = re.compile(r"(^|_)(saved?|downloads?|exports?|outputs?|dest|destination|generate|write|backup)(_|$)")
SAID_TO_SAVE = re.compile(
    r"\b(?:saves?|writes?|stores?|persists?|stored|saved)\b[^.\n]{0,40}\s(?:to|in|into)\s(?:the |a )?[`'\"]?(\.env|(?:\./|~/)[\w./-]*\w)",
    re.IGNORECASE,
)
# A place that is not absolute, as a default: ./downloads, out.csv, ~/Pictures.
A_DEFAULT = re.compile(r"\bdefaults?(?: to| is|:|=)?[ `*\"'(:=]*((?:\./|~/)[\w./-]*\w)", re.IGNORECASE)
BELOW = re.compile(r"(?:\.|~|[\w-]+)(?:/[\w. -]+)*/?|[\w-]+\.\w+")
FLAG = re.compile(
    r"\b(?:requires?|must|use|pass|add|specify|set|provide|missing)\b[^'\"`\n]{0,40}?['\"`]?(--(?!help|version)[a-z][a-z0-9-]+)['\"`]?(?= flag|[.,;)'\"`]|$)",
    re.IGNORECASE,
)
NATIVE = re.compile(
    r"native addon|Could not locate the bindings file|No native build was found|Cannot find module '[^'\n]*\.node'|compiled against a different Node\.js version"
)
MODULE = re.compile(r"/opt/server/(?:.*/)?node_modules/((?:@[\w.-]+/)?[\w.-]+)/(?:build|prebuilds|lib/binding|out|bin)/")
PORT = re.compile(r"(?:\bport\W{1,3}|(?:\b[a-z][\w.-]*|(?:\d{1,3}\.){3}\d{1,3}|\]):(?=\d{3}))(\d{2,5})\b", re.IGNORECASE)
# The tools that need nobody to answer: whoever only has those does nothing yet.
ONLY_LIVES = re.compile(
    r"(^|_)(ping|echo|hello|version|(test|check|is)_connect(ion|ed)|((server|connection)_)?(health|status)(_check)?|api_key_status|(check|validate)_(api_)?(key|token))$",
    re.IGNORECASE,
)
ADDRESS = re.compile(r"(^|_)(HOST|HOSTNAME|UR[IL]|ENDPOINT|ADDR|ADDRESS|SERVER|BASE)($|_)")
OF_SOMEBODY = re.compile(r"UR[IL]|HOST|ENDPOINT|SERVER|ADDR|USER|ACCOUNT|ORG|TENANT|PROJECT|DATABASE|DB|DOMAIN")
A_LOGIN = re.compile(
    r"\b(api[ _-]?keys?|access[ _-]?token|credentials?|log ?in|authenticat\w+|unauthori[sz]ed|401)\b", re.IGNORECASE
)  # at somebody's
# In quotes, or behind a colon: Run `it login`. Please run: gh auth login
RUN_TO_LOG_IN = re.compile(
    rf"\b(?:run|execute|use)(?::\s+|:?\s+[`'\"])(?!npm |pnpm |yarn |make |pip |git |docker )"
    rf"((?:npx (?:-y )?|uvx )?[a-z@][\w@/.-]*(?: [a-z][\w-]*)? (?:{BY_HAND.pattern}))(?![\w-])",
    re.IGNORECASE,
)
BROKEN = re.compile(
    r"\b(Import|ModuleNotFound|Attribute|Syntax)Error\b|Cannot find (module|package)|ERR_MODULE_NOT_FOUND|does not provide an export"
)
ABSENT_MODULE = re.compile(r"No module named '(\w+)'")  # as a whole, not a part of one that is there
NEEDED_BY = re.compile(r"[rR]equire ?[sS]tack: ?\[?\s*(?:- |')?/opt/server/(?:\S*/)?node_modules/((?:@[\w.-]+/)?[\w.-]+)/")
# What pkg-config and compilers say that is missing, and the Debian packages that are not simply called so.
HEADERS = re.compile(r"No package '([\w.+-]+)' found|Package '?([\w.+-]+)'?(?:, required by .*,)? (?:was )?not found")
HEADERS_OF = {
    "cairo": "libcairo2-dev",
    "libusb-1.0": "libusb-1.0-0-dev",
    "pangocairo": "libpango1.0-dev",
    "libpng": "libpng-dev",
    "vips-cpp": "libvips-dev",
}
PROGRAM = re.compile(
    r"spawn (\S+) ENOENT"
    r"|No such file or directory: '([\w.+-]+)'"
    r"|exec: \"([\w.+-]+)\": executable file not found"
    r"|(?:^|[:\s])([\w.+-]+): (?:command )?not found\b"
    r"|(?:^|[:\s'`\"])(?!\w*(?:chrom|browser))([\w.+-]+)['`\"]? (?:executable|binary|CLI) (?:was )?not found\b",
    re.IGNORECASE,
)
# In prose, where only a known name is surely one.
PERHAPS_A_PROGRAM = re.compile(
    r"\b([\w.+-]+) (?:is not installed|(?:(?:command|binary|executable|program) )?(?:was )?not found in (?:the |your |system )*\$?PATH)\b"
    r"|\bis ([\w.+-]+) installed\b",
    re.IGNORECASE,
)
PATH_OF_A_PROGRAM = re.compile(r"\b([A-Z][A-Z0-9]+)_(?:PATH|BIN|BINARY|EXE|EXECUTABLE|CMD|COMMAND)\b")  # which an image has where all are
# A library of the system, by its file; Debian's package is called like it, with its version: libxcb.so.1 is in libxcb1.
LIBRARY = re.compile(r"\b(lib[\w+.-]+?)\.so\.(\d+): cannot open shared object file")
LIBRARY_OF = {"libglib-2.0": "libglib2.0-0", "libgthread-2.0": "libglib2.0-0", "libgobject-2.0": "libglib2.0-0", "libcairo": "libcairo2"}
A_PACKAGE = re.compile(r"[a-z][a-z0-9+-]{1,29}[a-z0-9]")  # `apt-get install x-` would remove x
NOT_OF_DEBIAN = {"bw", "docker", "gcloud", "helm", "lake", "op", "podman", "terraform", "tilt"}
OF_A_DESK = {
    "dbus-launch",
    "npm",
    "npx",
    "pnpm",
    "uv",
    "uvx",
    "xdg-open",
    "open",
    "start",
    "explorer",
    "osascript",
    "sudo",
    "pbcopy",
    "xclip",
}  # nothing that a container could have
# Tools of Python's that a server runs beside itself, by what is said where its environment has none: they are packages by these names.
PYTHONS = r"(pip|uv|build|virtualenv|pytest|ruff|black|mypy|pylint|flake8|isort|bandit|coverage|ipykernel|nbconvert)"
OF_PYTHON = re.compile(
    rf"\bNo module named '?{PYTHONS}\b(?!\.)|'-m', '{PYTHONS}', '(?!install|download|wheel)[^\]\n]*\]' returned non-zero"
    r"|No such file or directory: '(uv)x?'"
)
A_DRIVER = r"unable to obtain driver|chromedriver"  # Selenium's words
# What no package of npm or PyPI brings, by what is said where it is not there, and the way out.
NOT_IN_A_PACKAGE = (
    (
        re.compile(
            r"Executable doesn't exist at|playwright install|puppeteer browsers install|Failed to launch the browser"
            r"|(?:could not|cannot|can't|unable to) (?:find|locate|launch) (?:\w+ ){0,3}(?:chrom|browser|firefox)"
            r"|(?:chrom(?:e|ium)|browser)(?: [\w']+){0,2} (?:is |was )?not found|no (?:chrome installations|(?:local )?browser path) found"
            r"|`executablePath` or `channel` must be specified"
            rf"|\b(?:{'|'.join(OF_A_BROWSER)})\b.{{0,40}}(?:must be|not|required|missing)"
            rf"|{A_DRIVER}",
            re.IGNORECASE,
        ),
        "it wants a browser and does not find one: with `apt: [chromium]` there is /opt/browser/chromium, which an option or a variable of its own must tell it",
    ),
    (
        re.compile(
            r"(?:open|connect to) (?:X )?display|no display name|DisplayNameError|\$?\bDISPLAY\b.{0,30}(?:not set|variable)|KeyError: 'DISPLAY'"
        ),
        "it wants a desktop, which no container has: let it run beside yours, behind `mcp-bridge serve`, and add it by --url",
    ),
    (
        re.compile(r"\bdbus-launch\b|org\.freedesktop\.secrets|\bSecret Service\b|No recommended backend was available"),
        "it wants the keyring of a desktop, which no container has, for what it logs in with: a token by a variable of its own does without, or let it run on your desk, behind `mcp-bridge serve`, and add it by --url",
    ),
    (
        re.compile(
            r"/docker\.sock\b|docker daemon (?:is not )?running|connect to the docker daemon|docker(?: is|'s)? not (?:running|available)",
            re.IGNORECASE,
        ),
        "it wants a Docker engine: tell it one by its address (DOCKER_HOST?); the socket of yours would give it your machine, so rather let it run beside it, behind `mcp-bridge serve`, and add it by --url",
    ),
    (
        re.compile(
            r"Can't open lib '|no default driver specified|^libodbc2$(?![\s\S]*^(?:tdsodbc|odbc-\w+)$)|\bODBC (?:\w+ )?driver\b.{0,60}(?:not found|not installed)",
            re.IGNORECASE | re.MULTILINE,
        ),
        "it wants an ODBC driver, and its image has none: Debian's are `apt: [tdsodbc]` (FreeTDS, for SQL Server), odbc-postgresql and odbc-mariadb; a setting of its own names it",
    ),
    (
        re.compile(
            r"EOFError: EOF when reading a line|\bstdin is not a (?:tty|terminal)\b|\bnot a TTY\b|Inappropriate ioctl for device|prompt.{0,40}non-?interactive",
            re.IGNORECASE,
        ),
        "it wants an answer in a terminal, which no container has: has it a variable, an option or a file for that?",
    ),
)
# The ODBC drivers of Debian, by the databases, with what unixODBC calls them there.
ODBC = (
    (re.compile(r"mssql|sql_?server|azure_?sql|tdsodbc", re.IGNORECASE), "tdsodbc", "FreeTDS"),
    (re.compile(r"postgres", re.IGNORECASE), "odbc-postgresql", "PostgreSQL Unicode"),
    (re.compile(r"maria_?db|mysql", re.IGNORECASE), "odbc-mariadb", "MariaDB Unicode"),
)
# What a runtime says that would rather have a library of the system, and the variable by which it does without.
DOES_WITHOUT = ((re.compile(r"Couldn't find a valid ICU package"), {"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"}),)
# The Debian packages of the programs that servers start, where those are called otherwise, or a README names them only: PACKAGE=PROGRAM,PROGRAM
PACKAGES = """
7zip=7z,7za adb ansible-core=ansible,ansible-playbook awscli=aws azure-cli=az bind9-dnsutils=dig,nslookup
calibre=calibredb,ebook-convert curl default-jdk-headless=javac default-jre-headless=java default-mysql-client=mysql,mysqldump
ffmpeg=ffmpeg,ffprobe gdal-bin=gdalinfo,ogr2ogr gh ghostscript=gs git gnupg=gpg golang-go=go graphviz=dot,graphviz
imagemagick=convert,magick influxdb-client=influx iputils-ping=ping jq kubernetes-client=kubectl ldap-utils=ldapsearch
libimage-exiftool-perl=exiftool libreoffice-nogui=libreoffice,soffice librsvg2-bin=rsvg-convert libvirt-clients=virsh
libxml2-utils=xmllint make maven=mvn mercurial=hg mosquitto-clients=mosquitto_pub,mosquitto_sub mtr-tiny=mtr
net-tools=ifconfig,netstat netcat-openbsd=nc nmap nodejs=node openssh-client=scp,sftp,ssh,ssh-keygen pandoc pdftk-java=pdftk
php-cli=php poppler-utils=pdfimages,pdfinfo,pdftoppm,pdftotext,poppler postgresql-client=pg_dump,pg_restore,psql procps=pgrep,ps
qemu-utils=qemu-img r-base-core=rscript redis-tools=redis-cli ripgrep=rg,ripgrep rsync smartmontools=smartctl
snmp=snmpget,snmpwalk sqlite3 subversion=svn swi-prolog=swipl tesseract-ocr=tesseract texlive-latex-base=pdflatex traceroute
universal-ctags=ctags unzip webp=cwebp wget whois
"""
DEBIAN = {
    program: package
    for package, _, programs in (one.partition("=") for one in PACKAGES.split())
    for program in (programs or package).split(",")
}


def missing(seen: Seen) -> list[str]:
    """The variables that it says it cannot start without."""
    if seen.report["started"] or listens(seen):
        return []
    above = [line for line in seen.report["words"] if any(sdk.says.search(line) for sdk in SDKS)]  # its help may follow
    return _first([*_lines_of_its_end(seen), *above]) or _asked_for(seen) or _of_one_word(seen)


def missing_for_calls(seen: Seen) -> tuple[list[str], bool]:
    """The variables that failed calls name (or the log, if all failed), and whether no call works without: every one failed, and none of them
    only because it reached nobody."""
    asked = [name for call in seen.report["calls"] if call["complaint"] for name in _asked_for(seen, call["began"], call["ended"])]
    names, log = list(dict.fromkeys([*_first(_lines_of_its_calls(seen)), *asked])), " ".join(seen.report["words"])
    others = (call["complaint"] for call in seen.report["calls"] if not any(name in call["complaint"] for name in names))
    may_work = bool(names) and not any(name in log for name in names) and any(map(NO_NETWORK.search, others))
    return names, all_failed(seen) and not may_work


def instead(seen: Seen) -> list[str]:
    """The variables that it takes in the place of those."""
    lines = _lines_of_its_calls(seen) if seen.report["started"] else _lines_of_its_end(seen)
    first = _first(lines)
    return [name for name in dict.fromkeys(name for line in lines for group in _groups(line)[1:] for name in group) if name not in first]


def likely(seen: Seen, candidates: Collection[str]) -> list[str]:
    """Of the variables that its code reads: those that its last words speak of ("URL cannot be empty"); all if they are few."""
    text = " ".join(re.sub(r"[\W_]+", " ", line).lower() for line in _lines_of_its_end(seen))
    chosen = [name for name in candidates if re.search(rf"\b{_spoken(name)}\b", text)] or list(candidates)
    return chosen if len(chosen) <= MOST_GUESSES else []


def speaks_of(seen: Seen, names: Collection[str]) -> bool:
    """Whether its last words are about one of these variables, by whatever name, or about a login."""
    words = last_words(seen)
    plain = re.sub(r"[\W_]+", " ", words).lower()
    is_said = re.search(r"placeholder|\b40[13]\b", words) or NO_KEY.search(words) or A_LOGIN.search(words)
    return bool(is_said) or any(re.search(rf"\b{_spoken(name)}\b", plain) for name in names)


def flag(seen: Seen) -> str:
    """The option without a value that its last words ask for; empty if they ask for none."""
    return "" if seen.report["started"] else next((found[1] for found in FLAG.finditer(last_words(seen))), "")


def missed_options(seen: Seen) -> list[str]:
    """The options of its command that its calls want, where none works."""
    lines = _lines_of_its_calls(seen) if seen.report["started"] and all_failed(seen) else []
    return list(
        dict.fromkeys(
            one for line in lines if WANTS.search(line) for one in re.findall(r"(?<![\w-])--(?!help|version)[a-z][a-z0-9-]+", line)
        )
    )


def settings(seen: Seen) -> dict[str, str]:
    """The variables by which its runtime can do without what it did not find."""
    if seen.report["started"]:
        return {}
    return {
        name: value for line in seen.report["words"] for says, given in DOES_WITHOUT if says.search(line) for name, value in given.items()
    }


def listens(seen: Seen) -> bool:
    """Whether it waits for clients elsewhere than at its input: it lives, says an address or a port, and answers nothing."""
    words = " ".join([*seen.report["words"], *seen.report["help"]])
    return not seen.report["started"] and seen.report["why_not"].startswith("no answer within") and bool(LISTENING.search(words))


def port(seen: Seen) -> str:
    """At which it says that it listens; empty if it says none."""
    lines = [line for line in [*seen.report["words"], *seen.report["help"]] if LISTENING.search(line)]
    return next((found[1] for line in lines if (found := PORT.search(line))), "")


def native_addon(seen: Seen) -> str:
    """The package of npm that would have to be compiled, which is not done unasked: that runs its code."""
    text = "\n".join([*seen.report["words"], *(call["complaint"] for call in seen.report["calls"])])
    found = (MODULE.search(text) or NEEDED_BY.search(text)) if NATIVE.search(text) else None
    return found[1] if found else ""


def is_broken(seen: Seen) -> bool:
    """Whether it lacks a part of itself, which no argument and no variable can mend."""
    return bool(native_addon(seen) or libraries(seen) or BROKEN.search("\n".join(seen.report["words"])))


def absent_module(seen: Seen) -> str:
    """The module of Python that ended it, which nothing that is installed has; empty if it is not that."""
    found = ABSENT_MODULE.search(last_words(seen)) if not seen.report["started"] else None
    return found[1] if found else ""


def headers(printed: str) -> list[str]:
    """The Debian packages that a build did not find, by the names that pkg-config says."""
    names = dict.fromkeys(found[1] or found[2] for found in HEADERS.finditer(printed))
    return [HEADERS_OF.get(name) or f"{name if name.startswith('lib') else f'lib{name}'}-dev" for name in names]


def programs(seen: Seen) -> list[str]:
    """The programs that it (or a call of it) did not find."""
    report = seen.report
    without = {line for call in report["calls"] if not call["complaint"] for line in call["printed"].splitlines()}  # and answered
    words = [line for line in report["words"] if line not in without]
    texts = [*words, report["why_not"], *(call["complaint"] for call in report["calls"])]
    found = [next(filter(None, one.groups())) for text in texts for one in PROGRAM.finditer(text)]
    perhaps = [one[1] or one[2] for text in texts for one in PERHAPS_A_PROGRAM.finditer(text)]
    perhaps += [one[1] for text in texts for one in PATH_OF_A_PROGRAM.finditer(text)]
    found += [name for name in perhaps if name.lower() in DEBIAN]
    names = (name.rpartition("/")[2].lower() for name in found)
    return [name for name in dict.fromkeys(names) if name not in OF_A_DESK]


def of_python(seen: Seen) -> list[str]:
    """The packages of Python's own tools that it did not find beside it, also where it hid that in an answer."""
    return list(dict.fromkeys(name for groups in OF_PYTHON.findall(said(seen)) for name in groups if name))


def may_start(seen: Seen) -> list[str]:
    """The programs that its code starts and its README names, of which no call said that it is not there."""
    return [name for name in seen.report["starts"] if (name in DEBIAN and name != "node") or name in NOT_OF_DEBIAN]


def not_in_a_package(seen: Seen, apt: Iterable[str] = ()) -> str:
    """What it wants that its package does not bring, with the way out; empty if nothing was said of such things. `apt`: what it has of Debian."""
    text = "\n".join([*apt, said(seen)])
    return next((way_out for says, way_out in NOT_IN_A_PACKAGE if says.search(text)), "")


def odbc(seen: Seen, about: str, apt: Iterable[str] = ()) -> tuple[str, str]:
    """The Debian package of the ODBC driver that it wants, and what that is called; empty if it wants none, or `about` it nobody knows for which
    one database."""
    kinds = [one[1:] for one in ODBC if one[0].search(about)] if "ODBC driver" in not_in_a_package(seen, apt) else []
    return kinds[0] if len(kinds) == 1 else ("", "")


def said(seen: Seen) -> str:
    return "\n".join([*seen.report["words"], seen.report["why_not"], *(call["complaint"] for call in seen.report["calls"])])


def wants_a_browser(seen: Seen) -> bool:
    return not_in_a_package(seen) == NOT_IN_A_PACKAGE[0][1]


def browser(seen: Seen) -> list[str]:
    """The Debian package of the browser that it does not find; or of the one that its code starts, where calls complain of that, or all fail."""
    driver = re.search(A_DRIVER, said(seen), re.IGNORECASE)
    if wants_a_browser(seen):
        return ["chromium-driver" if driver else seen.report["drives"] or "chromium-headless-shell"]
    complaints = [call["complaint"] for call in seen.report["calls"]]
    misses = all(complaints) or any(re.search("browser|driver", one, re.IGNORECASE) for one in complaints)
    return [seen.report["drives"]] if seen.report["drives"] and complaints and misses else []


def wants_an_engine(seen: Seen) -> bool:
    return not_in_a_package(seen).startswith("it wants a Docker engine")


def debian_packages(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(DEBIAN[name] for name in names if name in DEBIAN))


def perhaps_of_debian(seen: Seen) -> list[str]:
    """The programs that are not there and may be in a package that is called like them, as most are."""
    known = {*DEBIAN, *NOT_OF_DEBIAN, *OF_A_DESK}
    return [name for name in programs(seen) if name not in known and A_PACKAGE.fullmatch(name)]


def libraries(seen: Seen) -> list[str]:
    """The Debian packages of the libraries that it did not find."""
    text = "\n".join([*seen.report["words"], *(call["complaint"] for call in seen.report["calls"])])
    return list(dict.fromkeys(LIBRARY_OF.get(name) or _with_version(name.lower(), version) for name, version in LIBRARY.findall(text)))


def _with_version(name: str, version: str) -> str:
    return f"{name}-{version}" if name[-1].isdigit() else name + version


def paths(tools: Iterable[Mapping[str, Any]], surely: bool = False) -> str:
    """An argument of a tool that names a file or a folder, and whose; empty if there is none. `surely`: of the machine that it runs on, and
    not of somebody that it asks."""
    name_says, about_says = (SURELY_HERE, SAID_TO_BE_HERE) if surely else (PATH, A_LOCAL_FILE)
    for tool, name, one in _arguments(tools):
        if "sock" in name.lower():  # that of another program
            continue
        is_own = name in tool["inputSchema"].get("properties", {})  # of what is inside of others the words may be about anything
        about = f"{one.get('description')} {line_of(name, str(tool.get('description') or ''))}" if is_own else ""
        if "enum" not in one and (name_says.search(_snake(name)) or about_says.search(about)):  # which only speaks of them
            return f"{name} of {tool.get('name')}"
    return ""


def saves(tools: Iterable[Mapping[str, Any]]) -> tuple[str, str]:
    """A tool that by its description or the default of an argument saves something below its working directory or its home (~/…), and where;
    empty if there is none."""
    tools = list(tools)
    for tool in tools:
        if said := SAID_TO_SAVE.search(str(tool.get("description") or "")[:10_000]):
            return str(tool.get("name")), said[1]
    for tool, name, one in _arguments(tools):
        if PATH.search(_snake(name)) and SAVES.search(f"{_snake(name)}_{_snake(str(tool.get('name')))}"):
            said = A_DEFAULT.search(f"{one.get('description')} {line_of(name, str(tool.get('description') or ''))}")
            default = str(one.get("default") or (said[1] if said else ""))
            if BELOW.fullmatch(default):
                return str(tool.get("name")), default
    return "", ""


def _arguments(tools: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], str, Mapping[str, Any]]]:
    for tool in tools:
        schema = tool.get("inputSchema")
        yield from ((tool, name, one) for name, one in parts(schema, schema)) if isinstance(schema, dict) else ()


def _snake(name: str) -> str:
    return with_underscores(name).lower()


def wants_configuration(seen: Seen) -> bool:
    """Every call failed, not for want of the network, but of something that it should have been told."""
    return not seen.reached and all_failed(seen) and bool(wants_account(seen))


def wants_somebody(seen: Seen) -> bool:
    """The same where what it should have been told is of somebody that it talks to: a key, a user, an address."""
    names = NAMED.findall(wants_account(seen))
    return wants_configuration(seen) and (not names or any(holds_secret(name) or OF_SOMEBODY.search(name) for name in names))


def wants_account(seen: Seen) -> str:
    """What the first call said that failed for want of an account or a key; empty if none did."""
    says = (NO_KEY, *(sdk.says for sdk in SDKS))
    return next((call["complaint"] for call in seen.report["calls"] if any(one.search(call["complaint"]) for one in says)), "")


def wants_login(seen: Seen) -> str:
    """The same where it speaks of a login at somebody's, and not of a setting."""
    account = wants_account(seen)
    return account if A_LOGIN.search(account) else ""


def login(seen: Seen) -> str:
    """The command by which a person logs in, as its failed calls and its last words say it; empty if they say none."""
    texts = [*(call["complaint"] for call in seen.report["calls"]), *seen.report["words"]]
    return next((found[1] for text in texts if (found := RUN_TO_LOG_IN.search(text))), "")


def last_words(seen: Seen) -> str:
    """Why it did not start: the line of its stderr that says so (not a stack's last frame, nor what stands in its help); else what the trial saw, and its last line."""
    helps = {line.strip() for line in usage.helps(seen)}
    words = [line.strip() for line in seen.report["words"] if line.strip()]
    lines = [
        line
        for line in words
        if line not in helps
        and not re.match(r"\s*(-{1,2}[a-zA-Z]|(?i:more help|require ?stack)|at |File \"|\^|~|Node\.js v|\}|\{|npm )", line)
    ]
    for says in (MISTAKE, reason.BAD, DENIAL):
        if telling := [line for line in lines if says.search(line)]:
            return telling[-1][:300]
    if helps and not lines:
        if crashes := [line for line in words if reason.NAMED.search(line)]:  # it crashed beside its help, too
            return crashes[-1][:300]
        return "it only prints how it is used: its command lacks something" if usage.is_a_help(words) else " ".join(words)[:300]
    return "; its last words: ".join([seen.report["why_not"], *lines[-1:]])[:300]


def all_failed(seen: Seen) -> bool:
    """All but those that would say no more than that it lives, where there are others."""
    calls = seen.report["calls"]
    telling = [call for call in calls if not ONLY_LIVES.search(with_underscores(call["tool"]))] or calls
    return bool(telling) and all(call["complaint"] for call in telling)


def _lines_of_its_end(seen: Seen) -> list[str]:
    return [line for text in (*seen.report["words"][-25:], seen.report["why_not"]) for line in text.splitlines()]


def _lines_of_its_calls(seen: Seen) -> list[str]:
    texts = [call["complaint"] for call in seen.report["calls"]] + seen.report["words"] * all_failed(seen)
    return [line for text in texts for line in text.splitlines()]


def _first(lines: Iterable[str]) -> list[str]:
    lines = list(lines)
    groups = list(map(_groups, lines))
    others = {name for one in groups for group in one[1:] for name in group if name not in one[0]}  # also where a log breaks such a line
    named = [name for one in groups for group in one[:1] for name in group]
    named = [name for name in named if name not in others] or named
    optional = {name for line in lines for found in SAID_TO_BE_OPTIONAL.finditer(line) for name in found.groups()}
    installed = {one[0] for line in lines for one in PATH_OF_A_PROGRAM.finditer(line) if one[1].lower() in DEBIAN}
    named = [name for name in named if name not in {*optional, *installed, *OF_A_BROWSER}]
    known = [name for line in lines for sdk in SDKS if sdk.says.search(line) for name in sdk.keys]
    return list(dict.fromkeys([*named, *known]))


def _asked_for(seen: Seen, since: float = 0.0, until: float = inf) -> list[str]:
    """The keys of an SDK that asked its cloud's machine who it is."""
    hosts = {reach.what.partition(":")[0] for reach in seen.reached if since <= reach.at <= until}
    return [name for sdk in SDKS if sdk.asks and sdk.asks in hosts for name in sdk.keys]


def _of_one_word(seen: Seen) -> list[str]:
    """The first variable of one word (DSN, TOKEN) that its code reads and its last words say how to set: others of that kind stand in any text."""
    names = [name for name in seen.report["reads"] if "_" not in name]
    found = (
        name
        for line in _lines_of_its_end(seen)
        for name in names
        if re.search(rf"(?:\bexport |\bvariables?:? ?[`'\"]?|\$){name}\b|(?<![\w-]){name}=\S", line)
    )
    return list(found)[:1]


def _groups(line: str) -> list[list[str]]:
    """The variables that a line wants, and after them those that would do in their place: "KEY, or both USER and PASSWORD"."""
    if not (WANTS.search(line) or NOT_ENGLISH.search(line)) or ADVICE.search(line):
        return []
    every = list(_variables(line))
    parts = [(part, [name for name in every if re.search(rf"\b{name}\b", part, re.ASCII)]) for part in OR.split(line)]
    parts = [(part, names) for part, names in parts if names]
    if len(parts) < 2:
        return [names for _, names in parts]
    groups: list[list[str]] = []
    for part, names in parts:
        groups += [names] if TOGETHER.search(part) else [[name] for name in names]  # "A, B or C"
    return groups


def _variables(text: str) -> Iterator[str]:
    names = [name for name in dict.fromkeys(NAMED.findall(text)) if not (NO_VARIABLE.search(name) or AN_ERROR.search(name))]
    # NAME_FILE beside NAME is another way to give the same.
    return (name for name in names if name.removesuffix("_FILE") == name or name.removesuffix("_FILE") not in names)


def _spoken(name: str) -> str:
    """How people say it: of ES_API_KEY "api key", of ES_USER_API_KEY that too."""
    words = name.lower().split("_")
    ends = [words[1:], *(words[at:] for at in range(2, len(words) - 1))] if words[1:] else [words]
    return "(?:" + "|".join(" ?".join(end) for end in ends) + ")"
