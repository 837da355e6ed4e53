"""A job that does all it can to its gateway, while another connection of its run and another run go on."""

import threading
import time
from pathlib import Path

from cases import gateways_of, wait_for
from world import World, need

RESIDENT_MAX = 96 << 20  # What a gateway may need, whatever its job does.

# Each attack is bounded in number. Beside them a connection of the same run is asked again and again.
HOSTILE = r"""
import errno, os, random, resource, select, socket, ssl, struct, sys, time
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
MANY = min(5000, hard - 200)
NAME_SERVER = ("198.19.0.53", 53)
rng = random.Random(7)

def beside():
    # A connection that was there before, and goes on until the parent says that it is over.
    begin, end = os.pipe()
    child = os.fork()
    if child:
        os.close(begin)
        return child, end
    os.close(end)
    client = socket.create_connection(("odd.example.org", 7))
    client.settimeout(60)
    answers, longest = 0, 0.0
    while not select.select([begin], [], [], 0.01)[0]:
        start = time.monotonic()
        client.sendall(b"\0" * 1000)
        got = 0
        while got < 1000:
            part = client.recv(1000)
            if not part:
                print("beside: CUT", flush=True)
                os._exit(1)
            got += len(part)
        answers, longest = answers + 1, max(longest, time.monotonic() - start)
    print(f"beside: {answers} answers, the longest took {longest * 1000:.0f} ms", flush=True)
    os._exit(0)

def hold(host, port, say):
    # Thousands at once, each with the beginning of something.
    address, clients, failed = (socket.gethostbyname(host), port), [], 0
    for _ in range(MANY):
        try:
            client = socket.create_connection(address, timeout=20)
            client.sendall(say)
            clients.append(client)
        except OSError:
            failed += 1
    print(f"held {len(clients)} at {host}:{port}, {failed} failed", flush=True)
    for client in clients:
        client.close()

def resets(host, port):
    address = (socket.gethostbyname(host), port)
    for _ in range(MANY):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            try:
                client.connect(address)
                client.send(b"\x16")
            except OSError:
                pass

def connects():
    # No raw socket is to be had, so this is what there is of a flood of SYN: many that nobody waits for.
    for round in range(20):
        pending = []
        for _ in range(1000):
            client = socket.socket()
            client.setblocking(False)
            address = rng.choice(["198.18.%d.%d", "93.%d.%d.1", "198.19.%d.%d"]) % (rng.randrange(256), rng.randrange(256))
            try:
                client.connect((address, rng.choice([443, 80, 7, 22, 53, 9999])))
            except OSError:
                pass
            pending.append(client)
        for client in pending:
            client.close()

def garbage():
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.setblocking(False)
    for number in range(60000):
        match number % 3:
            case 0:
                data = rng.randbytes(rng.randrange(1, 600))
            case 1:  # A name that nobody asked for yet, and nothing grants.
                label = b"n%d" % number
                data = struct.pack(">6H", number & 0xffff, 0x100, 1, 0, 0, 0) + bytes([len(label)]) + label + b"\x03net\0\0\1\0\1"
            case 2:  # One that is granted: each takes an address.
                label = b"w%d" % number
                data = struct.pack(">6H", number & 0xffff, 0x100, 1, 0, 0, 0) + bytes([len(label)]) + label + b"\x04wide\x07example\x03org\0\0\1\0\1"
        try:
            client.sendto(data, NAME_SERVER)
        except OSError:
            pass
    for _ in range(300):  # The same over TCP, where a length comes first.
        with socket.socket() as client:
            client.settimeout(5)
            try:
                client.connect(NAME_SERVER)
                client.sendall(struct.pack(">H", 60000) + rng.randbytes(100))
            except OSError:
                pass

def datagrams():
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for number in range(50000):
        try:
            client.sendto(b"x", ("93.%d.%d.9" % (number >> 8 & 255, number & 255), 1 + number % 60000))
        except OSError:
            pass

def fetch():
    context = ssl.create_default_context(cafile="ca.pem")
    with socket.create_connection(("files.example.org", 443), timeout=60) as plain:
        with context.wrap_socket(plain, server_hostname="files.example.org") as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: files.example.org\r\nConnection: close\r\n\r\n")
            return b"over https" in client.makefile("rb").read()

child, end = beside()
hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40)
for attack, arguments in [
    (hold, ("files.example.org", 443, hello)),
    (hold, ("files.example.org", 80, b"GET / HTTP/1.1\r\nX-Padding: " + b"a" * 6000)),
    (hold, ("odd.example.org", 7, b"\0idle")),
    (resets, ("files.example.org", 443)),
    (connects, ()),
    (garbage, ()),
    (datagrams, ()),
]:
    start = time.monotonic()
    attack(*arguments)
    print(f"{attack.__name__}: {time.monotonic() - start:.1f} s, and then it is", "reached" if fetch() else "GONE", flush=True)
os.close(end)
sys.exit(os.waitpid(child, 0)[1] != 0)
"""

# Beside it, in a run of its own: so many fetches, none of which may fail.
PEACEFUL = r"""
import ssl, time, urllib.request
context, longest = ssl.create_default_context(cafile="ca.pem"), 0.0
for _ in range(200):
    start = time.monotonic()
    assert b"over https" in urllib.request.urlopen("https://files.example.org/", context=context, timeout=60).read()
    longest = max(longest, time.monotonic() - start)
    time.sleep(0.05)
print(f"200 fetches, the longest took {longest * 1000:.0f} ms")
"""


class Watch:
    """Samples the resident memory of a process from outside, until it ends."""

    def __init__(self, process: int) -> None:
        self.first = self.most = 0
        self.status = Path(f"/proc/{process}/status")
        self.thread = threading.Thread(target=self.sample)
        self.thread.start()

    def sample(self) -> None:
        while (now := self.resident()) > 0:
            self.first = self.first or now
            self.most = max(self.most, now)
            time.sleep(0.02)

    def resident(self) -> int:
        try:
            rows = [line for line in self.status.read_text().splitlines() if line.startswith("VmRSS:")]
        except OSError:
            return 0
        return 1024 * int(rows[0].split()[1]) if rows else 0  # A process that has ended has no memory.


def flood(world: World) -> None:
    """a job that floods its gateway harms neither its own other connection nor another run"""
    peaceful = world.start(["files.example.org:443"], "python3 peaceful.py", {"peaceful.py": PEACEFUL})
    grants = ["files.example.org:443", "files.example.org:80", "odd.example.org:7", "*.wide.example.org:443"]
    hostile = world.start(grants, "python3 hostile.py", {"hostile.py": HOSTILE})
    wait_for(lambda: gateways_of(hostile.pid))
    watch = Watch(gateways_of(hostile.pid)[0])
    run, other = world.finish(hostile), world.finish(peaceful)
    watch.thread.join()
    said = f"{run.said}its gateway: {watch.first >> 10} KiB at first, {watch.most >> 10} KiB at most\n{other.said}"
    print("    " + "\n    ".join(line for line in said.splitlines() if line.endswith(("ms", "failed", "most", "reached"))))
    need(run.code == 0 and "GONE" not in run.said and "CUT" not in run.said, "its own run is harmed", run)
    need(other.code == 0, "the other run is harmed", other)
    why = run.record["egress"]["incomplete_because"] or ""
    need("ended" not in why and "could not" not in why, "its gateway did not stay", run)
    need(watch.most <= RESIDENT_MAX, f"its gateway took {watch.most >> 20} MiB", run)
