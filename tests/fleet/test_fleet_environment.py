"""compose/.env and compose/secrets/: made where missing, never overwritten, and refused where they open the door to anybody."""

import re
import stat
import subprocess

import pytest

from bridge.fleet import Fleet, Stanza
from bridge.fleet.engines import EngineError, checkout
from bridge.fleet.engines import compose as engine
from bridge.fleet.engines.compose import Compose
from bridge.fleet.engines.programs import Failed
from bridge.fleet.environment import KEY, Environment, absent, complete, for_compose, own_lines, read, startable
from bridge.fleet.model import LiteLLM
from bridge.fleet.project import Project
from bridge.settings import UsageError

OWN_KEYS = {"LITELLM_MASTER_KEY", "BRIDGE_TOKEN", "POSTGRES_PASSWORD", "POSTGRES_READER_PASSWORD", "DATABASE_URI"}


@pytest.fixture
def project(tmp_path):
    (tmp_path / "images").mkdir()
    return Project(tmp_path)


@pytest.fixture
def fleet():
    return Fleet(
        stanzas=[
            Stanza(name="time", command="mcp-server-time"),
            Stanza(
                name="gitlab",
                command="x",
                secrets={"GITLAB_TOKEN": {"description": "of a user that may only read"}},
                env={"API": "${GITLAB_URL}"},
            ),
            Stanza(name="docs", command="x", secrets={"DOCS_KEY": {"optional": True}}),
            Stanza(name="postgres", command="x", secrets=["DATABASE_URI"], needs=["database"]),
            Stanza(name="far", url="https://far.example/mcp", transport="http", auth={"value_env": "FAR_TOKEN"}),
            Stanza(name="everything", command="x", tests_only=True),
        ]
    )


def write(project, text: str) -> None:
    project.compose.mkdir(exist_ok=True)
    project.env_file.write_text(text)


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_missing_keys_are_random_and_only_the_owner_can_read_them(project, fleet):
    values = complete(project, fleet).values

    assert set(values) == OWN_KEYS
    assert values["LITELLM_MASTER_KEY"].startswith("sk-")
    assert len({values[name] for name in OWN_KEYS}) == len(OWN_KEYS)
    assert values["POSTGRES_READER_PASSWORD"] in values["DATABASE_URI"]
    assert mode(project.env_file) == 0o600
    assert mode(project.secrets) == 0o700
    assert not (project.secrets / "bridge_token").exists()  # nothing mounts the token itself


def test_litellms_database_has_a_salt_that_stays_and_a_password(project, fleet):
    complete(project, fleet)
    with_database = fleet.model_copy(update={"litellm": LiteLLM(database=True)})
    values = complete(project, with_database).values

    assert values["LITELLM_SALT_KEY"].startswith("sk-") and len(values["LITELLM_DATABASE_PASSWORD"]) == 32
    assert complete(project, fleet).values["LITELLM_SALT_KEY"] == values["LITELLM_SALT_KEY"]  # what was written with it can be read again
    assert complete(project, with_database).values == values


def test_the_salt_of_a_start_without_env_is_never_made_anew(project, fleet):
    complete(project, fleet)
    with_database = fleet.model_copy(update={"litellm": LiteLLM(database=True)})

    assert complete(project, with_database, lambda: {"LITELLM_SALT_KEY": "sk-made-by-hand"}).values["LITELLM_SALT_KEY"] == "sk-made-by-hand"


def test_a_second_time_nothing_changes(project, fleet):
    first = complete(project, fleet).values
    text = project.env_file.read_text()

    assert complete(project, fleet).values == first | {"POSTGRES_PASSWORD": first["POSTGRES_PASSWORD"]}
    assert project.env_file.read_text() == text
    assert read(project).values == first


def test_what_the_operator_says_stays_and_what_is_missing_is_added(project, fleet):
    write(project, "# mine\nLITELLM_MASTER_KEY=sk-mine\nDATABASE_URI=\n")
    values = complete(project, fleet).values

    assert values["LITELLM_MASTER_KEY"] == "sk-mine"
    assert values["DATABASE_URI"] == ""  # said to be nothing: the fleet's Postgres is not wanted
    assert project.env_file.read_text().startswith("# mine\nLITELLM_MASTER_KEY=sk-mine\nDATABASE_URI=\nBRIDGE_TOKEN=")


def test_an_empty_key_is_refused_with_the_way_out(project, fleet):
    write(project, "BRIDGE_TOKEN=\n")

    with pytest.raises(UsageError, match="BRIDGE_TOKEN is empty: take that line out"):
        complete(project, fleet)


