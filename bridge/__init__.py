"""mcp-bridge: any stdio MCP server becomes a network service."""

__version__ = "0.2.0"
