"""The way out of an MCP that may reach some names only: `egress: [api.github.com]` in its stanza.

    relay.py      bytes from here to there: at both ends of the socket between an MCP and the proxy
    refusals.py   what squid's log says was refused, counted, with a line for each
    __main__.py   the proxy's container: a socket for each MCP, squid, and the resolver that hides private addresses

An MCP has no network. Its bridge listens at 127.0.0.1 (PROXY) for its server, and passes what that says to a socket which only
this MCP and the proxy see: so the proxy knows who asks, whatever is asked. Behind each socket squid sees another loopback address,
by which it has a list of names. Squid's only resolver is unbound, which leaves private addresses out of what it
answers: no name leads squid there, however often it is looked up, and what was checked is what is connected to.

The proxy's image has this package alone, so nothing here imports another of ours, or anything but Python's own.
"""

PORT = 3128  # where a server finds its proxy in its own container, and squid its clients
PROXY = f"http://127.0.0.1:{PORT}"
