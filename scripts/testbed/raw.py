"""Servers that behave as servers should not, an echo, and a proxy: one TCP port each, on every address."""

import base64
import hashlib
import socket
import struct
import threading
import time
from collections.abc import Callable

from web import Journal

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset.
BEHIND_PROXY = {"behind.example.net": "93.184.216.34"}  # Names that the proxy alone knows.


def echo(client: socket.socket) -> None:
    while data := client.recv(1 << 16):
        client.sendall(data)


def hang(client: socket.socket) -> None:
    """Never reads and never answers."""
    threading.Event().wait()


def reset(client: socket.socket) -> None:
    client.recv(1)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def close_half(client: socket.socket) -> None:
    """Says all it has to say, then listens to the end; what came is in its journal."""
    client.sendall(b"that is all\n")
    client.shutdown(socket.SHUT_WR)
    digest(client, answer=False)


def trickle(client: socket.socket) -> None:
    for byte in b"a byte at a time\n":
        client.sendall(bytes([byte]))
        time.sleep(0.02)


def digest(client: socket.socket, answer: bool = True) -> None:
    """Reads to the end of what comes, and answers with a digest: for a client that closes its half."""
    total = hashlib.sha256()
    while data := client.recv(1 << 16):
        total.update(data)
    if answer:
        client.sendall(total.hexdigest().encode())
    else:
        JOURNAL.write("HALF", total.hexdigest())


def greet(client: socket.socket) -> None:
    """The server speaks first, as with SMTP."""
    client.sendall(b"220 welcome\r\n")
    client.sendall(b"250 " + client.recv(100))


PORTS: dict[int, Callable[[socket.socket], None]] = {
    7: echo,
    9001: hang,
    9002: reset,
    9003: close_half,
    9004: trickle,
    9005: digest,
    9006: greet,
}


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def proxy(client: socket.socket) -> None:
    """CONNECT of RFC 9110, section 9.3.6; with `user:secret` where the journal shall say so."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and len(head) < 1 << 16:
        head += client.recv(1)  # Not one byte more than the head.
    method, target, _ = head.decode().split(" ", 2)
    known = base64.b64encode(b"user:secret") in head
    JOURNAL.write(method, target, "as user" if known else "as nobody")
    host, _, port = target.rpartition(":")
    try:
        host = host.strip("[]")
        server = socket.create_connection((BEHIND_PROXY.get(host, host), int(port)))
    except OSError:
        client.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
        return
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    back = threading.Thread(target=pump, args=(server, client), daemon=True)
    back.start()
    pump(client, server)
    back.join()
    server.close()


def serve(client: socket.socket, port: int, behaviour: Callable[[socket.socket], None]) -> None:
    JOURNAL.write("ACCEPT", port)
    try:
        with client:
            behaviour(client)
    except OSError:
        pass


def accept(listener: socket.socket, port: int, behaviour: Callable[[socket.socket], None]) -> None:
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client, port, behaviour), daemon=True).start()


def answer_datagrams(server: socket.socket) -> None:
    while True:
        data, sender = server.recvfrom(2048)
        JOURNAL.write("DATAGRAM", len(data))
        server.sendto(data, sender)


def start(journal: Journal) -> None:
    global JOURNAL
    JOURNAL = journal
    for port, behaviour in {**PORTS, 3128: proxy}.items():
        listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
        threading.Thread(target=accept, args=(listener, port, behaviour), daemon=True).start()
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("0.0.0.0", 9000))
    threading.Thread(target=answer_datagrams, args=(datagrams,), daemon=True).start()
