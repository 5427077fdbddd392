"""LiteLLM with its own database in a real fleet: three callers, four MCPs, every way through it and the door, with 1.77.3 and the newest. Whether a
call was made is asked of the MCP itself. The tests are one story, in their order."""

import json
import secrets
import subprocess
import threading

import httpx
import pytest
import yaml
from checkouts import MODEL, Operator, docker, needs_docker, remove_images
from support import ROOT, eventually

pytestmark = [pytest.mark.docker, pytest.mark.timeout(480)]

PROJECT = f"mcp-keys-{secrets.token_hex(3)}"
HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
MCPS = ("one", "two", "three", "four")
MAY = {  # by caller and MCP: whether it may call `act` there
    "alice": {"one": "one/*=execute", "three": "three/act=execute"},
    "bob": {"two": "two/*=execute"},
    "carol": {"three": "three/*=execute", "four": "four/*=execute"},
}
NOT = {"carol": ["four/act=deny", "one/*=read"]}
EXACT = {(who, mcp): mcp in MAY[who] and f"{mcp}/act=deny" not in NOT.get(who, ()) for who in MAY for mcp in MCPS}
NOBODY = dict.fromkeys(EXACT, False)
SERVER = """
import json, sys
seen = []
def act(mark):
    seen.append(mark)
    return 'did ' + mark
for line in sys.stdin:
    message = json.loads(line)
    if 'id' not in message:
        continue
    result = {}
    if message['method'] == 'initialize':
        result = {'protocolVersion': '2025-06-18', 'capabilities': {'tools': {}}, 'serverInfo': {'name': 'acts', 'version': '1'}}
    elif message['method'] == 'tools/list':
        mark = {'type': 'object', 'properties': {'mark': {'type': 'string'}}}
        result = {'tools': [{'name': name, 'description': name, 'inputSchema': mark} for name in ('act', 'seen')]}
    elif message['method'] == 'tools/call':
        asked = message['params']
        text = act(asked['arguments']['mark']) if asked['name'] == 'act' else json.dumps(seen)
        result = {'content': [{'type': 'text', 'text': text}]}
    print(json.dumps({'jsonrpc': '2.0', 'id': message['id'], 'result': result}), flush=True)
"""


