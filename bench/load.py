#!/usr/bin/env python3
"""A server and its clients that measure what lies between them. Each client prints one line of JSON.

A connection begins with a byte: PING is answered with one byte, again and again; STREAM is followed by a number
in eight bytes, and answered with so many bytes. None of them is the start of TLS or HTTP, in which a relay that
looks for names would look further.
"""

import argparse
import json
import os
import selectors
import socket
import struct
import sys
import threading
import time

PING, STREAM = b"\x01", b"\x02"
BLOCK = bytearray(1 << 20)


def serve(port: int) -> None:
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=65535)
    listener.setblocking(False)
    ready = selectors.EpollSelector()
    ready.register(listener, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in ready.select():
            if key.fileobj is not listener:
                answer(ready, key.fileobj)
                continue
            try:
                while True:
                    client, _ = listener.accept()
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    ready.register(client, selectors.EVENT_READ)
            except BlockingIOError:
                pass


def answer(ready: selectors.BaseSelector, client: socket.socket) -> None:
    try:
        asked = client.recv(1)
        if asked == PING:
            client.send(PING)
            return
    except OSError:
        asked = b""
    ready.unregister(client)
    if asked == STREAM:
        threading.Thread(target=stream, args=(client,), daemon=True).start()
    else:
        client.close()


def stream(client: socket.socket) -> None:
    with client:
        client.setblocking(True)
        (left,) = struct.unpack("Q", client.recv(8, socket.MSG_WAITALL))
        while left > 0:
            left -= client.send(memoryview(BLOCK)[: min(left, len(BLOCK))])


def connect(address: tuple) -> socket.socket:
    client = socket.socket(socket.AF_INET6 if len(address) == 4 else socket.AF_INET)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.connect(address)
    return client


def ping(client: socket.socket) -> None:
    client.sendall(PING)
    if client.recv(1) != PING:
        raise ConnectionError("no answer")


def measure_streams(address: tuple, streams: int, size: int) -> dict:
    """Bytes per second of all streams together, from the first request to the last byte."""
    clients = [connect(address) for _ in range(streams)]

    def receive(client: socket.socket) -> None:
        left, block = size, bytearray(1 << 20)
        client.sendall(STREAM + struct.pack("Q", size))
        while left > 0:
            count = client.recv_into(block, min(left, len(block)))
            if count == 0:
                os._exit(1)
            left -= count

    threads = [threading.Thread(target=receive, args=(client,)) for client in clients]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"bytes_per_second": streams * size / (time.monotonic() - start)}


def measure_connects(address: tuple, count: int) -> dict:
    """Microseconds from the wish to connect to the first byte of the answer, one connection after the other."""
    took = []
    for _ in range(count):
        start = time.monotonic_ns()
        with connect(address) as client:
            ping(client)
            took.append((time.monotonic_ns() - start) / 1000)
    return {"microseconds": took}


def hold(address: tuple, count: int) -> dict:
    """Opens so many at once and keeps them, with one byte answered on each, until a line comes on standard input."""
    clients, failures = [], {}
    start = time.monotonic()
    for _ in range(count):
        try:
            client = connect(address)
            client.sendall(PING)
            clients.append(client)
        except OSError as error:
            failures[str(error)] = failures.get(str(error), 0) + 1
    for client in clients:
        try:
            client.settimeout(30)
            if client.recv(1) != PING:
                raise ConnectionError("no answer")
        except OSError as error:
            failures[str(error)] = failures.get(str(error), 0) + 1
    print(json.dumps({"failures": failures, "seconds": time.monotonic() - start}), flush=True)
    sys.stdin.readline()
    return {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("serve", "streams", "connects", "hold"))
    parser.add_argument("port", type=int)
    parser.add_argument("host", nargs="?", help="of the server; looked up once")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--bytes", type=int, default=1 << 30, help="of each stream")
    options = parser.parse_args()
    if options.what == "serve":
        serve(options.port)
    address = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)[0][4]
    measured = {
        "streams": lambda: measure_streams(address, options.count, options.bytes),
        "connects": lambda: measure_connects(address, options.count),
        "hold": lambda: hold(address, options.count),
    }[options.what]()
    print(json.dumps(measured), flush=True)


if __name__ == "__main__":
    main()
