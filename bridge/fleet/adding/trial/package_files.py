"""What the files of a package say of it: the variables that its code reads, and what its README and its manifest have. Pure but for reading them."""

import json
import mmap
import os
import re
from collections.abc import Collection
from contextlib import suppress
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import TypedDict

from bridge.fleet.adding.draft import is_blank, is_secret
from bridge.fleet.adding.trial import client_examples, published, readmes
from bridge.fleet.adding.trial.code_facts import AN_ERROR, NAMED, Code, long_options
from bridge.fleet.adding.trial.published import Variable
from bridge.fleet.parts import normalized

PACKAGE_JSON = re.compile(r"package\.json$")
FILES = 2000  # of a package, that are looked into
OF_NOBODY = re.compile(r"//(?:[\w-]+[.-])*(?:your\w*|example|dummy|acme|mysite)[.-]")  # an address that stands for the operator's own
A_CHOICE = re.compile(r"[A-Za-z][\w-]*")  # everybody chooses "mysql", though nobody's choice is "sqlite"
ON_ITSELF = re.compile(r"localhost|127\.0\.0\.1|host\.docker\.internal")
OF_A_DESK = re.compile(r"(?:Desktop|Documents|Downloads|Movies|Music|Pictures|Videos)(?:/|$)")
STARTS_NODE = re.compile(r"""["'](?:node|npx)["']""")
A_PROGRAM = re.compile(r"(?<![\w/.@+-])[a-z][\w+-]*(?![\w/@+-]|\.\w)")  # in prose
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
# Of others, in the folder of a package itself.
VENDORED = re.compile(r"/(?:node_modules/(?:@[^/]+/)?|site-packages/)[^/]+/(?:.*/)?(?:_?vendor|site-packages)/")
TO_GET_IT = re.compile(r"\bgit (?:clone|pull|checkout|submodule)\b")
EXAMPLE = re.compile(r"\.env[.-](?:example|sample|template)$|(?:example|sample)\.env$")
README = re.compile(r"readme|METADATA$", re.IGNORECASE)  # a wheel has it in its metadata
HEADERS = re.compile(r"\AMetadata-Version:.*?(?:\n\n|\Z)", re.DOTALL)
SHOWN_ARGUMENTS = re.compile(r"""(?:["']?command["']?\s*[:=]\s*["']([^"'\n]*)["'],?\s*)?["']?args["']?\s*[:=]\s*(\[[^\[\]]*\])""")
# A package that is called like the protocol (mcp, fastmcp, @modelcontextprotocol/sdk), and how code speaks it without one.
OF_MCP = re.compile(r"/(?:node_modules|site-packages)/(?:@[^/]+/)?[^/]*(?:mcp|modelcontextprotocol)", re.IGNORECASE)
SPEAKS_MCP = re.compile(r"\bjsonrpc\b|\btools/list\b")


class Variables(TypedDict):
    """What a package's files say of its configuration."""

    reads: list[str]  # variables that its own code names
    documented: list[str]  # of these: those that its README names
    shown: list[list[str]]  # its arguments in the configurations of clients that its README shows
    published: list[Variable]  # what its publisher says of its variables
    misspelt: list[str]  # the variables that its README has everybody set, and its code reads by another name at most
    installs: list[str]  # the packages of npm that its README has installed besides
    debian: list[str]  # those of Debian
    withs: list[str]  # and those of PyPI that it has beside it (`uvx --with`)
    program: str  # which of several of its programs is the server, as its README has it
    login: str  # the command by which a person logs in, as its README has it
    browser: str  # what its README says of a login for which it opens a browser
    platform: str  # and of the system that it needs, where no Linux is one
    elsewhere: str  # the address of a server that its README shows to clients
    home: str  # what its README says that it keeps in its home
    starts: list[str]  # the programs that its code starts and its README names
    speaks_to: list[str]  # the hosts that its code asks
    speaks_mcp: bool  # False: nothing that is installed does
    is_client: bool  # its own code does so as a client alone
    options: dict[str, str]  # of its command line: the variable that its code reads for each
    drives: str  # the Debian package of the browser that its code starts
    about: str  # what its README says first, in prose
    installer: str  # what npm would run when it installs it
    flag: str  # an option that its code knows, by which its program is the server


