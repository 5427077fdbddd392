"""MCPs as their publishers describe them: `server.json` (document.py), the registry that has these (client.py), and bundles (mcpb.py)."""
