"""One real process: its pipes, its group and its end. Mostly `sh`, which starts in a millisecond."""

import asyncio
import os
from functools import wraps
from pathlib import Path

import pytest
from support import zoo

from bridge.child import process, reaper
from bridge.child.environment import MARK
from bridge.child.process import AT_ONCE, FULL, Command, Process
from bridge.child.stderr import Stderr
from bridge.failure import Cause, Failure

MIB = 1 << 20


@pytest.fixture(autouse=True)
def only_our_own(monkeypatch):
    """`reaper.sweep` would reap the children of other tests; test_reaper.py has a process of its own for it."""
    monkeypatch.setattr(reaper, "sweep", lambda: 0)
    monkeypatch.setattr(process, "LAST_MOMENT", 0.1)


class Talk:
    """A process and all that was heard of it."""

    def __init__(self, *argv, max_line=64 * MIB, environment=None, cwd=None):
        self.lines, self.long_ones, self.closed, self.ends, self.errors = [], [], [], [], []
        stderr = Stderr(self.errors.append, lambda: None)
        environment = {"PATH": os.environ["PATH"]} if environment is None else environment
        self.process = Process(
            Command(argv, environment, cwd), max_line, self.lines.extend, self.too_long, self.closed.append, self.ends.append, stderr
        )

    def too_long(self, head, tail, size):
        self.long_ones.append((head, tail, size))

    async def until(self, condition) -> None:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.002)

    async def end(self) -> str:
        await self.until(lambda: self.ends)
        (reason,) = self.ends
        return str(reason)


def sh(script: str, **options) -> Talk:
    return Talk("sh", "-c", script, **options)


def runs(test):
    """An async test, with every process that it left behind killed."""

    @wraps(test)
    def run(*args, **kwargs):
        started = []
        init = Process.__init__

        def noted(self, *a, **k):
            init(self, *a, **k)
            started.append(self)

        async def main():
            try:
                await test(*args, **kwargs)
            finally:
                for process in started:
                    if process._popen.returncode is None:
                        process.kill()
                        while process._popen.returncode is None:
                            await asyncio.sleep(0.002)

        Process.__init__ = noted
        try:
            asyncio.run(main())
        finally:
            Process.__init__ = init

    return run


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# -- pipes ------------------------------------------------------------------------------------------------------------------


@runs
async def test_lines_go_in_and_come_out_whole_and_in_order():
    talk = sh("exec cat")
    sent = [b"%d" % number + b"x" * (number % 50) for number in range(5000)]
    for line in sent:
        talk.process.write(line + b"\n")
    await talk.until(lambda: len(talk.lines) == 5000)

    assert talk.lines == sent
    assert talk.process.backlog == 0


@runs
async def test_a_line_of_megabytes_passes():
    """Edge case 28."""
    talk = sh("exec cat")
    line = os.urandom(3 * MIB).hex().encode()
    talk.process.write(line + b"\n")
    talk.process.write(b"next\n")
    await talk.until(lambda: len(talk.lines) == 2)

    assert talk.lines == [line, b"next"]


@runs
async def test_a_line_alone_leaves_at_once():
    talk = sh("exec cat")
    talk.process.write(b"hello\n", True)

    assert talk.process.backlog == 0
    await talk.until(lambda: talk.lines == [b"hello"])


@runs
async def test_a_line_over_the_limit_is_told_with_its_two_ends():
    talk = sh("exec cat", max_line=10_000)
    line = b"h" * 5000 + b"t" * 50_000
    talk.process.write(line + b"\nshort\n")
    await talk.until(lambda: talk.lines)

    assert talk.long_ones == [(b"h" * 1024, b"t" * 1024, 55_000)]


