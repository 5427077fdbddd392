"""The wrapped processes: spawning, framing, life cycle, stopping. Knows nothing of MCP or of HTTP."""
