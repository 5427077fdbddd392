"""What is written together is there whole, or as it was before."""

import os
import signal
from pathlib import Path

import pytest

from bridge.fleet import transaction
from bridge.fleet.transaction import whole_or_not_at_all


def everything(root: Path) -> dict[str, str | None]:
    """Each path below it, with what stands in a file or where a link leads."""
    return {
        path.relative_to(root).as_posix(): os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else None
        for path in root.rglob("*")
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "images" / "time"
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
    assert sorted(os.listdir(tmp_path / "images")) == ["time"]


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
