"""What a backup holds of Docker's volumes and of Postgres, and what comes out of it under another project's name; no fleet is started."""

import secrets
import subprocess

import pytest
from checkouts import docker, needs_docker

from bridge.fleet import Fleet
from bridge.fleet.backup import database, volumes
from bridge.fleet.engines import EngineError, checkout
from bridge.fleet.project import Project

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]
FLEET = Fleet(stanzas=[])
READER = next(
    file.text
    for file in Fleet(stanzas=[{"name": "q", "pypi": "q==1", "command": "q", "needs": ["database"]}]).render()
    if file.path.endswith("reader.sh")
)


@pytest.fixture
def projects():
    """Two names, of which nothing is left."""
    needs_docker()
    names = [f"mcp-proof-{secrets.token_hex(3)}" for _ in range(2)]
    yield names
    for name in names:
        found = docker("volume", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={name}").split()
        if found:
            docker("volume", "rm", *found)


def in_volume(project: str, name: str, script: str) -> str:
    return docker("run", "--rm", "--network", "none", "-v", f"{project}_{name}:/it", FLEET.python_image, "sh", "-ec", script)


def test_a_volume_comes_back_with_its_owners_rights_and_links_and_without_what_leads_out_of_it(projects, tmp_path):
    one, other = projects
    volumes.create(one, "notes")
    volumes.create(one, "keys-mcp")
    in_volume(
        one,
        "notes",
        "chown 10001:10001 /it; cd /it; mkdir a; echo hello > a/b; chmod 640 a/b; chown -R 10001:10001 a; ln -s a/b c; ln -s /etc/passwd out; mknod d c 1 3",
    )
    saved, new = (volumes.DockerVolumes(name, FLEET.python_image) for name in projects)
    left_out = saved.save("notes", tmp_path / "notes.tar")
    volumes.check(tmp_path / "notes.tar")
    new.fill("notes", tmp_path / "notes.tar")

    assert saved.names() == ["notes"]  # keys are made anew
    assert [line.partition(":")[0] for line in sorted(left_out)] == ["notes/d", "notes/out"]
    assert (
        in_volume(other, "notes", "cd /it; stat -c '%n %u %a' . a a/b; cat c; ls") == ". 10001 755\na 10001 755\na/b 10001 640\nhello\na\nc"
    )


def test_a_folder_of_the_embedded_engine_becomes_a_volume_that_the_images_user_may_write(projects, tmp_path):
    folders = volumes.Folders(Project(tmp_path))
    (folders.place / "notes/a").mkdir(parents=True)
    (folders.place / "notes/a/b").write_text("hello")
    folders.save("notes", tmp_path / "notes.tar")

    volumes.DockerVolumes(projects[0], FLEET.python_image).fill("notes", tmp_path / "notes.tar")

    assert (
        in_volume(projects[0], "notes", "cd /it; stat -c '%n %u:%g' . a a/b; cat a/b")
        == ". 10001:10001\na 10001:10001\na/b 10001:10001\nhello"
    )


def test_a_volume_that_cannot_be_read_is_told_in_a_line(projects, tmp_path):
    volumes.create(projects[0], "notes")

    with pytest.raises(EngineError, match="the volume notes cannot be read: "):
        volumes.DockerVolumes(projects[0], "mcp-proof-no-such-image:1").save("notes", tmp_path / "notes.tar")


# Who runs it while a dump is restored is asked to make LiteLLM's role the superuser's equal.
PLANTED = """
create function planted(text) returns text language plpgsql as $$ begin
  if (select rolsuper from pg_roles where rolname = session_user) then
    execute 'alter role litellm superuser';
  end if;
  return $1;
end $$;
create table keys (secret text check (planted(secret) = secret));
insert into keys values ('sk-1');
"""


def test_databases_come_back_with_what_the_reader_may_see(projects, tmp_path):
    one, other = projects
    (tmp_path / "first").mkdir()
    database.restore(one, FLEET.postgres_image, [], READER, tmp_path / "first")
    with database._server(one, FLEET.postgres_image) as container:
        psql = ["exec", container, "psql", "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-Atc"]
        docker(*psql, "create table notes (text text); insert into notes values ('a year ago')")
        docker(*psql, "create database more")
        docker(*psql, "create role litellm login")
        docker(*psql, "create database litellm owner litellm")
        docker(*psql[:4], "litellm", "-d", "litellm", *psql[5:], PLANTED)
    dumps = database.dump(one, FLEET.postgres_image, tmp_path / "dumps")
    assert [path.name for path in dumps] == ["litellm.dump", "more.dump", "postgres.dump"]
    for path in dumps:
        database.check(path)
    (tmp_path / "second").mkdir()

    database.restore(other, FLEET.postgres_image, dumps, READER, tmp_path / "second")

    with database._server(other, FLEET.postgres_image) as container:
        psql = ["exec", container, "psql", "-U", "postgres", "-Atc"]
        assert docker(*psql, "set role mcp_reader; select text from notes") == "SET\na year ago"
        assert docker(*psql, "select datname from pg_database where not datistemplate order by 1") == "litellm\nmore\npostgres"
        assert docker(*psql, "select rolname from pg_roles where rolsuper") == "postgres"
        assert docker(*psql[:-1], "-d", "litellm", "-Atc", "select secret from keys") == "sk-1"
    assert not subprocess.run(["docker", "ps", "-aq", "--filter", f"volume={other}_database"], capture_output=True).stdout


def test_a_server_that_a_killed_command_has_left_is_the_fleets_and_in_nobodys_way(projects):
    volumes.create(projects[0], "database")
    killed = database._server(projects[0], FLEET.postgres_image)
    first = killed.__enter__()
    assert [one.service for one in checkout.of_project(projects[0])] == ["database-backup"]  # `up` and `down` end it

    with database._server(projects[0], FLEET.postgres_image) as container:
        assert container != first and len(checkout.of_project(projects[0])) == 1
