"""loses_data.py FILE: reads, waits, writes, as server-memory and server-filesystem do.

40 concurrent create_entities on one server-memory leave 1 entity, all answered as success. Two of these on one
file lose too. Tools: increment, value.   --pause S (0.01)
"""

import sys
import time
from pathlib import Path

from echo import child

file = Path(sys.argv[1])
pause = float(sys.argv[sys.argv.index("--pause") + 1]) if "--pause" in sys.argv else 0.01


def stored():
    return int(file.read_text() or 0) if file.exists() else 0


@child.tool(slow=True)
def increment():
    value = stored() + 1
    time.sleep(pause)
    file.write_text(str(value))
    return str(value)


@child.tool
def value():
    return str(stored())


child.run()
