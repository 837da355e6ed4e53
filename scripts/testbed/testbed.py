"""A testbed: its names, its addresses and its servers, in a network of its own."""

import json
import os
import signal
import sys
from pathlib import Path

import certificates
import network
import raw
import web

HOSTS = {
    "files.example.org": ["93.184.216.34", "2606:2800:220:1::34"],
    "other.example.org": ["93.184.216.34"],  # The same server: what a front would hide.
    "six.example.org": ["2606:2800:220:1::66"],
    "odd.example.org": ["93.184.216.40"],  # Servers that misbehave.
    "pypi.example.org": ["93.184.216.41"],
    "git.example.org": ["93.184.216.42"],
    "s3.example.org": ["93.184.216.43"],
    "db.example.org": ["93.184.216.44"],
    "h2.example.org": ["93.184.216.45"],
    "elsewhere.example.net": ["93.184.217.1"],  # Never granted.
    "proxy.example.net": ["93.184.217.2"],
    "private.example.org": ["10.20.30.40"],
    "local.example.org": ["127.0.0.1"],
    "metadata.example.org": ["169.254.169.254"],
    "private-six.example.org": ["fd00:20:30::40"],
    "mixed.example.org": ["10.20.30.40", "93.184.216.34"],
}
EXTRA = ["93.184.217.9"]  # Reached by address only.


def enter(directory: Path) -> None:
    """Moves this process into a new testbed whose files are in `directory`, with its servers running.

    They end with this process. `directory` has `ca.pem`, and `journal` with what reached them; what is put into
    `www/NAME/…` and `git/NAME.git` is served.
    """
    certificates.make(directory, list(HOSTS))
    network.enter(directory, HOSTS, EXTRA)
    ready, tell = os.pipe()
    if os.fork() == 0:
        os.close(ready)
        serve(directory, tell)
    os.close(tell)
    if not os.read(ready, 1):
        sys.exit("testbed: its servers did not start")
    os.close(ready)


def serve(directory: Path, tell: int) -> None:
    network.die_with_parent(signal.SIGKILL)
    journal = web.Journal(directory / "journal")
    web.start(directory, journal, certificates.server_context(directory))
    raw.start(journal)
    os.write(tell, b"+")
    os.close(tell)
    while True:
        signal.pause()


def main() -> None:
    """`testbed.py DIRECTORY`: says where it is, as JSON, and stays until its standard input ends.

    Others enter by nsenter(1).
    """
    directory = Path(sys.argv[1])
    network.die_with_parent(signal.SIGKILL)
    enter(directory)
    print(json.dumps({"pid": os.getpid()}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
