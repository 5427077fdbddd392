"""images/NAME/Dockerfile: how the image of one MCP is made, by a template for each kind of server.

All images begin with the same instructions, so that a builder has (and a disk holds) their result once: Python, a user
and the packages that the bridge needs. The server comes next, the bridge's own code last.
"""

import json
import re
from pathlib import PurePosixPath

from bridge.fleet.files import MADE_BY, File
from bridge.fleet.model import PORT, Fleet
from bridge.fleet.parts import BROWSERS, OF_A_BROWSER, REFERENCE, Binary
from bridge.fleet.stanza import Stanza
from bridge.fleet.targets.template import fill, template

REQUIREMENTS = "requirements.lock"  # beside the Dockerfile: `lock.py` makes it
PYTHON = "/opt/bridge/bin/python"
# The bridge in an image that may have no Python and no C library: by the loader that came with it.
PORTABLE = ("/opt/bridge/lib/ld.so", "--library-path", "/opt/bridge/lib", "/opt/bridge/bin/python3")

# Where there is a browser of Debian's, whatever looks for one finds it.
BROWSER = """\
RUN --mount=type=bind,source=bridge/fleet/targets/templates/browser.py,target=/tmp/browser.py python3 /tmp/browser.py
ENV """ + " ".join(f"{name}={value}" for name, value in {**OF_A_BROWSER, "PLAYWRIGHT_SKIP_VALIDATE_HOST_REQUIREMENTS": 1}.items())


def dockerfile(fleet: Fleet, stanza: Stanza) -> File:
    """The Dockerfile of a sidecar. Its context is the project's root."""
    name = f"binary-{_source(stanza)}" if stanza.kind == "binary" else stanza.kind
    values = _values(fleet, stanza)
    values["base"] = fill(template("base.Dockerfile"), values).rstrip()
    values["end"] = fill(template("end.Dockerfile"), values).rstrip()
    text = fill(template(f"{name}.Dockerfile"), values)
    return File(f"images/{stanza.name}/Dockerfile", f"# {MADE_BY}\n\n{text}")


def of_bridge(fleet: Fleet) -> dict[str, str]:
    """What the template of an image needs that has no server in it."""
    values = _of_base(fleet, "3.13") | {
        "health": health(PYTHON, path="/healthz"),
        "entrypoint": _words(PYTHON, "-I", "-m", "bridge", "serve"),
    }
    return values | {"base": fill(template("base.Dockerfile"), values).rstrip()}


def _of_base(fleet: Fleet, python: str) -> dict[str, str]:
    return {
        "python_image": fleet.pinned(python_image(fleet, python)),
        "bridge": f"/opt/bridge/lib/python{python}/site-packages",
        "install_bridge": _install("/opt/bridge", "bridge.lock"),
    }


def _values(fleet: Fleet, stanza: Stanza) -> dict[str, str]:
    python = "3.13" if stanza.kind == "image" else stanza.python
    interpreter = PORTABLE if stanza.kind == "image" else (PYTHON,)
    binary = stanza.binary
    return _of_base(fleet, python) | {
        "name": stanza.name,
        "node_image": fleet.pinned(fleet.node_image),
        "image": fleet.pinned(stanza.image),
        "install_server": _install("/opt/server", REQUIREMENTS),
        "apt": _apt(_libraries(stanza)),
        "compile": _compile(stanza),
        "browser": BROWSER if set(stanza.apt) & {*BROWSERS} else "",
        "files": f"COPY images/{stanza.name}/{stanza.files} /app" if stanza.files else "",
        "folders": _folders(stanza),
        "program": PurePosixPath(stanza.command[0]).name,
        "package": _for_this_machine(binary.npm.rpartition("@")[0]) if binary else "",
        "path": _for_this_machine(binary.path) if binary else "",
        "file": _for_this_machine(binary.file) if binary else "",
        "fetch": _fetch(stanza, binary) if binary and binary.url else "",
        "smoke": _smoke(stanza, interpreter),
        "health": health(*interpreter),
        "entrypoint": _words(*interpreter, "-I", "-m", "bridge", "serve", "--"),
        "command": _words(*map(by_default, stanza.command)),
    }


def python_image(fleet: Fleet, python: str) -> str:
    """The fleet's Python image, in the version that a stanza asks for."""
    return re.sub(r"(?<=:)\d+\.\d+", python, fleet.python_image, count=1)


def by_default(text: object) -> str:
    """`text` as it is when the operator sets nothing: ${NAME:-default} is the default, ${NAME} is empty."""
    return REFERENCE.sub(lambda found: (found[2] or ":-")[2:], in_words(text))


def health(*interpreter: str, path: str = "/readyz", is_bridge: bool = True) -> str:
    """A health check in Docker's words. By a plain socket: urllib takes three times as long to import."""
    connect = f"c = socket.create_connection(('127.0.0.1', {PORT}), 4)"
    if is_bridge:  # which may listen on a socket
        connect = f"u = os.environ.get('MCP_BRIDGE_UDS'); c = socket.socket(1 if u else 2); c.settimeout(4); c.connect(u or ('127.0.0.1', {PORT}))"
    return _words(
        *interpreter,
        "-I",
        "-S",
        "-c",
        f"import os, socket, sys; {connect}; "
        rf"c.sendall(b'GET {path} HTTP/1.0\r\n\r\n'); sys.exit(b' 200 ' not in c.recv(64))",
    )


