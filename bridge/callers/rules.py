"""What a caller may do: rules, each a pattern and a level, and which of them decides. Pure.

    filesystem/read_file: execute       one tool
    filesystem/resource:file:///srv/*   resources, by URI; `prompt:NAME`, `tool:NAME` and `method:NAME` likewise
    database/*: execute                 all of an MCP: its tools, prompts, resources, and methods that MCP does not know
    "*/delete_*": deny                  tools of this name, whatever MCP they are of

A rule that denies and that fits wins over all others. Else the most specific rule that fits decides, and where none does the
caller's default. More specific is, in this order: an MCP's name without `*`, more letters of it, a name without `*`, a pattern of
names of one kind over the `*` of all kinds, more letters of that. Of two that are equally specific the lower level wins.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

from bridge.callers import uris
from bridge.protocol.tools import Pattern

KINDS = ("tool", "prompt", "resource", "method")
ALL = "*"


class Level(IntEnum):
    """deny: hidden. read: listed, prompts and resources readable. execute: tools callable. admin: reload, and the state of others."""

    DENY = 0
    READ = 1
    EXECUTE = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        return self.name.lower()


LEVELS = {level.word: level for level in Level}


class BadRule(Exception):
    """The pattern of a rule is none; the message says what is expected."""


@dataclass(frozen=True)
class Rule:
    """`text` as the operator wrote it; `kind` is empty where the rule is for everything of an MCP."""

    text: str
    level: Level
    mcp: str
    kind: str
    name: str

    @classmethod
    def parse(cls, text: str, level: Level) -> "Rule":
        """Raises BadRule."""
        mcp, slash, name = text.partition("/")
        if not slash or not mcp or not name or text != text.strip():
            raise BadRule("expected MCP/TOOL, in which '*' stands for anything: time/*, */delete_*, files/resource:file:///srv/*")
        kind, colon, rest = name.partition(":")
        if name == ALL:
            return cls(text, level, mcp, "", ALL)
        if colon and kind in KINDS:
            if not rest:
                raise BadRule(f"expected a name or a pattern behind {kind}:")
            return cls(text, level, mcp, kind, rest)
        return cls(text, level, mcp, "tool", name)

    @cached_property
    def _mcp(self) -> Pattern:
        return Pattern(self.mcp)

    @cached_property
    def _name(self) -> Pattern:
        return Pattern(self.name)

    @cached_property
    def _plain(self) -> Pattern:
        return Pattern(uris.plain_pattern(self.name))

    def is_about(self, mcp: str) -> bool:
        return self._mcp.fits(mcp)

    def fits(self, kind: str, name: str) -> bool:
        return not self.kind or (self.kind == kind and self._name.fits(name))

    def fits_plain(self, uri: str) -> bool:
        """Whether it is about a URI that was decoded and resolved."""
        return not self.kind or (self.kind == "resource" and (self._plain.fits(uri) or self._name.fits(uri)))

    @cached_property
    def weight(self) -> tuple[bool, int, bool, bool, int, int]:
        """Of two rules that fit, the one with the greater weight decides."""
        mcp, name = self.mcp.replace(ALL, ""), self.name.replace(ALL, "")
        return (mcp == self.mcp, len(mcp), name == self.name, bool(self.kind), len(name), -self.level)

    def __str__(self) -> str:
        return f"{self.text}: {self.level.word}"


@dataclass(frozen=True)
class Decision:
    """A level, and the rule that gives it."""

    level: Level
    rule: str


REMEMBERED, LONGEST = 2000, 500  # decisions, and characters of a name: clients may make up any number of any length


class Rules:
    """What one caller may do with one MCP."""

    def __init__(self, rules: tuple[Rule, ...], default: Level, mcp: str):
        self.rules = tuple(rule for rule in rules if rule.is_about(mcp))
        self.default = Decision(default, f"default: {default.word}")
        self._decided: dict[tuple[str, str], Decision] = {}

    def decide(self, kind: str, name: str) -> Decision:
        known = self._decided.get((kind, name))
        if known is None:
            known = self._decide(kind, name)
            if len(self._decided) < REMEMBERED and len(name) <= LONGEST:
                self._decided[kind, name] = known
        return known

    def _decide(self, kind: str, name: str) -> Decision:
        if kind != "resource":
            return self._of([rule for rule in self.rules if rule.fits(kind, name)])
        return self._decide_uri(name)

    def _decide_uri(self, uri: str) -> Decision:
        """A server takes apart what we would only compare: each way to write the same URI must be allowed."""
        plain = uris.plain(uri)
        others = uris.bare(plain)
        written = [rule for rule in self.rules if rule.fits("resource", uri)]
        meant = [rule for rule in self.rules if rule.fits_plain(plain)]
        bare = [rule for rule in self.rules if rule.level is Level.DENY and any(map(rule.fits_plain, others))]
        return min(self._of(written), self._of(meant + bare), key=_level)

    @cached_property
    def of_all(self) -> Decision:
        """What holds for the MCP as a whole, whatever else is said of some of it."""
        return self._of([rule for rule in self.rules if not rule.kind])

    @property
    def is_hidden(self) -> bool:
        """Whether the caller may not know that there is this MCP."""
        if self.of_all.level is Level.DENY and self.of_all.rule != self.default.rule:
            return True
        return max([self.default.level, *(rule.level for rule in self.rules)]) is Level.DENY

    @property
    def allows_everything(self) -> bool:
        """Whether nothing of it has to be looked at."""
        return self.of_all.level >= Level.EXECUTE and all(rule.level >= Level.EXECUTE for rule in self.rules)

    def _of(self, fitting: list[Rule]) -> Decision:
        denials = [rule for rule in fitting if rule.level is Level.DENY]
        rule = max(denials or fitting, key=lambda rule: rule.weight, default=None)
        return self.default if rule is None else Decision(rule.level, str(rule))


def _level(decision: Decision) -> Level:
    return decision.level
