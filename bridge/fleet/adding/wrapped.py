"""Command lines inside command lines: `cmd /c`, `wsl bash -ic "…"`, `env KEY=… npx …`, `sudo`, `powershell -Command`. Pure.

What is started in the end comes out, with the variables that were set on the way.
"""

import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass, field

from bridge.clients.formats import WINDOWS_PROGRAM

SHELLS = ("bash", "sh", "zsh", "dash", "ash", "ksh", "fish")
PREFIXES = {
    "sudo": ("-u", "-g", "-p", "-C", "-h"),
    "nohup": (),
    "exec": (),
    "command": (),
    "setsid": (),
    "time": (),
    "nice": ("-n",),
    "ionice": ("-c", "-n"),
    "stdbuf": ("-i", "-o", "-e"),
    "doas": ("-u",),
    "caffeinate": ("-w",),
    "dbus-run-session": (),
    "arch": (),
}
RUNNERS = tuple("""mise fnm volta asdf direnv op doppler infisical dotenv dotenvx chamber aws-vault nvm rtx""".split())
QUIET_STEPS = ("cd", "source", ".", "set", "nvm", "eval", "echo", "pushd", "ulimit", "umask", "conda", "true", "sleep")
ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


class NotUnderstood(Exception):
    """Nothing can be made of it; the message says why."""


@dataclass
class Started:
    words: list[str]
    env: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def program_of(word: str) -> str:
    """`C:\\node\\npx.cmd` is npx."""
    return re.sub(r"\.(exe|cmd|ps1|bat)$", "", word.strip('"').replace("\\", "/").rpartition("/")[2].lower())


def unwrapped(words: list[str]) -> Started:
    """What is started in the end. Raises NotUnderstood."""
    started = Started(list(words))
    for _ in range(12):  # nobody wraps deeper
        before = list(started.words)
        _take_assignments(started)
        if not started.words:
            raise NotUnderstood("its command is empty")
        program, rest = program_of(started.words[0]), started.words[1:]
        if program == "cmd" and rest and re.fullmatch(r"/[a-z](:\w+)?", rest[0], re.IGNORECASE):
            _cmd(started, rest)
        elif program in ("powershell", "pwsh"):
            _powershell(started, rest)
        elif program in ("wsl", "wslg"):
            started.words = options_of(rest, ("-d", "--distribution", "-u", "--user", "--cd", "--shell-type", "--distribution-id"))[1]
        elif program in SHELLS:
            _shell(started, rest, program)
        elif program == "env":
            _env(started, rest)
        elif program == "timeout":
            started.words = options_of(rest, ("-k", "-s"))[1][1:]
        elif program in PREFIXES:
            started.words = options_of(rest, PREFIXES[program])[1]
        elif program in RUNNERS and "--" in rest:
            started.notes.append(f"what {program} does before was left out: its versions, or the values that it hands over")
            started.words = rest[rest.index("--") + 1 :]
        if started.words == before:
            return started
    raise NotUnderstood("too many commands in one another")


def _take_assignments(started: Started) -> None:
    while started.words and (found := ASSIGNMENT.fullmatch(started.words[0])):
        started.env[found[1]] = found[2]
        started.words.pop(0)


