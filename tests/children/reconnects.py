"""One whose database was restarted: the first call finds its connection closed and says so in a text, the next one makes a new one."""

from base import Child

child = Child("reconnects")
calls = []


@child.tool
def query(message: str = ""):
    calls.append(message)
    return "Error: server closed the connection unexpectedly" if len(calls) % 3 == 1 else "here are 3 rows"


child.run()