def in_words(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _source(stanza: Stanza) -> str:
    return next(name for name in ("url", "npm", "pypi", "file") if getattr(stanza.binary, name))


def _for_this_machine(text: str) -> str:
    return text.replace("{arch}", "${TARGETARCH}")


def _fetch(stanza: Stanza, binary: Binary) -> str:
    sums = " ".join(f"{arch}={value}" for arch, value in sorted(binary.sha256.items()))
    inside = f' --path "{_for_this_machine(binary.path)}"' if binary.path else ""
    return f'"{_for_this_machine(binary.url)}" /opt/server/bin/{PurePosixPath(stanza.command[0]).name}{inside} --sha256 $TARGETARCH {sums}'


def _install(place: str, lock: str) -> str:
    """A Python environment with exactly what a lock says. Where uv cannot (an index that only pip is told of), pip does."""
    exactly = f"--quiet --no-deps --require-hashes -r {place}/{lock}"
    return (
        f"RUN --mount=type=bind,from=installer,source=/opt/uv,target=/opt/uv --mount=type=cache,target=/root/.cache \\\n"
        f"    python -m venv --without-pip {place} \\\n"
        f" && (UV_SYSTEM_CERTS=1 UV_LINK_MODE=copy /opt/uv/bin/uv pip install --python {place}/bin/python --compile-bytecode {exactly} \\\n"
        f"     || pip --python {place}/bin/python install --disable-pip-version-check {exactly})"
    )


def _compile(stanza: Stanza) -> str:
    """Native add-ons, where the stanza says so: the code of their packages runs, without network. No other install script does: most fetch things.
    Old ones bring a node-gyp that wants Python's distutils, which only setuptools has today."""
    if not stanza.build:
        return ""
    return (
        f"{_apt(['python3', 'python3-setuptools', 'make', 'g++', 'pkg-config', *filter(_is_headers, stanza.apt)])}\n"
        "RUN --network=none find node_modules -name binding.gyp -printf '%h\\n' | sed 's#.*node_modules/##' | grep -xE '@[^/]+/[^/]+|[^@/]+' | sort -u \\\n"
        "  | npm_config_nodedir=/usr/local npm_config_jobs=max xargs --no-run-if-empty npm rebuild"
    )


def _libraries(stanza: Stanza) -> list[str]:
    """What `apt` says; of what native add-ons were compiled with, the libraries alone, which the headers depend on."""
    if not (stanza.npm and stanza.build):
        return list(stanza.apt)
    return [
        rf"$(apt-cache depends {one} | sed -n 's/^ *Depends: \(lib.*[0-9]\(t64\)\?\)$/\1/p')" if _is_headers(one) else one
        for one in stanza.apt
    ]


def _is_headers(package: str) -> bool:
    return package.endswith("-dev")


def _apt(packages: list[str]) -> str:
    if not packages:
        return ""
    return (
        "RUN apt-get update -qq \\\n"
        f" && apt-get install -y -qq --no-install-recommends {' '.join(packages)} \\\n"
        " && rm -rf /var/lib/apt/lists/*"
    )


def _folders(stanza: Stanza) -> str:
    """Where volumes are mounted: an empty one takes its owner from the folder that is there."""
    targets = [volume.target for volume in stanza.volumes]
    lines = []
    if targets and stanza.kind == "image":
        lines = [f"COPY --from=portable --chown=10001:10001 /opt/empty {target}" for target in targets]
    elif targets:
        lines = [f"RUN install -d -o mcp -g mcp {' '.join(targets)}"]
    for path, to in stanza.links.items():  # what its package has itself stays
        lines.append(f"RUN test -e {path} || {{ mkdir -p {PurePosixPath(path).parent} && ln -s {to} {path}; }}")
    if stanza.cwd:
        lines.append(f"WORKDIR {stanza.cwd}")
    return "\n".join(lines)


def _smoke(stanza: Stanza, interpreter: tuple[str, ...]) -> str:
    """The stanza's call, made while the image is built. What the server writes does not stay in the image."""
    smoke = stanza.smoke
    if smoke is None or not smoke.build:
        return ""
    places = ["/tmp", *(volume.target for volume in stanza.volumes)]
    mounts = " ".join(f"--mount=type=tmpfs,target={place}" for place in places)
    options = ["--env", "*"]
    for name, value in stanza.env.items():
        options += ["--env", f"{name}={by_default(value)}"]
    if smoke.expect:
        options += ["--expect", smoke.expect]
    return f"RUN {mounts} " + _words(
        *interpreter,
        "-I",
        "-m",
        "bridge",
        "inspect",
        "--timeout",
        "120",
        *options,
        "--call",
        smoke.tool,
        json.dumps(smoke.arguments),
        "--",
        *map(by_default, stanza.command),
    )


def _words(*words: str) -> str:
    """Docker's exec form: no shell takes part, and '$' means nothing. But the builder looks for '<<' before it reads JSON."""
    return json.dumps(words, ensure_ascii=False).replace("<<", r"\u003c\u003c")
