"""`mcp-bridge backup` and `restore` without a running fleet: what is in the file, and what a file from elsewhere cannot do.

That a restored fleet works is the end of the story in test_engine_embedded.py.
"""

import hashlib
import io
import json
import os
import pty
import select
import shutil
import socket
import subprocess
import sys
import tarfile
import termios
from pathlib import Path

import pytest
import yaml
from environments.debian import program
from kinds import PYTHON
from support import ROOT, eventually

from bridge import cli
from bridge.fleet import Fleet
from bridge.fleet.backup import archive, database, volumes
from bridge.fleet.engines import EngineError
from bridge.fleet.targets import compose

STANZA = "description: it\ncommand: python3 /app/it.py\nvolumes: ['notes:/data', '/srv/papers:/papers:ro']\nsecrets: [IT_KEY]\n"
VOLUMES = "compose/state/embedded/volumes"


def fleet(root: Path) -> Path:
    for name, text in {
        "images/it/stanza.yaml": STANZA,
        "images/it/app/it.py": "print()\n",
        "images/fleet.yaml": "name: mine\n",
        "litellm/base.yaml": "model_list: []\n",
        "compose/.env": "MCP_PORT=8123\nIT_KEY=hush-hush\nCOMPOSE_PROJECT_NAME=mine-1a2b3c\nLITELLM_CONFIG=./state/litellm.yaml\n",
        "compose/secrets/OTHER": "another-secret",
        f"{VOLUMES}/notes/deep/a.txt": "a note",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture
def project(tmp_path):
    return fleet(tmp_path / "fleet")


@pytest.fixture
def types(monkeypatch, capsys):
    """``types("backup", "x.tar")`` -> exit code, stdout and stderr. Without Docker, which other tests have fleets in."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")

    def run(*words: object) -> tuple[int, str]:
        code = cli.main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


@pytest.fixture
def file(project, tmp_path, types):
    path = tmp_path / "fleet.tar"
    assert types("backup", path, "--project", project)[0] == 0
    return path


def snapshot(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def packed(path: Path, contents: dict[str, bytes], mend: bool = True) -> Path:
    """An archive of these members, with a manifest that says what they are (or still what it said)."""
    said = json.loads(contents[archive.MANIFEST])
    if mend:
        said["files"] = {
            name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in contents.items()
            if name != archive.MANIFEST
        }
    with tarfile.open(path, "w") as tar:
        for name, data in (contents | {archive.MANIFEST: json.dumps(said).encode()}).items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("name", ["fleet.tar", "fleet.tar.gz"])
def test_an_empty_folder_becomes_the_fleet_of_the_backup_without_its_secrets(project, tmp_path, types, name):
    code, said = types("backup", tmp_path / name, "--project", project)
    assert code == 0 and "not in it: secrets (IT_KEY, OTHER): --with-secrets takes them, encrypted" in said
    assert "not in it: it: /srv/papers is a folder of this machine (/papers)" in said
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert not any(b"hush-hush" in data or b"another-secret" in data for data in members(tmp_path / name).values())

    (tmp_path / "new").mkdir()
    code, said = types("restore", tmp_path / name, "--project", tmp_path / "new")

    assert code == 0, said
    assert "it had also: IT_KEY, OTHER" in said
    expected = {path: text for path, text in snapshot(project).items() if path.startswith(("images/", "litellm/", VOLUMES))}
    assert snapshot(tmp_path / "new") == {**expected, "compose/.env": b"MCP_PORT=8123\n"}


def test_a_second_restore_is_told_that_the_volumes_are_there(file, tmp_path, types):
    (tmp_path / "new").mkdir()
    assert types("restore", file, "--project", tmp_path / "new")[0] == 0
    (tmp_path / f"new/{VOLUMES}/notes/deep/a.txt").write_text("a newer note")

    code, said = types("restore", file, "--project", tmp_path / "new", "--replace")

    assert code == 2 and "has left volumes: notes: `mcp-bridge down --volumes` deletes them first" in said
    assert (tmp_path / f"new/{VOLUMES}/notes/deep/a.txt").read_text() == "a newer note"


def test_another_fleet_is_replaced_only_if_that_is_said(file, project, tmp_path, types):
    other = tmp_path / "other"
    (other / "images/own").mkdir(parents=True)
    (other / "images/own/stanza.yaml").write_text("description: own\ncommand: own\n")
    before = snapshot(other)

    code, said = types("restore", file, "--project", other)
    assert code == 2 and "images/own/stanza.yaml" in said and "--replace" in said
    assert snapshot(other) == before

    assert types("restore", file, "--project", other, "--replace")[0] == 0
    assert not (other / "images/own").exists() and (other / "images/it/stanza.yaml").read_text() == STANZA


def test_the_same_fleet_is_no_other(file, project, types):
    shutil.rmtree(project / VOLUMES)

    assert types("restore", file, "--project", project)[0] == 0
    assert (project / VOLUMES / "notes/deep/a.txt").read_text() == "a note"
    assert "hush-hush" in (project / "compose/.env").read_text()


def test_a_checkout_that_has_less_is_no_other(file, project, types):
    shutil.rmtree(project / VOLUMES)
    (project / "images/fleet.yaml").unlink()

    assert types("restore", file, "--project", project)[0] == 0
    assert (project / "images/fleet.yaml").read_text() == "name: mine\n"


def test_what_fails_half_way_leaves_all_as_it_was(file, tmp_path, types, monkeypatch):
    other = fleet(tmp_path / "other")
    shutil.rmtree(other / VOLUMES)
    (other / "images/it/stanza.yaml").write_text(STANZA.replace("it", "other", 1))
    before = snapshot(other)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "extractall", full)
    code, said = types("restore", file, "--project", other, "--replace")

    assert code == 1 and "No space left on device" in said
    assert snapshot(other) == before and not list((other / VOLUMES).glob("*"))


def test_a_restore_that_is_killed_is_undone_by_the_next_command(file, tmp_path, types):
    other = fleet(tmp_path / "other")
    shutil.rmtree(other / VOLUMES)
    (other / "images/it/stanza.yaml").write_text(STANZA.replace("it", "other", 1))
    before = snapshot(other)
    script = "import os, sys; from bridge import cli; from bridge.fleet.backup.volumes import Folders; Folders.fill = lambda *_: os._exit(9); cli.main()"
    words = [sys.executable, "-c", script, "restore", str(file), "--project", str(other), "--replace"]
    assert subprocess.run(words, cwd=ROOT, capture_output=True).returncode == 9
    assert (other / "images/it/stanza.yaml").read_text() == STANZA

    _, said = types("catalog", "--project", other)

    assert "as it was before that one" in said
    assert {name: text for name, text in snapshot(other).items() if archive.WORKSPACE not in name} == before


def test_links_and_sockets_that_lead_out_of_a_volume_are_left_out_and_told(project, tmp_path, types):
    notes = project / VOLUMES / "notes"
    (notes / "inside").symlink_to("deep/a.txt")
    (notes / "outside").symlink_to("/etc/passwd")
    os.mkfifo(notes / "pipe")
    here = Path.cwd()
    os.chdir(notes)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as it:
        it.bind("socket")
    os.chdir(here)

    code, said = types("backup", tmp_path / "x.tar", "--project", project)

    assert code == 0
    assert all(f"not in it: notes/{name}: " in said for name in ("outside", "pipe", "socket")) and "notes/inside" not in said
    (tmp_path / "new").mkdir()
    assert types("restore", tmp_path / "x.tar", "--project", tmp_path / "new")[0] == 0
    new = tmp_path / "new" / VOLUMES / "notes"
    assert sorted(one.name for one in new.iterdir()) == ["deep", "inside"] and (new / "inside").read_text() == "a note"


def test_no_backup_has_keys_of_the_fleets_own_and_none_comes_back(file, tmp_path, types):
    """Those of the groups' bridge once were in it, in clear."""
    everything = {"groups": {"all": {}}, "audit": True, "litellm": {"database": True}}
    rendered = [yaml.safe_load(one.text) for one in compose.render(Fleet(stanzas=[PYTHON], **everything)) if one.path.endswith(".yaml")]
    there = {name for one in rendered for name, how in (one.get("volumes") or {}).items() if how != compose.SOCKET}
    contents = {"volumes/keys-groups.tar": hostile_volume(tarfile.REGTYPE, "operator")} | members(file)  # its manifest comes last
    packed(tmp_path / "x.tar", contents)
    (tmp_path / "new").mkdir()

    assert {name for name in there if not volumes.NOT_OURS.fullmatch(name)} == {"clock-audit"}
    code, said = types("restore", tmp_path / "x.tar", "--project", tmp_path / "new")
    assert code == 0, said
    assert [one.name for one in (tmp_path / "new" / VOLUMES).iterdir()] == ["notes"]


def hostile_volume(kind: bytes, name: str, link: str = "") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, link
        tar.addfile(member)
    return file.getvalue()


@pytest.mark.parametrize(
    "added",
    [
        {"../evil": b"x"},
        {"/tmp/evil": b"x"},
        {"files/images/../../../evil": b"x"},
        {"volumes/notes.tar": hostile_volume(tarfile.REGTYPE, "../../evil")},
        {"volumes/notes.tar": hostile_volume(tarfile.SYMTYPE, "evil", "/etc")},
        {"volumes/notes.tar": hostile_volume(tarfile.LNKTYPE, "evil", "../../../images/it/stanza.yaml")},
        {"volumes/notes.tar": hostile_volume(tarfile.CHRTYPE, "null")},
        {"volumes/notes.tar": b"no tar at all" * 100},
        {"volumes/-v.tar": hostile_volume(tarfile.REGTYPE, "x")},
        {"database/host=evil.example.dump": b"PGDMP"},
        {"database/postgres.dump": b"drop table"},
        {"files/images/it/stanza.yaml": b"command: [unclosed"},
    ],
    ids=lambda added: next(iter(added)),
)
def test_what_no_backup_can_have_is_refused_before_anything_is_changed(file, tmp_path, types, added):
    made = packed(tmp_path / "made.tar", members(file) | added)
    (tmp_path / "new").mkdir()

    code, said = types("restore", made, "--project", tmp_path / "new")

    assert code == 2 and said.count("mcp-bridge:") == 1, said
    assert snapshot(tmp_path / "new") == {} and not (tmp_path / "evil").exists()
    assert not list((tmp_path / "new").rglob("*evil*"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_only_plain_files_are_in_an_archive(file, tmp_path, types, kind):
    with tarfile.open(tmp_path / "made.tar", "w") as tar:
        member = tarfile.TarInfo("files/images")
        member.type, member.linkname = kind, "files"
        tar.addfile(member)
    (tmp_path / "new").mkdir()

    assert types("restore", tmp_path / "made.tar", "--project", tmp_path / "new")[0] == 2
    assert snapshot(tmp_path / "new") == {}


def test_a_file_that_was_changed_cut_off_or_is_another_release_s_is_refused(file, tmp_path, types):
    (tmp_path / "new").mkdir()
    inside = members(file)
    whole = file.read_bytes()
    at = whole.index(b"print()")
    newer = json.loads(inside[archive.MANIFEST]) | {"format": 2}
    for name, data, why in (
        ("changed", whole[:at] + b"evil!!!" + whole[at + 7 :], "images/it/app/it.py is not what"),
        ("cut", whole[: whole.index(archive.MANIFEST.encode()) - 512], "not whole"),
        ("none", b"hello", "it is no backup"),
        ("newer", packed(tmp_path / "x", inside | {archive.MANIFEST: json.dumps(newer).encode()}).read_bytes(), "format 2"),
        ("unlisted", packed(tmp_path / "x", {"files/images/more/stanza.yaml": b"", **inside}, mend=False).read_bytes(), "is not what"),
    ):
        (tmp_path / name).write_bytes(data)
        code, said = types("restore", tmp_path / name, "--project", tmp_path / "new")

        assert code == 2 and why in said, (name, said)
    assert snapshot(tmp_path / "new") == {}


def test_a_backup_that_fails_leaves_the_one_before(file, project, types, monkeypatch):
    before = file.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive.Writer, "end", full)

    assert types("backup", file, "--project", project)[0] == 1
    assert file.read_bytes() == before and [one.name for one in file.parent.glob("*.new")] == []


def test_a_backup_without_volumes_that_only_docker_knows_of_is_none(project, tmp_path, types):
    shutil.rmtree(project / VOLUMES)

    code, said = types("backup", tmp_path / "x.tar", "--project", project)

    assert code == 1 and "whether the fleet mine-1a2b3c has volumes, only Docker knows: no Docker engine answers" in said
    assert not (tmp_path / "x.tar").exists()


# ---- Docker, in whose place is a program that does as it likes


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """``docker(script)``: what `docker` does from now on."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")

    def does(script: str) -> None:
        (tmp_path / "bin/docker").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin/docker").chmod(0o755)

    return does


@pytest.mark.timeout(30)
def test_a_volume_of_which_very_much_is_said_is_saved_and_what_is_no_tar_or_does_not_end_is_told(project, tmp_path, docker, monkeypatch):
    notes, to = volumes.DockerVolumes("it", "python"), tmp_path / "notes.tar"
    docker(f"yes 'tar: ./x: socket ignored' | head -c 300000 >&2; exec tar -C {project}/{VOLUMES}/notes -cf - .")

    assert notes.save("notes", to) == []
    with tarfile.open(to) as tar:
        assert "./deep/a.txt" in tar.getnames()
    for script in ("yes", "sleep 60"):
        docker(script)
        monkeypatch.setattr(volumes, "PATIENCE", 30.0 if script == "yes" else 0.2)
        with pytest.raises(EngineError, match="^the volume notes cannot be read: "):
            notes.save("notes", to)
    docker('[ "$1" = volume ] || sleep 60')
    with pytest.raises(EngineError, match="^the volume notes cannot be filled: not done after 0.2 s$"):
        notes.fill("notes", to)


@pytest.mark.timeout(30)
def test_a_database_that_gives_no_dump_in_time_is_told_in_a_line(tmp_path, docker, monkeypatch):
    docker('case "$*" in *psql*) echo notes ;; *) sleep 60 ;; esac')
    monkeypatch.setattr(database, "DUMP_PATIENCE", 0.2)

    with pytest.raises(EngineError, match="^the database notes cannot be dumped: not done after 0.2 s$"):
        database._dumped("container", tmp_path / "database")


# ---- secrets


@pytest.fixture
def gpg(monkeypatch, tmp_path):
    """With keys and an agent of its own, which ends."""
    if not shutil.which("gpg"):
        pytest.skip("gpg is another program")
    (tmp_path / "gnupg").mkdir(0o700)
    monkeypatch.setenv("GNUPGHOME", str(tmp_path / "gnupg"))
    yield
    subprocess.run(["gpgconf", "--kill", "gpg-agent"], check=True)


def test_secrets_are_encrypted_by_gpg_and_come_back_with_the_passphrase_only(project, tmp_path, types, gpg):
    (tmp_path / "passphrase").write_text("correct horse\n")
    (tmp_path / "wrong").write_text("incorrect horse\n")
    words = ["--with-secrets", "--passphrase-file", tmp_path / "passphrase"]
    code, said = types("backup", tmp_path / "x.tar", "--project", project, *words)
    assert code == 0, said
    assert "secrets.tar.gpg" in members(tmp_path / "x.tar")
    assert not any(b"hush-hush" in data or b"another-secret" in data for data in members(tmp_path / "x.tar").values())
    (tmp_path / "new").mkdir()

    code, said = types("restore", tmp_path / "x.tar", "--project", tmp_path / "new", "--passphrase-file", tmp_path / "wrong")
    assert code == 2 and "the secrets: " in said and snapshot(tmp_path / "new") == {}
    code, said = types("restore", tmp_path / "x.tar", "--project", tmp_path / "new", "--passphrase-file", tmp_path / "passphrase")

    assert code == 0, said
    assert (
        tmp_path / "new/compose/.env"
    ).read_text() == "MCP_PORT=8123\nIT_KEY=hush-hush\nLITELLM_CONFIG=./state/litellm.yaml\n"  # the name of the project is another one's
    assert (tmp_path / "new/compose/.env").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new/compose/secrets/OTHER").read_text() == "another-secret"
    assert (tmp_path / "new/compose/secrets").stat().st_mode & 0o777 == 0o700
    (tmp_path / "named/compose").mkdir(parents=True)
    (tmp_path / "named/compose/.env").write_text("COMPOSE_PROJECT_NAME=here-1\n")
    assert types("restore", tmp_path / "x.tar", "--project", tmp_path / "named", "--passphrase-file", tmp_path / "passphrase")[0] == 0
    assert "COMPOSE_PROJECT_NAME=here-1\n" in (tmp_path / "named/compose/.env").read_text()
    (tmp_path / "kept/compose").mkdir(parents=True)
    (tmp_path / "kept/compose/.env").write_text("IT_KEY=mine\n")
    assert types("restore", tmp_path / "x.tar", "--project", tmp_path / "kept", "--passphrase-file", tmp_path / "passphrase")[0] == 2
    (tmp_path / "third").mkdir()
    assert types("restore", tmp_path / "x.tar", "--project", tmp_path / "third", "--without-secrets")[0] == 0
    assert not (tmp_path / "third/compose/secrets").exists()


def at_a_terminal(answers: list[str], *words: object, env: dict[str, str]) -> tuple[int, str]:
    """Types an answer to each question, and closes the terminal at a question that has none. Returns the exit code, and what was shown."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-m", "bridge", *map(str, words)], env)
    shown, left = "", iter(answers)
    try:
        while select.select([terminal], [], [], 30)[0]:
            try:
                shown += os.read(terminal, 1 << 16).decode(errors="replace")
            except OSError:  # it ended
                break
            if shown.endswith(("Passphrase for the secrets: ", "Once more: ", "Enter passphrase: ")):
                shown += "\n"
                if (answer := next(left, None)) is None:
                    break
                eventually(lambda: not termios.tcgetattr(terminal)[3] & termios.ECHO, 5)  # what is typed before is thrown away
                os.write(terminal, f"{answer}\n".encode())
    finally:
        os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown


