"""Whether requests are traced: the standard variables of OpenTelemetry say so, and no option of ours."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bridge.log import Log
from bridge.settings import UsageError

if TYPE_CHECKING:
    from bridge.otel import Traces

TO = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
OURS = "http/protobuf"


def traces(log: Log, given: Mapping[str, str] = os.environ) -> "Traces | None":
    """Where spans go, if they go anywhere. Raises UsageError where a variable says nothing of use."""
    to = next((given[name] for name in TO if given.get(name)), "")
    is_off = given.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or given.get("OTEL_TRACES_EXPORTER") not in (None, "", "otlp")
    if not to or is_off:
        return None
    protocol = next((given[name] for name in PROTOCOLS if given.get(name)), OURS)
    if protocol != OURS:
        log.warning("traces are sent by http/protobuf, whatever OTEL_EXPORTER_OTLP_PROTOCOL says", protocol=protocol)
    try:
        from bridge.otel import Traces  # 0.3 s and 20 MB: only for those who use it

        found = Traces(log)
    except ImportError as error:  # the variables may be meant for somebody else
        log.warning("no traces: OpenTelemetry is not installed (pip install 'mcp-bridge-fleet[otel]')", missing=error.name)
        return None
    except ValueError as error:
        raise UsageError(f"a variable of OpenTelemetry (OTEL_...): {error}") from None
    log.info("requests are traced", to=to)
    return found
