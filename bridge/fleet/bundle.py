"""Make a Python environment portable: into one folder goes everything that it needs, the C library and its loader included.

    python bundle.py ENVIRONMENT FOLDER

Started as `FOLDER/lib/ld.so --library-path FOLDER/lib FOLDER/bin/python3 …` it takes no file from around it, so it runs in
an image without Python, with another C library (musl), or with none. FOLDER may be moved. Standard library only.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

# Nothing of these is imported by a server without a screen and a compiler; .pyc files are made anew.
UNUSED = tuple(
    """test idlelib tkinter turtledemo ensurepip pydoc_data venv site-packages dist-packages config-3.* *.a __pycache__""".split()
)


def main(environment: Path, folder: Path) -> None:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = folder / "lib" / version
    shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=shutil.ignore_patterns(*UNUSED))
    shutil.copytree(
        environment / "lib" / version / "site-packages", library / "site-packages", ignore=shutil.ignore_patterns("__pycache__")
    )
    (library / "dist-packages").symlink_to("site-packages")  # where Debian's Python looks
    program = folder / "bin" / "python3"
    program.parent.mkdir(parents=True)
    shutil.copy2(Path(sys.executable).resolve(), program)
    _take_libraries(folder, [program, *folder.rglob("*.so"), *folder.rglob("*.so.*")])
    loader = [str(folder / "lib" / "ld.so"), "--library-path", str(folder / "lib"), str(program), "-I"]
    subprocess.run([*loader, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(library)], check=True)


def _take_libraries(folder: Path, binaries: list[Path]) -> None:
    """Copy every shared library that `binaries` need, and the loader, under the names by which they are asked for."""
    for binary in binaries:
        said = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False).stdout  # 1: it needs none
        for name, path in re.findall(r"^\s*(\S+)(?: => (\S+))? \(0x", said, re.MULTILINE):
            source = Path(path or name)
            if not source.is_absolute() or folder in source.parents:
                continue
            target = folder / "lib" / ("ld.so" if source.name.startswith("ld-") else source.name)
            if not target.exists():
                shutil.copy2(source.resolve(), target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