class Story(Operator):
    """`keys` are the callers'; with `own` a call through LiteLLM brings the caller's key for the bridge, too."""

    keys: dict[str, str]

    def added(self, name: str, *more: str) -> str:
        self.keys[name] = self.run("caller", "add", name, *more).split()[0]
        return self.keys[name]

    def made(self, who: str, mcp: str, way: str, own: bool = False) -> bool:
        """Whether a call of this caller's was made, whatever was answered."""
        mark = secrets.token_hex(6)
        key, name = self.keys[who], f"{mcp}-act"
        headers = {"accept": "application/json, text/event-stream"} | ({f"x-mcp-{mcp}-authorization": key} if own else {})
        through = headers | {"x-litellm-api-key": f"Bearer {key}"}
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": {"mark": mark}}}
        with httpx.Client(trust_env=False, timeout=60, base_url=self.litellm) as http:
            if way == "door":
                self.at_door(key, mcp, "act", mark=mark)
            elif way == "/mcp/":
                http.post("/mcp/", json=call, headers=through)
            elif way == "/mcp/SERVER":
                http.post(f"/mcp/{mcp}", json=call, headers=through, follow_redirects=True)
            elif way == "/mcp-rest":
                asked = {"name": name, "arguments": {"mark": mark}, "server_id": self.servers()[mcp]}
                http.post("/mcp-rest/tools/call", json=asked, headers=headers | {"authorization": f"Bearer {key}"})
            elif way == "/v1/responses":
                tool = {"type": "mcp", "server_label": mcp, "server_url": f"litellm_proxy/mcp/{mcp}", "require_approval": "never"}
                asked = {"model": "fake", "tools": [tool]}
                asked["input"] = f"Call the tool {name} with exactly these arguments, once: {json.dumps({'mark': mark})}"
                http.post("/v1/responses", json=asked, headers=headers | {"authorization": f"Bearer {key}"})
        return mark in self.at_door(self.own("BRIDGE_TOKEN"), mcp, "seen", mark="")

    def all_made(self, way: str, own: bool = False) -> dict[tuple[str, str], bool]:
        return {(who, mcp): self.made(who, mcp, way, own) for who, mcp in EXACT}

    def at_door(self, key: str, mcp: str, tool: str, **arguments: str) -> str:
        headers = {"accept": "application/json, text/event-stream", "authorization": f"Bearer {key}"}
        with httpx.Client(base_url=f"{self.mcps}/{mcp}", headers=headers, trust_env=False, timeout=60) as client:
            opened = client.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO})
            if opened.status_code != 200:
                return f"HTTP {opened.status_code}"
            client.headers["mcp-session-id"] = opened.headers["mcp-session-id"]
            client.post("/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"})
            asked = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
            return client.post("/mcp", json=asked).text

    def admin(self, method: str, path: str, **body: object) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.own('LITELLM_MASTER_KEY')}"}
        return httpx.request(method, f"{self.litellm}{path}", json=body or None, headers=headers, trust_env=False, timeout=60)

    def servers(self) -> dict[str, str]:
        return {one.get("alias") or one["server_name"]: one["server_id"] for one in self.admin("GET", "/v1/mcp/server").json()}

    def own(self, name: str) -> str:
        return next(line.partition("=")[2] for line in (self.root / "compose/.env").read_text().splitlines() if line.startswith(f"{name}="))

    def sql(self, text: str, database: str = "litellm") -> str:
        return docker("exec", self.container("database"), "psql", "-U", "postgres", "-d", database, "-Atc", text)

    def granted(self) -> dict[str, list[str]]:
        """The servers of each key of ours, by the caller's name."""
        names = {id: name for name, id in self.servers().items()}
        said = self.sql(
            """select json_object_agg(key_alias, mcp_servers) from "LiteLLM_VerificationToken" join "LiteLLM_ObjectPermissionTable" """
            "using (object_permission_id) where created_by = 'mcp-bridge'"
        )
        return {who: sorted(names.get(id, id) for id in ids) for who, ids in json.loads(said or "{}").items()}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    needs_docker()
    fleet = Story(tmp_path_factory.mktemp("keys"), PROJECT)
    fleet.keys = {}
    for name in MCPS:
        (fleet.root / f"images/{name}/app").mkdir(parents=True)
        (fleet.root / f"images/{name}/app/server.py").write_text(SERVER)
        smoke = {"tool": "act", "arguments": {"mark": "smoke"}, "build": False}
        (fleet.root / f"images/{name}/stanza.yaml").write_text(
            yaml.safe_dump({"command": "python3 /app/server.py", "files": "app", "smoke": smoke})
        )
    try:
        compose = ["docker", "compose", "-f", str(fleet.root / "compose/compose.yaml"), "--profile", "postgres"]
        subprocess.run([*compose, "up", "-d", "--wait", "database"], check=True, capture_output=True, timeout=200)  # a volume of before
        with (fleet.root / "images/fleet.yaml").open("a") as file:
            file.write("litellm: {database: true}\n")
        for who, rules in MAY.items():
            may = [word for rule in (*rules.values(), *NOT.get(who, ())) for word in ("--may", rule)]
            fleet.added(who, *may, *(["--team", "kitchen"] if who != "carol" else []))
        base = fleet.root / "litellm/base.yaml"
        base.write_text(yaml.safe_dump({"model_list": [MODEL]}))
        fleet.printed = fleet.run("up", "--engine", "compose", *MCPS, patience=460)
        fake = ["docker", "run", "-d", "--name", f"{PROJECT}-openai", "--network-alias", "fake-openai", "--network", f"{PROJECT}_inside"]
        script = f"{ROOT}/tests/fleet/fake_openai.py:/fake.py:ro"
        subprocess.run([*fake, "-v", script, "python:3.13-slim", "python", "/fake.py"], check=True, capture_output=True, timeout=60)
        yield fleet
    finally:
        subprocess.run(["docker", "rm", "-f", f"{PROJECT}-openai"], capture_output=True, timeout=60)
        fleet.run("down", "--volumes", code=None)
        remove_images(PROJECT)


