"""Results that break strict clients.

server-postgres sends a text block without text; a note server a tool whose inputSchema has no type; sqlite's SDK drops
lone surrogates; a wrong result of a tool with an outputSchema wedges LiteLLM 1.77.3.

Tools: bad {kind} (a key of KINDS; the tool promises no structure), bad_structured {kind} (the tool has an outputSchema),
kinds (the keys as JSON), break_list {how} (tools/list from now on: error, hang, empty_result, not_a_list, fine).

    --bad-tools   tools/list has odd entries: no inputSchema.type, outputSchema no object, name missing
"""

import json
import sys

from base import Refusal
from echo import child

TEXT = b'{"type":"text","text":"fine"}'
DEEP = b"[" * 2000 + b"]" * 2000
KINDS = {  # what follows "id":N, in the answer
    "no_content": b'"result":{"isError":false}',
    "empty_result": b'"result":{}',
    "content_null": b'"result":{"content":null}',
    "content_string": b'"result":{"content":"text"}',
    "content_empty": b'"result":{"content":[]}',
    "block_null": b'"result":{"content":[null]}',
    "text_missing": b'"result":{"content":[{"type":"text"}]}',
    "text_number": b'"result":{"content":[{"type":"text","text":5}]}',
    "unknown_type": b'"result":{"content":[{"type":"hologram","data":"?"}]}',
    "no_type": b'"result":{"content":[{"text":"untyped"}]}',
    "bad_uri": b'"result":{"content":[{"type":"resource","resource":{"uri":"not a uri","text":"x"}}]}',
    "resource_empty": b'"result":{"content":[{"type":"resource","resource":{"uri":"test://one"}}]}',
    "image_no_data": b'"result":{"content":[{"type":"image","mimeType":"image/png"}]}',
    "structured_list": b'"result":{"content":[' + TEXT + b'],"structuredContent":[1,2]}',
    "structured_wrong": b'"result":{"content":[' + TEXT + b'],"structuredContent":{"value":"not a number"}}',
    "structured_null": b'"result":{"content":[' + TEXT + b'],"structuredContent":null}',
    "structured_missing": b'"result":{"content":[' + TEXT + b"]}",
    "is_error_string": b'"result":{"content":[' + TEXT + b'],"isError":"yes"}',
    "meta_list": b'"result":{"content":[' + TEXT + b'],"_meta":[]}',
    "result_null": b'"result":null',
    "result_string": b'"result":"done"',
    "result_list": b'"result":[1]',
    "no_result": b'"neither":1',
    "error_no_message": b'"error":{"code":-32000}',
    "error_no_code": b'"error":{"message":"broke"}',
    "error_string": b'"error":"broke"',
    "error_null": b'"error":null',
    "error_code_string": b'"error":{"code":"E1","message":"broke"}',
    "error_huge_code": b'"error":{"code":99999999999999999999,"message":"broke"}',
    "surrogate": rb'"result":{"content":[{"type":"text","text":"lone \ud800 half"}]}',
    "bad_utf8": b'"result":{"content":[{"type":"text","text":"bad \xff\xc3 bytes"}]}',
    "control_byte": b'"result":{"content":[{"type":"text","text":"tab\there \x01"}]}',
    "carriage_return": b'"result":{"content":[\r' + TEXT + b"\r]}",
    "nan": b'"result":{"content":[' + TEXT + b'],"structuredContent":{"value":NaN}}',
    "huge_number": b'"result":{"content":[' + TEXT + b'],"structuredContent":{"value":1e400}}',
    "deep": b'"result":{"content":[' + TEXT + b'],"structuredContent":{"value":' + DEEP + b"}}",
    "unknown_member": b'"result":{"content":[' + TEXT + b'],"x-more":1},"x-top":2',
    "duplicate_member": b'"result":{},"result":{"content":[' + TEXT + b"]}",
}
OUTPUT = {"type": "object", "properties": {"value": {"type": "integer"}}, "required": ["value"]}


@child.tool
def bad(kind: str, call):
    child.send_raw(b'{"jsonrpc":"2.0","id":%d,%b}' % (call.id, KINDS[kind]))


@child.tool(outputSchema=OUTPUT)
def bad_structured(kind: str, call):
    bad(kind, call)


@child.tool
def kinds():
    return json.dumps(list(KINDS))


@child.tool
def break_list(how: str):
    child.methods["tools/list"] = {
        "error": refuse,
        "hang": lambda params: None,
        "empty_result": lambda params: {},
        "not_a_list": lambda params: {"tools": "none"},
        "fine": child.list_tools,
    }[how]
    return how


def refuse(params):
    raise Refusal(-32603, "no list today")


def odd_list(params):
    odd = [
        {"name": "no_schema_type", "inputSchema": {"properties": {}}},
        {"name": "output_list", "inputSchema": {"type": "object"}, "outputSchema": {"type": "array"}},
        {"inputSchema": {"type": "object"}},
        {"name": "big_number", "inputSchema": {"type": "object", "x-number": 10**30}},
    ]
    return {"tools": [*child.list_tools({})["tools"], *odd]}


if "--bad-tools" in sys.argv:
    child.methods["tools/list"] = odd_list
child.run()
