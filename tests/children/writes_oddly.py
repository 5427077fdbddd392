r"""The well-behaved child, whose messages leave in another form than one JSON object a line.

--form FORM     bom, utf16, ansi, prompt, pretty, array, pair, cr, crlf, nul, floats, pino, headers (out only)
--form lsp      headers in both directions: what comes without one is not understood, and nothing is said of it
--form lsp_loud the same, and it says so: an error without an id, behind a header, as vscode-jsonrpc's users do
"""

import json
import os
import re
import sys

import echo
from echo import child

form = sys.argv[sys.argv.index("--form") + 1]


def headed(line):
    return b"Content-Length: %d\r\n\r\n%b" % (len(line), line)


NOTICE = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}'
FORMS = {
    "bom": lambda line: b"\xef\xbb\xbf" + line + b"\n",
    "utf16": lambda line: (line + b"\n").decode().encode("utf-16-le"),
    "ansi": lambda line: b"\x1b[2K\x1b[32m" + line.replace(b'"result"', b'\x1b[34m"result"\x1b[0m') + b"\x1b[0m\n",
    "prompt": lambda line: b">>> " + line + b"\n",
    "pretty": lambda line: json.dumps(json.loads(line), indent=2).encode() + b"\n",
    "array": lambda line: b"[" + line + b"]\n",
    "pair": lambda line: NOTICE + line + b"\n",
    "cr": lambda line: line + b"\r",
    "crlf": lambda line: line + b"\r\n",
    "nul": lambda line: line + b"\0\n",
    "floats": lambda line: re.sub(rb'"id":([0-9]+)', rb'"id":\1.0', line) + b"\n",
    "pino": lambda line: (
        b'{"level":30,"time":1,"id":%d,"method":"GET","msg":"request completed"}\n' % json.loads(line).get("id", 0) + line + b"\n"
    ),
    "headers": headed,
    "lsp": headed,
    "lsp_loud": headed,
}
child.write_plainly = child.write
child.write = lambda line: child.write_plainly(FORMS[form](line.removesuffix(b"\n")))


def run_by_headers():
    text = b""
    while chunk := os.read(0, 65536):
        text += chunk
        while (found := re.match(rb"(?:[^\r\n]+: [^\r\n]*\r\n)*?Content-Length: ([0-9]+)\r\n(?:[^\r\n]+\r\n)*\r\n", text)) and len(
            text
        ) >= found.end() + int(found[1]):
            end = found.end() + int(found[1])
            child.take(text[found.end() : end])
            text = text[end:]
        if form == "lsp_loud" and text.endswith(b"}\n"):
            text = b""
            child.send_raw(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}')
    os._exit(0)


assert echo
if form.startswith("lsp"):
    run_by_headers()
child.run()
