"""``python -m bridge`` is the same as ``mcp-bridge``."""

from bridge.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
