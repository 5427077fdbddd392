"""What is said in the parity talks, as data. The verbs are methods of talk.py's Client.

A `plain` client declares nothing and so shares its child with others; an `interactive` one declares all that a server
may ask for and has a child of its own.
"""

import json

PLAIN: list[str] = []
INTERACTIVE = ["sampling", "elicitation", "roots"]

LOG = "notifications/message"
UPDATED = "notifications/resources/updated"
RESERVED = -32099  # a code that 2026-07-28 keeps for itself
TOOLS_CHANGED = "notifications/tools/list_changed"

OPENING = [["initialize"], ["ping"], ["tools"]]

# The SDK's everything-server; the same in its 1.x and its 2.x edition.
LISTS = [
    ["resources"],
    ["templates"],
    ["read", "test://static-text"],
    ["read", "test://static-binary"],
    ["read", "test://template/äöü/data"],
    ["read", "test://nowhere"],
    ["subscribe", "test://watched-resource"],
    ["unsubscribe", "test://watched-resource"],
    ["prompts"],
    ["prompt", "test_simple_prompt", {}],
    ["prompt", "test_prompt_with_arguments", {"arg1": "one", "arg2": "\u2028 \U0001f600"}],
    ["prompt", "test_prompt_with_embedded_resource", {"resourceUri": "test://embedded"}],
    ["prompt", "test_prompt_with_image", {}],
    ["prompt", "test_prompt_with_arguments", {"arg1": "the other one is missing"}],
    ["prompt", "no_such_prompt", {}],
    ["complete", "test_prompt_with_arguments", "arg1", "par"],
]
CALLS = [
    ["call", "test_simple_text"],
    ["call", "test_image_content"],
    ["call", "test_audio_content"],
    ["call", "test_embedded_resource"],
    ["call", "test_multiple_content_types"],
    ["call", "test_error_handling"],
    ["call", "no_such_tool"],
    ["call_with", "test_simple_text", {"unexpected": [1, None, "x"]}],
    ["call_with", "test_sampling", {}],  # an argument is missing
    ["level", "info"],
    ["call_and_hear", LOG, "test_tool_with_logging", {}, 3],
    ["call_with_progress", "test_tool_with_progress", {}, 3],
]
ASKS = [
    ["call_with", "test_sampling", {"prompt": "say something"}],
    ["call_with", "test_elicitation", {"message": "who are you?"}],
    ["call", "test_elicitation_sep1034_defaults"],
    ["call", "test_elicitation_sep1330_enums"],
]
EVERYTHING = {"plain": (PLAIN, [*OPENING, *LISTS, *CALLS]), "interactive": (INTERACTIVE, [*OPENING, *CALLS, *ASKS])}

# Without what a client of 2026-07-28 cannot say, so that both eras can hold the same talk.
GONE = ("initialize", "ping", "subscribe", "unsubscribe", "roots_changed")


def without_handshake(steps: list) -> list:
    return [step for step in steps if step[0] not in GONE]


def said_apart(step: list) -> bool:
    return step[0] == "cancel" or (step[1:2] == ["error"] and step[2]["code"] == RESERVED)


ROUNDS = [
    ["call", f"test_input_required_result_{name}"]
    for name in ("elicitation", "sampling", "list_roots", "request_state", "multiple_inputs", "multi_round")
]
EVERYTHING_MODERN = {
    "plain": (PLAIN, [["era"], *without_handshake([*OPENING, *LISTS, *CALLS])]),
    "interactive": (INTERACTIVE, [["era"], *CALLS, *ROUNDS, ["prompt", "test_input_required_result_prompt", {}]]),
}

