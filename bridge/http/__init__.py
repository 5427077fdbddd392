"""The transports: ASGI, SSE, WebSocket, checks and limits. Turns HTTP into calls on the relay."""