@pytest.mark.parametrize("line", ["LITELLM_MASTER_KEY=sk-loopback-only", "LITELLM_MASTER_KEY=sk-1234", "BRIDGE_TOKEN=loopback-only"])
def test_a_key_that_everybody_knows_is_refused_wherever_the_fleet_listens(project, fleet, line):
    """On loopback too: a web page that is open there could use it."""
    write(project, f"{line}\n")

    with pytest.raises(UsageError, match="is known to everybody: take that line out"):
        complete(project, fleet)


def test_the_keys_of_a_start_without_env_stay_good(project, fleet):
    made = {
        "LITELLM_MASTER_KEY": "sk-made",
        "BRIDGE_TOKEN": "made-at-the-first-start",
        "POSTGRES_PASSWORD": "p",
        "POSTGRES_READER_PASSWORD": "r",
    }

    values = complete(project, fleet, lambda: made).values

    assert {name: values[name] for name in made} == made
    assert "mcp_reader:r@" in values["DATABASE_URI"]
    assert complete(project, fleet, lambda: pytest.fail("compose/.env has them")).values == values


def test_a_token_that_bridges_would_refuse_is_refused_before_they_start(project, fleet):
    write(project, "BRIDGE_TOKEN=fifteen-signs-x\n")

    with pytest.raises(UsageError, match="BRIDGE_TOKEN has less than 16 characters"):
        complete(project, fleet)


def test_secrets_are_files_of_their_own(project, fleet):
    write(project, "GITLAB_TOKEN=glpat-1\n")
    complete(project, fleet)

    assert (project.secrets / "GITLAB_TOKEN").read_text() == "glpat-1"
    assert mode(project.secrets / "GITLAB_TOKEN") == 0o444  # read by a container's user; the folder keeps others out
    assert not (project.secrets / "DOCS_KEY").exists()


def test_a_secret_that_is_there_as_a_file_counts_and_is_not_copied_into_env(project, fleet):
    project.secrets.mkdir(parents=True)
    (project.secrets / "GITLAB_TOKEN").write_text("glpat-2")
    environment = complete(project, fleet)

    assert environment.values["GITLAB_TOKEN"] == "glpat-2"
    assert "glpat-2" not in project.env_file.read_text()


def test_a_secret_that_is_taken_out_of_env_is_gone(project, fleet):
    """Its copy was read back as a file of the operator's."""
    for line in ("", "GITLAB_TOKEN=\n"):
        write(project, "GITLAB_TOKEN=glpat-1\n")
        complete(project, fleet)
        write(project, line)
        environment = complete(project, fleet)

        assert not environment.values.get("GITLAB_TOKEN")
        assert not read(project).values.get("GITLAB_TOKEN")
        assert not (project.secrets / "GITLAB_TOKEN").exists()


def test_a_password_that_is_taken_out_of_env_is_made_anew(project, fleet):
    first = complete(project, fleet).values
    project.env_file.unlink()

    assert complete(project, fleet).values["POSTGRES_PASSWORD"] != first["POSTGRES_PASSWORD"]


def test_a_file_of_the_operators_is_never_deleted(project, fleet):
    complete(project, fleet)
    (project.secrets / "GITLAB_TOKEN").write_text("glpat-2\n")
    complete(project, fleet)
    assert complete(project, fleet).values["GITLAB_TOKEN"].strip() == "glpat-2"

    with project.env_file.open("a") as file:
        file.write("GITLAB_TOKEN=glpat-1\n")
    refused = complete(project, fleet).refused
    assert refused == {
        "gitlab": "compose/.env and compose/secrets/GITLAB_TOKEN have different values: take the line out, or delete the file"
    }
    assert (project.secrets / "GITLAB_TOKEN").read_text() == "glpat-2\n"


def test_two_values_of_a_key_that_is_no_mcps_stop_all(project, fleet):
    complete(project, fleet)
    (project.secrets / "OPENAI_API_KEY").write_text("sk-1")
    with project.env_file.open("a") as file:
        file.write("OPENAI_API_KEY=sk-2\n")

    with pytest.raises(UsageError, match="compose/secrets/OPENAI_API_KEY have different values"):
        complete(project, fleet)


def test_a_copy_that_the_operator_replaced_is_the_operators(project, fleet):
    write(project, "GITLAB_TOKEN=glpat-1\n")
    complete(project, fleet)
    (project.secrets / "GITLAB_TOKEN").unlink()
    (project.secrets / "GITLAB_TOKEN").write_text("glpat-2")
    write(project, "")

    assert complete(project, fleet).values["GITLAB_TOKEN"] == "glpat-2"


def test_the_key_is_read_as_compose_reads_it_and_stands_in_a_file_for_commands(project, fleet):
    write(project, 'export LITELLM_MASTER_KEY="sk-a\\$b" # mine\n')

    assert complete(project, fleet).values["LITELLM_MASTER_KEY"] == "sk-a$b"
    assert (project.state / KEY).read_text() == "sk-a$b\n"
    assert mode(project.state / KEY) == 0o600


