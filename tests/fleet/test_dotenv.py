"""compose/.env means to us what it means to Docker Compose."""

import json
import subprocess

import pytest

from bridge.fleet.dotenv import quoted, read_dotenv
from bridge.settings import UsageError

TEXT = r"""# comment

A1=sk-abc # my key
A2="sk-a\$b-c"  # mine
A3='sk-a$b-c'	# mine
A4=a#b
A5= #x
A6=
A7= a  b 
A8=a	# b
export B1=1
  export	B2 = 2
B3="a\nb\tc\"d\\e\r\qf"
B4=a\nb
B5='a\nb\\c it\'s'
B6="a # b"
B7=a"b"c
B8=it's
B9=a$
C1="$ $1"
C2=a$1b$(x)
C3="two 
lines \
 here" # three
C4='one

B1=not'
C5="a\\"
C6=twice
C6=again
C7=é=x=
C8=""
"""
MEANT = {
    "A1": "sk-abc",
    "A2": "sk-a$b-c",
    "A3": "sk-a$b-c",
    "A4": "a#b",
    "A5": "#x",
    "A6": "",
    "A7": "a  b",
    "A8": "a\t# b",
    "B1": "1",
    "B2": "2",
    "B3": 'a\nb\tc"d\\e\r\\qf',
    "B4": "a\\nb",
    "B5": "a\\nb\\\\c it's",
    "B6": "a # b",
    "B7": 'a"b"c',
    "B8": "it's",
    "B9": "a$",
    "C1": "$ $1",
    "C2": "a$1b$(x)",
    "C3": "two \nlines \\\n here",
    "C4": "one\n\nB1=not",
    "C5": "a\\",
    "C6": "again",
    "C7": "é=x=",
    "C8": "",
}
ODD = ["", "a", "a b", "a$b", "$$a", "it's", 'a"b', "a\\", "a\\n", "a #b", "#", "${A}", "\\$a", "a\nb", "'", '\\"$', "p@/:?&=%!"]


def write(folder, text: str):
    path = folder / ".env"
    path.write_bytes(text.encode())
    return path


def as_compose_reads(path, names) -> dict[str, str]:
    document = {"services": {"a": {"image": "x", "environment": {name: f"${{{name}}}" for name in names}}}}
    file = path.with_name("compose.yaml")
    file.write_text(json.dumps(document))
    said = subprocess.run(
        ["docker", "compose", "--env-file", path, "--file", file, "config", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    found = json.loads(said.stdout)["services"]["a"]["environment"]
    return {name: value.replace("$$", "$") for name, value in found.items()}


def test_comments_quotes_and_escapes_mean_what_they_mean_to_compose(tmp_path):
    assert read_dotenv(write(tmp_path, TEXT)) == MEANT
    assert read_dotenv(write(tmp_path, "\ufeff" + "A=1\r\nB='2'\r\n")) == {"A": "1", "B": "2"}


@pytest.mark.docker
def test_compose_itself_reads_them_so(tmp_path):
    assert as_compose_reads(write(tmp_path, TEXT), MEANT) == MEANT


@pytest.mark.parametrize("value", ["a$b", "a${B}", "a${B:-c}", '"a$b"', '"a\\\\$b"', "a\\$b", "a$$b", '"a${B}" # c'])
def test_a_value_that_compose_would_fill_in_is_refused_with_the_way_out(tmp_path, value):
    with pytest.raises(UsageError) as caught:
        read_dotenv(write(tmp_path, f"# x\nKEY={value}\n"))

    assert str(caught.value) == (
        f"{tmp_path}/.env:2: KEY: Docker Compose would fill in a variable where '$' stands: put the value in single quotes, or write it out"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A", ":1: expected NAME=VALUE"),
        ("A B=hush", ":1: not the name of"),
        ("A=1\nB='hush\nC=1\n", ":2: B: its quote is not closed"),
        ('A="hush"hush', ":1: A: there is more behind its closing quote"),
        ("A='hush\0'", ":1: A: a value cannot hold a null byte"),
    ],
)
def test_a_wrong_line_is_named_without_its_value(tmp_path, text, said):
    with pytest.raises(UsageError) as caught:
        read_dotenv(write(tmp_path, text))

    assert str(caught.value).startswith(f"{tmp_path}/.env{said}")
    assert "hush" not in str(caught.value)


def test_what_we_write_is_read_back(tmp_path):
    every = {f"A{number}": value for number, value in enumerate(ODD)}

    assert read_dotenv(write(tmp_path, "".join(f"{name}={quoted(value)}\n" for name, value in every.items()))) == every


@pytest.mark.docker
def test_compose_reads_what_we_write(tmp_path):
    every = {f"A{number}": value for number, value in enumerate(ODD)}
    path = write(tmp_path, "".join(f"{name}={quoted(value)}\n" for name, value in every.items()))

    assert as_compose_reads(path, every) == every
