"""Of what programs print when they fail, the line that says why."""

import pytest

from bridge.fleet.engines.reason import why

NPM = """
npm error code ETARGET
npm error notarget No matching version found for left-padd@9.9.9.
npm error notarget In most cases you or one of your dependencies are requesting
npm error notarget a package version that doesn't exist.
npm error A complete log of this run can be found in: /root/.npm/_logs/2026-11-26T13_00_00_000Z-debug-0.log
"""
GYP = """
npm error gyp info spawn make
npm error ../src/keys.cc:3:10: fatal error: libsecret/secret.h: No such file or directory
npm error compilation terminated.
npm error gyp ERR! not ok
"""
CI = """
#12 1.204 npm error code EUSAGE
#12 1.204 npm error
#12 1.204 npm error `npm ci` can only install packages when your package.json and package-lock.json are in sync.
#12 1.204 npm error Missing: zod@4.1.0 from lock file
#12 1.204 npm error
#12 1.207 npm error A complete log of this run can be found in: /root/.npm/_logs/x-debug-0.log
#12 ERROR: process "/bin/sh -c npm ci --omit=dev" did not complete successfully: exit code: 1
------
 > [server 3/3] RUN npm ci --omit=dev:
------
failed to solve: process "/bin/sh -c npm ci --omit=dev" did not complete successfully: exit code: 1
"""
NODE = """
node:internal/modules/cjs/loader:1228
  throw err;
  ^

Error: Cannot find module 'zod'
Require stack:
- /opt/server/node_modules/x/index.js
    at Module._resolveFilename (node:internal/modules/cjs/loader:1225:15)
    at node:internal/main/run_main_module:36:49 {
  code: 'MODULE_NOT_FOUND',
  requireStack: [ '/opt/server/node_modules/x/index.js' ]
}

Node.js v22.11.0
"""
PYTHON = """
Traceback (most recent call last):
  File "/opt/server/bin/mcp-x", line 5, in <module>
    from x.server import main
  File "/opt/server/lib/python3.13/site-packages/x/server.py", line 3, in <module>
    from mcp.server.fastmcp import FastMCP
ModuleNotFoundError: No module named 'mcp.server.fastmcp'
"""
PIP = """
#9 2.1   x No solution found when resolving dependencies:
#9 2.1 error: Because nosuch was not found in the package registry and you require nosuch==1, we can conclude that your requirements are unsatisfiable.
#9 2.2 [notice] A new release of pip is available
#9 ERROR: process "/bin/sh -c pip install" did not complete successfully: exit code: 1
"""
PULL = """
#2 [internal] load metadata for ghcr.io/nobody/nothing:1
#2 ERROR: ghcr.io/nobody/nothing:1: not found
------
 > [internal] load metadata for ghcr.io/nobody/nothing:1:
------
nothing.Dockerfile:1
--------------------
   1 | >>> FROM ghcr.io/nobody/nothing:1
--------------------
failed to solve: ghcr.io/nobody/nothing:1: not found
"""
DISK = """
#7 3.4 OSError: [Errno 28] No space left on device: '/opt/server/lib/x'
#7 ERROR: failed to copy files: no space left on device
failed to solve: failed to copy files: no space left on device
"""
KEY = """
2026-11-26T13:00:00.123Z INFO starting
\x1b[31merror\x1b[0m: API_KEY is required
2026-11-26T13:00:00.200Z bye
"""

PROMETHEUS = """
ts=2026-11-26T18:11:02.110Z caller=query_logger.go:113 level=error component=activeQueryTracker msg="Failed to create directory for logging active queries"
ts=2026-11-26T18:11:02.113Z caller=main.go:1 level=error msg="write /prometheus/queries.active: no space left on device"
goroutine 1 [running]:
github.com/prometheus/prometheus/promql.NewActiveQueryTracker({0x7ffd0, 0xb}, 0x14, {0x37a, 0xc0})
\t/app/promql/query_logger.go:121 +0x3cd
main.main()
\t/app/cmd/prometheus/main.go:645 +0x6d11
goroutine 37 [chan receive]:
created by github.com/prometheus/prometheus/storage/remote.NewWriteStorage in goroutine 1
\tgithub.com/prometheus/prometheus/storage/remote/write.go:107 +0x3e5
"""


SMOKE = """#18 [time stage-4 3/3] RUN ["python", "-m", "bridge", "inspect", "--expect", "ZULU"]
#18 5.018 mcp-bridge inspect: get_current_time answered without 'ZULU' in it
#18 5.019 {
#18 5.019   "error": "none",
#18 5.019   "is_dst": false
#18 5.019 }
#18 ERROR: process "python -m bridge inspect --expect ZULU" did not complete successfully: exit code: 1
------
 > [time stage-4 3/3] RUN ["python", "-m", "bridge", "inspect", "--expect", "ZULU"]:
5.018 mcp-bridge inspect: get_current_time answered without 'ZULU' in it
5.019 {
5.019   "error": "none",
5.019   "is_dst": false
5.019 }
------
failed to solve: process "python -m bridge inspect --expect ZULU" did not complete successfully: exit code: 1
"""


