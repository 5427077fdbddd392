"""MCP bundles: a zip with a manifest.json of each kind and date becomes a stanza with its files, and a hostile one nothing."""

import hashlib
import json
import stat
import threading
import time
import zipfile
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bridge.fleet import origins
from bridge.fleet.adding import add
from bridge.fleet.adding.registry import mcpb
from bridge.fleet.load import read_stanza
from bridge.fleet.project import Project
from bridge.settings import UsageError

ELF = b"\x7fELF" + bytes(14) + (62).to_bytes(2, "little")
MACH_O = b"\xcf\xfa\xed\xfe" + bytes(16)
NODE = {"type": "node", "entry_point": "server/index.js", "mcp_config": {"command": "node", "args": ["${__dirname}/server/index.js"]}}


def bundled(folder: Path, server: dict | None = None, files: dict[str, bytes] | None = None, **manifest) -> Path:
    path = folder / "it.mcpb"
    said = {"manifest_version": "0.3", "name": "Weather Bundle", "version": "1.2.3", "description": "Weather.", "server": server or NODE}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", json.dumps(said | manifest))
        for name, content in (files or {"server/index.js": b"//"}).items():
            archive.writestr(name, content)
    return path


def drafted(folder: Path, server: dict | None = None, files: dict[str, bytes] | None = None, **manifest):
    return mcpb.entry(mcpb.read(bundled(folder, server, files, **manifest)))


def started(command: str, *args: str, kind: str = "node", **config) -> dict:
    return {"type": kind, "entry_point": "server/it", "mcp_config": {"command": command, "args": list(args), **config}}


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    monkeypatch.setattr(mcpb, "architecture", lambda: "amd64")
    monkeypatch.setattr(
        origins, "newest_of_pypi", lambda package, build=False: package if "==" in package else f"{package.partition('>')[0]}==9.9"
    )


def test_a_bundle_of_node_runs_from_where_its_files_are(tmp_path):
    entry = drafted(tmp_path)

    assert (entry.draft.name, entry.draft.description, entry.draft.source) == ("weather-bundle", "Weather.", {})
    assert (entry.draft.command, entry.draft.files, entry.draft.apt) == (("node", "/app/server/index.js"), "bundle", ("nodejs",))
    assert "Weather Bundle 1.2.3, sha256 " in entry.notes[0]


def test_what_its_manifest_asks_of_a_user_becomes_variables_secrets_and_volumes(tmp_path):
    draft = drafted(
        tmp_path,
        started(
            "node", "${__dirname}${/}server/index.js", "--units", "${user_config.units}", "--quiet", "${user_config.quiet}", "--proxy", "${user_config.proxy}",
            "${user_config.folders}", "${user_config.cities}", "--at=${user_config.at}",
            env={"API_KEY": "${user_config.api-key}", "OTHER_KEY": "${user_config.other}", "AUTH": "Bearer ${user_config.api-key}", "CITY": "${user_config.city}",
                 "PROXY": "${user_config.proxy}", "URL": "http://${user_config.proxy}/", "NOTES": "${user_config.notes}", "PLACES": "${user_config.cities}"},
        ),
        user_config={
            "api-key": {"type": "string", "title": "Key", "sensitive": True, "required": True},
            "other": {"type": "string", "sensitive": True},
            "units": {"type": "string", "default": "metric"},
            "quiet": {"type": "boolean", "default": False},
            "proxy": {"type": "string", "description": "If you have one."},
            "folders": {"type": "directory", "multiple": True, "default": ["${HOME}/Documents"]},
            "cities": {"type": "string", "multiple": True, "default": ["Rome", "Oslo"]},
            "at": {"type": "number", "default": 8},
            "city": {"type": "string", "required": True},
            "notes": {"type": "file", "default": "${DOCUMENTS}/notes.json"},
        },
    )  # fmt: skip
    said, draft = "\n".join(draft.notes), draft.draft

    assert draft.command == (
        "node",
        "/app/server/index.js",
        "--units",
        "metric",
        "--quiet",
        "false",
        "/data/folders",
        "Rome",
        "Oslo",
        "--at=8",
    )
    assert draft.secrets == ("API_KEY", "OTHER_KEY") and draft.optional == ("OTHER_KEY",)
    assert draft.env == {"AUTH": "Bearer ${WEATHER_BUNDLE_API_KEY}", "CITY": "${CITY}", "NOTES": "/data/notes.json", "PLACES": "Rome,Oslo"}
    assert draft.volumes == ("${WEATHER_BUNDLE_FOLDERS}:/data/folders",)
    assert (
        "it also takes --proxy: If you have one." in said
        and "it also reads URL, made of proxy" in said
        and "is a path of that machine" not in said
    )


