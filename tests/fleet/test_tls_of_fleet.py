"""TLS_CERT and TLS_KEY of compose/.env: what is told before anything starts, and what follows for addresses and containers."""

import os

import pytest
from kinds import Stanza
from support.certificates import Authority

from bridge.fleet import Fleet, tls
from bridge.fleet.doctor import machine
from bridge.fleet.doctor.finding import FAILED, OK, Patient
from bridge.fleet.engines import choice
from bridge.fleet.environment import Environment, complete, for_compose, own_lines, read
from bridge.fleet.project import Project
from bridge.settings import UsageError

FLEET = Fleet(stanzas=[Stanza(name="time", command="x")])


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "fleet/images").mkdir(parents=True)
    (tmp_path / "fleet/compose").mkdir()
    return Project(tmp_path / "fleet")


def say(project, certificate, key="", **more) -> None:
    lines = {"TLS_CERT": certificate, "TLS_KEY": key, **more}
    project.env_file.write_text("".join(f"{name}={value}\n" for name, value in lines.items() if value))


def test_the_folder_in_which_a_renewal_happens_is_shown_to_the_container(project, authority, tmp_path):
    """certbot's: live/NAME has links into archive/NAME."""
    for path in authority.issue(tmp_path / "le/archive/mcp", names=("mcp.example.org",)):
        (tmp_path / "le/live/mcp").mkdir(parents=True, exist_ok=True)
        (tmp_path / "le/live/mcp" / path.name).symlink_to(f"../../archive/mcp/{path.name}")
    live = tmp_path / "le/live/mcp"
    say(project, live / "cert.pem", live / "key.pem")
    environment = complete(project, FLEET)
    own_lines(project, for_compose(environment, FLEET, []))

    assert read(project).values["TLS_FOLDER"] == str(tmp_path / "le")
    assert read(project).profiles == ["tls"]
    assert choice.engine("compose", project, print).urls(FLEET, environment).mcps == "https://127.0.0.1:8000"
    assert choice.engine("compose", project, print).urls(FLEET, environment.as_shown()).litellm == "https://mcp.example.org:4000"


def test_what_was_said_and_is_no_more_leaves_nothing(project, authority, tmp_path):
    say(project, *authority.issue(tmp_path / "pair"))
    own_lines(project, for_compose(complete(project, FLEET), FLEET, []))
    kept = [line for line in project.env_file.read_text().splitlines() if not line.startswith(("TLS_CERT", "TLS_KEY"))]
    project.env_file.write_text("\n".join(kept) + "\n")
    own_lines(project, for_compose(complete(project, FLEET), FLEET, []))

    assert "TLS" not in project.env_file.read_text()
    assert read(project).profiles == []


def test_only_a_folder_that_is_theirs_is_shown(tmp_path, authority):
    certificate, key = authority.issue(tmp_path / "here")
    other = tmp_path / "elsewhere"
    other.mkdir()
    os.replace(key, other / "key.pem")
    (tmp_path / "here/key.pem").symlink_to(other / "key.pem")

    assert tls.lines({"TLS_CERT": str(certificate), "TLS_KEY": str(key)})["TLS_FOLDER"] == str(tmp_path)
    with pytest.raises(UsageError, match="a folder of their own"):
        tls._folder("/etc/cert.pem", "/root/key.pem")
    with pytest.raises(UsageError, match="a folder of their own"):
        tls._folder("/usr/local/cert.pem", "/usr/local/key.pem")


def test_links_of_folders_that_lead_out_are_told(tmp_path, authority):
    authority.issue(tmp_path / "real")
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown/link").symlink_to(tmp_path / "real")
    os.replace(tmp_path / "real/key.pem", tmp_path / "shown/key.pem")
    with pytest.raises(UsageError, match="write the path that they lead to"):
        tls.lines({"TLS_CERT": f"{tmp_path}/shown/link/cert.pem", "TLS_KEY": f"{tmp_path}/shown/key.pem"})


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"TLS_KEY": "/x/key.pem"}, "which one"),
        ({"TLS_CERT": "cert.pem"}, "TLS_CERT=cert.pem: write the whole path"),
        ({"TLS_CERT": "/x/cert.pem", "TLS_KEY": "./key.pem"}, "TLS_KEY=./key.pem: write the whole path"),
        ({"TLS_CERT": "/nothing/cert.pem"}, "/nothing/cert.pem: no such file"),
    ],
)
def test_lines_that_cannot_be_are_told_before_anything_is_written(project, values, why):
    say(project, values.get("TLS_CERT", ""), values.get("TLS_KEY", ""))
    before = project.env_file.read_text()
    with pytest.raises(UsageError, match=f"compose/.env: .*{why}"):
        complete(project, FLEET)

    assert project.env_file.read_text() == before


@pytest.mark.parametrize(("said", "is_good"), [("192.168.1.2, 10.0.0.0/8", True), ("10.0.0.1/8", False), ("proxy.local", False)])
def test_a_proxy_before_the_door_is_an_address_or_a_network(project, said, is_good):
    say(project, "", TRUSTED_PROXY=said)
    if is_good:
        complete(project, FLEET)
    else:
        with pytest.raises(UsageError, match="compose/.env: TRUSTED_PROXY="):
            complete(project, FLEET)


def test_the_doctor_tells_what_is_wrong_and_what_ends_soon(project, authority, tmp_path):
    def look(**days) -> tuple[str, str, str]:
        certificate, key = authority.issue(tmp_path / "pair", names=("mcp.example.org",), **days)
        values = {"TLS_CERT": str(certificate), "TLS_KEY": str(key), "MCP_PORT": "1"}
        return machine.certificate(Patient(project, FLEET, Environment(values), choice.engine("compose", project, print)))

    assert look()[0] == OK
    assert "which is soon" in look(until=3)[1]
    state, seen, todo = look(since=-9, until=-1)
    assert (state, "expired" in seen, "renew it" in todo) == (FAILED, True, True)
