"""The names of the two eras: of what a client, or a child, speaks.

The handshake era (to 2025-11-25) has sessions; the modern one (from 2026-07-28) says everything with each request. In which words a message goes
on where client and child are not of the same one is said in `eras/`.
"""

LEGACY = "legacy"
MODERN = "modern"
