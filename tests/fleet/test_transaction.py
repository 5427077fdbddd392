"""What is written together is there whole, or as it was before."""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.cli import main
from bridge.fleet import transaction
from bridge.fleet.transaction import recover, whole_or_not_at_all


def everything(root: Path) -> dict[str, str | None]:
    """Each path below it, with what stands in a file or where a link leads."""
    return {
        path.relative_to(root).as_posix(): os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else None
        for path in root.rglob("*")
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "project" / "images" / "time"
    (folder / "app").mkdir(parents=True)
    (folder / "app" / "server.py").write_text("print()")
    (folder / "requirements.lock").write_text("old")
    (folder / "latest").symlink_to("app")
    return folder


def replace(path: Path, text: str) -> None:
    beside = path.with_name("new")
    beside.write_text(text)
    beside.replace(path)


def spoil(folder: Path) -> None:
    replace(folder / "requirements.lock", "new")
    (folder / "stanza.yaml").write_text("command: x")
    (folder / "data" / "deep").mkdir(parents=True)
    (folder / "app" / "server.py").unlink()
    (folder / "app").rmdir()
    (folder / "app").write_text("a file where a folder was")
    (folder / "latest").unlink()


@pytest.mark.parametrize("linking", [True, False])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_folder_that_failed_half_way_is_put_back_as_it_was(tmp_path, folder, monkeypatch, error, linking):
    if not linking:
        monkeypatch.setattr(transaction.os, "link", lambda *_, **__: (_ for _ in ()).throw(OSError("no links here")))
    before = everything(tmp_path)
    with pytest.raises(error), whole_or_not_at_all(folder):
        spoil(folder)
        raise error

    assert everything(tmp_path) == before


def test_what_is_done_to_its_end_stays(tmp_path, folder):
    with whole_or_not_at_all(folder, tmp_path / "compose" / ".env"):
        spoil(folder)

    assert (folder / "requirements.lock").read_text() == "new"
    assert os.listdir(folder.parent) == ["time"] and os.listdir(tmp_path) == ["project"]


def test_what_was_not_there_is_gone_with_the_folders_that_were_made_for_it(tmp_path):
    new, secret = tmp_path / "images" / "new", tmp_path / "compose" / ".env"
    with pytest.raises(ValueError), whole_or_not_at_all(new, secret):
        new.mkdir(parents=True)
        (new / "stanza.yaml").write_text("command: x")
        secret.parent.mkdir()
        secret.write_text("KEY=x")
        raise ValueError

    assert everything(tmp_path) == {}


def test_a_file_that_did_not_change_is_the_same_file(folder):
    number = (folder / "requirements.lock").stat().st_ino
    with pytest.raises(ValueError), whole_or_not_at_all(folder):
        (folder / "stanza.yaml").write_text("command: x")
        raise ValueError

    assert (folder / "requirements.lock").stat().st_ino == number


def test_ctrl_c_while_it_is_put_back_does_not_stop_that(tmp_path, folder, monkeypatch):
    before, real = everything(tmp_path), transaction._put_back

    def interrupted(path: Path, kept: Path) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        real(path, kept)

    monkeypatch.setattr(transaction, "_put_back", interrupted)
    with pytest.raises(ValueError), whole_or_not_at_all(folder):
        spoil(folder)
        raise ValueError

    assert everything(tmp_path) == before


CHANGES = {"open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "shutil.copyfile", "tempfile.mkdtemp"}


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Do it in a process that is killed, and cleans up nothing, before its so many-th change to the disk. Returns whether it came so far."""
    child = os.fork()
    if child == 0:
        left = step

        def count(event: str, arguments: tuple) -> None:
            nonlocal left
            if event in CHANGES and (event != "open" or set(str(arguments[1])) & set("wa")):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def change(root: Path, folder: Path) -> None:
    with whole_or_not_at_all(folder, root / "compose" / ".env", root / "images" / "new"):
        spoil(folder)
        for name in ("compose/.env", "images/new/stanza.yaml"):
            (root / name).parent.mkdir()
            (root / name).write_text("new")


@pytest.mark.parametrize("twice", [False, True])
def test_after_a_kill_at_any_step_all_of_it_stays_or_nothing(tmp_path, folder, twice):
    """With `twice` whoever puts things back is killed too, at each of its steps."""
    root = folder.parent.parent
    before = everything(root)
    shutil.copytree(root, tmp_path / "kept", symlinks=True)
    places = (root, root / "images")
    seen, step = set(), 0
    while killed_at(step, lambda: change(root, folder)):
        again = 0
        while twice and killed_at(again, lambda: recover(*places)):
            again += 1
        undone = recover(*places)
        now = everything(root)
        seen.add(now == before)
        if now != before:
            assert (undone, now["compose/.env"], now["images/new/stanza.yaml"]) == ([], "new", "new")
            shutil.rmtree(root)
            shutil.copytree(tmp_path / "kept", root, symlinks=True)
        step += 1

    assert seen == {True, False} and step > 20
    assert not list(tmp_path.rglob(".before-*"))


def test_what_a_living_process_is_at_is_left_to_it(tmp_path, folder):
    with whole_or_not_at_all(folder):
        spoil(folder)
        child = os.fork()
        if child == 0:
            os._exit(len(recover(folder.parent)))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    assert (folder / "stanza.yaml").exists()


def test_the_next_command_puts_back_what_a_killed_one_left_and_says_so(tmp_path, folder, capsys):
    root = folder.parent.parent

    def half() -> None:
        with whole_or_not_at_all(folder):
            spoil(folder)
            os.kill(os.getpid(), signal.SIGKILL)

    assert killed_at(1000, half)
    (root / "images/fleet.yaml").write_text("{}")
    main(["catalog", "--project", str(root)])
    main(["catalog", "--project", str(root)])

    assert (folder / "requirements.lock").read_text() == "old"
    assert (
        capsys.readouterr().err.splitlines().count("mcp-bridge: a command was killed half-way: as it was before that one: images/time") == 1
    )
