"""What MCP says, pure: bytes and values in, bytes and values out. No I/O, no clock, no tasks."""
