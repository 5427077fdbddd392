"""What an agent may try on the database images: nothing of it may write, whoever the role in DATABASE_URI is.

The role here is the superuser, so that only the server's own filter stands between an attack and the table. Operators
are told to give a role that cannot write; that this role does not is another test.
"""

import os
import subprocess
import uuid

import pytest
from support import ROOT, Http, eventually, text

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

HARDENED = ["--read-only", "--tmpfs", "/tmp", "--user", "10001:10001", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--init"]
TABLES = """
create table kept (id serial primary key, said text);
insert into kept (said) values ('one'), ('two');
create function write_it() returns int language sql as $$ insert into kept (said) values ('function') returning id $$;
create procedure do_it() language sql as $$ insert into kept (said) values ('procedure') $$;
create role mcp_reader login password 'read';
grant select on all tables in schema public to mcp_reader;
alter role mcp_reader set default_transaction_read_only = on;
"""
# All that could have changed: rows, relations, functions, roles, settings, the next value of the sequence.
STATE = """
select (select string_agg(k::text, ';' order by id) from kept k), (select count(*) from pg_class), (select count(*) from pg_proc),
       (select count(*) from pg_roles), (select count(*) from pg_db_role_setting), (select last_value from kept_id_seq),
       (select count(*) from pg_largeobject_metadata), (select string_agg(f, ',' order by f) from pg_ls_dir('/tmp') f)
"""
ATTACKS = {
    "insert": "insert into kept (said) values ('x')",
    "update": "update kept set said = 'x'",
    "delete": "delete from kept",
    "a CTE that inserts": "with new as (insert into kept (said) values ('x') returning id) select * from new",
    "commit, then insert": "commit; insert into kept (said) values ('x')",
    "commit, insert, begin": "commit; insert into kept (said) values ('x'); begin",
    "rollback, then insert": "rollback; insert into kept (said) values ('x')",
    "end a comment first": "select 1; -- \n insert into kept (said) values ('x')",
    "explain analyze": "explain analyze insert into kept (said) values ('x')",
    "explain (analyze)": "explain (analyze true, format json) delete from kept",
    "allow writing first": "set transaction read write; insert into kept (said) values ('x')",
    "allow writing for the session": "set session characteristics as transaction read write; insert into kept (said) values ('x')",
    "allow writing by a function": "select set_config('transaction_read_only', 'off', false); insert into kept (said) values ('x')",
    "a function that writes": "select write_it()",
    "a procedure": "call do_it()",
    "a block": "do $$ begin insert into kept (said) values ('x'); end $$",
    "select into": "select * into stolen from kept",
    "create table as": "create table stolen as select * from kept",
    "a view": "create view stolen as select * from kept",
    "copy from a program": "copy kept (said) from program 'echo x'",
    "copy to a program": "copy kept to program 'cat > /tmp/stolen'",
    "copy to a file": "copy (select 1) to '/tmp/stolen'",
    "a sequence": "select nextval('kept_id_seq')",
    "set a sequence": "select setval('kept_id_seq', 100)",
    "a large object": "select lo_from_bytea(0, 'x')",
    "write a file": "select lo_export(lo_from_bytea(0, 'x'), '/tmp/stolen')",
    "prepare and execute": "prepare p as insert into kept (said) values ('x'); execute p",
    "drop": "drop table kept cascade",
    "truncate": "truncate kept",
    "alter": "alter table kept add column more text",
    "a role": "create role intruder superuser",
    "a setting": "alter role postgres set work_mem = '1MB'",
    "grant": "grant all on kept to public",
    "merge": "merge into kept using (select 1 as n) s on false when not matched then insert (said) values ('x')",
    "a trigger": "create trigger t before update on kept execute function suppress_redundant_updates_trigger()",
    "lock": "lock table kept in access exclusive mode",
}


def docker(*words: str, patience: float = 60, stdin: str | None = None) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=patience, input=stdin)
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr[-3000:]}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def place():
    """A network of its own, and what stands in it is removed afterwards."""
    try:
        docker("info", patience=20)
    except (OSError, AssertionError, subprocess.TimeoutExpired):
        if os.environ.get("MCP_BRIDGE_REQUIRE_DOCKER"):
            pytest.fail("no Docker engine answers, and MCP_BRIDGE_REQUIRE_DOCKER is set")
        pytest.skip("no Docker engine answers here")
    name = f"mcp-attacks-{uuid.uuid4().hex[:8]}"
    docker("network", "create", "--internal", "--label", name, name)
    try:
        yield name
    finally:
        if found := docker("ps", "-aq", "--filter", f"label={name}").split():
            docker("rm", "-f", "-v", *found)
        docker("network", "rm", name)


