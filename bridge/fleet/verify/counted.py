"""The last hop: were the calls counted? By the bridge in any case, and by Prometheus where there is one."""

import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from prometheus_client.parser import text_string_to_metric_families

from bridge.egress.refusals import METRIC as REFUSALS
from bridge.fleet.ask import Http, NoResponse
from bridge.fleet.stanza import Stanza
from bridge.fleet.verify.result import FAILED, NONE, OK, Hop, Report

METRIC = "mcp_bridge_requests_total"
SCRAPE = 7.0  # seconds in which Prometheus usually does, of a machine that is not busy
SCRAPES = 40.0  # seconds in which Prometheus comes by at least once


class Counter:
    """The bridges' own count of tool calls."""

    def __init__(self, base: str, each_has_its_own: bool, headers: dict[str, str], http: Http):
        self.base, self.each_has_its_own, self.headers, self.http = base, each_has_its_own, headers, http
        self.before: dict[str, float] = {}

    def of(self, stanza: Stanza) -> float | None:
        """How many calls of its tools there were; None if that is not to be had."""
        url = f"{self.base}/{stanza.name}/metrics" if self.each_has_its_own else f"{self.base}/metrics"
        try:
            said = self.http.get(url, self.headers)
        except NoResponse:
            return None
        if said.status != 200:
            return None
        samples = (sample for family in text_string_to_metric_families(said.body.decode()) for sample in family.samples)
        return sum(
            sample.value
            for sample in samples
            if sample.name == METRIC and sample.labels.get("mcp") == stanza.name and sample.labels.get("method") == "tools/call"
        )


def by_the_bridge(stanza: Stanza, counter: Counter, before: float | None, calls: int) -> Hop:
    """Without Prometheus: whether /metrics has at least the calls that we made."""
    if calls == 0:
        return Hop("counted", NONE, "no call was made")
    after = counter.of(stanza)
    if after is None or before is None:
        return Hop("counted", FAILED, "the bridge's /metrics cannot be read", "mcp-bridge logs bridge")
    if after - before < calls:
        return Hop(
            "counted",
            FAILED,
            f"{calls} calls were made, and the bridge's /metrics counted {after - before:g}",
            f"mcp-bridge logs {stanza.name}",
        )
    return Hop("counted", OK, f"by the bridge's /metrics: {after:g} calls (this engine has no Prometheus)")


class Prometheus:
    def __init__(self, url: str, http: Http):
        self.url, self.http = url, http

    def check(self) -> Report:
        report = Report("prometheus", self.url)
        try:
            said = self.http.get(f"{self.url}/-/ready")
        except NoResponse as silence:
            report.add(Hop("running", FAILED, f"{self.url}: {silence}", "mcp-bridge logs prometheus; mcp-bridge up starts it again"))
        else:
            report.add(Hop("running", OK) if said.status == 200 else Hop("running", FAILED, said.words, "mcp-bridge logs prometheus"))
        return report

    def has(self, stanza: Stanza, count: float | None, since: float, calls: int) -> Hop:
        """Whether it scraped the MCP after `since` (Unix time), and then knew of at least `count` calls."""
        began = time.monotonic()
        failed: set[float] = set()  # scrapes; one may fail because the machine is busy
        while True:
            hop, is_final = self._look(stanza, count, since, calls, failed)
            if is_final or time.monotonic() - began > SCRAPES:
                return hop
            time.sleep(0.5)

    def _look(self, stanza: Stanza, count: float | None, since: float, calls: int, failed: set[float]) -> tuple[Hop, bool]:
        try:
            targets = self._ask("targets", state="active").get("activeTargets") or []
            target = next((one for one in targets if _is_of(one, stanza.name)), None)
            if target is None:
                hop = Hop("counted", FAILED, "Prometheus has no such target", "mcp-bridge up (compose/state/prometheus.yml)")
                return hop, bool(targets)  # for seconds after its start it has none at all
            if target.get("health") == "down":
                if (scrape := _scraped(target)) > since:
                    failed.add(scrape)
                return Hop(
                    "counted",
                    FAILED,
                    f"Prometheus cannot scrape {target.get('scrapeUrl')}: {target.get('lastError')}",
                    "is its token the one of the bridges? mcp-bridge up",
                ), len(failed) > 1
            if target.get("health") != "up" or _scraped(target) <= since:
                return Hop(
                    "counted",
                    FAILED,
                    f"Prometheus did not scrape {target.get('scrapeUrl')} within {SCRAPES:g} s",
                    "mcp-bridge logs prometheus",
                ), False
            if calls == 0:
                return Hop("counted", OK, "target up; no call was made"), True
            found = self._ask("query", query=f'sum({METRIC}{{mcp="{stanza.name}",method="tools/call"}})').get("result") or []
        except NoResponse as silence:
            return Hop("counted", FAILED, f"Prometheus: {silence}", "mcp-bridge logs prometheus"), not silence.is_late
        value = float(found[0]["value"][1]) if found else 0.0
        if count is not None and value < count:
            return Hop("counted", FAILED, f"Prometheus knows of {value:g} calls, the MCP of {count:g}", "mcp-bridge logs prometheus"), False
        return Hop("counted", OK, f"target up, {value:g} calls"), True

    def refused(self, stanza: Stanza) -> list[str]:
        """The hosts that the egress proxy has refused to it since it was started; the last ones are known with the next scrape."""
        began = time.monotonic()
        while True:
            try:
                found = self._ask("query", query=f'sum by (host) ({REFUSALS}{{mcp="{stanza.name}"}}) > 0').get("result") or []
            except NoResponse:
                return []
            if found or time.monotonic() - began > SCRAPE:
                return sorted(one["metric"].get("host", "") for one in found)
            time.sleep(0.5)

    def _ask(self, what: str, **query: str) -> dict[str, Any]:
        said = self.http.get(f"{self.url}/api/v1/{what}?{urlencode(query)}").json()
        data = said.get("data")
        return data if isinstance(data, dict) else {}


def _is_of(target: dict[str, Any], name: str) -> bool:
    return name in (target.get("labels") or {}).values() or str(target.get("scrapeUrl", "")).startswith(f"http://{name}:")


def _scraped(target: dict[str, Any]) -> float:
    """When it was last scraped, in Unix time; nanoseconds are more than Python reads."""
    text = str(target.get("lastScrape", ""))
    try:
        return datetime.fromisoformat(text).astimezone(UTC).timestamp()
    except ValueError:
        return 0.0
