"""A config file with groups, for a bridge of the zoo's servers."""

import json


def entry(command: list[str], **more) -> dict:
    return {"command": command[0], "args": command[1:], **more}


def config(folder, groups=None, **mcps):
    file = folder / "mcps.json"
    file.write_text(json.dumps({"mcpServers": mcps, **({"groups": groups} if groups else {})}))
    return file


def names(answer, kind="tools"):
    return [item["name"] for item in answer["result"][kind]]
