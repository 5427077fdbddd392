"""What is kept of a child in a file: of which command it is true, and that no file can do harm."""

import os
import stat
import sys
import time

import pytest

from bridge.child.process import Command
from bridge.log import Log
from bridge.service.state_file import StateFile, identity


def command(*argv, cwd=None, **environment) -> Command:
    return Command(tuple(argv), {"PATH": os.environ["PATH"], **environment}, cwd)


def kept(folder, made: Command | None = None, name="one") -> StateFile:
    return StateFile(str(folder), name, made or command("echo"), Log())


# -- the file -----------------------------------------------------------------------------------------------------------------------------


def test_what_was_written_is_read_by_the_next_bridge(tmp_path):
    kept(tmp_path / "cache").write(b"content")

    assert kept(tmp_path / "cache").read() == b"content"
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".json"]


def test_nothing_is_read_where_nothing_was_written(tmp_path):
    assert kept(tmp_path / "none").read() == b""
    assert not (tmp_path / "none").exists()


def test_mcps_do_not_read_each_others(tmp_path):
    kept(tmp_path, name="one").write(b"one")
    kept(tmp_path, name="two").write(b"two")

    assert kept(tmp_path, name="one").read() == b"one"


def test_an_unchanged_file_is_not_written_again(tmp_path):
    kept(tmp_path).write(b"content")
    before = kept(tmp_path).path.stat()
    kept(tmp_path).write(b"content")

    assert kept(tmp_path).path.stat().st_ino == before.st_ino
    kept(tmp_path).write(b"other")
    assert kept(tmp_path).path.stat().st_ino != before.st_ino, "replaced as a whole"


@pytest.mark.parametrize("name", ["a/b", "../../escape", "/absolute", "ünï", ".hidden", "a.b", "x" * 300, ""])
def test_any_name_of_an_mcp_is_a_file_in_the_folder(tmp_path, name):
    folder = tmp_path / "cache" / "inner"
    kept(folder, name=name).write(b"content")

    assert kept(folder, name=name).read() == b"content"
    assert [path.parent for path in tmp_path.rglob("*") if path.is_file()] == [folder]


def test_a_folder_that_cannot_be_written_is_as_good_as_none(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = kept(tmp_path / "file" / "cache")
    cache.write(b"content")

    assert cache.read() == b""


def test_a_directory_in_its_place_is_left_alone_and_no_draft_stays(tmp_path):
    cache = kept(tmp_path)
    cache.path.mkdir(parents=True)
    (cache.path / "x").write_text("x")
    cache.write(b"content")

    assert cache.read() == b""
    assert list(tmp_path.iterdir()) == [cache.path]


def test_nobody_else_can_write_it(tmp_path):
    """Whoever could, would write the tools that our clients see."""
    before = os.umask(0)
    try:
        kept(tmp_path / "cache").write(b"content")
    finally:
        os.umask(before)
    cache = kept(tmp_path / "cache")

    assert stat.S_IMODE(cache.path.stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE(cache.path.parent.stat().st_mode) & 0o077 == 0


# -- of which command it is true -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        command("echo", "more"),
        command("cat"),
        command("echo", A="1"),
        command("echo", cwd="/tmp"),
        command("echo", ""),
        command("ec", "ho"),
    ],
)
def test_another_command_is_another_one(tmp_path, other):
    kept(tmp_path).write(b"content")

    assert identity(other) != identity(command("echo"))
    assert kept(tmp_path, other).read() == b""


def test_the_order_of_the_environment_does_not_matter():
    assert identity(command("x", A="1", B="2")) == identity(command("x", B="2", A="1"))


def test_values_do_not_run_into_each_other():
    assert identity(command("x", A="1\nB=2")) != identity(command("x", A="1", B="2"))
    assert identity(command("x", "a", "b")) != identity(command("x", "a b"))
    assert identity(command("x", "y", cwd="")) == identity(command("x", "y"))
    assert identity(command("x", cwd="y")) != identity(command("x", "y"))


def touch(path, content: str):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(0o755)
    os.utime(path, ns=(1, path.stat().st_mtime_ns + len(content)))
    return path


