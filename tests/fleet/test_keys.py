"""What makes the fleet's keys: run as it is run in its container, in a folder instead."""

import re
import stat

import pytest

from bridge.callers.forwarded import derived as derive
from bridge.callers.tokens import hash_of
from bridge.fleet.targets.template import template


@pytest.fixture
def run(tmp_path):
    """Runs it with what the operator said; returns who reads what."""
    for name in ("said", *(f"keys/{reader}" for reader in ("litellm", "prometheus", "database", "door", "mcp"))):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "names").write_text("# Made by\ntime\ngit\n")

    def once(**said: str) -> dict[str, str]:
        for name in ("LITELLM_MASTER_KEY", "BRIDGE_TOKEN", "POSTGRES_PASSWORD", "POSTGRES_READER_PASSWORD", *said):
            (tmp_path / "said" / name).write_text(f"={said.get(name, '')}")
        program = template("keys.py")
        for name in ("said", "keys", "names"):
            program = program.replace(f'Path("/{name}")', f"Path({str(tmp_path / name)!r})")
        exec(compile(program, "keys.py", "exec"), {"__name__": "__main__"})
        return {
            path.relative_to(tmp_path / "keys").as_posix(): path.read_text() for path in (tmp_path / "keys").rglob("*") if path.is_file()
        }

    once.folder = tmp_path
    return once


def test_what_nobody_named_is_random_and_stays(run):
    first = run()

    assert first["litellm/LITELLM_MASTER_KEY"].startswith("sk-") and len(first["litellm/BRIDGE_TOKEN"]) == 48
    assert len(set(first.values())) == len(first)
    assert run() == first
    assert {stat.S_IMODE(path.stat().st_mode) for path in (run.folder / "keys").rglob("*") if path.is_file()} == {0o444}


def test_each_mcp_gets_hashes_of_keys_that_open_itself_alone(run):
    keys = run()
    own = re.findall(r'"(operator|litellm|prometheus) (/?)(time|git)" ([0-9a-f]{64});', keys["door/inside.conf"])

    assert [(reader, slash) for reader, slash, _, _ in own] == 2 * [("operator", "/"), ("litellm", ""), ("prometheus", "")]
    assert len({key for *_, key in own}) == 6
    for name in ("time", "git"):
        lines = [f"{reader} {hash_of(key)}" for reader, _, of, key in own if of == name]
        assert keys[f"mcp/{name}"].splitlines()[:3] == lines
        assert [line.split()[0] for line in keys[f"mcp/{name}"].splitlines()[3:]] == ["groups", "operator", "litellm"]
    for *_, key in own:
        assert [place for place, text in keys.items() if key in text] == ["door/inside.conf"]


def test_the_bridge_of_groups_is_sent_keys_from_which_those_of_each_mcp_follow_and_holds_none_that_calls(run):
    (run.folder / "names").write_text("time\ngit\ngroups all dev\n")
    (run.folder / "keys/groups").mkdir()
    keys = run()
    at_door = {f"{reader} {place}": key for reader, place, key in re.findall(r'"(\w+) (\S+)" (\w{64});', keys["door/inside.conf"])}
    known = {name: dict(reversed(line.split()) for line in keys[f"mcp/{name}"].splitlines()) for name in ("time", "git", "groups")}

    assert at_door["operator /all"] == at_door["operator /dev"]
    for reader, place in (("operator", "/all"), ("litellm", "groups")):
        assert known["groups"][hash_of(at_door[f"{reader} {place}"])] == reader
        derived = {name: derive(at_door[f"{reader} {place}"].encode(), name) for name in ("time", "git")}
        for name, key in derived.items():
            assert [where for where, lines in known.items() if lines.get(hash_of(key)) == reader] == [name]
            assert not [place for place, text in keys.items() if key in text]
    assert {path for path in keys if path.startswith("groups/")} == {"groups/time", "groups/git"}
    assert known["time"][hash_of(keys["groups/time"])] == "groups" and hash_of(keys["groups/time"]) not in known["git"]


def test_prometheus_has_no_key_that_calls_anything(run):
    keys = run()

    assert [place for place in keys if place.startswith("prometheus/")] == ["prometheus/PROMETHEUS_TOKEN"]
    assert keys["prometheus/PROMETHEUS_TOKEN"] != keys["litellm/BRIDGE_TOKEN"]
    assert hash_of(keys["prometheus/PROMETHEUS_TOKEN"]) not in keys["mcp/time"]


def test_the_door_knows_the_token_whatever_its_signs(run):
    """In a pattern: plain words of nginx match in any case, and end at a quote."""
    token = "A-token$\"\\{of};.*'signs"
    bearer, bare, watch, key = re.findall(r'"~(.*?)" (?:ours|prometheus|"")', run(BRIDGE_TOKEN=token)["door/inside.conf"])

    assert re.search(bearer, f"Bearer {token} ") and re.search(bearer, f"{token} x") and not re.search(bearer, f"Bearer {token.lower()} ")
    assert re.search(bare, f" {token}") and not re.search(bare, f"Bearer other {token}") and re.search(key, token)
    assert not re.search(watch, f"Bearer {token} ")
    assert re.fullmatch(r"\^\(Bearer \)\?[A-Za-z0-9\\]* ", bearer)


def test_the_operators_word_wins_and_litellms_variables_are_litellms(run):
    run()
    keys = run(BRIDGE_TOKEN="a-token-of-the-operators", OPENAI_API_KEY="sk-$ 'x'")

    assert keys["litellm/BRIDGE_TOKEN"] == "a-token-of-the-operators"
    assert keys["litellm/OPENAI_API_KEY"] == "sk-$ 'x'" and "database/OPENAI_API_KEY" not in keys
    assert run(OPENAI_API_KEY="")["litellm/OPENAI_API_KEY"] == ""


@pytest.mark.parametrize(
    "said",
    [
        {"LITELLM_MASTER_KEY": "sk-1234"},
        {"LITELLM_MASTER_KEY": "sk-loopback-only"},
        {"BRIDGE_TOKEN": "known-to-everybody"},
        {"BRIDGE_TOKEN": "short"},
    ],
)
def test_a_key_that_everybody_knows_starts_nothing(run, said):
    with pytest.raises(SystemExit, match="known to everybody or can be guessed"):
        run(**said)


def test_litellms_database_has_a_password_that_the_database_knows_and_a_salt_that_stays(run):
    asked = {"LITELLM_SALT_KEY": "", "LITELLM_DATABASE_PASSWORD": ""}
    assert not [place for place in run() if "SALT" in place or "DATABASE" in place]

    keys = run(**asked)
    password = keys["database/LITELLM_DATABASE_PASSWORD"]
    assert keys["litellm/DATABASE_URL"] == f"postgresql://litellm:{password}@database:5432/litellm"
    assert keys["litellm/LITELLM_SALT_KEY"].startswith("sk-") and run(**asked) == keys
    assert run(**asked | {"LITELLM_DATABASE_PASSWORD": "p@ss/w:rd"})["litellm/DATABASE_URL"].endswith(
        "litellm:p%40ss%2Fw%3Ard@database:5432/litellm"
    )


def test_without_a_database_litellm_is_told_of_none_any_more_and_the_salt_stays(run):
    run(LITELLM_SALT_KEY="", LITELLM_DATABASE_PASSWORD="")
    for name in ("LITELLM_SALT_KEY", "LITELLM_DATABASE_PASSWORD"):
        (run.folder / "said" / name).unlink()

    keys = run()
    assert "litellm/DATABASE_URL" not in keys and "litellm/LITELLM_SALT_KEY" in keys
