"""What tests of trials have in common: tools, calls that were made, what was seen, and a bench that has seen everything."""

from bridge.fleet.adding.trial.container import Reach, Seen


def tool(name, required=(), properties=None, **hints):
    return {
        "name": name,
        "inputSchema": {"type": "object", "required": list(required), "properties": properties or {}},
        "annotations": hints,
    }


def made(name, complaint="", wrote=(), reads=True, harms=False, arguments=None, began=10.0, ended=11.0, printed=""):
    return {
        "tool": name,
        "arguments": arguments or {},
        "reads": reads,
        "said": True,
        "harms": harms,
        "began": began,
        "ended": ended,
        "complaint": complaint,
        "answer": "",
        "wrote": [list(one) for one in wrote],
        "printed": printed,
    }


def seen(
    *calls,
    reached=(),
    words=(),
    started=9.0,
    wrote=(),
    tools=None,
    why_not="",
    reads=(),
    help=(),
    documented=(),
    shown=(),
    published=(),
    misspelt=(),
    installs=(),
    withs=(),
    debian=(),
    program="",
    login="",
    browser="",
    platform="",
    elsewhere="",
    home="",
    starts=(),
    speaks_to=(),
    speaks_mcp=True,
    is_client=False,
    options=(),
    drives="",
    about="",
    installer="",
    flag="",
    listens=(),
    looked=(),
):
    report = {
        "began": 1.0,
        "started": started,
        "why_not": why_not,
        "server": {},
        "tools": tools if tools is not None else [tool(call["tool"]) for call in calls],
        "wrote": [list(one) for one in wrote],
        "calls": list(calls),
        "looked": dict(looked),
        "words": list(words),
        "help": list(help),
        "reads": list(reads),
        "documented": list(documented),
        "shown": list(shown),
        "published": list(published),
        "misspelt": list(misspelt),
        "installs": list(installs),
        "withs": list(withs),
        "debian": list(debian),
        "program": program,
        "login": login,
        "browser": browser,
        "platform": platform,
        "elsewhere": elsewhere,
        "home": home,
        "starts": list(starts),
        "speaks_to": list(speaks_to),
        "speaks_mcp": speaks_mcp,
        "is_client": is_client,
        "options": dict(options),
        "drives": drives,
        "about": about,
        "installer": installer,
        "flag": flag,
        "listens": list(listens),
    }
    return Seen(report, [Reach(*one) for one in reached])


class Table:
    """A trial that has seen everything."""

    asked: frozenset[str] = frozenset()

    def __init__(self, *seen):
        self.seen, self.stanzas = list(seen), []

    def known(self):
        return {}

    def look(self, stanza):
        return None

    def watch(self, stanza, values, calls=None, is_open=False):
        self.stanzas.append(stanza)
        return self.seen.pop(0)