WAYS = ("/mcp/", "/mcp/SERVER", "/mcp-rest", "/v1/responses")


def test_an_older_volume_has_the_role_and_the_database_now_and_nobody_else_may_open_it(fleet):
    assert fleet.sql("select pg_get_userbyid(datdba) from pg_database where datname = 'litellm'", "postgres") == "litellm"
    may = "select has_database_privilege('{}', '{}', 'connect')"
    assert fleet.sql(may.format("mcp_reader", "litellm"), "postgres") == fleet.sql(may.format("litellm", "postgres"), "postgres") == "f"
    assert fleet.sql("select rolsuper or rolcreatedb or rolcreaterole from pg_roles where rolname = 'litellm'", "postgres") == "f"


def test_a_database_that_was_restored_is_litellms_again(fleet):
    """Dumps have no owners: the tables are the superuser's until LiteLLM's role gets them."""
    fleet.sql('alter table "LiteLLM_TeamTable" owner to postgres')
    docker("start", "--attach", fleet.container("litellm-database"))

    owners = "select distinct pg_get_userbyid(relowner) from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'"
    assert fleet.sql(owners) == "litellm"


def test_who_has_a_key_there_is_listed(fleet):
    said = fleet.run("caller", "list").splitlines()

    assert said[0].split() == ["caller", "may", "team", "LiteLLM"] and sum("has a key" in line for line in said) == 3
    assert ["kitchen" in line for line in said if line.split()[0] in MAY] == [True, True, False]


def test_at_the_door_and_with_its_own_key_through_1773_each_calls_what_it_may_and_nothing_else(fleet):
    assert fleet.all_made("door") == EXACT
    assert fleet.all_made("/mcp/", own=True) == EXACT
    assert fleet.all_made("/mcp/SERVER", own=True) == EXACT


@pytest.mark.parametrize("way", WAYS)
def test_1773_alone_lets_everything_through_so_who_brings_no_key_for_the_mcp_calls_nothing(fleet, way):
    assert fleet.all_made(way) == NOBODY


@pytest.mark.parametrize("way", ("/mcp-rest", "/v1/responses"))
def test_where_1773_hands_no_key_on_nothing_is_called(fleet, way):
    assert not any(fleet.made(*pair, way, own=True) for pair in (("alice", "one"), ("alice", "two")))


def test_a_second_up_changes_nothing_and_what_was_altered_by_hand_is_repaired_but_no_budget(fleet):
    before, started = fleet.granted(), fleet.inspect("litellm")["State"]["StartedAt"]
    assert before == {"alice": ["one", "three"], "bob": ["two"], "carol": ["four", "one", "three"]}
    token = fleet.sql("""select token from "LiteLLM_VerificationToken" where key_alias = 'bob'""")
    assert fleet.sql("""select count(distinct team_id), min(team_id) from "LiteLLM_VerificationToken" """) == "1|mcp-bridge:kitchen"
    fleet.admin("POST", "/key/update", key=token, max_budget=7, object_permission={"mcp_servers": list(fleet.servers().values())})
    assert fleet.granted()["bob"] == sorted(MCPS)

    fleet.run("up", "--no-verify", *MCPS)

    assert fleet.granted() == before and fleet.inspect("litellm")["State"]["StartedAt"] == started
    assert fleet.sql(f"""select max_budget from "LiteLLM_VerificationToken" where token = '{token}'""") == "7"


