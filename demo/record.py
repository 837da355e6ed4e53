"""Puts what the demo printed into its page: record.py PRINTED PAGE. Names of this one time become general."""

import re
import sys
from pathlib import Path

printed, page = Path(sys.argv[1]).read_text(), Path(sys.argv[2])
repository = str(page.resolve().parent.parent)
start = printed.index("\n== ") + 1  # What the build printed comes before the first heading.
printed = re.sub(r"/\S*/aseptic-demo\.\w+", "/tmp/aseptic-demo", printed[start:])
printed = re.sub(r"\bleft-\w{6}\b", "left-here", printed).replace(repository, "…")
before, mark, _ = page.read_text().partition("<!-- recorded by scripts/demo.sh --record -->\n")
if not mark:
    sys.exit(f"{page} has no place for it")
page.write_text(f"{before}{mark}\n```text\n{printed.rstrip()}\n```\n")
