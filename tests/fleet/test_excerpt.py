"""Logs of the embedded engine, shown: several at once, as they come."""

import threading

from support import eventually

from bridge.fleet.engines import Excerpt
from bridge.fleet.engines.excerpt import show


def test_lines_have_the_name_of_their_log_and_in_a_pipe_no_control_sequences(tmp_path, capsys):
    (tmp_path / "bridge.log").write_text("2026-11-27T01:00:00Z info ready mcp=time \n2026-11-27T01:00:00Z info ready mcp=fetch \n")
    (tmp_path / "litellm.log").write_text("\x1b[32mLiteLLM\x1b[0m: \x1b[2Kready\nlast words")
    show([(tmp_path / "bridge.log", [" mcp=time "]), (tmp_path / "litellm.log", [])], Excerpt())

    assert (
        capsys.readouterr().out == "bridge  | 2026-11-27T01:00:00Z info ready mcp=time \nlitellm  | LiteLLM: ready\nlitellm  | last words\n"
    )


def test_a_line_that_is_half_written_is_shown_once_it_is_whole(tmp_path, monkeypatch):
    shown, file = [], tmp_path / "bridge.log"
    file.write_text("one\ntw")
    monkeypatch.setattr("bridge.fleet.engines.excerpt._print", lambda name, line, with_name: shown.append(line))
    monkeypatch.setattr("bridge.fleet.engines.excerpt.TICK", 0.01)
    is_over = threading.Event()

    def pause(seconds: float) -> None:
        if is_over.wait(seconds):
            raise KeyboardInterrupt

    monkeypatch.setattr("bridge.fleet.engines.excerpt.time.sleep", pause)
    following = threading.Thread(target=show, args=([(file, [])], Excerpt(follow=True)))
    following.start()
    eventually(lambda: shown == ["one"])
    with file.open("a") as log:
        log.write("o\nthree\n")
    eventually(lambda: len(shown) == 3)
    is_over.set()
    following.join(5)

    assert shown == ["one", "two", "three"]