@pytest.mark.parametrize("how", ["program", "in_path", "argument", "relative", "link"])
def test_a_changed_file_of_the_command_is_another_command(tmp_path, how):
    script = touch(tmp_path / "bin" / "server", "#!/bin/sh\n")
    (tmp_path / "link").symlink_to(script)
    made = {
        "program": command(str(script)),
        "in_path": command("server", PATH=str(script.parent)),
        "link": command(str(tmp_path / "link")),
        "argument": command(sys.executable, str(script)),
        "relative": command(sys.executable, "bin/server", cwd=str(tmp_path)),
    }[how]
    before = identity(made)
    assert identity(made) == before
    touch(script, "#!/bin/sh\necho new\n")

    assert identity(made) != before


def test_another_version_of_an_npm_package_is_another_command(tmp_path):
    """npm gives all files of all versions the same time; the script itself may not change."""
    package = tmp_path / "node_modules" / "@scope" / "server"
    script = touch(package / "dist" / "index.js", "start()")
    manifest = touch(package / "package.json", '{"version":"1.0.0"}')
    (tmp_path / "node_modules" / ".bin").mkdir()
    (tmp_path / "node_modules" / ".bin" / "server").symlink_to(script)
    made = command(str(tmp_path / "node_modules" / ".bin" / "server"))
    before = identity(made)
    touch(manifest, '{"version":"1.0.10"}')

    assert identity(made) != before


@pytest.mark.parametrize("argument", ["x" * 100_000, "\udcff", "/proc/self/mem", "/", ".", "a\nb", "--flag=/etc/passwd", "print('a')\0"])
def test_odd_arguments_are_no_files(argument):
    assert len(identity(command("echo", argument))) == 64


def test_a_program_that_does_not_exist_has_an_identity():
    assert identity(command("no-such-program")) == identity(command("no-such-program"))


def test_nothing_of_the_environment_is_in_the_file_name(tmp_path):
    assert "secret" not in str(kept(tmp_path, command("echo", TOKEN="secret")).path)


# Files that nobody needs any more

DAYS = 24 * 3600


def aged(path, days: float):
    stamp = time.time() - days * DAYS
    os.utime(path, (stamp, stamp))
    return path


def test_what_nobody_used_for_thirty_days_is_removed(tmp_path):
    files = [kept(tmp_path, name=name) for name in ("one", "two", "young")]
    for file in files:
        file.write(b"content")
    draft = files[0].path.with_suffix(".123")
    draft.write_bytes(b"half")
    aged(files[0].path, 31), aged(draft, 31), aged(files[1].path, 31), aged(files[2].path, 29)
    assert files[1].read() == b"content", "which is a use"
    kept(tmp_path, name="another").clean(time.time())

    assert sorted(path.name.split("-")[0] for path in tmp_path.iterdir()) == ["two", "young"]


def test_files_of_others_stay(tmp_path):
    names = ["notes.json", "one-0123456789ab.txt", "one-0123456789AB.json", "one-0123456789abc.json", "x" * 100 + "-0123456789ab.json"]
    for name in names:
        aged((tmp_path / name).touch() or tmp_path / name, 100)
    (tmp_path / "folder-0123456789ab.json").mkdir()
    aged(tmp_path / "folder-0123456789ab.json", 100)
    (tmp_path / "link-0123456789ab.json").symlink_to(tmp_path / "notes.json")
    kept(tmp_path).clean(time.time())

    assert {path.name for path in tmp_path.iterdir()} == {*names, "folder-0123456789ab.json", "link-0123456789ab.json"}


def test_without_a_folder_nothing_is_removed(tmp_path):
    kept(tmp_path / "none").clean(time.time())

    assert not (tmp_path / "none").exists()


def test_a_bridge_cleans_up_when_it_starts(start, tmp_path):
    old, young = tmp_path / "gone-0123456789ab.json", tmp_path / "here-0123456789ab.json"
    old.touch(), young.touch()
    aged(old, 31)
    start("echo", options=["--lazy", "--cache-dir", tmp_path])

    assert not old.exists()
    assert young.exists()