@runs
async def test_who_writes_much_waits_until_the_child_reads():
    talk = sh("exec cat > /dev/null")
    talk.process.write(b"x" * (4 * FULL) + b"\n")
    waiting = asyncio.ensure_future(talk.process.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    talk.process.write(b"more\n")
    await asyncio.wait_for(waiting, 5)

    assert talk.process.backlog == 0


@runs
async def test_who_waits_for_a_child_that_dies_waits_no_more():
    talk = sh("sleep 60")
    talk.process.write(b"x" * (4 * FULL))
    waiting = asyncio.ensure_future(talk.process.room())
    await asyncio.sleep(0)
    talk.process.kill()

    await asyncio.wait_for(waiting, 5)
    assert "SIGKILL" in await talk.end()


@runs
async def test_stderr_is_always_read():
    """Edge case 30: a full pipe would stop the child."""
    talk = sh("head -c 3000000 /dev/zero >&2; echo done")
    await talk.until(lambda: talk.lines == [b"done"])


# -- the end ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "reason", "cause"),
    [
        ("exit 0", "the server process exited (code 0)", Cause.EXIT),
        ("exit 3", "the server process exited (code 3)", Cause.EXIT),
        ("kill -9 $$", "the server process was killed by SIGKILL", Cause.SIGNAL),
        ("kill -s SEGV $$", "the server process was killed by SIGSEGV", Cause.SIGNAL),
        ("kill -40 $$", "the server process was killed by signal 40", Cause.SIGNAL),
    ],
)
@runs
async def test_the_end_is_told_once_with_its_reason_and_its_cause(script, reason, cause):
    talk = sh(script)
    await talk.end()

    assert talk.ends == [Failure(reason, cause=cause)]


@runs
async def test_last_words_are_heard_before_the_end():
    talk = sh("echo on stdout; echo on stderr >&2; printf unfinished >&2; exit 1")
    at_end = []
    talk.process._exited = lambda reason: (at_end.extend([*talk.lines, *talk.errors]), talk.ends.append(reason))
    await talk.end()

    assert at_end == [b"on stdout", "on stderr", "unfinished"]


@runs
async def test_a_grandchild_that_holds_the_pipes_delays_nothing_and_goes_too():
    talk = sh("sleep 60 & echo $!; exit 3")
    assert await talk.end() == "the server process exited (code 3)"
    (pid,) = map(int, talk.lines)

    await talk.until(lambda: not is_alive(pid))


@runs
async def test_each_step_of_a_stop_reaches_the_whole_group():
    """`sh -c`, npx and uvx stand between us and the server."""
    talk = sh("sleep 60 & echo $!; wait")
    await talk.until(lambda: talk.lines)
    pid = int(talk.lines[0])
    talk.process.terminate()

    assert await talk.end() == "the server process was killed by SIGTERM"
    await talk.until(lambda: not is_alive(pid))


@runs
async def test_a_child_that_ignores_sigterm_is_killed():
    talk = sh("trap '' TERM; echo ready; while :; do sleep 0.01; done")
    await talk.until(lambda: talk.lines)
    talk.process.terminate()
    talk.process.kill()

    assert await talk.end() == "the server process was killed by SIGKILL"


@runs
async def test_closing_stdin_is_enough_for_most():
    talk = sh("exec cat")
    talk.process.close_stdin()
    talk.process.close_stdin()

    assert await talk.end() == "the server process exited (code 0)"


@runs
async def test_a_child_that_closes_its_stdout_has_shut_down():
    talk = sh("exec 1>&-; exec sleep 60")
    await talk.until(lambda: talk.closed)

    assert [str(why) for why in talk.closed] == ["the server closed its stdout"]


@runs
async def test_it_may_tidy_up_then_and_exit_as_it_likes(monkeypatch):
    """`cat` closes its stdout and exits; some servers save their state in between."""
    monkeypatch.setattr(process, "LAST_MOMENT", 5)

    talk = sh("exec 1>&-; cat; sleep 0.05; exit 4")

    assert await talk.end() == "the server process exited (code 4)"
    assert talk.closed == []


@runs
async def test_a_child_that_closes_its_stdin_has_shut_down_and_nothing_piles_up():
    """Otherwise each call would wait for --request-timeout, and each line stay in memory."""
    talk = sh("exec 0<&-; echo ready; exec sleep 60")
    await talk.until(lambda: talk.lines)
    talk.process.write(b"into the void\n")

    await talk.until(lambda: talk.closed)
    assert [str(why) for why in talk.closed] == ["the server closed its stdin"]
    for _ in range(100):
        talk.process.write(b"x" * 10_000)
    assert (talk.process.backlog, len(talk.process._unsent)) == (0, 0)


