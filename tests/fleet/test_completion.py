"""What the shells themselves complete, with the scripts that `mcp-bridge completion` prints."""

import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from environments.debian import program
from support import eventually

MCPS = ("time", "timer", "memory")


@pytest.fixture
def here(tmp_path) -> Path:
    """A folder below that of three MCPs, with our command on PATH."""
    for name in MCPS:
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "stanza.yaml").touch()
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin/mcp-bridge"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={os.getcwd()} exec {sys.executable} -m bridge "$@"\n')
    command.chmod(0o755)
    (tmp_path / "below").mkdir()
    return tmp_path / "below"


CASES = [
    ("mcp-bridge verify ti", {"time", "timer"}),
    ("mcp-bridge verify time mem", {"memory"}),
    ("mcp-bridge serve --isolation s", {"shared", "session"}),
    ("mcp-bridge sta", {"status"}),
    ("mcp-bridge logs --fol", {"--follow"}),
]


def environment(here: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "PATH": f"{here.parent}/bin:{os.environ['PATH']}", "TERM": "dumb", **more}


def script(here: Path, shell: str) -> Path:
    file = here / f"completion.{shell}"
    file.write_text(subprocess.check_output(["mcp-bridge", "completion", shell], env=environment(here), text=True, timeout=60))
    return file


def test_bash(here):
    code = f'source {script(here, "bash")}; COMP_WORDS=($1); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _shtab_mcp_bridge; printf "%s\\n" "${{COMPREPLY[@]}}"'
    for line, expected in CASES:
        said = subprocess.check_output(["bash", "-c", code, "bash", line], cwd=here, env=environment(here), text=True, timeout=60)

        assert set(said.split()) == expected, line


def test_fish(here):
    command, env, _ = program("fish", "fish", "fish-common")
    file = script(here, "fish")
    for line, expected in CASES:
        code = f"source {file}; complete -C '{line}'"
        asked = [*command, "--no-config", "-c", code]
        said = subprocess.check_output(asked, cwd=here, env=environment(here, **env, HOME=str(here)), text=True, timeout=60)

        assert {one.split("\t")[0] for one in said.splitlines()} == expected, line


def test_zsh(here):
    command, env, folder = program("zsh", "zsh", "zsh-common")
    paths = ""
    if folder is not None:
        modules, functions = next(folder.glob("usr/lib/*/zsh/*")), folder / "usr/share/zsh/functions"
        paths = f"module_path=({modules}); fpath=({functions} {functions}/**/*(/))"
    (here / ".zshenv").write_text(paths)
    (here / ".zshrc").write_text(f"PS1='> '; autoload -U compinit; compinit -u -D; eval \"$(<{script(here, 'zsh')})\"; print ready\n")
    shell, terminal = pty.openpty()
    process = subprocess.Popen(
        [*command, "-d", "-i"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        cwd=here,
        env=environment(here, **env, ZDOTDIR=str(here)),
        start_new_session=True,
    )
    os.close(terminal)
    os.set_blocking(shell, False)
    said = ""

    def hears(*words: str) -> bool:
        nonlocal said
        with suppress(BlockingIOError):
            said += os.read(shell, 1 << 16).decode(errors="replace")
        return all(word in said for word in words)

    try:
        eventually(lambda: hears("ready\r\n", "> "), 30)
        for line, expected in CASES:
            said = ""
            os.write(shell, line.encode() + b"\t\t")
            word = "".join(expected) if len(expected) == 1 else ""
            wanted = [f"{line.rpartition(' ')[0]} {word}"] if word else sorted(expected)
            eventually(lambda: hears(*wanted), 30, line)
            os.write(shell, b"\x15\n")
    finally:
        process.kill()
        process.wait(5)
        os.close(shell)