def variables(package: str, root: Path | None = None) -> Variables:
    """What the code of a package says (its own files, and not what it uses), its README and its manifest. A name of the README alone counts as a
    variable that is read where the code hands it to a function, where it has its prefix or stands in an executable, or where a client's configuration has it."""
    root = root or SERVER
    own = _files(package, root)
    sources = _reached(_sources(own))
    code = Code()
    for path in sources:
        code.take(path, _text(path))
    readme, programs = "\n".join(map(_text, _at_the_top(own, README))), _programs(package, root)
    named = set(NAMED.findall(readme))
    said = _said(package, own, readme, code)
    absent = _absent(said, code, sources, own)
    misspelt = sorted(one["name"] for one in said if one["name"] in absent | (code.renamed - code.reads) and one["needed"])
    said = [one for one in said if one["name"] not in absent or one["needed"]]
    read = code.reads | {one["name"] for one in said if one["shown"]} | {name for name in named & code.perhaps if not AN_ERROR.search(name)}
    found = _without_other_names(read, {one["name"] for one in said}, named, code) | _also_read(named - read, code, own)
    longs = long_options(readme) | code.longs
    shown = shown_arguments(readme + client_examples.in_links(readme), package, programs)
    return Variables(
        reads=sorted(found),
        documented=sorted(found & named - published.only_elsewhere(readme)),
        shown=[[longs.get(word, word) for word in words] for words in shown],
        published=_with_defaults(said, code),
        misspelt=misspelt,
        installs=[one for one in readmes.installs(readme) if one != package],
        debian=readmes.debian(readme),
        withs=[one for one in readmes.withs(readme) if not _is_installed(root, one)],
        program=readmes.program(readme, programs),
        login=readmes.login(readme, [package, *programs]),
        browser=readmes.browser(readme),
        platform=readmes.platform(readme),
        elsewhere=readmes.elsewhere(readme),
        home=readmes.home("\n".join([readme, *(f"It stores ~/{path}" for path in sorted(code.keeps))]), package)
        or next(filter(OF_A_DESK.match, sorted(code.keeps)), ""),
        starts=sorted(code.perhaps_starts & set(A_PROGRAM.findall(TO_GET_IT.sub("", readme))) | code.starts),
        speaks_to=[host for host in code.asks if not NO_SERVICE.search(host)][:MOST_HOSTS],
        speaks_mcp=not sources or _speaks_mcp(sources, own),
        is_client=code.is_client and not code.is_server,
        options=code.options,
        drives=min(code.drives, default=""),
        about=readmes.about(HEADERS.sub("", readme)),
        installer=_installer(own),
        flag=min(code.flags, default=""),
    )


def _said(package: str, own: list[Path], readme: str, code: Code) -> list[Variable]:
    """What its README, its example of an environment and its manifest say of variables, without constants of its code."""
    environment = "\n".join(map(_text, _at_the_top(own, EXAMPLE)))
    described = next((_text(path) for path in own if path.name == "server.json"), "")
    constants = code.constants - code.reads - code.perhaps
    return [one for one in published.variables(readme, package, environment, described) if one["name"] not in constants]


def _without_other_names(read: set[str], known: set[str], named: set[str], code: Code) -> set[str]:
    """Without those that are only another name of one of them: read where that has no value, and less known or as secret at most."""
    pairs = code.alternatives | {(one, last) for one, other in code.alternatives for first, last in code.alternatives if other == first}
    found = read - {
        other
        for one, other in pairs
        if one in read
        and other not in code.alone | (known if one in known else named)
        and (one in named or is_secret(one) >= is_secret(other))
    }
    return found - {one for one, other in pairs if other in found and one not in named and other in named}


def _also_read(names: set[str], code: Code, own: list[Path]) -> set[str]:
    """Which of these it reads, too: they stand in an executable, or begin as all of its variables do."""
    compiled = {name for path in own if names and _is_executable(path) for name in _in_executable(path, names)}
    return compiled | {name for name in names if name.startswith(tuple(code.prefixes))}


