"""The page for people: one HTML file, its style and its scripts. The same files stand at `/` of a bridge and at a fleet's door.

They are the same for everybody and say nothing of any MCP, so nobody needs a token for them. What is shown the script asks for, as any other
client would, with the token of whoever looks. Nothing is built: what lies in this folder is what a browser gets.
"""

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files

PLACE = "/-/page/"  # where the files are, but for the page itself, which is at /
TYPES = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
# What a browser lets the page do: its own scripts and no other, no markup made of text, requests to this very host, and pictures of what
# a tool returned.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src blob: data:; media-src blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"  # for what is no page
SAFE = {"x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "no-referrer"}


@dataclass(frozen=True)
class Part:
    content: bytes
    media_type: str
    etag: str


@cache
def parts() -> dict[str, Part]:
    """By name: index.html and what it loads."""
    found = {}
    for file in files("bridge.page").iterdir():
        if media_type := TYPES.get(file.name.rpartition(".")[2]):
            content = file.read_bytes()
            found[file.name] = Part(content, media_type, f'"{sha256(content).hexdigest()[:32]}"')
    return found
