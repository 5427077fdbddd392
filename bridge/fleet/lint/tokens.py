"""What a list of tools costs a model: an estimate, as no tokenizer does without a download, and each model has another.

What a model is told of tools is about their definitions as functions. Of the lists of the servers that our tests use (2 to 14 tools each),
written so and without white space, 4.3 to 4.9 bytes are one token of cl100k, so what is said here was at most 9 % beside that.
Of texts in other scripts a token is fewer bytes, and the estimate too low.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

BYTES = 4.5  # for one token


def estimate(tools: Sequence[Mapping[str, Any]]) -> int:
    told = [
        {"name": tool.get("name"), "description": tool.get("description") or tool.get("title") or "", "parameters": tool.get("inputSchema")}
        for tool in tools
    ]
    return round(len(json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass")) / BYTES) if told else 0
