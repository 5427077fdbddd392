"""slow_start.py SECONDS: does not read before that (npx with a cold cache: 9 s; ha-mcp 8.7: 5.7 s)."""

import sys
import time

from echo import child

time.sleep(float(sys.argv[1]))
child.run()