PYDANTIC = """Traceback (most recent call last):
pydantic_core._pydantic_core.ValidationError: 1 validation error for MCPServer
transport
  Input should be 'sse' or 'http'
    For further information visit https://errors.pydantic.dev/2.11/v/literal_error
"""


CAUSED = """
#16 3.114   stderr: ConnectionError: ledger.internal:9999 does not answer
#16 3.114   stderr: 
#16 3.114   stderr: The above exception was the direct cause of the following exception:
#16 3.114   stderr: 
#16 3.114   stderr: Traceback (most recent call last):
#16 3.114   stderr:   File "/app/x.py", line 8, in <module>
#16 3.114   stderr:     raise RuntimeError("no ledger: set LEDGER_URL") from e
#16 3.114   stderr: RuntimeError: no ledger: set LEDGER_URL
#16 ERROR: process "python -m bridge inspect -- python3 /app/x.py" did not complete successfully: exit code: 1
"""
GROUP = """
  + Exception Group Traceback (most recent call last):
  |   File "/x.py", line 1, in <module>
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/x.py", line 5, in f
    | ValueError: LEDGER_URL is not set
    +------------------------------------
"""
ZOD = """ZodError: [
  {
    "code": "invalid_type",
    "expected": "string",
    "received": "undefined",
    "path": [
      "API_KEY"
    ],
    "message": "Required"
  }
]
    at get error (/x.js:1:2)
"""


@pytest.mark.parametrize(
    ("printed", "says"),
    [
        (NPM, "No matching version found for left-padd@9.9.9"),
        (CI, "Missing: zod@4.1.0 from lock file"),
        (
            CI.replace("failed to solve", "ERROR: failed to solve"),
            "Missing: zod@4.1.0 from lock file",
        ),  # as `docker build` says it, and Compose not
        (NODE, "Error: Cannot find module 'zod'"),
        (PYTHON, "ModuleNotFoundError: No module named 'mcp.server.fastmcp'"),
        (PIP, "Because nosuch was not found in the package registry"),
        (PULL, "ghcr.io/nobody/nothing:1: not found"),
        (DISK, "No space left on device"),
        (KEY, "error: API_KEY is required"),
        (
            "error: Failed to download `x==1.1`\n  cause: Hash mismatch for `x==1.1`\n\n    Expected:\n      sha256:c0\n\n    Computed:\n      sha256:6a\n",
            "cause: Hash mismatch for `x==1.1`",
        ),
        ("usage: x [-h]\nx: error: the following arguments are required: --dsn\n", "the following arguments are required: --dsn"),
        ("starting\nlistening on stdio\n", "listening on stdio"),
        (
            PYDANTIC,
            "pydantic_core._pydantic_core.ValidationError: 1 validation error for MCPServer: transport: Input should be 'sse' or 'http'",
        ),
        ("time-1  | mcp.shared.exceptions.McpError: Connection closed\n", "McpError: Connection closed"),
        (
            "panic: runtime error: invalid memory address\n\ngoroutine 1 [running]:\nmain.main()\n\t/src/main.go:12 +0x1d\n",
            "panic: runtime error",
        ),
        (PROMETHEUS, "write /prometheus/queries.active: no space left on device"),
        (
            'failed to solve: process "/bin/sh -c x" did not complete successfully: exit code: 1\n',
            'process "/bin/sh -c x" did not complete',
        ),
        (
            "failed to solve: dockerfile parse error on line 3: unknown instruction: FOO\n",
            "parse error on line 3: unknown instruction: FOO",
        ),
        (CAUSED, "RuntimeError: no ledger: set LEDGER_URL"),
        (GROUP, "ValueError: LEDGER_URL is not set"),
        (ZOD, '"API_KEY"'),
        (SMOKE, "get_current_time answered without 'ZULU' in it"),
        ("", ""),
        ("\n}\n---\n", ""),
        (GYP, "../src/keys.cc:3:10: fatal error: libsecret/secret.h: No such file or directory"),
        ("npm error gyp [error] failed to find Python\nnpm error gyp [error] not ok", "gyp [error] failed to find Python"),
    ],
)
def test_the_line_that_matters(printed, says):
    told = why(printed)

    assert says in told and bool(told) == bool(says), told
    assert len(told.splitlines()) <= 1
