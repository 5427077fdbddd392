"""``python -m environments all`` or ``python -m environments sdk1 litellm_newest``: make them, and say how long it took."""

import argparse
import time
from functools import partial

from . import authorization, browser, clients, servers, suite
from .packages import node22, node24

ENVIRONMENTS = {
    "sdk1": clients.sdk1,
    "sdk2": clients.sdk2,
    "everything_sdk1": servers.everything_sdk1,
    "everything_sdk2": servers.everything_sdk2,
    "node22": node22,
    "conformance_suite": suite.conformance_suite,
    "conformance_suite_2": suite.conformance_suite_2,
    **{f"server_{name}": partial(servers.server, name) for name in servers.SERVERS},
    "promtool": clients.promtool,
    "mcp_remote": clients.mcp_remote,
    "http_clients": clients.http_clients,
    "egress_proxy": clients.egress_proxy,
    "node24": node24,
    "litellm_1773": clients.litellm_1773,
    "litellm_newest": clients.litellm_newest,
    "authorization_server": authorization.authorization_server,
    "playwright": browser.playwright,
}
OPTIONAL = ("playwright",)  # not every machine can have a browser; the tests that need it are skipped there


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m environments", description="Make what the tests run against.")
    parser.add_argument("names", nargs="+", choices=["all", *ENVIRONMENTS], metavar="NAME", help=", ".join(ENVIRONMENTS))
    names = parser.parse_args().names
    for name in ENVIRONMENTS if "all" in names else names:
        began = time.monotonic()
        try:
            made = ENVIRONMENTS[name]()
        except RuntimeError as error:
            if name not in OPTIONAL:
                raise
            made = f"cannot be had: {error}"
        print(f"{name:20} {time.monotonic() - began:6.1f} s  {made}", flush=True)


if __name__ == "__main__":
    main()
