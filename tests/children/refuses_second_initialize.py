"""Refuses a second initialize with code 0, and goes on: Go SDK.   --exit: dies of it, so that a test is sure."""

import os
import sys

from base import Refusal
from echo import child

ordinary, seen = child.methods["initialize"], False


def initialize(params):
    global seen
    if seen and "--exit" in sys.argv:
        os.write(2, b'duplicate "initialize"\n')
        os._exit(1)
    if seen:
        raise Refusal(0, 'duplicate "initialize" received')
    seen = True
    return ordinary(params)


child.methods["initialize"] = initialize
child.run()
