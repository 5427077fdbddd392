"""What tests use to start a real bridge and to talk to it, over plain httpx and websockets: no SDK, no models.

with Bridge(zoo("echo"), "--profile", "litellm") as bridge, Http(bridge.url) as client:
    assert text(client.call("echo", message="hi")) == "hi"
"""

from support.client import Client, Refused, text
from support.http import Http
from support.modern import SUBSCRIPTION, Modern, asks, envelope, spelled
from support.running import CHILDREN, ROOT, Bridge, zoo
from support.sse import Sse
from support.sse_events import Event, events
from support.stream import Stream
from support.waiting import eventually
from support.ws import Ws

__all__ = [
    "CHILDREN",
    "ROOT",
    "SUBSCRIPTION",
    "Bridge",
    "Client",
    "Event",
    "Http",
    "Modern",
    "Refused",
    "Sse",
    "Stream",
    "Ws",
    "asks",
    "envelope",
    "events",
    "eventually",
    "spelled",
    "text",
    "zoo",
]
