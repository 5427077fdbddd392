"""Which fleet is whose: folders beside each other, moved and copied, and ports. Docker's `ps` is a list here."""

import shutil
import socket
from pathlib import Path

import pytest

from bridge.cli import main
from bridge.fleet.engines import EngineError, LastUp, checkout, remember
from bridge.fleet.engines.checkout import Container, claim, name_of, whose
from bridge.fleet.engines.ports import Port, refuse_taken
from bridge.fleet.project import Project


def made(folder: Path) -> Project:
    """A checkout that nothing was started in."""
    (folder / "compose").mkdir(parents=True)
    (folder / "compose/compose.yaml").write_text("name: mcp\nservices: {}\n")
    return Project(folder)


@pytest.fixture
def docker(monkeypatch) -> list[Container]:
    """The containers of the engine."""
    there: list[Container] = []

    def containers(*filters):
        wanted = [one.removeprefix("label=com.docker.compose.").partition("=") for one in filters if "compose.project" in one]
        return [one for one in there if all(value == (one.project if name == "project" else one.folder) for name, _, value in wanted)]

    monkeypatch.setattr(checkout, "containers", containers)
    return there


def runs(project: Project, name: str, service: str = "time", ports: str = "") -> Container:
    return Container(f"{name}-{service}-1", service, name, str(project.compose), "running", "Up", ports)


def before(project: Project, name: str) -> dict[str, str]:
    return {"name": name, "folder": str(project.compose)}


def test_each_checkout_has_a_name_of_its_own_and_keeps_it(tmp_path, docker):
    first, second = made(tmp_path / "a"), made(tmp_path / "b")
    names = [claim(first, "mcp", {}), claim(second, "mcp", {})]
    docker += [runs(first, names[0]), runs(second, names[1])]

    assert len(set(names)) == 2 and all(name.startswith("mcp-") for name in names)
    assert [claim(first, "mcp", before(first, names[0])), claim(second, "mcp", {})] == names
    assert (first.env_file.read_text(), first.env_file.stat().st_mode & 0o777) == (f"COMPOSE_PROJECT_NAME={names[0]}\n", 0o600)


def test_a_name_of_the_operator_s_is_kept(tmp_path, docker):
    project = made(tmp_path)
    project.env_file.write_text("TZ=UTC\nCOMPOSE_PROJECT_NAME=tools\n")

    assert claim(project, "mcp", {}) == "tools"
    assert project.env_file.read_text() == "TZ=UTC\nCOMPOSE_PROJECT_NAME=tools\n"


def test_a_fleet_that_was_started_without_a_name_keeps_the_one_that_it_has(tmp_path, docker):
    """By an earlier version, or with plain `docker compose up`: its volumes are called after it."""
    by_hand, ended = made(tmp_path / "a"), made(tmp_path / "b")
    docker.append(runs(by_hand, "mcp"))

    assert claim(by_hand, "mcp", {}) == "mcp"
    assert claim(ended, "old", {"name": "old"}) == "old"


def test_not_the_name_that_another_folder_s_fleet_has_by_now(tmp_path, docker):
    first, second = made(tmp_path / "a"), made(tmp_path / "b")
    docker.append(runs(first, "mcp"))

    assert claim(second, "mcp", {"name": "mcp"}).startswith("mcp-")


def test_a_moved_folder_keeps_its_fleet(tmp_path, docker):
    project = made(tmp_path / "a")
    name = claim(project, "mcp", {})
    docker.append(runs(project, name))
    (tmp_path / "a").rename(tmp_path / "b")
    made(tmp_path / "a")  # a fresh clone where it was changes nothing

    assert claim(Project(tmp_path / "b"), "mcp", before(project, name)) == name


def test_a_symbolic_link_to_it_is_the_same_folder(tmp_path, docker):
    project = made(tmp_path / "a")
    name = claim(project, "mcp", {})
    docker.append(runs(project, name))
    (tmp_path / "b").symlink_to(tmp_path / "a")

    assert claim(Project(tmp_path / "b"), "mcp", {}) == name


@pytest.mark.parametrize("is_up", [True, False])
def test_a_copied_folder_is_told_whose_the_fleet_is(tmp_path, docker, is_up):
    project = made(tmp_path / "a")
    name = claim(project, "mcp", {})
    docker += [runs(project, name)] * is_up
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    copy = Project(tmp_path / "b")

    with pytest.raises(EngineError, match=f"{name} is that of {tmp_path / 'a'}, .* take its line COMPOSE_PROJECT_NAME out"):
        claim(copy, "mcp", before(project, name))
    copy.env_file.write_text("")
    assert claim(copy, "mcp", before(project, name)) not in (name, "mcp")


