"""Somebody else's program on the same machine: it has a secret, a name, and two open doors.

Prints its TCP port once both doors are open, and greets whoever comes in. Takes the name of its
second door, an abstract Unix socket, as its argument; that is also what shows it in a list of processes.
"""

import contextlib
import selectors
import socket
import sys

tcp = socket.create_server(("127.0.0.1", 0))
unix = socket.socket(socket.AF_UNIX)
unix.bind("\0" + sys.argv[1])
unix.listen()

doors = selectors.DefaultSelector()
for door in (tcp, unix):
    doors.register(door, selectors.EVENT_READ)
print(tcp.getsockname()[1], flush=True)
while True:
    for key, _ in doors.select():
        with key.fileobj.accept()[0] as guest, contextlib.suppress(OSError):
            guest.sendall(b"welcome")  # Some guests only knock.
