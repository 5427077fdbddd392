"""A model behind OpenAI's API that calls the tool it is asked to call, and then repeats what it answered."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

WANTED = re.compile(r"Call the tool (\S+) with exactly these arguments.*?: (\{.*\})", re.DOTALL)


class FakeOpenAI:
    """``with FakeOpenAI() as fake: fake.url``. `called` are the tools that it called; `lazy`: it calls none."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.address = (host, port)
        self.called: list[str] = []
        self.lazy = False

    def __enter__(self) -> Self:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                say = fake.respond if self.path.endswith("/responses") else fake.complete
                body = json.dumps(say(asked)).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_) -> None:
                pass

        self.server = ThreadingHTTPServer(self.address, Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def choose(self, asked: dict[str, Any], tools: list[dict[str, Any]]) -> tuple[str, str] | None:
        """The tool and its arguments; None once there is an answer of a tool."""
        text = json.dumps(asked, ensure_ascii=False)
        wanted = WANTED.search(json.loads(f'"{_inside(text)}"')) if _inside(text) else None
        if self.lazy or not wanted or '"function_call_output"' in text or '"role": "tool"' in text:
            return None
        name, arguments = wanted[1], wanted[2]
        assert name in {tool.get("name") or tool["function"]["name"] for tool in tools}, f"{name} is not among {tools}"
        self.called.append(name)
        return name, arguments

    def respond(self, asked: dict[str, Any]) -> dict[str, Any]:
        """/v1/responses"""
        chosen = self.choose(asked, asked.get("tools") or [])
        if chosen:
            output = {
                "type": "function_call",
                "id": "fc_1",
                "call_id": "call_1",
                "name": chosen[0],
                "arguments": chosen[1],
                "status": "completed",
            }
        else:
            output = {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "That is what it says.", "annotations": []}],
            }
        return {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "model": "fake",
            "status": "completed",
            "output": [output],
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "usage": {
                "input_tokens": 1,
                "output_tokens": 1,
                "total_tokens": 2,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": 0},
            },
        }

    def complete(self, asked: dict[str, Any]) -> dict[str, Any]:
        """/v1/chat/completions"""
        chosen = self.choose(asked, asked.get("tools") or [])
        message: dict[str, Any] = {"role": "assistant", "content": None if chosen else "That is what it says."}
        if chosen:
            message["tool_calls"] = [{"id": "call_1", "type": "function", "function": {"name": chosen[0], "arguments": chosen[1]}}]
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "fake",
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if chosen else "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }


def _inside(text: str) -> str:
    """The JSON string (without its quotes) that has the request to call a tool."""
    found = re.search(r'"((?:[^"\\]|\\.)*Call the tool (?:[^"\\]|\\.)*)"', text)
    return found[1] if found else ""


if __name__ == "__main__":  # in a container: port 8080, on all of its addresses
    with FakeOpenAI("0.0.0.0", 8080):
        threading.Event().wait()