def test_without_a_name_it_is_what_the_file_says(tmp_path):
    assert name_of(made(tmp_path / "a")) == "mcp"
    assert name_of(Project(tmp_path)) == "mcp"


def test_a_taken_port_is_told_with_whose_it_is_and_one_that_is_free(tmp_path, docker):
    other = made(tmp_path / "a")
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as door:
        port, doors = taken.getsockname()[1], door.getsockname()[1]
        docker.append(runs(other, "mcp-a", "door", f"127.0.0.1:{doors}->8000/tcp"))
        with pytest.raises(EngineError) as said:
            refuse_taken([Port("MCP_PORT", "127.0.0.1", doors), Port("LITELLM_PORT", "127.0.0.1", port)], whose=whose)
        refuse_taken([Port("MCP_PORT", "127.0.0.1", doors)], lambda number: number == doors)  # its own

    assert f"port {doors} is taken by the fleet of {tmp_path / 'a'} (mcp-a); port {port} is taken by another program" in str(said.value)
    free = dict(word.split("=") for word in str(said.value).partition("compose/.env: ")[2].split())
    assert list(free) == ["MCP_PORT", "LITELLM_PORT"] and len({doors, port, *map(int, free.values())}) == 4
    refuse_taken([Port("MCP_PORT", "127.0.0.1", port)])


def test_a_port_is_not_offered_that_another_of_the_fleet_s_shall_have():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EngineError) as said:
            refuse_taken([Port("MCP_PORT", "127.0.0.1", port), Port("LITELLM_PORT", "127.0.0.1", port + 1)])

    assert f"MCP_PORT={port + 1}" not in str(said.value)


def test_a_fleet_whose_folder_is_gone_is_told_with_what_ends_it(tmp_path, docker):
    gone = made(tmp_path / "a")
    docker.append(runs(gone, "mcp-a", "door", "127.0.0.1:8000->8000/tcp"))
    shutil.rmtree(tmp_path / "a")

    assert whose(8000) == (
        f"the fleet of {tmp_path / 'a'} (mcp-a, a folder that is gone or was moved: `docker compose --project-name mcp-a down` ends it)"
    )


@pytest.mark.parametrize("words", [("tools",), ("status",), ("audit",), ("verify",), ("backup", "fleet.tar"), ("update",)])
def test_no_command_in_a_copied_folder_asks_or_touches_the_first_one_s_fleet(tmp_path, docker, capsys, words):
    """Its database was dumped into a backup of the copy, and its page was shown as the copy's."""
    project = made(tmp_path / "a")
    (tmp_path / "a/images/time").mkdir(parents=True)
    (tmp_path / "a/images/time/stanza.yaml").write_text("command: [time]\n")
    name = claim(project, "mcp", {})
    remember(project, LastUp("compose", ("time",), {}, "1.77.3"))
    docker.append(runs(project, name))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    code = main([words[0], "--project", str(tmp_path / "b"), *[str(tmp_path / word) for word in words[1:]]])

    assert code in (1, 2) and f"the fleet {name} is that of {tmp_path / 'a'}" in capsys.readouterr().err


def test_an_address_is_printed_also_while_docker_does_not_answer(tmp_path, monkeypatch, capsys):
    project = made(tmp_path / "a")
    (tmp_path / "a/images/time").mkdir(parents=True)
    (tmp_path / "a/images/time/stanza.yaml").write_text("command: [time]\n")
    claim(project, "mcp", {})
    remember(project, LastUp("compose", ("time",), {}, "1.77.3"))

    def away(name):
        raise EngineError("Docker does not answer")

    monkeypatch.setattr(checkout, "of_project", away)

    assert main(["connect", "curl", "--project", str(tmp_path / "a")]) == 0
    assert "/time/mcp" in capsys.readouterr().out


def test_a_fleet_of_before_names_is_found_whatever_its_file_says_by_now(tmp_path, docker):
    """After a `git pull` that brought compose.yaml as it is committed: `up` refused the ports as another's, and `down` ended nothing."""
    project = made(tmp_path)
    docker += [runs(project, "tools"), runs(made(tmp_path / "other"), "mcp")]
    assert name_of(project) == "mcp"  # a clone that nothing was started in

    project.state.mkdir()
    (project.state / "compose.json").write_text("{}")
    assert name_of(project) == "tools"
    assert claim(project, "mcp", {}) == "tools" and name_of(project) == "tools"