def _with_defaults(said: list[Variable], code: Code) -> list[Variable]:
    """With what the code takes for a variable wherever it reads it, where nothing is said of that; also those of which only the code says something."""
    unset = {name: value for name, value in code.behind.items() if name not in code.bare}
    values = {name: value for name, value in unset.items() if not (is_blank(value) or OF_NOBODY.search(value))}
    defaults = dict.fromkeys(code.switches, "false") | values
    known = {one["name"] for one in said}
    told: list[Variable] = [{**one, "default": one["default"] or _default(one, defaults.get(one["name"], ""))} for one in said]
    return told + [published.left_out(name, value) for name, value in defaults.items() if name not in known and not ON_ITSELF.search(value)]


def _default(one: Variable, value: str) -> str:
    """The value that the code has for it; none where the README chooses another, or says that it is required, whatever its code does without."""
    is_chosen = one["first"] and one["value"] != value and A_CHOICE.fullmatch(one["value"]) and A_CHOICE.fullmatch(value)
    return "" if is_chosen or (one["needed"] and one["said"]) else value


def _sources(own: list[Path]) -> list[Path]:
    """Its code that may run in a server."""
    sources = [one for one in own if one.suffix in SOURCES and not (NOT_RUN.search(str(one)) or VENDORED.search(str(one)))][:FILES]
    if not any("/site-packages/" in str(path) and "/node_modules/" not in str(path) for path in own):
        return sources
    python = [path for path in sources if path.suffix == ".py"]  # its scripts are for browsers, unless it starts Node
    return python if python and not any(STARTS_NODE.search(_text(path)) for path in python) else sources


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


def _speaks_mcp(sources: list[Path], own: list[Path]) -> bool:
    """Whether its own code does, or what is installed beside it, as the name of that says or its code. What is compiled may do so."""
    if any(path.suffix in COMPILED or _is_executable(path) for path in own) or any(SPEAKS_MCP.search(_text(path)) for path in sources):
        return True
    every = {Path(folder, name) for folder, _, files in os.walk(SERVER) for name in files if name.endswith((*SOURCES, *COMPILED))}
    others = every - set(own)
    is_called_so = any(OF_MCP.search(str(path)) for path in others)
    return is_called_so or any(path.suffix in SOURCES and "tools/list" in _text(path) for path in others)


def _at_the_top(paths: list[Path], name: re.Pattern[str]) -> list[Path]:
    """The files of such a name that lie highest: those below are of parts that may be something else."""
    found = [path for path in paths if name.match(path.name)]
    least = min((len(path.parts) for path in found), default=0)
    return [path for path in found if len(path.parts) == least]


def _absent(said: list[Variable], code: Code, sources: list[Path], own: list[Path]) -> set[str]:
    """Which of these stand nowhere in code that can be read, its own or what it uses, not even as fields (siteUrl, site_url) or the end of a pattern."""
    names = {one["name"] for one in said if not (one["name"] in code.spells or one["name"].startswith(tuple(code.prefixes)))}
    if not names or not sources or any(path.suffix in COMPILED or _is_executable(path) for path in own):
        return set()
    found: set[str] = set()
    for path in sources:
        text = _text(path)
        fields = text.lower().replace("_", "")
        found |= {name for name in names - found if name.lower().replace("_", "") in fields or f"}}_{name.partition('_')[2]}" in text}
    for folder, _, files in os.walk(SERVER) if names - found else ():
        for path in (Path(folder, name) for name in files if name.endswith((*SOURCES, *COMPILED))):
            with suppress(OSError, ValueError):  # an empty file cannot be mapped
                found |= _in_executable(path, names - found) if path.stat().st_size < BIG else set()
        if names <= found:
            break
    return names - found


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


def _is_executable(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return path.suffix not in (".node", ".so") and file.read(4) == b"\x7fELF"
    except OSError:
        return False


def _in_executable(path: Path, names: set[str]) -> set[str]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as code:
        return {name for name in names if code.find(name.encode()) >= 0 or code.find(name.encode("utf-16-le")) >= 0}


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
    return any(root.glob(f"lib/python*/site-packages/{normalized(package).replace('-', '_')}-*.dist-info"))


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
    return next((one for one in distributions(path=places) if normalized(one.name) == normalized(package)), None)