class Database:
    def __init__(self, place: str):
        self.name = f"{place}-database"
        docker(
            "run",
            "-d",
            "--name",
            self.name,
            "--label",
            place,
            "--network",
            place,
            "--network-alias",
            "database",
            "-e",
            "POSTGRES_PASSWORD=write",
            "postgres:17",
            patience=300,
        )
        # Its init phase listens on the socket only: by TCP it is the final server that answers.
        eventually(lambda: "accepting" in self.run("pg_isready", "-h", "127.0.0.1", "-U", "postgres"), 60, "Postgres does not start")
        self.sql(TABLES)

    def run(self, *words: str) -> str:
        return subprocess.run(["docker", "exec", self.name, *words], capture_output=True, text=True, timeout=30).stdout

    def sql(self, text: str) -> str:
        return docker("exec", "-i", self.name, "psql", "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-qAt", stdin=text)

    def state(self) -> str:
        return self.sql(STATE)


@pytest.fixture(scope="module")
def database(place):
    # A local connection is trusted by the image as it comes; the sidecars come by network and need the password.
    return Database(place)


def sidecar(place: str, name: str, variable: str, role: str):
    """The image of the stanza, with its secret in the environment. Returns a client."""
    docker("build", "-q", "-f", f"images/{name}/Dockerfile", "-t", f"mcp-{name}", str(ROOT), patience=500)
    box = f"{place}-{name}-{role.partition(':')[0]}"
    docker(
        "run",
        "-d",
        "--name",
        box,
        "--label",
        place,
        "--network",
        place,
        *HARDENED,
        "-e",
        f"{variable}=postgresql://{role}@database:5432/postgres?sslmode=disable",
        f"mcp-{name}",
    )
    address = docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", box)
    eventually(lambda: "child ready" in _log(box), 150, "the server does not get ready")
    return Http(f"http://{address}:8000")


def _log(box: str) -> str:
    done = subprocess.run(["docker", "logs", box], capture_output=True, text=True, timeout=30)
    return done.stdout + done.stderr


@pytest.fixture(scope="module", params=[("postgres", "DATABASE_URI"), ("dbhub", "DSN")], ids=["postgres", "dbhub"])
def attacked(request, place, database):
    with sidecar(place, *request.param, "postgres:write") as client:
        yield client


def test_it_reads(attacked, database):
    assert "two" in text(attacked.call("execute_sql", sql="select said from kept"))


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.replace(" ", "-"))
def test_an_attack_writes_nothing(attacked, database, attack):
    before = database.state()

    answer = attacked.call("execute_sql", sql=ATTACKS[attack])

    assert database.state() == before, text(answer)
    assert "two" in text(attacked.call("execute_sql", sql="select said from kept")), "it does not answer any more"


def test_a_write_would_be_seen(database):
    before = database.state()

    database.sql(ATTACKS["insert"])

    assert database.state() != before


def test_explaining_writes_nothing(place, database):
    with sidecar(place, "postgres", "DATABASE_URI", "mcp_reader:read") as client:
        before = database.state()

        for analyze in (True, False):
            client.call("explain_query", sql=ATTACKS["insert"], analyze=analyze)
            client.call("explain_query", sql="select 1) ; insert into kept (said) values ('x') --", analyze=analyze)

        assert database.state() == before
        assert "two" in text(client.call("execute_sql", sql="select said from kept"))
