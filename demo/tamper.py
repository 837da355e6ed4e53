"""Changes one bit of a recorded decision, as someone could who has the disk: tamper.py LEDGER."""

import re
import sys
from pathlib import Path

DECISION = re.compile(rb'"outcome":"(?=allow")')

# The log itself; the tiles beside it are a copy for others, which is made from it.
files = [path for path in sorted(Path(sys.argv[1]).iterdir()) if path.is_file()]
decisions = [(path, found.end()) for path in files for found in DECISION.finditer(path.read_bytes())]
if not decisions:
    sys.exit("no decision found in this ledger")
path, position = decisions[len(decisions) // 2]
content = bytearray(path.read_bytes())
before = chr(content[position])
content[position] ^= 0x20
path.write_bytes(content)
print(f"{path}: byte {position} was {before!r} and is {chr(content[position])!r}")