def options_of(words: list[str], with_value: Collection[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """The options before the first word that is none, and the words from there on."""
    options, rest = [], list(words)
    while rest and rest[0].startswith("-"):
        name, equals, value = rest.pop(0).partition("=")
        if name == "--":
            break
        if not equals and name in with_value and rest:
            value = rest.pop(0)
        options.append((name, value))
    return options, rest


def _cmd(started: Started, rest: list[str]) -> None:
    while rest and re.fullmatch(r"/[a-z](:\w+)?", rest[0], re.IGNORECASE):
        rest = rest[1:]
    if len(rest) == 1 or any(re.search(r"[&|]", word) for word in rest):
        line = " ".join(rest)
        while found := re.match(r"""\s*set\s+"?(\w+)=([^"&]*?)"?\s*&&?\s*""", line, re.IGNORECASE):
            started.env[found[1]] = found[2].strip()
            line = line[found.end() :]
        while found := re.match(r"\s*(cd|chcp|pushd)\s[^&]*&&?\s*", line, re.IGNORECASE):
            started.notes.append(f"{found[1].lower()} before it was left out")
            line = line[found.end() :]
        if re.search(r"[&|]", re.sub(r"\"[^\"]*\"", "", line)):
            raise NotUnderstood("several commands in one line of cmd: name the one that is the server")
        found = WINDOWS_PROGRAM.match(line)
        rest = [found[1].strip('"'), *_split(found[2] or "", posix=False)] if found else _split(line, posix="\\" not in line)
    started.words = rest


def _powershell(started: Started, rest: list[str]) -> None:
    at = next((number for number, word in enumerate(rest) if re.fullmatch(r"[-/]c(o(m(m(a(nd?)?)?)?)?)?", word, re.IGNORECASE)), None)
    if at is None:
        if any(re.match(r"[-/](e|f)", word, re.IGNORECASE) and not re.match(r"[-/]ex", word, re.IGNORECASE) for word in rest) or not rest:
            raise NotUnderstood("a script of PowerShell: name what it starts")
        values = ("-executionpolicy", "-ep", "-ex", "-windowstyle", "-w", "-version", "-inputformat", "-outputformat")
        line = " ".join(options_of([word.lower() if word.startswith("-") else word for word in rest], values)[1])
    else:
        line = " ".join(rest[at + 1 :])
    while found := re.match(r"""\s*\$env:(\w+)\s*=\s*(?:'([^']*)'|"([^"]*)"|([^;]*))\s*;\s*""", line, re.IGNORECASE):
        started.env[found[1]] = next(group for group in found.groups()[1:] if group is not None).strip()
        line = line[found.end() :]
    while found := re.match(r"\s*(cd|set-location|chcp)\s[^;]*;\s*", line, re.IGNORECASE):
        started.notes.append(f"{found[1].lower()} before it was left out")
        line = line[found.end() :]
    line = re.sub(r"^\s*&\s*(\{\s*(.*?)\s*\}\s*$)?", lambda found: found[2] or "", line, flags=re.DOTALL)
    if re.search(r"[;|]", re.sub(r"\"[^\"]*\"|'[^']*'", "", line)):
        raise NotUnderstood("several commands in one line of PowerShell: name the one that is the server")
    started.words = _split(re.sub(r"\$env:(\w+)", r"${\1}", line, flags=re.IGNORECASE), posix="\\" not in line)


def _shell(started: Started, rest: list[str], shell: str) -> None:
    at = next((number for number, word in enumerate(rest) if re.fullmatch(r"-[a-z]*c[a-z]*", word)), None)
    if at is None or at + 1 >= len(rest):
        raise NotUnderstood(f"a script of {shell}: name what it starts in the end" if rest else f"{shell} without a command")
    script = rest[at + 1]
    if re.search(r"\$\(|`", script):
        raise NotUnderstood("its shell runs another program for a value, $(…): write the value")
    if re.search(r"\$[@*#0-9]|\$\{[@*#0-9]", script):
        raise NotUnderstood(f"its line for {shell} takes words from elsewhere ($1, $@): write the whole command")
    lexer = shlex.shlex(script.replace("\\\n", " ").replace("\n", " ; "), posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError as error:
        raise NotUnderstood(f"its line for {shell}: {error}") from None
    steps: list[list[str]] = [[]]
    for word in words:
        if word in ("&&", ";"):
            steps.append([])
        elif re.fullmatch(r"[|&;()<>]+", word) and not re.fullmatch(r"[<>]&?", word) and word != ">>":
            raise NotUnderstood(f"{word!r} in its line for {shell}: name only the command that is the server")
        else:
            steps[-1].append(word)
    steps = [_without_redirections(step) for step in steps if step]
    for step in steps[:-1]:
        assigned = step[1:] if step[:1] == ["export"] else step
        if assigned and all(map(ASSIGNMENT.fullmatch, assigned)):
            started.env |= dict(word.partition("=")[::2] for word in assigned)
        elif step and program_of(step[0]) in QUIET_STEPS:
            started.notes.append(f"{program_of(step[0])} before it was left out")
        elif step:
            raise NotUnderstood(f"{program_of(step[0])!r} runs before it in the same line: name only the command that is the server")
    last = Started(steps[-1] if steps else [])
    _take_assignments(last)
    started.env |= last.env
    # In a shell every $NAME is a variable.
    started.words = [
        re.sub(r"\$\{?([A-Za-z_]\w*)\}?", lambda found: started.env.get(found[1], f"${{{found[1]}}}"), word)
        if "$" in word and ":-" not in word
        else word
        for word in last.words
    ]


def _without_redirections(step: list[str]) -> list[str]:
    """`2>/dev/null`, `2>&1`: where its messages go is the bridge's business."""
    words: list[str] = []
    rest = list(step)
    while rest:
        word = rest.pop(0)
        if re.fullmatch(r"[<>]{1,2}&?", word):
            if words and re.fullmatch(r"[0-9&]", words[-1]):
                words.pop()
            rest = rest[1:]
        else:
            words.append(word)
    return words


def _env(started: Started, rest: list[str]) -> None:
    rest = list(rest)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option in ("-S", "--split-string") and rest:
            rest = [*_split(rest[0]), *rest[1:]]
        elif option in ("-u", "--unset", "-C", "--chdir") and rest:
            rest.pop(0)
    started.words = rest


def _split(line: str, posix: bool = True) -> list[str]:
    try:
        return [word if posix else re.sub(r'^"(.*)"$', r"\1", word) for word in shlex.split(line, posix=posix)]
    except ValueError as error:
        raise NotUnderstood(f"its command line: {error}") from None
