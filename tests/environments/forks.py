"""A server that starts in milliseconds: each start is a fork of a process that has done its imports.

    python forks.py serve SOCKET FOLDER   imports the everything-server in FOLDER, and forks it for each that comes
    python forks.py SOCKET                is such a server, on its own stdin and stdout

The SDK's imports take 1.4 s of a processor (2.3.0), and the conformance suite opens some thirty sessions, each of which
gets a child of its own because it may be asked things. Nearly all of its time through a bridge would be those imports:
13 times the direct time, of which the bridge's share could not be seen.

Only the standard library here, and little of it: the second form is what a bridge starts.
"""

import os
import socket
import sys


def be_one(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        socket.send_fds(server, [b"x"], [0, 1, 2])
        os.close(0)  # the pipes are the fork's now, and end with it
        os.close(1)
        server.recv(1)


def serve(path: str, folder: str) -> None:
    sys.path.insert(0, folder)
    from mcp_everything_server.server import mcp

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(100)
        while True:
            client, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _, pipes, _, _ = socket.recv_fds(client, 1, 3)
                for wanted, pipe in enumerate(pipes):
                    os.dup2(pipe, wanted)
                    os.close(pipe)
                sys.stdin, sys.stdout = open(0), open(1, "w")
                mcp.run(transport="stdio")  # `client` stays open meanwhile: its end is what be_one waits for
                os._exit(0)
            client.close()
            while reap():
                pass


def reap() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


if __name__ == "__main__":
    serve(*sys.argv[2:]) if sys.argv[1] == "serve" else be_one(sys.argv[1])
