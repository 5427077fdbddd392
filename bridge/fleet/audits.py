"""Where a bridge of the fleet writes down calls (`audit: true` in images/fleet.yaml): in a volume of its own, which outlives its container.

No other MCP sees it. Its own server runs as the same user: one that turns malicious can change what stands in its own audit, and in no other.
"""

AUDIT_FILE = "audit.jsonl"
