"""Makes LiteLLM's virtual keys and teams what images/fleet.yaml says (bridge/fleet/litellm_keys.py), and changes nothing that is so already.

What LiteLLM has is read in its database, and so is a key written that it does not have: its own interface takes no hash, and nobody has the key. All
else goes through that interface, which also makes a running LiteLLM forget what it remembers of a key. Budgets, models, blocks and limits
are never touched. What is ours has `created_by` mcp-bridge, or a team's id that begins so.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bridge.fleet.ask import Http, NoResponse, Response
from bridge.fleet.engines import EngineError
from bridge.fleet.litellm_keys import TEAM, Grant, Key, Wanted, wanted
from bridge.fleet.model import Fleet

OURS = "mcp-bridge"
PATIENCE, CONNECTED = 30.0, 60.0
PERMISSION = 'to_jsonb(p) from "LiteLLM_ObjectPermissionTable" p where p.object_permission_id = t.object_permission_id'
STATE = f"""select json_build_object(
'keys', (select json_agg(json_build_object('token', token, 'team', team_id, 'ours', created_by = '{OURS}', 'permission', (select {PERMISSION})))
from "LiteLLM_VerificationToken" t),
'teams', (select json_agg(json_build_object('id', team_id, 'permission', (select {PERMISSION}))) from "LiteLLM_TeamTable" t where team_id like '{TEAM}%'))"""
# Lists must not be null: which columns are lists differs by version.
NEW = (
    """select format('insert into %I (token, key_alias, team_id, created_by%s) values (%L, %L, nullif(%L, %L), %L%s) on conflict do nothing',
table_name, string_agg(format(', %I', column_name), ''), '{token}', '{alias}', '{team}', '', '"""
    + OURS
    + """', string_agg(', array[]::text[]', ''))
from information_schema.columns where table_name = 'LiteLLM_VerificationToken' and data_type = 'ARRAY' group by table_name \\gexec
"""
)


@dataclass
class Database:
    """`query` runs SQL in LiteLLM's database and returns what it prints."""

    query: Callable[[str], str]

    def state(self) -> dict[str, Any]:
        said = json.loads(self.query(STATE))
        return {"keys": said.get("keys") or [], "teams": said.get("teams") or []}

    def add(self, token: str, key: Key) -> None:
        alias, team = (text.replace("'", "''") for text in (key.caller, key.team))
        self.query(NEW.format(token=token, alias=alias, team=team))


class Gateway:
    """LiteLLM's interface for its administrator."""

    def __init__(self, url: str, key: str, http: Http):
        self.url, self.http = url, http
        self.headers = {"Authorization": f"Bearer {key}", "accept": "application/json, text/event-stream"}

    def servers(self) -> dict[str, str]:
        """Ids by name. Raises EngineError."""
        said = self._good(self.http.get(f"{self.url}/v1/mcp/server", self.headers, PATIENCE))
        return {str(one.get("alias") or one.get("server_name")): str(one["server_id"]) for one in json.loads(said.body)}

    def tools(self) -> dict[str, list[str]]:
        """What it lists of each server, by the names that it takes in grants. Raises EngineError."""
        asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        said = self._good(self.http.post(f"{self.url}/mcp/", asked, self.headers, PATIENCE))
        found: dict[str, list[str]] = {}
        for tool in ((said.message or {}).get("result") or {}).get("tools") or []:
            server, _, name = str(tool.get("name")).partition("-")
            found.setdefault(server, []).append(name)
        return found

    def tell(self, path: str, **body: Any) -> None:
        """Raises EngineError."""
        self._good(self.http.post(f"{self.url}{path}", body, self.headers, PATIENCE))

    def wait(self) -> None:
        """Until it is connected to its database. Raises EngineError."""
        deadline = time.monotonic() + CONNECTED
        while self.http.get(f"{self.url}/health/readiness", patience=PATIENCE).json().get("db") != "connected":
            if time.monotonic() > deadline:
                raise EngineError("LiteLLM is not connected to its database: mcp-bridge logs litellm")
            time.sleep(0.5)

    def _good(self, said: Response) -> Response:
        if said.status != 200:
            raise EngineError(f"LiteLLM does not take the callers' keys: {said.words}")
        return said


def agree(fleet: Fleet, url: str, key: str, query: Callable[[str], str]) -> int:
    """Make LiteLLM's keys and teams those of the fleet's callers. Returns how many were changed. Raises EngineError."""
    database = Database(query)
    try:
        with Http() as http:
            gateway = Gateway(url, key, http)
            gateway.wait()
            tools = gateway.tools() if fleet.litellm.holds_keys_to_grants else None
            return _agree(wanted(fleet, gateway.servers(), tools), database.state(), database, gateway)
    except NoResponse as silence:
        raise EngineError(f"LiteLLM does not take the callers' keys: {silence}") from None


def given(query: Callable[[str], str]) -> set[str]:
    """The hashes of those of ours that it has. Raises EngineError."""
    return {one["token"] for one in Database(query).state()["keys"] if one["ours"]}


def _agree(want: Wanted, there: dict[str, Any], database: Database, gateway: Gateway) -> int:
    keys = {one["token"]: one for one in there["keys"]}
    teams = {one["id"]: one["permission"] for one in there["teams"]}
    changes = 0
    gone = [token for token, one in keys.items() if one["ours"] and token not in want.keys]
    if gone:  # first: what may open nothing any more
        gateway.tell("/key/delete", keys=gone)
        changes += len(gone)
    for team, grant in want.teams.items():
        changes += _agree_on_team(team, grant, teams, gateway)
    for token, key in want.keys.items():
        one = keys.get(token)
        if one is None:
            database.add(token, key)
        if one is None or (one["team"] or "") != key.team or not key.grant.is_in(one["permission"]):
            gateway.tell("/key/update", key=token, team_id=key.team or None, object_permission=key.grant.as_permission())
            changes += 1
    in_use = {one["team"] for token, one in keys.items() if token not in want.keys and token not in gone}
    if left := [team for team in teams if team not in want.teams and team not in in_use]:  # with a team go its keys
        gateway.tell("/team/delete", team_ids=left)
        changes += len(left)
    return changes


def _agree_on_team(team: str, grant: Grant, teams: dict[str, Any], gateway: Gateway) -> int:
    permission = grant.as_permission()
    if team not in teams:
        gateway.tell("/team/new", team_id=team, team_alias=team.removeprefix(TEAM), object_permission=permission)
    elif not grant.is_in(teams[team]):
        gateway.tell("/team/update", team_id=team, object_permission=permission)
    else:
        return 0
    return 1