# tests/children: what the SDK's servers cannot or will not do.
RICH = [
    {"type": "resource_link", "uri": "test://one", "name": "one", "_meta": {"x-vendor/kept": [1, {"a": None}]}},
    {"type": "text", "text": "for people", "annotations": {"audience": ["user"], "priority": 0.5}},
    {"type": "resource", "resource": {"uri": "test://blob", "mimeType": "application/x", "blob": "AAEC"}},
]
RICH_RESULT = {"resultType": "complete", "content": RICH, "_meta": {"x-vendor/kept": 1}, "structuredContent": {"a": [1]}}
ECHO_CALLS = [
    ["call_with", "echo", {"message": 'a\r\nb\t\u2028\U0001f600 \\u0041 "quoted"'}],
    ["call", "unicode"],
    ["call_with", "typed", {"value": 3}],
    ["call_with", "typed", {}],
    ["call_with", "fail", {"message": "no"}],
    ["call_with", "error", {"message": "broken", "code": RESERVED}],
    ["call", "no_such_tool"],
    ["call_with", "huge", {"bytes": 300_000}],
    ["call_with", "raw", {"result": json.dumps(RICH_RESULT)}],
    ["call_with_progress", "progress", {"steps": 3}, 3],
    ["level", "warning"],
    ["call_with", "log", {"level": "info"}],
    ["call_and_hear", LOG, "log", {"level": "error", "count": 2}, 2],
    ["level", "debug"],
    ["call_and_hear", LOG, "log", {"level": "debug"}],
    ["cancel", "slow", {"seconds": 30}],
]
ECHO_LISTS = [
    ["resources"],
    ["templates"],
    ["read", "test://two"],
    ["read", "test://nowhere"],
    ["prompts"],
    ["prompt", "greet", {"who": "Ünal"}],
    ["prompt", "nobody", {}],
    ["complete", "greet", "who", "al"],
    ["subscribe", "test://one"],
    ["call_with", "touch", {"uri": "test://two"}],
    ["call_and_hear", UPDATED, "touch", {"uri": "test://one"}],
    ["unsubscribe", "test://one"],
    ["call_with", "touch", {"uri": "test://one"}],
]
ECHO = {"plain": (PLAIN, [*OPENING, *ECHO_CALLS, *ECHO_LISTS])}
CHILD_ASKS = [
    ["call", "sample"],
    ["call", "elicit"],
    ["call", "elicit_url"],
    ["call", "roots"],
    ["call", "two_asks"],
    ["call", "ping_client"],
    ["call_with", "ask", {"method": "x-vendor/ask", "params": {"a": 1}}],
    ["call", "url_required"],
    ["roots_changed"],
    ["call_and_hear", TOOLS_CHANGED, "change", {}],
    ["tools"],
]
ECHO_MODERN = {
    "plain": (PLAIN, [step for step in without_handshake([*OPENING, *ECHO_CALLS, *ECHO_LISTS[:8]]) if not said_apart(step)]),
    # Last: while the child still works for one who left, nobody can tell whose its logs are.
    "leaving": (PLAIN, [["cancel", "slow", {"seconds": 30}]]),
}
ASKING_MODERN = {"interactive": (INTERACTIVE, [["call", tool] for tool in ("sample", "elicit", "roots", "two_asks", "ping_client")])}
ASKING = {"interactive": (INTERACTIVE, [*OPENING, *ECHO_CALLS, *ECHO_LISTS, *CHILD_ASKS])}

# server-everything from npm, of the handshake era; its greatest common part with a client that knows only 2026-07-28.
REAL = {
    "plain": (PLAIN, [
        ["resources"], ["templates"], ["prompts"],
        ["call_with", "echo", {"message": "\u2028 \U0001f600"}],
        ["call_with", "get-sum", {"a": 2, "b": 40}],
        ["call_with", "get-sum", {"a": "two"}],
        ["call_with", "get-tiny-image", {}],
        ["call_with", "get-structured-content", {"location": "Chicago"}],
        ["call_with", "no-such-tool", {}],
        ["prompt", "simple-prompt", {}],
        ["tools"],  # last: it adds one some time after the handshake
    ]),
}  # fmt: skip
