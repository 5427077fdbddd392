"""bridge/fleet/fetch.py: what is fetched must be what somebody looked at."""

import hashlib
import io
import os
import tarfile
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from bridge.fleet import fetch

PROGRAM = b"#!/bin/sh\necho hello\n"


def tar_of(name: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as opened:
        member = tarfile.TarInfo(f"./{name}")
        member.size = len(PROGRAM)
        opened.addfile(member, io.BytesIO(PROGRAM))
    return file.getvalue()


def zip_of(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr(name, PROGRAM)
    return file.getvalue()


@pytest.fixture
def served():
    """served(content) → its URL."""
    contents = {}

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path in contents else 404)
            self.end_headers()
            self.wfile.write(contents.get(self.path, b""))

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def serve(content: bytes) -> str:
        contents["/file"] = content
        return f"http://127.0.0.1:{server.server_port}/file"

    yield serve
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("content", "more"),
    [(PROGRAM, []), (tar_of("dist/it"), ["--path", "dist/it"]), (zip_of("dist/it"), ["--path", "dist/it"])],
    ids=("executable", "tar", "zip"),
)
def test_an_executable_comes_out_of_what_is_fetched(served, tmp_path, content, more):
    place = tmp_path / "bin" / "it"

    fetch.main([served(content), str(place), *more, "--sha256", "amd64", f"amd64={hashlib.sha256(content).hexdigest()}"])

    assert place.read_bytes() == PROGRAM
    assert os.access(place, os.X_OK)


@pytest.mark.parametrize(
    ("arch", "sums", "said"),
    [("amd64", "amd64=" + "0" * 64, "it is not what you looked at"), ("arm64", "amd64=aa", "the stanza has no sha256 for arm64")],
)
def test_anything_else_is_refused(served, tmp_path, arch, sums, said):
    with pytest.raises(SystemExit, match=said):
        fetch.main([served(PROGRAM), str(tmp_path / "it"), "--sha256", arch, sums])

    assert not (tmp_path / "it").exists()


def test_a_wrong_place_in_an_archive_names_those_that_are_there(served, tmp_path):
    content = tar_of("dist/it")

    with pytest.raises(SystemExit, match="no 'it' in the archive; there are: dist/it"):
        fetch.main(
            [served(content), str(tmp_path / "it"), "--path", "it", "--sha256", "amd64", f"amd64={hashlib.sha256(content).hexdigest()}"]
        )
