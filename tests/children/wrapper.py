"""wrapper.py NAME [ARGS…]: runs another child below itself and passes no signal on, as npx does.

After SIGTERM the wrapper is gone and the server lives, even with its input closed if it is of the kind that
stays (`wrapper.py deaf --only eof`). npx is three processes: npm, sh, node.
"""

import subprocess
import sys
from pathlib import Path

command = [sys.executable, str(Path(__file__).with_name(f"{sys.argv[1]}.py")), *sys.argv[2:]]
sys.exit(subprocess.call(command))
