"""What a server starts, loads or opens that its image has not, and what brings it: programs, libraries, a browser, compiled add-ons. Pure."""

import re
from collections.abc import Iterable

from bridge.fleet.adding.trial.container import Seen
from bridge.fleet.parts import OF_A_BROWSER

NATIVE = re.compile(
    r"native addon|Could not locate the bindings file|No native build was found|Cannot find module '[^'\n]*\.node'|compiled against a different Node\.js version"
)
MODULE = re.compile(r"/opt/server/(?:.*/)?node_modules/((?:@[\w.-]+/)?[\w.-]+)/(?:build|prebuilds|lib/binding|out|bin)/")
BROKEN = re.compile(
    r"\b(Import|ModuleNotFound|Attribute|Syntax)Error\b|Cannot find (module|package)|ERR_MODULE_NOT_FOUND|does not provide an export"
    r"|No package metadata was found for"
)
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
    r"|(?:^|[:\s'`\"])(?!\w*(?:chrom|browser))([\w.+-]+)['`\"]? (?:executable|binary|CLI) (?:was )?not found\b"
    r"|could not find (?:the )?['`\"]([\w.+-]+)['`\"] (?:executable|binary|CLI|command)\b",
    re.IGNORECASE,
)
# In prose, where only a known name is surely one.
PERHAPS_A_PROGRAM = re.compile(
    r"\b([\w.+-]+) (?:is not installed|(?:(?:command|binary|executable|program) )?(?:was )?not found (?:in (?:the |your |system )*\$?PATH|on (?:the|your|this) system))\b"
    r"|\bis ([\w.+-]+) installed\b|\b([\w.+-]+) not found\. (?:please )?install\b",
    re.IGNORECASE,
)
PATH_OF_A_PROGRAM = re.compile(r"\b([A-Z][A-Z0-9]+)_(?:PATH|BIN|BINARY|EXE|EXECUTABLE|CMD|COMMAND)\b")  # which an image has where all are
# A library of the system, by its file; Debian's package is called like it, with its version: libxcb.so.1 is in libxcb1.
LIBRARY = re.compile(r"\blib([\w+.-]+?)\.so(?:\.(\d+))?: cannot open shared object file")
# The same in the words of those who load one by its name, and the packages that are called otherwise.
LIBRARY_BY_NAME = re.compile(
    r"\b([\w+.-]+)'?(?: C| shared)? library (?:was )?not found\b|\bfind ([\w+.-]+) shared library\b|\bfailed to find (lib[\w+-]+)"
    r"|\bcannot load library '([\w+.-]+?)(?:\.so[\d.]*)?'"
)
LIBRARIES = """
cairo=libcairo2 dmtx=libdmtx0b enchant=libenchant-2-2 glib-2.0=libglib2.0-0 gobject-2.0=libglib2.0-0 gthread-2.0=libglib2.0-0 magic=libmagic1
pango-1.0=libpango-1.0-0 portaudio=libportaudio2 pq=libpq5 sndfile=libsndfile1 usb-1.0=libusb-1.0-0 vips=libvips42 zbar=libzbar0
"""
LIBRARY_OF = dict(one.split("=") for one in LIBRARIES.split())
A_PACKAGE = re.compile(r"[a-z][a-z0-9+-]{1,29}[a-z0-9]")  # `apt-get install x-` would remove x
AT_HAND = {"curl", "git", "make", "ping", "ps", "ssh", "unzip", "wget"}  # on any desk: code and a README may well speak of them in passing
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
    r"|(?i:\b([a-z][\w.-]*) (?:is )?not (?:installed|found)\b[^\n]*\bpip install \4\b)"  # whatever it has installed in its own words
)
A_DRIVER = r"unable to obtain driver|chromedriver"  # Selenium's words
# What no package of npm or PyPI brings, by what is said where it is not there, and the way out.
NOT_IN_A_PACKAGE = (
    (
        re.compile(
            r"Executable doesn't exist at|Connection closed while reading from the driver|playwright install|puppeteer browsers install|Failed to launch the browser"
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
        re.compile(r"\blibportaudio2\b|\bPortAudio\b|\bALSA lib\b|\b[Nn]o (?:default )?(?:audio|sound|input|output) device"),
        "it plays or records sound, which no container does: let it run on your desk, behind `mcp-bridge serve`, and add it by --url",
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
# The Debian packages of the programs that servers start, where those are called otherwise, or a README names them only: PACKAGE=PROGRAM,PROGRAM
PACKAGES = """
7zip=7z,7za adb ansible-core=ansible,ansible-playbook awscli=aws azure-cli=az bind9-dnsutils=dig,nslookup
calibre=calibredb,ebook-convert curl default-jdk-headless=javac default-jre-headless=java default-mysql-client=mysql,mysqldump
ffmpeg=ffmpeg,ffprobe gdal-bin=gdalinfo,ogr2ogr gh ghostscript=gs git gnupg=gpg golang-go=go graphviz=dot,graphviz
imagemagick=convert,magick influxdb-client=influx iputils-ping=ping jq kubernetes-client=kubectl ldap-utils=ldapsearch
libimage-exiftool-perl=exiftool libreoffice-nogui=libreoffice,soffice librsvg2-bin=rsvg-convert libvirt-clients=virsh
libxml2-utils=xmllint make maven=mvn mercurial=hg minizinc mosquitto-clients=mosquitto_pub,mosquitto_sub mtr-tiny=mtr
net-tools=ifconfig,netstat netcat-openbsd=nc nmap nodejs=node openssh-client=scp,sftp,ssh,ssh-keygen pandoc pdftk-java=pdftk
php-cli=php poppler-utils=pdfimages,pdfinfo,pdftoppm,pdftotext,poppler postgresql-client=pg_dump,pg_restore,psql procps=pgrep,ps
qemu-utils=qemu-img r-base-core=rscript redis-tools=redis-cli ripgrep=rg,ripgrep rsync smartmontools=smartctl
snmp=snmpget,snmpwalk sqlite3 stockfish subversion=svn swi-prolog=swipl tcpdump tesseract-ocr=tesseract texlive-latex-base=pdflatex traceroute
tshark universal-ctags=ctags unzip webp=cwebp wget whois
espeak-ng gdb gnuplot-nox=gnuplot inkscape masscan mediainfo octave rclone sox
"""
DEBIAN = {
    program: package
    for package, _, programs in (one.partition("=") for one in PACKAGES.split())
    for program in (programs or package).split(",")
}


def installed_by_readme(seen: Seen) -> list[str]:
    """The packages of Debian with programs that its README has installed, but for what any desk has."""
    common = {"nodejs", *filter(None, map(DEBIAN.get, AT_HAND))}
    return [one for one in seen.report["debian"] if one in {*DEBIAN.values()} - common]


def native_addon(seen: Seen) -> str:
    """The package of npm that would have to be compiled, which is not done unasked: that runs its code."""
    text = "\n".join([*seen.report["words"], *(call["complaint"] for call in seen.report["calls"])])
    found = (MODULE.search(text) or NEEDED_BY.search(text)) if NATIVE.search(text) else None
    return found[1] if found else ""


def is_broken(seen: Seen) -> bool:
    """Whether it lacks a part of itself, which no argument and no variable can mend."""
    return bool(native_addon(seen) or libraries(seen) or BROKEN.search("\n".join(seen.report["words"])))


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
    perhaps = [one[1] or one[2] or one[3] for text in texts for one in PERHAPS_A_PROGRAM.finditer(text)]
    perhaps += [one[1] for text in texts for one in PATH_OF_A_PROGRAM.finditer(text)]
    found += [name for name in perhaps if name.lower() in DEBIAN]
    names = (name.rpartition("/")[2].lower() for name in found)
    return [name for name in dict.fromkeys(names) if name not in OF_A_DESK]


def of_python(seen: Seen) -> list[str]:
    """The packages of Python's own tools, and those that it has installed, which it did not find beside it, also where it hid that in an answer."""
    return list(dict.fromkeys(name.lower() for groups in OF_PYTHON.findall(said(seen)) for name in groups if name))


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
    named = (next(filter(None, names)).lower().removeprefix("lib").removesuffix("-0") for names in LIBRARY_BY_NAME.findall(text))
    by_file = (LIBRARY_OF.get(name) or f"lib{_with_version(name.lower(), version)}" for name, version in LIBRARY.findall(text))
    return list(dict.fromkeys([*by_file, *(LIBRARY_OF[name] for name in named if name in LIBRARY_OF)]))


def _with_version(name: str, version: str) -> str:
    return f"{name}-{version}" if name[-1].isdigit() and version else name + version
