"""The programs that talk to a bridge: the SDKs of both eras, LiteLLM old and new, Prometheus' own judge of metrics."""

import shutil
from pathlib import Path

from bridge.fleet.engines import litellm
from bridge.fleet.engines.cache import place

from .cache import cache, made
from .debian import unpacked
from .litellm import LiteLLM
from .packages import definition, install, node22, npm, venv
from .processes import free_port, run

ATTEMPTS = 4


def sdk1() -> Path:
    return venv("sdk1", "mcp[ws]==1.30.0")


def sdk2() -> Path:
    return venv("sdk2", "mcp==2.3.0")


def http_clients() -> Path:
    """Three libraries by which servers reach the web."""
    return venv("http-clients", "aiohttp==3.14.*", "httpx==0.28.*", "requests==2.*")


def egress_proxy() -> Path:
    """The folder of Debian's squid and unbound."""
    return unpacked("egress", "squid", "unbound")


def litellm_1773() -> Path:
    """LiteLLM with the packages of its own image: with newer ones its gateway does not wedge as it does there."""
    return venv("litellm-1.77.3", *litellm.requirements("1.77.3"), check=_starts)


def litellm_newest() -> Path:
    """The newest LiteLLM whose requirements can be had and that starts. Delete its folder to look again.

    The embedded engine finds it under the name that it would give it, if its cache is the tests'.
    """

    def make(folder: Path) -> None:
        below = ""
        for attempt in range(ATTEMPTS):
            install(folder, f"litellm[proxy]{below}")
            python = folder / "bin/python"
            try:
                _starts(python)
                return
            except RuntimeError:
                if attempt == ATTEMPTS - 1:
                    raise
                below = f"<{version(python, 'litellm')}"

    folder = made("litellm-newest", definition("litellm[proxy]"), make)
    number = version(folder / "bin/python", "litellm")
    link = place(f"litellm-{number}", definition(*litellm.requirements(number)), cache())
    if not link.exists():
        link.symlink_to(folder)
    return folder / "bin/python"


def version(python: Path, package: str) -> str:
    """The version of a package that the environment has."""
    code = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    return run([python, "-c", code], timeout=30).strip()


def _starts(python: Path) -> None:
    # With a server, though nobody is there: some sets of packages fail only then, and newer ones answer 403 without.
    nobody = {"url": f"http://127.0.0.1:{free_port()}/mcp", "transport": "http"}
    with LiteLLM(python, {"mcp_servers": {"nobody": nobody}}) as proxy:
        if not proxy.alive(timeout=30):
            raise RuntimeError(f"{python}: its MCP gateway does not answer\n{proxy.log[-3000:]}")


def mcp_remote() -> list[str]:
    """The command of the client that desktop programs use for servers of the network."""
    folder = npm("mcp-remote", "mcp-remote@0.15.1")
    return [str(node22()), str(folder / "node_modules/mcp-remote/dist/proxy.js")]


def promtool() -> Path:
    """Debian's promtool without installing the package, which would start a service; elsewhere the one on PATH."""

    def make(folder: Path) -> None:
        apt = ["apt-get", "-qq", "-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}/apt"]
        (folder / "lists/partial").mkdir(parents=True)
        (folder / "apt/archives/partial").mkdir(parents=True)
        # The machine's own lists may be missing or stale, and refreshing those needs root.
        run([*apt, "update"])
        try:
            run([*apt, "download", "promtool"], cwd=folder)
        except RuntimeError:  # until bookworm it was part of the server's package
            run([*apt, "download", "prometheus"], cwd=folder)
        [package] = folder.glob("prom*.deb")
        run(["dpkg", "-x", package, folder])
        run([folder / "usr/bin/promtool", "--version"], timeout=30)
        for leftover in ("lists", "apt"):
            shutil.rmtree(folder / leftover)
        package.unlink()

    if found := shutil.which("promtool"):
        return Path(found)
    if not shutil.which("apt-get"):
        raise RuntimeError("promtool is not on PATH, and there is no apt-get to fetch it with: install Prometheus")
    return made("promtool", Path("/etc/os-release").read_text(), make) / "usr/bin/promtool"