def test_a_passphrase_is_typed_at_the_terminal_and_no_pinentry_is_left_when_that_is_closed(project, tmp_path, gpg):
    """One whose terminal is gone goes on for ever, and takes a processor."""
    shown = tmp_path / "pinentry-was-started"
    (tmp_path / "pinentry").write_text(f"#!/bin/sh\ntouch {shown}\n")
    (tmp_path / "pinentry").chmod(0o755)
    (tmp_path / "gnupg/gpg-agent.conf").write_text(f"pinentry-program {tmp_path}/pinentry\n")
    (tmp_path / "new").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/gpg").symlink_to(shutil.which("gpg"))  # age, which may be there, is taken first
    env = {"PATH": str(tmp_path / "bin"), "PYTHONPATH": str(ROOT), "GNUPGHOME": os.environ["GNUPGHOME"]}

    def backup(*answers: str) -> tuple[int, str]:
        return at_a_terminal(list(answers), "backup", tmp_path / "x.tar", "--project", project, "--with-secrets", env=env)

    def restore(*answers: str) -> tuple[int, str]:
        return at_a_terminal(list(answers), "restore", tmp_path / "x.tar", "--project", tmp_path / "new", env=env)

    for answers, why in (
        (["correct horse", "correct hose"], "the passphrases are not the same"),
        ([""], "an empty passphrase protects nothing"),
    ):
        code, said = backup(*answers, *answers[: 2 - len(answers)])
        assert code == 2 and why in said, said
    assert backup()[0] != 0 and not (tmp_path / "x.tar").exists()
    assert backup("correct horse", "correct horse")[0] == 0
    code, said = restore("incorrect horse")
    assert code == 2 and "the secrets: " in said, said
    assert restore()[0] != 0 and snapshot(tmp_path / "new") == {}
    code, said = restore("correct horse")
    assert code == 0, said
    assert (tmp_path / "new/compose/secrets/OTHER").read_text() == "another-secret"
    assert not shown.exists()