def test_a_password_with_odd_characters_survives_our_own_line(project, fleet):
    write(project, "POSTGRES_READER_PASSWORD='a$b c'\n")

    assert complete(project, fleet).values["DATABASE_URI"] == read(project).values["DATABASE_URI"]


def test_what_an_mcp_lacks_is_told_with_its_meaning(fleet):
    nothing = Environment({})

    assert absent(fleet["time"], nothing) == ""
    assert absent(fleet["gitlab"], nothing) == "needs GITLAB_TOKEN (of a user that may only read), GITLAB_URL: write them into compose/.env"
    assert absent(fleet["far"], nothing) == "needs FAR_TOKEN: write it into compose/.env"
    assert absent(fleet["docs"], nothing) == ""


def test_those_for_tests_start_only_with_their_profile(fleet):
    started, left_out = startable(Environment({}), fleet)
    assert [stanza.name for stanza in started] == ["docs", "time"]
    assert set(left_out) == {"gitlab", "postgres", "far"}

    started, _ = startable(Environment({"COMPOSE_PROFILES": "tests"}), fleet)
    assert "everything" in [stanza.name for stanza in started]


def test_our_lines_are_replaced_and_the_operators_stay(project, fleet):
    write(project, "A=1\nCOMPOSE_PROFILES=tests,gitlab\nB=2\n")
    environment = Environment({"COMPOSE_PROFILES": "tests,gitlab", "DATABASE_URI": "x", "DOCS_KEY": "k"})
    lines = for_compose(environment, fleet, [fleet["postgres"], fleet["time"]])
    own_lines(project, lines)
    first = project.env_file.read_text()
    own_lines(project, lines)

    assert project.env_file.read_text() == first
    assert first.startswith("A=1\nB=2\n")
    assert "COMPOSE_PROFILES=tests,postgres\n" in first  # gitlab did not start
    assert "DOCS_KEY_FILE=./secrets/DOCS_KEY\n" in first
    own_lines(project, for_compose(Environment({}), fleet, [fleet["time"]]))
    assert "DOCS_KEY_FILE" not in project.env_file.read_text()
    assert "COMPOSE_PROFILES" not in project.env_file.read_text()


def test_references_are_filled_in_as_compose_does():
    environment = Environment({"A": "1", "EMPTY": ""})

    assert environment.expanded("${A} ${EMPTY:-2} ${B:-3} ${B}") == "1 2 3 "


def test_a_project_is_found_from_a_folder_inside_it(project, monkeypatch, tmp_path):
    monkeypatch.chdir(project.images)
    assert Project.find().root == project.root

    monkeypatch.chdir("/")
    with pytest.raises(UsageError, match="no folder 'images'"):
        Project.find()


def test_a_container_that_cannot_be_ended_is_told_in_one_line(project, monkeypatch):
    def fails(command, patience):
        raise Failed(command, 1, "x\nerror: it is stuck\n")

    there = [checkout.Container("mcp-old-1", "old", "mcp", str(project.compose), "running", "Up", "")]
    monkeypatch.setattr(checkout, "of_project", lambda name: there)
    monkeypatch.setattr(engine, "run", fails)
    monkeypatch.setattr(engine.docker, "asked", lambda *_: "")
    monkeypatch.setattr(engine.subprocess, "Popen", lambda *_, **__: subprocess.CompletedProcess([], 0))
    monkeypatch.setattr(subprocess.CompletedProcess, "wait", lambda *_: 0, raising=False)

    with pytest.raises(EngineError, match="^Docker cannot end mcp-old-1: error: it is stuck$"):
        Compose(project, lambda text: None)._end_others([])()


@pytest.mark.parametrize(
    "value, why",
    [
        ("/", "its keys"),
        ("./secrets", "the fleet's own"),
        ("/var/run/docker.sock", "grants: docker"),
        ("~/x", "whole path"),
        ("../papers", "the fleet's own"),
        ("keys", "keys-data"),
        ("other", "write a whole path"),
        ("/srv/a:b", "no path with ':'"),
    ],
)
def test_a_variable_names_no_place_that_a_stanza_could_not(project, value, why):
    fleet = Fleet(stanzas=[Stanza(name="notes", command="x", volumes=["${NOTES:-notes}:/data"])])
    write(project, f"NOTES={value}\n")
    (project.root / "papers").symlink_to("compose/secrets")

    refused = complete(project, fleet).refused

    assert re.match(rf"its volume \$.* is {re.escape(value)} by compose/.env: .*{why}", refused["notes"])


def test_the_group_of_docker_s_socket_is_said_only_where_it_is_granted(project, fleet):
    granted = Stanza(name="ruler", command="x", grants="docker")

    assert for_compose(Environment({}), fleet, fleet.stanzas)["DOCKER_GROUP"] is None
    assert for_compose(Environment({}), fleet, [granted])["DOCKER_GROUP"].isdecimal()