def test_the_words_for_linux_are_taken(tmp_path):
    server = started("${__dirname}/it.exe", kind="binary", platform_overrides={"linux": {"command": "${__dirname}/it", "args": ["mcp"]}})

    assert drafted(tmp_path, server, {"it": ELF, "it.exe": b"MZ"}).draft.command == ("/app/it", "mcp")


@pytest.mark.parametrize(
    "args, files, command, source",
    [
        (
            ["run", "--directory", "${__dirname}", "src/server.py", "-v"],
            {},
            ("python3", "/app/src/server.py", "-v"),
            {"pypi": "mcp==1.2.0"},
        ),
        (["run", "--project", "${__dirname}", "python", "-m", "it"], {}, ("python3", "-m", "it"), {"pypi": "mcp==1.2.0"}),
        (["run", "it"], {}, ("python3", "-c", "import sys; from it.main import app; sys.exit(app.run())"), {"pypi": "mcp==1.2.0"}),
        (
            ["run", "it"],
            {"uv.lock": b""},
            ("python3", "-c", "import sys; from it.main import app; sys.exit(app.run())"),
            {"pypi": "mcp==9.9"},
        ),
    ],
)
def test_a_bundle_for_uv_gets_its_packages_from_the_lock_that_it_brings_or_the_newest(tmp_path, args, files, command, source):
    project = b'[project]\nname = "it"\ndependencies = ["mcp>=1.0 ; python_version > \'3\'"]\nscripts = {it = "it.main:app.run"}\n'
    own = {"pyproject.toml": project, "uv.lock": b'[[package]]\nname = "mcp"\nversion = "1.2.0"\n', "src/server.py": b""} | files
    draft = drafted(tmp_path, started("uv", *args, kind="uv"), own, manifest_version="0.4").draft

    assert (draft.command, draft.source, draft.env) == (command, source, {"PYTHONPATH": "/app/src"})


def test_a_bundle_of_python_brings_its_packages_and_the_python_that_they_are_for(tmp_path):
    server = started("python", "${__dirname}/main.py", kind="python", env={"PYTHONPATH": "${__dirname}/lib"})
    draft = drafted(tmp_path, server, {"main.py": b"", "lib/_x.cpython-312-x86_64-linux-gnu.so": ELF}).draft

    assert (draft.command, draft.env, draft.python, draft.source) == (("python3", "/app/main.py"), {"PYTHONPATH": "/app/lib"}, "3.12", {})


def test_packages_for_another_machine_are_taken_from_the_index_where_it_says_which(tmp_path):
    server = started("python", "${__dirname}/main.py", kind="python", env={"PYTHONPATH": "${__dirname}/lib"})
    files = {"main.py": b"", "lib/_x.cpython-312-darwin.so": MACH_O}

    with pytest.raises(UsageError, match="is for macOS, and this machine is linux/amd64"):
        drafted(tmp_path, server, files)
    entry = drafted(tmp_path, server, files | {"requirements.txt": b"# what it needs\nmcp[cli]>=1\n\nhttpx==0.28.1\n"})

    assert (entry.draft.source, entry.draft.env) == ({"pypi": ["mcp[cli]==9.9", "httpx==0.28.1"]}, {})
    assert any("for another kind of machine" in note for note in entry.notes)


def test_a_bundle_that_only_starts_a_package_becomes_that_package(tmp_path):
    draft = drafted(
        tmp_path,
        started("npx", "-y", "@owner/weather@1.2.3", "--fast", "${user_config.city}"),
        user_config={"city": {"type": "string", "required": True}},
    ).draft

    assert (draft.source, draft.files) == ({"npm": "@owner/weather@1.2.3"}, "")
    assert draft.command == ("", "--fast", "${WEATHER_BUNDLE_FAST}")


