"""What was approved of an MCP's tools: `tools.lock.json`, and how what the server says now differs from it. Pure.

A tool's text is read by a model, so a text that changes is a change of what the model does ("rug pull"). The lock has digests, which
is what a bridge compares (`protocol/pinned.py`), and the tools as they were, which is what people are shown a difference to.
"""
