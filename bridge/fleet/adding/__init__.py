"""What `mcp-bridge add` is made of: where a new MCP comes from, what its publisher says, what a trial shows, and the stanza that follows.

`add.py` is the way in; `draft.py` is what all parts hand on; `prove.py` goes from a draft to one that was tried, with what `tries.py` tries of it and
`image_parts.py` puts into its image. `mends.py` and `publishers.py` say what a stanza takes from what was seen, `notes.py` what an operator is told.
`trial/` sees and reads; `registry/` and `desktop.py` read what others wrote.
"""
