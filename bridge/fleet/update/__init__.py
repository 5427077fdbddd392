"""A newer version of an MCP, proved beside the one that runs before anything is changed: `mcp-bridge update`, and back: `rollback`.

cool_down.py   how long a release must have been out, and since when that is
newest.py      which version that leads to, asked of the indexes
pins.py        the same in the text of a stanza
candidate.py   locked and tried in folders of its own: nothing of the project is touched
compare.py     how its tools differ from those that were approved
previous.py    what was before, kept for the way back
own.py         LiteLLM, the database, Prometheus and base images likewise
switch.py      from what runs to the other version, proved, or back
steps.py       what that consists of: of an MCP, and of a part of the fleet
"""


class Stays(Exception):
    """It stays as it is; the message says why, in one line. `is_trouble`: the operator has to know (exit code 1)."""

    def __init__(self, why: str, is_trouble: bool = True):
        super().__init__(why)
        self.is_trouble = is_trouble
