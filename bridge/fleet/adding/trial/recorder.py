"""What the processes of a network namespace try to reach. Standard library only: it runs alone, in a container.

Closed, the namespace leads nowhere: every address is this one's own. So a name is answered with an address that
stands for it, a connection is refused at once, and both are seen. Open, it leads to the internet and to nothing private: not to
the machine, its neighbours or a cloud's metadata. IPv6 leads nowhere even then: Docker's networks have none unless they are told.

Prints a JSON object a line: {"at": SECONDS, "name": …} for a name looked up, {"at", "to": ADDRESS, "port"} for an attempt to
connect, {"at", "connected"} for one that succeeded, after a first line `ready`.
"""

import fcntl
import json
import signal
import socket
import struct
import sys
import threading
import time

PRIVATE = (("10.0.0.0", 8), ("172.16.0.0", 12), ("192.168.0.0", 16), ("169.254.0.0", 16), ("100.64.0.0", 10), ("198.18.0.0", 15))
SET_ADDRESS, SET_MASK, ADD_ROUTE, REJECT = 0x8916, 0x891C, 0x890B, 0x0200
EVERY_PROTOCOL, IPV4, IPV6 = 3, 0x0800, 0x86DD
A = 1
LONGEST = 600  # seconds: whoever started it may be gone
names: dict[str, str] = {}  # a name -> the address that stands for it


def main(mode: str) -> None:
    signal.signal(
        signal.SIGALRM, lambda *_: sys.exit("whoever started it is gone")
    )  # alone in its container: the default ends no process 1
    signal.alarm(LONGEST)
    if mode == "closed":
        _own_all()
        for server in _name_servers():
            threading.Thread(target=_answer_datagrams, args=(server,), daemon=True).start()
            threading.Thread(target=_answer_streams, args=(server,), daemon=True).start()
    else:
        _refuse_private()
    _own_all_of_ipv6()
    seen = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))  # what leaves is shown to no other
    print("ready", flush=True)
    while True:
        packet, where = seen.recvfrom(65535)
        if where[1] in (IPV4, IPV6) and where[2] == socket.PACKET_OUTGOING:  # on a loopback each comes twice
            _note(packet[14:])
        elif where[1] == IPV4 and where[0] != "lo":
            _note_answer(packet[14:])


# ---- the namespace ---------------------------------------------------------------------


def _own_all() -> None:
    """The loopback's prefixes are local addresses as a whole: 128.0.0.0/1, 64.0.0.0/2, … cover all there are."""
    for bits in range(1, 9):
        label, first = f"lo:{bits}".encode(), 256 >> bits
        _set(label, SET_ADDRESS, f"{first}.0.0.1")
        _set(label, SET_MASK, _mask(bits))


def _own_all_of_ipv6() -> None:
    """`ip route add local ::/0 dev lo`, in a netlink message (rtnetlink(7)): the first table that is asked says that all is here."""
    lo = struct.pack("HHi", 8, 4, socket.if_nametoindex("lo"))  # RTA_OIF
    route = struct.pack("BBBBBBBBI", socket.AF_INET6, 0, 0, 0, 255, 3, 254, 2, 0) + lo  # table local, by boot, scope host, type local
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        kernel.send(struct.pack("IHHII", 16 + len(route), 24, 0x605, 1, 0) + route)  # RTM_NEWROUTE: a request, answered, to create
        answer = kernel.recv(4096)
    if error := struct.unpack("i", answer[16:20])[0]:
        print(f"IPv6 is not seen: {error}", file=sys.stderr, flush=True)  # a kernel without it has nothing to be seen


def _set(label: bytes, what: int, address: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, what, struct.pack("16sH2s4s8s", label, socket.AF_INET, b"", socket.inet_aton(address), b""))


def _refuse_private() -> None:
    """Routes that refuse: to private networks, and to each neighbour's half of our own, which are closer than it is itself."""
    with open("/proc/net/route", encoding="ascii") as table:
        routes = [line.split() for line in table.readlines()[1:]]
    own = []
    for _, destination, gateway, _, _, _, _, mask, *_ in routes:
        bits = bin(int(mask, 16)).count("1")
        if gateway == "00000000" and 0 < bits < 31:
            first = int.from_bytes(bytes.fromhex(destination), "little")
            own += [(socket.inet_ntoa(struct.pack(">I", first + half)), bits + 1) for half in (0, 1 << (31 - bits))]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for address, bits in (*PRIVATE, *own):
            fcntl.ioctl(
                any_socket,
                ADD_ROUTE,
                struct.pack(
                    "L16s16s16sHhLPhPLLH",
                    0,
                    _address(address),
                    _address("0.0.0.0"),
                    _address(_mask(bits)),
                    1 | REJECT,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                ),
            )