def test_keys_come_turn_and_go_while_others_call(fleet):
    made: list[bool] = []
    goes_on = threading.Event()

    def call() -> None:
        while not goes_on.is_set():
            made.append(fleet.made("alice", "one", "/mcp/", own=True))

    calls = threading.Thread(target=call)
    calls.start()
    try:
        fleet.added("dave", "--may", "one/*=execute")
        eventually(lambda: fleet.made("dave", "one", "/mcp/", own=True), 30)
        old = fleet.keys["dave"]
        fleet.keys |= {"old": old, "dave": fleet.run("caller", "rotate", "dave").split()[0]}
        eventually(lambda: fleet.made("dave", "one", "/mcp/", own=True), 30)
        assert not fleet.made("old", "one", "/mcp/", own=True)
        fleet.run("caller", "remove", "dave")
        assert not fleet.made("dave", "one", "/mcp/", own=True) and "dave" not in fleet.granted()
    finally:
        goes_on.set()
        calls.join(60)
    assert len(made) > 3 and all(made)


def test_verify_proves_it_for_each_caller(fleet):
    found = {(one["caller"], one["mcp"]): one for one in json.loads(fleet.run("verify", "--callers", "--json"))}

    assert set(found) == set(EXACT) and all(one["ok"] for one in found.values())
    seen = {pair: [hop["seen"] for hop in one["hops"][2:]] for pair, one in found.items()}
    assert seen["alice", "one"] == ["works", "needs x-mcp-NAME-authorization, too"]
    assert seen["alice", "two"] == seen["carol", "four"] == ["is refused", "is refused"]
    assert len(fleet.granted()) == 3 and fleet.sql('select count(*) from "LiteLLM_VerificationToken"') == "3"  # none of ours is left


def test_while_the_database_is_away_nobody_may_more_and_afterwards_all_is_well(fleet):
    docker("stop", "-t", "20", fleet.container("database"))
    try:
        for way in ("/mcp/", "/mcp/SERVER"):
            assert not fleet.made("bob", "one", way) and not fleet.made("bob", "one", way, own=True)
    finally:
        docker("start", fleet.container("database"))
    eventually(lambda: fleet.made("bob", "two", "/mcp/", own=True), 120)


def test_arguments_are_in_the_spend_logs_in_clear(fleet):
    rows = """select count(*) from "LiteLLM_SpendLogs" where metadata::text like '%{}%'"""

    def called() -> str:
        mark = f"mark{secrets.token_hex(6)}"
        asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "one-act", "arguments": {"mark": mark}}}
        headers = {"accept": "application/json, text/event-stream", "x-litellm-api-key": f"Bearer {fleet.keys['alice']}"}
        said = httpx.post(
            f"{fleet.litellm}/mcp/",
            json=asked,
            headers=headers | {"x-mcp-one-authorization": fleet.keys["alice"]},
            trust_env=False,
            timeout=60,
        )
        assert f"did {mark}" in said.text
        return mark

    kept = called()
    eventually(lambda: fleet.sql(rows.format(kept)) == "1", 60)


def refused_to_manage(fleet: Story, who: str) -> None:
    """A caller's key manages nothing in LiteLLM, itself least of all."""
    key, all_of_them = fleet.keys[who], {"mcp_servers": list(fleet.servers().values())}
    before = fleet.granted()
    for path, body in (
        ("/key/generate", {"object_permission": all_of_them}),
        ("/key/update", {"key": key, "object_permission": all_of_them}),
        ("/team/update", {"team_id": "mcp-bridge:kitchen", "object_permission": all_of_them}),
        ("/v1/mcp/server", {"server_name": "mine", "url": "http://two:8000/mcp", "transport": "http"}),
    ):
        headers = {"authorization": f"Bearer {key}"}
        said = httpx.post(f"{fleet.litellm}{path}", json=body, headers=headers, trust_env=False, timeout=60)
        assert said.status_code not in (200, 201), (path, said.text)
    assert fleet.granted() == before


def test_a_callers_key_manages_nothing(fleet):
    refused_to_manage(fleet, "alice")
    refused_to_manage(fleet, "carol")
