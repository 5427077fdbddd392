"""A config file with groups, for a bridge of the zoo's servers, or for one before bridges that have one server each."""

import json
from contextlib import ExitStack, contextmanager

import httpx
from support import Bridge


def entry(command: list[str], **more) -> dict:
    return {"command": command[0], "args": command[1:], **more}


def config(folder, groups=None, bridges=None, **mcps):
    file = folder / "mcps.json"
    more = {"groups": groups} if groups else {}
    file.write_text(json.dumps({"mcpServers": mcps, **more, **({"bridges": bridges} if bridges else {})}))
    return file


def names(answer, kind="tools"):
    return [item["name"] for item in answer["result"][kind]]


class Sidecar(Bridge):
    """A bridge that listens on a Unix socket only, as in a fleet."""

    def __init__(self, command, socket, *options, **more):
        super().__init__(command, "--uds", socket, *options, **more)
        self.socket = str(socket)

    def listening(self):
        super().listening()  # whether it left
        return "http://sidecar" if any("listening" in line for line in list(self.log)) else None

    def open_http(self):
        return httpx.Client(base_url=self.url, headers=self.headers, transport=httpx.HTTPTransport(uds=self.socket), timeout=20)


@contextmanager
def apart(folder, groups, *options, of_each=(), bridges=None, **commands):
    """A bridge with groups of servers that have a bridge each. It has those as `sidecars`, by name."""
    with ExitStack() as stack:
        sidecars = {name: stack.enter_context(Sidecar(command, folder / name, *of_each)) for name, command in commands.items()}
        more = bridges or {}
        remote = {name: {"socket": sidecar.socket, **more.get(name, {})} for name, sidecar in sidecars.items()}
        with Bridge(None, "--config", config(folder, groups, remote), *options) as bridge:
            bridge.sidecars = sidecars
            yield bridge