def _address(address: str) -> bytes:
    return struct.pack("H2s4s8s", socket.AF_INET, b"", socket.inet_aton(address), b"")


def _mask(bits: int) -> str:
    return socket.inet_ntoa(struct.pack(">I", (0xFFFFFFFF << (32 - bits)) & 0xFFFFFFFF))


# ---- what is seen ----------------------------------------------------------------------


def _note(packet: bytes) -> None:
    """A packet that leaves. IPv6: extension headers are none of a connection's first packet."""
    if packet[0] >> 4 == 6:
        source, to = (socket.inet_ntop(socket.AF_INET6, packet[at : at + 16]) for at in (8, 24))
        protocol, inside = packet[6], packet[40:]
    else:
        source, to = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
        protocol, inside = packet[9], packet[(packet[0] & 15) * 4 :]
    if protocol == socket.IPPROTO_TCP:
        own, port = struct.unpack(">HH", inside[:4])
        if inside[13] & 0x12 == 2 and not _is_loopback(to):  # SYN without ACK
            _say(to=to, port=port)
        elif inside[13] & 4 and _is_loopback(source):  # here only what is refused counts: a server may well talk with itself
            _say(to=source, port=own)
    elif protocol == socket.IPPROTO_UDP:
        own, port = struct.unpack(">HH", inside[:4])
        if own == 53:
            return
        question = _question(inside[8:]) if port == 53 or _is_loopback(to) else None
        if question:
            _say(name=question[0])
        elif port != 53 and not _is_loopback(to):
            _say(to=to, port=port)


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"


def _note_answer(packet: bytes) -> None:
    inside = packet[(packet[0] & 15) * 4 :]
    if packet[9] == socket.IPPROTO_TCP and inside[13] & 0x12 == 0x12:
        _say(connected=socket.inet_ntoa(packet[12:16]))


def _say(**what: object) -> None:
    address = what.get("to")
    if name := next((name for name, stands in names.items() if stands == address), None):
        what["to"] = name
    if what.get("port") != 53 or not isinstance(address, str):
        print(json.dumps({"at": time.time(), **what}), flush=True)


# ---- names -----------------------------------------------------------------------------


def _name_servers() -> list[str]:
    with open("/etc/resolv.conf", encoding="utf-8") as file:
        lines = [line.split() for line in file]
    return [line[1] for line in lines if line[:1] == ["nameserver"] and ":" not in line[1]] or ["127.0.0.1"]


def _question(datagram: bytes) -> tuple[str, int, int] | None:
    """The name that is asked for, the type, and where the question ends; None if it is no question."""
    if len(datagram) < 17 or datagram[2] & 0x80 or datagram[4:6] != b"\0\1":
        return None
    labels, place = [], 12
    while place < len(datagram) and (length := datagram[place]):
        if length > 63:
            return None
        labels.append(datagram[place + 1 : place + 1 + length].decode("ascii", "replace"))
        place += 1 + length
    if not labels or place + 5 > len(datagram):
        return None
    return ".".join(labels).lower(), struct.unpack(">H", datagram[place + 1 : place + 3])[0], place + 5


def _answer(datagram: bytes) -> bytes | None:
    question = _question(datagram)
    if question is None:
        return None
    name, kind, end = question
    if kind != A:
        return datagram[:2] + b"\x81\x80\0\1\0\0\0\0\0\0" + datagram[12:end]
    number = len(names) + 1
    address = names.setdefault(name, f"20.0.{number >> 8 & 255}.{number & 255}")  # it looks public: many ask
    return datagram[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + datagram[12:end] + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(address)


def _answer_datagrams(server: str) -> None:
    ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ours.bind((server, 53))
    while True:
        datagram, who = ours.recvfrom(4096)
        if answer := _answer(datagram):
            ours.sendto(answer, who)


def _answer_streams(server: str) -> None:
    ours = socket.create_server((server, 53))
    while True:
        peer, _ = ours.accept()
        with peer:
            peer.settimeout(2)
            try:
                datagram = peer.recv(4096)[2:]
                if answer := _answer(datagram):
                    peer.sendall(struct.pack(">H", len(answer)) + answer)
            except OSError:
                pass


if __name__ == "__main__":
    main(sys.argv[1])
