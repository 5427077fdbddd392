# Made by `mcp-bridge render`; do not edit: write images/NAME/stanza.yaml and render again.
"""Gives the door its certificate: where TLS_CERT and TLS_KEY are others than before, and fit, they become one file that nginx reads.

It may read what is root's alone, as keys are, and has no network; the door may do neither. nginx looks at the file at each
handshake, so a renewal starts nothing anew and ends no call. It opens it twice, though, for the certificate and for the key, and
in between it must not become another one: so there are two, which nginx takes in turns of ten seconds, and only the one
whose turn it is not is replaced.
"""

import os
import ssl
import sys
import time
from pathlib import Path

EVERY = 1.0  # seconds between two looks
TURN = 10  # seconds, as door.conf has it
MARGIN = 0.2  # of a turn, at its begin and its end
PLACES = (Path("/run/tls/0.pem"), Path("/run/tls/1.pem"))


def main() -> None:
    certificate = Path(os.environ["TLS_CERT"])
    key = Path(os.environ["TLS_KEY"] or certificate)
    told = ""
    while True:
        try:
            renew(certificate, key)
            told = ""
        except (OSError, ssl.SSLError) as error:
            why = f"{certificate}, {key}: not taken, what was there before is shown: {error.strerror or error}"
            if why != told:
                tell(why)
            told = why
        time.sleep(EVERY)


def renew(certificate: Path, key: Path) -> None:
    """Raises SSLError where the two do not fit."""
    pair = certificate.read_bytes() + b"\n" + (key.read_bytes() if key != certificate else b"")
    for place in PLACES:
        if not place.exists() or (place.read_bytes() != pair and place == not_in_use(time.time())):
            beside = place.with_name(f".{place.name}")
            beside.write_bytes(pair)
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(beside, password=nobody_types)
            beside.chmod(0o444)  # only the door sees this folder beside us
            os.replace(beside, place)
            tell(f"{certificate}: taken ({place.name})")


def not_in_use(now: float) -> Path | None:
    """The one whose turn is neither now nor at once; None between two turns."""
    turn, phase = divmod(now / TURN, 1)
    return PLACES[1 - int(turn) % 2] if MARGIN < phase < 1 - MARGIN else None


def nobody_types() -> str:
    raise OSError("the key is encrypted")


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