@runs
async def test_signals_after_the_end_are_harmless():
    talk = sh("exit 0")
    await talk.end()
    talk.process.terminate()
    talk.process.kill()
    talk.process.close_stdin()
    talk.process.write(b"x\n")


@runs
async def test_nothing_is_left_open():
    def open_files():
        return len(os.listdir("/proc/self/fd"))

    await sh("exit 0").end()
    before = open_files()
    for script in ("exit 0", "exec 1>&-; exec sleep 0.2", "kill -9 $$"):
        await sh(script).end()

    assert open_files() == before


# -- the start ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"argv": ["/no/such/command"]}, {"argv": ["/"]}, {"argv": ["true"], "cwd": "/no/such/place"}])
@runs
async def test_what_cannot_be_started_raises(options):
    """Edge case 51."""
    with pytest.raises(OSError):
        Talk(*options.pop("argv"), **options)


@runs
async def test_a_child_has_its_own_session_and_the_given_environment_only(tmp_path):
    talk = sh("env; pwd", environment={"PATH": os.environ["PATH"], "A": "é\n"}, cwd=str(tmp_path))
    sid = os.getsid(talk.process.pid)
    await talk.end()
    text = b"\n".join(talk.lines).decode()

    assert sid == talk.process.pid
    assert str(tmp_path) in text
    assert "A=é" in text
    assert MARK in text
    assert "HOME=" not in text


@runs
async def test_a_python_server_whose_own_child_holds_the_pipes():
    """The zoo's `grandchild`: it ignores SIGTERM."""
    talk = Talk(*zoo("grandchild"))
    call = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%b"}}\n'
    talk.process.write(call % b"pids")
    await talk.until(lambda: talk.lines)
    below = int(talk.lines[0].rpartition(b"]")[0].rpartition(b"[")[2].split(b"]")[0].split(b",")[1].split(b'"')[0])
    talk.process.write(call % b"die")

    assert await talk.end() == "the server process exited (code 3)"
    await talk.until(lambda: not is_alive(below))


@pytest.mark.parametrize("script", ["cat FILE; exec sleep 9", "cat FILE", "cat FILE; printf last"])
@runs
async def test_many_short_lines_do_not_keep_others_from_their_turn(tmp_path, script):
    """32,000 lines of two bytes in one read took two seconds. All come, in their order, and before its end."""
    lines = [b"%d" % number for number in range(150_000)]
    (tmp_path / "lines").write_bytes(b"\n".join(lines) + b"\n")
    talk = sh(script.replace("FILE", str(tmp_path / "lines")))
    batches, turns = [], []
    talk.process._received = lambda lines: (batches.append(len(lines)), talk.lines.extend(lines), turns.append(is_over()))

    def is_over():
        return bool(talk.ends)

    await talk.until(lambda: len(talk.lines) == len(lines))

    assert talk.lines == lines
    assert max(batches) <= AT_ONCE
    assert not any(turns)
    if "sleep" not in script:
        assert await talk.end() == "the server process exited (code 0)"


@pytest.mark.parametrize(
    "script, longest",
    [("yes '' | head -c 4000000; exec sleep 9", process.READ_SIZE), ("head -c 4000000 /dev/zero; exec sleep 9", process.READ_MORE)],
)
@runs
async def test_only_a_long_line_is_read_in_large_pieces(monkeypatch, script, longest):
    """A megabyte of blank lines in one read kept everybody waiting for half a second."""
    sizes, taken, read = [], [], os.read

    def noted(fd, size):
        sizes.append(size)
        chunk = read(fd, size)
        taken.append(len(chunk))
        return chunk

    monkeypatch.setattr(process.os, "read", noted)
    talk = sh(script)
    await talk.until(lambda: sum(taken) >= 4_000_000)

    assert max(sizes) == longest
