"""MCPs as their publishers describe them: `server.json` (document.py), and the registry that has these (client.py)."""
