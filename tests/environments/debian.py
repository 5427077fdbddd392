"""Programs of Debian's, unpacked with the libraries that this machine lacks, without installing anything: no service starts."""

import os
import shutil
from pathlib import Path

from .cache import made
from .processes import run


def unpacked(name: str, *packages: str) -> Path:
    """The folder that these packages are unpacked in, as if it were `/`."""

    def make(folder: Path) -> None:
        apt = ["apt-get", "-qq", "-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}/apt", "-o", "Debug::NoLocking=1"]
        (folder / "lists/partial").mkdir(parents=True)
        (folder / "apt/archives/partial").mkdir(parents=True)
        # The machine's own lists may be missing or stale, and refreshing those needs root.
        run([*apt, "update"])
        run([*apt, "install", "--yes", "--download-only", "--no-install-recommends", *packages])
        for package in folder.glob("apt/archives/*.deb"):
            run(["dpkg", "-x", package, folder])
        for leftover in ("lists", "apt"):
            shutil.rmtree(folder / leftover)

    if not shutil.which("apt-get"):
        raise RuntimeError(f"there is no apt-get to fetch {', '.join(packages)} with")
    return made(name, Path("/etc/os-release").read_text() + repr(packages), make)


def libraries(folder: Path) -> dict[str, str]:
    """The environment in which its programs find their libraries."""
    found = sorted(
        {str(file.parent) for file in folder.glob("usr/lib/*-linux-gnu*/**/*.so*")}
        | {str(file.parent) for file in folder.glob("lib/*-linux-gnu*/*.so*")}
    )
    return {"LD_LIBRARY_PATH": os.pathsep.join(found)} if found else {}


def program(name: str, *packages: str) -> tuple[list[str], dict[str, str], Path | None]:
    """The one on PATH, else Debian's: its command, the environment that it needs, and where it is unpacked."""
    if found := shutil.which(name):
        return [found], {}, None
    folder = unpacked(name, *(packages or (name,)))
    [path] = [path for path in (folder / "usr/bin" / name, folder / "bin" / name) if path.exists()][:1]
    return [str(path)], libraries(folder), folder