@pytest.mark.parametrize(
    ("server", "more", "why"),
    [
        ({"type": "wasm", "entry_point": "x"}, {}, "'wasm', which is not known"),
        (started("bash", "-c", "x"), {}, "neither node, Python nor a file in it"),
        (started("${__dirname}/../../bin/sh", kind="binary"), {}, "nor a file in it"),
        (started("${__dirname}/it", kind="binary"), {"compatibility": {"platforms": ["darwin", "win32"]}}, "for darwin, win32, not for Linux"),
        (started("node", "x", env={"KEY": "${BRIDGE_TOKEN}"}), {}, "read as something else here"),
        (started("node", "${OTHER_KEY}"), {}, "read as something else here"),
        (started("node", "x", env={"KEY": "${user_config.key}"}), {"user_config": {"key": {"type": "string", "default": "${BRIDGE_TOKEN}"}}}, "read as something else"),
        (started("node", "${user_config.gone}"), {}, "user_config.gone, which its manifest.json does not describe"),
        (started("node", "${HOME}/x.js"), {}, "a folder of somebody's desk"),
        (started("node", "x", env={"A B": "c"}), {}, "is not the name of a variable"),
        (started("uv", "run", "gone", kind="uv"), {}, "its pyproject.toml declares no such script"),
        (started("docker", "run", "-i", "owner/weather"), {}, "starts docker, and names no package"),
        (started("bun", "${__dirname}/server/index.js"), {}, "starts bun, and names no package"),
        (started("node", "x", env=["KEY"]), {}, "is not as that of a bundle is"),
        ({**NODE, "mcp_config": {"command": "node", "args": 7}}, {}, "is not as that of a bundle is"),
        (started("node", "x", platform_overrides={"linux": "x"}), {}, "is not as that of a bundle is"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_with_the_reason(tmp_path, server, more, why):
    with pytest.raises(UsageError) as refused:
        drafted(tmp_path, server, {"it": ELF, "server/index.js": b"//"}, **more)

    assert why in str(refused.value) and str(refused.value).startswith("Weather Bundle: ")


@pytest.mark.parametrize("kind", ["../up", "/etc/x", "a/../../b", "C:/x", ".", ".git/config", "a/.GIT/x", "link", "device", "secret"])
def test_what_leads_out_of_a_bundle_is_not_unpacked(tmp_path, kind):
    path = bundled(tmp_path)
    name = {"link": "etc", "device": "zero", "secret": "x"}.get(kind, kind)
    file = zipfile.ZipInfo(name)
    file.external_attr = {"link": stat.S_IFLNK | 0o777, "device": stat.S_IFCHR | 0o666}.get(kind, stat.S_IFREG | 0o644) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(file, "/etc/passwd")
    if kind == "secret":  # encrypted: a bit in its head and in the list at the end
        content = path.read_bytes()
        at = content.rindex(b"PK\x01\x02")
        path.write_bytes(content[: at + 8] + b"\x01\x00" + content[at + 10 :])

    with pytest.raises(UsageError, match=r"leads out of it|is no plain file|is encrypted|repository of git"):
        mcpb.read(path)


@pytest.mark.parametrize("content", [b"PK\x03\x04 no zip", b""])
def test_what_is_no_bundle_is_told(tmp_path, content):
    (tmp_path / "x.mcpb").write_bytes(content)

    with pytest.raises(UsageError, match="cannot be read as an MCP bundle"):
        mcpb.read(tmp_path / "x.mcpb")


def test_a_zip_that_says_more_than_it_may_unpack_to_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(mcpb, "LARGEST", 1000)

    with pytest.raises(UsageError, match="it is larger than"):
        mcpb.read(bundled(tmp_path, files={"x": bytes(2000)}))


@pytest.mark.parametrize("damaged", ["manifest.json", "requirements.txt", "lib/it.so", "main.py"])
def test_a_file_that_is_damaged_is_told(tmp_path, damaged):
    path, server = tmp_path / "it.mcpb", started("python", "${__dirname}/main.py", kind="python")
    files = {"manifest.json": json.dumps({"name": "it", "server": server}).encode(), "main.py": bytes(999), "requirements.txt": bytes(999)}
    files |= {"lib/it.so": ELF + bytes(999)} if damaged != "requirements.txt" else {}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    content = path.read_bytes()
    at = content.index(damaged.encode()) + len(damaged)
    path.write_bytes(content[:at] + b"\xff\xff\xff" + content[at + 3 :])

    with pytest.raises(UsageError, match="cannot be (read|unpacked)"):
        bundle = mcpb.read(path)
        mcpb.entry(bundle)
        mcpb.unpack(bundle, tmp_path / "here", "")


def test_a_text_that_is_longer_than_any_such_text_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(mcpb, "LONGEST_TEXT", 100)
    server = started("python", "${__dirname}/main.py", kind="python")

    with pytest.raises(UsageError, match="requirements.txt in it cannot be read: it is longer than 100 bytes"):
        drafted(tmp_path, server, {"main.py": b"", "requirements.txt": b"it\n" * 99})


def test_a_project_that_is_nested_without_end_is_told(tmp_path):
    files = {"main.py": b"", "pyproject.toml": b"x = " + b"[" * 50_000}

    with pytest.raises(UsageError, match="its pyproject.toml cannot be read"):
        drafted(tmp_path, started("uv", "run", "main.py", kind="uv"), files)


# --- added ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "project"
    (root / "images").mkdir(parents=True)
    (root / "litellm").mkdir()
    return Project(root)


def test_its_files_come_beside_the_stanza_and_can_be_executed(tmp_path, project):
    server = started("${__dirname}/bin/it", "mcp", kind="binary")
    path = bundled(tmp_path, server, {"bin/it": ELF, "lib/x.txt": b"x"})

    added = add.Adding(project, trial=False).published(mcpb.read(path), "mine")

    assert added.path == project.images / "mine/stanza.yaml"
    stanza = read_stanza(added.path)
    assert (stanza.name, stanza.command, stanza.files) == ("mine", ["/app/bin/it", "mcp"], "bundle")
    assert (project.images / "mine/bundle/bin/it").stat().st_mode & 0o777 == 0o755
    assert (project.images / "mine/bundle/lib/x.txt").stat().st_mode & 0o111 == 0


def test_a_bundle_that_cannot_be_added_leaves_nothing_behind(tmp_path, project, monkeypatch):
    path = bundled(tmp_path)
    monkeypatch.setattr(add, "with_places", lambda draft: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        add.Adding(project, trial=False).published(mcpb.read(path))

    assert list(project.images.iterdir()) == []


def test_what_a_registry_names_is_fetched_and_must_be_what_its_sum_says(tmp_path, project, monkeypatch):
    content = bundled(tmp_path).read_bytes()
    described = {"name": "io.github.owner/weather", "packages": [{"registryType": "mcpb", "identifier": "https://example.com/w.mcpb"}]}
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path)) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        monkeypatch.setattr(
            mcpb, "fetched", lambda url, sha256, real=mcpb.fetched: real(f"http://127.0.0.1:{web.server_port}/it.mcpb", sha256)
        )
        described["packages"][0]["fileSha256"] = "0" * 64
        with pytest.raises(UsageError, match="and the registry says 0000"):
            add.Adding(project, trial=False).published(described)
        described["packages"][0]["fileSha256"] = hashlib.sha256(content).hexdigest().upper()

        added = add.Adding(project, trial=False).published(described)
        web.shutdown()

    assert added.name == "weather" and (project.images / "weather/bundle/server/index.js").exists()


def test_a_bundle_that_does_not_come_to_its_end_is_not_waited_for(monkeypatch):
    class Drips(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                while True:
                    self.wfile.write(b"x")
                    time.sleep(0.05)

        def log_message(self, *_):
            pass

    monkeypatch.setattr(mcpb, "PATIENCE", 0.5)
    with ThreadingHTTPServer(("127.0.0.1", 0), Drips) as web:
        web.daemon_threads = True
        threading.Thread(target=web.serve_forever, daemon=True).start()
        with (
            pytest.raises(UsageError, match="does not end within|cannot be fetched"),
            mcpb.fetched(f"http://127.0.0.1:{web.server_port}/", "0" * 64),
        ):
            pass
        web.shutdown()
