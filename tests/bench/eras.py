"""What it costs that client and child are not of the same era: `tools/call` at 16 connections for all four pairs.

Judged by the CPU time that the bridge takes for a call, which other work on the machine hardly changes.

    python tests/bench/eras.py [--quick]

Windows of the four are interleaved; a ratio is the median of those of neighbours. Prints Markdown.
"""

import argparse
import statistics
import sys

import hammer
import servers
from table import per_second

PAIRS = {  # (client, child): the hammer and the child's era
    ("legacy", "legacy"): (hammer.calls, "legacy"),
    ("modern", "modern"): (hammer.modern_calls, "modern"),
    ("modern", "legacy"): (hammer.modern_calls, "legacy"),
    ("legacy", "modern"): (hammer.calls, "modern"),
}
GOALS = {("modern", "modern"): 1.0, ("modern", "legacy"): 0.75}
CONNECTIONS = 16


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter windows")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a goal is missed by more than the noise (5 %%)")
    options = parser.parse_args()
    seconds, rounds = (1, 3) if options.quick else (2, 7)
    rates, costs = {pair: [] for pair in PAIRS}, {pair: [] for pair in PAIRS}
    with servers.running(servers.ours("--child-era", "legacy"), servers.ours("--child-era", "modern")) as (legacy, modern):
        for number in range(rounds + 1):
            for pair, (hammer_one, era) in PAIRS.items():
                server = legacy if era == "legacy" else modern
                before = server.cpu_seconds()
                rate = hammer_one(server, CONNECTIONS, seconds)
                spent = server.cpu_seconds() - before
                if rate.wrong:
                    raise SystemExit(f"{pair}: {rate.wrong} wrong answers")
                if number:  # the first round warms up
                    rates[pair].append(rate.per_second)
                    costs[pair].append(spent / rate.right)
    print("| client | child | calls | CPU of a call | as fast as in the handshake era | goal |", "|---|---|--:|--:|--:|--:|", sep="\n")
    missed = False
    for pair, its in costs.items():
        ratio = statistics.median(old / own for own, old in zip(its, costs["legacy", "legacy"], strict=True))
        goal = GOALS.get(pair)
        missed = missed or (goal is not None and ratio < goal * 0.95)
        print(
            f"| {pair[0]} | {pair[1]} | {per_second(statistics.median(rates[pair]))} | {statistics.median(its) * 1e6:.0f} µs | {ratio:.2f} | {f'≥ {goal:g}' if goal else '—'} |"
        )
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
