"""What an operator may write, what it means, and how it is refused."""

import pytest
from pydantic import ValidationError

from bridge.fleet import Stanza


def stanza(**said) -> Stanza:
    return Stanza.model_validate({"name": "time", "pypi": "mcp-server-time==1.0", "command": "mcp-server-time", **said})


def why_not(**said) -> str:
    with pytest.raises(ValidationError) as refused:
        Stanza.model_validate(said)
    return "; ".join(mistake["msg"].removeprefix("Value error, ") for mistake in refused.value.errors())


def test_one_word_may_stand_for_a_list_and_a_line_for_words():
    made = stanza(command="run --at 'some where'", apt="git", needs="database", secrets=["TOKEN"], litellm={"access_groups": "everyone"})

    assert made.command == ["run", "--at", "some where"]
    assert (made.apt, made.needs, list(made.secrets), made.litellm.access_groups) == (["git"], ["database"], ["TOKEN"], ["everyone"])


@pytest.mark.parametrize(
    "source, kind",
    [
        ({"pypi": "a==1"}, "python"),
        ({"npm": "@a/b@1.0.0"}, "node"),
        ({"binary": {"file": "a"}}, "binary"),
        ({"image": "mcp/a"}, "image"),
        ({}, "command"),
    ],
)
def test_the_source_says_what_the_image_is_made_from(source, kind):
    assert Stanza.model_validate({"name": "a", "command": "run", **source}).kind == kind


@pytest.mark.parametrize(
    "said, why",
    [
        ({"links": {"/etc/x.log": "/dev/null"}}, "'/etc/x.log' is not in /opt/server"),
        ({"links": {"/opt/server/x; rm": "/dev/null"}}, "'/opt/server/x; rm': a place in the container"),
        ({"links": {"/opt/server/../x": "/dev/null"}}, "without '..'"),
        ({"links": {"/opt/server/x": "/data/x"}}, "'/data/x' is neither /dev/null nor /tmp, nor in one of its 'volumes'"),
        ({"links": {"/opt/server/x": "/dev/null"}, "pypi": [], "image": "mcp/a"}, "'links' are for what comes from PyPI or npm"),
    ],
)
def test_a_link_begins_in_the_package_and_ends_in_a_volume_or_nowhere(said, why):
    assert why in why_not(**{"name": "time", "pypi": "mcp-server-time==1.0", "command": "run", **said})


def test_a_url_is_a_remote_mcp_without_a_command():
    remote = Stanza(name="far", url="https://far.example/mcp", transport="http")

    assert remote.is_remote and remote.kind == "remote"
    assert "'url' needs 'transport'" in why_not(name="far", url="https://far.example/mcp")
    assert "there is no 'command'" in why_not(name="far", url="https://far.example/mcp", transport="http", command="x")


@pytest.mark.parametrize(
    "said, why",
    [
        ({"name": "Time", "command": "x"}, "lower-case letters"),
        ({"name": "a--b", "command": "x"}, "single '-'"),
        ({"name": "metrics", "command": "x"}, "call it my-metrics"),
        ({"name": "a", "pypi": "a==1", "npm": "b@1.0.0", "command": "x"}, "comes from one place"),
        ({"name": "a", "pypi": "a", "command": "x"}, "'a' is not pinned: write NAME==VERSION"),
        ({"name": "a", "pypi": "a>=1", "command": "x"}, "is not pinned"),
        ({"name": "a", "npm": "@a/b@latest", "command": "x"}, "is not pinned: write NAME@VERSION"),
        ({"name": "a", "npm": "b@^1.0.0", "command": "x"}, "is not pinned"),
        ({"name": "a", "pypi": "a==1"}, "'command' is missing"),
        ({"name": "a", "image": "mcp/a"}, "`mcp-bridge add --image` reads it"),
        ({"name": "a", "command": "npx -y b"}, "'npx' installs at every start"),
        ({"name": "a", "command": "x", "transport": "sse"}, "a sidecar has all transports"),
        ({"name": "a", "command": "x", "env": {"T": "1"}, "secrets": ["T"]}, "T: in 'env' and in 'secrets'"),
        ({"name": "a", "command": "x", "env": {"A-B": "1"}}, "not the name of an environment variable"),
        ({"name": "a", "command": "x", "volumes": ["data"]}, "write SOURCE:/TARGET"),
        ({"name": "a", "command": "x", "bridge": {"max_in_fligth": 1}}, "unknown option; there are"),
        ({"name": "a", "command": "x", "bridge": {"isolation": "alone"}}, "must be one of auto, shared, session, principal, not 'alone'"),
        ({"name": "a", "command": "x", "bridge": {"host": "0.0.0.0"}}, "unknown option; there are"),
        ({"name": "a", "command": "x", "litellm": {"alias": "a-b"}}, "makes it refuse to start"),
        ({"name": "a", "binary": {}, "command": "x"}, "give one of 'url', 'npm', 'pypi' and 'file'"),
        ({"name": "a", "binary": {"url": "https://a/b"}, "command": "x"}, "needs 'sha256'"),
        ({"name": "a", "binary": {"npm": "b@1.0.0"}, "command": "x"}, "needs 'path'"),
        ({"name": "a", "url": "https://a", "transport": "http", "auth": {"type": "bearer_token"}}, "give one of 'value' and 'value_env'"),
    ],
)
def test_a_mistake_says_what_is_wrong_and_the_way_out(said, why):
    assert why in why_not(**said)


def test_a_variable_without_a_default_must_be_set_wherever_it_stands():
    made = stanza(command="run --host ${HOST} --port ${PORT:-80}", env={"URL": "http://${HOST}/${PLACE}"}, volumes=["${FOLDER}:/data"])

    assert made.required_variables == ["HOST", "PLACE", "FOLDER"]
    assert made.missing({"HOST": "h", "PLACE": ""}) == ["PLACE", "FOLDER"]
    assert made.profile == "time"


def test_an_optional_secret_keeps_nothing_from_starting():
    made = stanza(secrets={"KEY": {"optional": True}, "FILE": {"as": "file"}})

    assert made.required_secrets == ["FILE"] and made.secrets["FILE"].kind == "file"
    assert made.missing({"FILE": "x"}) == []
    assert stanza(secrets={"KEY": {"optional": True}}).profile == ""


def test_a_volume_is_named_unless_its_source_is_a_path():
    made = stanza(volumes=["notes:/data", "${NOTES:-notes}:/more:ro", "/srv:/srv", "./here:/here", "${WHERE:-/srv}:/else"])

    assert [volume.named for volume in made.volumes] == ["notes", "notes", "", "", ""]
    assert [volume.read_only for volume in made.volumes] == [False, True, False, False, False]


def test_litellm_never_sees_a_dash_in_a_name():
    assert stanza(name="home-assistant").litellm_name == "home_assistant"
    assert stanza(litellm={"alias": "clock"}).litellm_name == "clock"
