"""`mcp-bridge outdated` against an index of our own, asked by the real uv and the real npm."""

import json
from datetime import UTC, datetime

import pytest
from support.index import Index, served

from bridge import cli
from bridge.fleet import Fleet, Stanza, digests, releases
from bridge.fleet.engines.programs import Failed

OLD, NEW = "2025-01-02T03:04:05Z", "2026-02-03T04:05:06Z"
PYPI = {
    "clock": {"1.0": (OLD, "it lost minutes"), "1.9": (OLD, False), "1.10": (NEW, False)},
    "litellm": {"1.77.3": (OLD, False), "1.107.0": (NEW, False)},
}
NPM = {
    "@some/notes": {
        "dist-tags": {"latest": "2.0.0"},
        "versions": {"1.0.0": {"deprecated": "it tells everything"}, "2.0.0": {}},
        "time": {"1.0.0": OLD, "2.0.0": NEW},
    }
}


@pytest.fixture
def index(monkeypatch, tmp_path):
    """The user's settings name this index, for uv and for npm."""
    with served(Index(PYPI, NPM)) as index:
        for name, value in index.environment(tmp_path).items():
            monkeypatch.setenv(name, value)
        yield index


def test_a_package_of_pypi_tells_its_age_what_is_newer_and_that_it_was_yanked(index):
    found = releases.of_pypi("clock", "clock==1.0")

    assert (found.here, found.newest, found.is_outdated) == ("1.0", "1.10", True)
    assert (found.here_since, found.newest_since) == (datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC))
    assert found.troubles == ("yanked: it lost minutes",)


def test_the_newest_is_not_outdated_and_one_that_the_index_has_no_more_was_withdrawn(index):
    newest, gone = releases.of_pypi("clock", "clock==1.10"), releases.of_pypi("clock", "clock==1.5")

    assert (newest.is_outdated, newest.troubles, newest.not_asked) == (False, (), "")
    assert (gone.is_outdated, gone.troubles) == (True, ("withdrawn: the index has this version no more",))


def test_a_package_of_npm_tells_its_age_what_is_newer_and_that_it_is_deprecated(index):
    found = releases.of_npm("notes", "@some/notes@1.0.0")

    assert (found.what, found.here, found.newest, found.is_outdated) == ("@some/notes", "1.0.0", "2.0.0", True)
    assert found.here_since == datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert found.troubles == ("deprecated: it tells everything",)
    assert releases.of_npm("notes", "@some/notes@2.0.0").troubles == ()
    assert releases.of_npm("notes", "@some/notes@1.5.0").troubles == ("withdrawn: the index has this version no more",)


def test_what_an_index_does_not_have_or_does_not_answer_is_not_called_up_to_date(index, monkeypatch):
    absent = [releases.of_pypi("a", "absent==1"), releases.of_npm("a", "absent@1.0.0")]
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple/")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    silent = [releases.of_pypi("a", "clock==1.0"), releases.of_npm("a", "@some/notes@1.0.0")]

    for one in (*absent, *silent):
        assert one.not_asked and not one.newest and not one.is_outdated, one


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        ("1.10", "1.9"),
        ("1.0", "1.0rc1"),
        ("0.0.1a8", "0.0.1a7"),
        ("1.0.post1", "1.0"),
        ("2026.1.14", "2025.12.18"),
        ("2.0.0", "2.0.0-beta.3"),
    ],
)
def test_versions_are_compared_by_their_numbers(newer, older):
    assert releases.is_newer(newer, older) and not releases.is_newer(older, newer)


def test_the_same_release_written_longer_is_not_newer():
    assert not releases.is_newer("1.0.0", "1.0") and not releases.is_newer("1.0", "1.0.0")


@pytest.mark.parametrize(("today", "outdated"), [("a", False), ("b", True)])
def test_an_image_is_outdated_where_its_tag_means_another_one_than_the_locked(monkeypatch, today, outdated):
    fleet = Fleet(stanzas=[], digests={"postgres:17": f"sha256:{'a' * 64}"})
    monkeypatch.setattr(digests, "run", lambda *_: f"sha256:{today * 64}\n")

    assert releases.of_image(fleet, "", "postgres:17").is_outdated is outdated
    assert releases.of_image(fleet, "", f"x/y:1@sha256:{'a' * 64}").is_outdated is outdated
    assert not releases.of_image(fleet, "", "python:3.13-slim").is_outdated


def test_every_mcp_is_asked_about_or_told_why_not(monkeypatch, index):
    def nobody(command, *_):
        raise Failed(command, 1, "ERROR: no such host")

    monkeypatch.setattr(digests, "run", nobody)
    made = [
        Stanza(name="a", pypi="clock==1.9", command="clock"),
        Stanza(name="b", npm="@some/notes@2.0.0", command="notes"),
        Stanza(name="c", url="https://example.org/mcp", transport="http"),
        Stanza(name="d", command="python3 /app/server.py"),
        Stanza(name="e", binary={"url": "https://example.org/{arch}", "sha256": {"amd64": "a" * 64, "arm64": "b" * 64}}, command="e"),
        Stanza(name="f", image="x/y:1", command="y"),
    ]
    found = {one.what: one for one in releases.releases(Fleet(stanzas=made))}

    assert {one.mcp for one in found.values()} == {*"abcdef", releases.SHARED}
    assert {what for what, one in found.items() if not one.not_asked} == {"clock", "@some/notes", "litellm"}
    assert "withdrawn from its index" in found["litellm"].troubles[0]  # the newest, 1.107.0, is known to be bad
    assert found["postgres:17"].not_asked == "no such host"
    assert [one.mcp for one in releases.releases(Fleet(stanzas=made), ["a"])] == ["a"]


def test_the_command_says_it_in_a_table_and_in_json_and_strictly_by_its_exit_code(index, tmp_path, capsys):
    (tmp_path / "images/clock").mkdir(parents=True)
    (tmp_path / "images/clock/stanza.yaml").write_text("description: it\npypi: clock==1.0\ncommand: clock\n")
    words = ["outdated", "clock", "--project", str(tmp_path)]

    assert cli.main(words) == 0
    table = capsys.readouterr().out
    assert "yanked, outdated" in table and "clock 1.0: yanked: it lost minutes" in table
    assert cli.main([*words, "--strict", "--json"]) == 1
    [said] = json.loads(capsys.readouterr().out)["releases"]
    assert (said["here"], said["newest"], said["is_outdated"]) == ("1.0", "1.10", True)


def test_a_real_index_is_asked_with_the_settings_of_this_machine():
    found = releases.of_pypi("six", "six==1.16.0")

    assert (found.not_asked, found.troubles, found.is_outdated) == ("", (), True), found
