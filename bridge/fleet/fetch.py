"""Fetch an executable while an image is built. Standard library only: it runs before anything is installed.

    python fetch.py URL DESTINATION [--path INSIDE] --sha256 ARCH amd64=… arm64=…

What comes is compared with the checksum of ARCH first, and only then unpacked. INSIDE is the executable's place in a
.tar.gz, .tgz, .tar.xz, .tar.bz2 or .zip.
"""

import argparse
import hashlib
import io
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

ATTEMPTS = 3


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("destination", type=Path)
    parser.add_argument("--path", default="")
    parser.add_argument("--sha256", nargs="+", metavar=("ARCH", "ARCH=SUM"))
    wish = parser.parse_args(words)
    arch, *sums = wish.sha256
    wanted = dict(item.split("=", 1) for item in sums).get(arch)
    if wanted is None:
        sys.exit(f"{wish.url}: the stanza has no sha256 for {arch}")
    content = download(wish.url)
    found = hashlib.sha256(content).hexdigest()
    if found != wanted.lower():
        sys.exit(f"{wish.url}: sha256 is {found}, the stanza says {wanted}: it is not what you looked at")
    wish.destination.parent.mkdir(parents=True, exist_ok=True)
    wish.destination.write_bytes(unpacked(content, wish.path) if wish.path else content)
    wish.destination.chmod(0o755)


def download(url: str) -> bytes:
    for attempt in range(ATTEMPTS):
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            sys.exit(f"{url}: {error}")
        except OSError as error:
            if attempt == ATTEMPTS - 1:
                sys.exit(f"{url}: {error}")
            time.sleep(2**attempt)
    raise AssertionError


def unpacked(archive: bytes, path: str) -> bytes:
    """The file at `path` in the archive."""
    file = io.BytesIO(archive)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as opened:
            names = opened.namelist()
            if path in names:
                return opened.read(path)
    else:
        file.seek(0)
        with tarfile.open(fileobj=file) as opened:
            members = {member.name.removeprefix("./"): member for member in opened if member.isfile()}
            names = list(members)
            if path in members and (found := opened.extractfile(members[path])):
                return found.read()
    sys.exit(f"no {path!r} in the archive; there are: {', '.join(names[:20])}")


if __name__ == "__main__":
    main(sys.argv[1:])