def test_secrets_are_encrypted_by_age_for_a_key_and_come_back_with_its_identity_only(project, tmp_path, types, monkeypatch):
    [age], _, _ = program("age")
    monkeypatch.setenv("PATH", f"{Path(age).parent}:{os.environ['PATH']}")
    identity = tmp_path / "key.txt"
    made = subprocess.run(["age-keygen", "-o", str(identity)], capture_output=True, text=True, check=True)
    recipient = made.stderr.split()[-1]
    code, said = types("backup", tmp_path / "x.tar", "--project", project, "--with-secrets", "--recipient", recipient)
    assert code == 0, said
    assert "secrets.tar.age" in members(tmp_path / "x.tar")
    (tmp_path / "new").mkdir()
    other = tmp_path / "other.txt"
    subprocess.run(["age-keygen", "-o", str(other)], capture_output=True, check=True)

    assert types("restore", tmp_path / "x.tar", "--project", tmp_path / "new", "--identity", other)[0] == 2
    assert snapshot(tmp_path / "new") == {}
    assert types("restore", tmp_path / "x.tar", "--project", tmp_path / "new", "--identity", identity)[0] == 0
    assert (tmp_path / "new/compose/.env").read_text() == "MCP_PORT=8123\nIT_KEY=hush-hush\nLITELLM_CONFIG=./state/litellm.yaml\n"


def test_secrets_are_refused_where_nothing_encrypts_them_or_nobody_can_type(project, tmp_path, types, monkeypatch):
    for path, words, why in (
        ("/nowhere", ["--with-secrets"], "neither age nor gpg is on this machine: install age"),
        ("/nowhere", ["--with-secrets", "--recipient", "age1x"], "age is not on this machine: install age"),
        (str(tmp_path), ["--with-secrets"], "nobody can type a passphrase here: say --recipient or --passphrase-file"),
        (str(tmp_path), ["--recipient", "me"], "belong to --with-secrets"),
    ):
        program = tmp_path / "gpg"
        program.touch(0o755)
        monkeypatch.setenv("PATH", path)
        code, said = types("backup", tmp_path / "x.tar", "--project", project, *words)

        assert code == 2 and why in said, said
        assert not (tmp_path / "x.tar").exists()
