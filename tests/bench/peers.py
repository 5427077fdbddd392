"""How the bridge and its peers fare with what people really run into: the cases of tests/battery, a column each.

    python tests/bench/peers.py [--only ours|supergateway|…]

Prints Markdown. Each case gets a server of its own; a peer's case that takes 30 s has failed.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import servers
from battery.cases import CASES, Case
from servers import Contender

ODD = Path(__file__).parents[1] / "battery" / "odd_server.py"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME")
    options = parser.parse_args()
    kinds = [servers.ours(), servers.supergateway("streamableHttp"), servers.pypi_mcp_proxy(), servers.npm_mcp_proxy("--server", "stream")]
    kinds = [kind for kind in kinds if not options.only or kind.name in options.only]
    print("| case | seen | " + " | ".join(kind.name for kind in kinds) + " |")
    print("|---|---|" + "---|" * len(kinds), flush=True)
    right = dict.fromkeys(kinds, 0)
    compared = [case for case in CASES if case.theirs]
    for case in compared:
        verdicts = [_verdict(kind, case) for kind in kinds]
        for kind, verdict in zip(kinds, verdicts, strict=True):
            right[kind] += verdict == "yes"
        print(f"| {case.name.replace('_', ' ')} | {case.seen} | {' | '.join(verdicts)} |", flush=True)
    print(f"| of {len(compared)} | | " + " | ".join(str(count) for count in right.values()) + " |")
    return 0


def _verdict(kind: Contender, case: Case) -> str:
    port = servers._free_port()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            kind.command(port, [sys.executable, str(ODD), case.way]),
            cwd=servers.CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        server = servers.Server(kind, port, process, Path(os.devnull), Path(os.devnull), time.monotonic())
        signal.signal(signal.SIGALRM, _too_long)
        signal.alarm(30)
        try:
            with contextlib.suppress(RuntimeError):  # one that never listens answers the case with that
                server.wait_until_healthy(10)
            case.right(server.url)
        except Exception as error:
            print(f"{kind.name}, {case.name}: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr, flush=True)
            return "no"
        else:
            return "yes"
        finally:
            signal.alarm(0)
            server.stop()


def _too_long(*_) -> None:
    raise TimeoutError("30 s")


if __name__ == "__main__":
    sys.exit(main())
