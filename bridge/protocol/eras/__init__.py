"""Two eras, four pairs: in which words a message goes on when client and child are not of the same one.

The handshake era (to 2025-11-25) has sessions; the modern one (from 2026-07-28) says everything with each request.
"""

LEGACY = "legacy"
MODERN = "modern"
