"""What has to be refused, what is counted, and what happens when something goes wrong. A case is a function; the
first line of its text is its name."""

import json
import os
import signal
import time
from pathlib import Path

from world import World, need

FETCH = "curl -sS --max-time 20 --fail --cacert ca.pem https://files.example.org/"
FILES = "files.example.org:443"

# Asks the name server of the run by hand, as no resolver would: NAME TYPE, or bytes that are no question.
ASK = """
import socket, struct, sys
name, kind = sys.argv[1], int(sys.argv[2])
parts = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
question = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + parts + b"\\0" + struct.pack(">HH", kind, 1)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.settimeout(10)
    client.sendto(question, ("198.19.0.53", 53))
    _, flags, _, answers, _, _ = struct.unpack(">HHHHHH", client.recv(4096)[:12])
    print(f"code {flags & 15}, {answers} answers")
"""

LISTEN = """
import http.server, threading, time, os
server = http.server.ThreadingHTTPServer(("", 8000), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("listens", flush=True)
time.sleep(8)
"""


def fronts(world: World) -> None:
    """a front: another name in TLS or in HTTP than that of the grant"""
    hidden = "--connect-to other.example.org:443:files.example.org:443 https://other.example.org/"
    for grants, command, target, scheme in [
        ([FILES], f"curl -sS --max-time 20 --cacert ca.pem {hidden}", FILES, "https"),
        (
            ["files.example.org:80"],
            "curl -sS --max-time 20 -H 'Host: other.example.org' http://files.example.org/",
            "files.example.org:80",
            "http",
        ),
    ]:
        world.journal()
        run = world.run(grants, command)
        need(run.code != 0 and ("connect", target, "other-name") in run.denied(), "the front is not refused", run)
        need(not any("other.example.org" in line for line in world.journal()), "the front reached its server", run)
        run = world.run([f"{grants[0]},tls=any"], command)
        need(run.code == 0 and f"other.example.org over {scheme}" in run.said, "`tls=any` does not permit it", run)


def second_requests(world: World) -> None:
    """another name in a later request of the same connection"""
    script = """
import socket
with socket.create_connection(("files.example.org", 80)) as connection:
    for host in ("files.example.org", "other.example.org"):
        connection.sendall(f"GET / HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n".encode())
        print(connection.recv(4096))
"""
    world.journal()
    run = world.run(["files.example.org:80"], "python3 client.py", {"client.py": script})
    need("files.example.org over http" in run.said, "the first request is not answered", run)
    need(("connect", "files.example.org:80", "other-name") in run.denied(), "the second is not refused", run)
    need(world.journal() == ["GET http://files.example.org/"], "the second reached its server", run)


def private_addresses(world: World) -> None:
    """names with private addresses, which only a literal grant permits"""
    for name in ("private", "local", "metadata", "private-six"):
        world.journal()
        host = f"{name}.example.org"
        run = world.run([f"{host}:80"], f"curl -sS --max-time 20 http://{host}/")
        need(run.code != 0 and ("connect", f"{host}:80", "private-address") in run.denied(), "is not refused", run)
        need(not world.journal(), "it reached a server", run)
    pinned = ["private.example.org:80", "10.20.30.40:80"]
    run = world.run(pinned, "curl -sS --fail http://private.example.org/ http://10.20.30.40/")
    need(run.code == 0, "a literal grant permits neither the name nor the address", run)
    need("private.example.org over http\n10.20.30.40 over http" in run.said, "answers are missing", run)
    run = world.run(["mixed.example.org:80"], "curl -sS --fail http://mixed.example.org/")
    need(run.code == 0, "a name with a public address beside a private one is not reached", run)


def rebinding(world: World) -> None:
    """a name whose address becomes private while the run goes on"""
    hosts = world.directory / "hosts"
    before, after = hosts.read_text(), []
    for line in before.splitlines():
        address, name = line.split()
        private = "fd00:20:30::40" if ":" in address else "10.20.30.40"
        after.append(f"{private if name == 'git.example.org' else address} {name}")
    fetch = "curl -sS --fail --max-time 20 http://git.example.org/"
    try:
        # What the gateway looked up it keeps, but not for longer than this.
        child = world.start(["git.example.org:80"], f"{fetch}; sleep 33; {fetch}")
        wait_for(lambda: "GET http://git.example.org/" in world.journal())
        hosts.write_text("\n".join(after) + "\n")
        run = world.finish(child)
    finally:
        hosts.write_text(before)
    need(run.said.count("over http") == 1 and not world.journal(), "it is reached at its private address", run)
    need(("connect", "git.example.org:80", "private-address") in run.denied(), "is not recorded", run)


def addresses_and_datagrams(world: World) -> None:
    """addresses, ports, datagrams and pings that are not granted"""
    script = """
import socket
def attempt(call, *arguments):
    try:
        call(*arguments)
        print("REACHED", arguments)
    except OSError as error:
        print(error)
for address in (("93.184.217.9", 80), ("2606:2800:220:1::34", 443), ("files.example.org", 81), ("169.254.169.254", 80)):
    attempt(socket.create_connection, address, 5)
for family, host in ((socket.AF_INET, "93.184.216.40"), (socket.AF_INET6, "2606:2800:220:1::34")):
    sender = socket.socket(family, socket.SOCK_DGRAM)
    sender.settimeout(2)
    attempt(sender.sendto, b"out", (host, 9000))
    attempt(sender.recv, 100)
"""
    world.journal()
    run = world.run([FILES], "python3 client.py", {"client.py": script})
    need("REACHED ((" not in run.said, "something was reached", run)
    need(not world.journal(), "a server was reached", run)
    expected = {
        ("connect", "93.184.217.9:80", "not-granted"),
        ("connect", "[2606:2800:220:1::34]:443", "not-granted"),
        ("connect", "files.example.org:81", "not-granted"),
        ("connect", "169.254.169.254:80", "not-granted"),
        ("send", "93.184.216.40:9000, UDP", "not-granted"),
        ("send", "[2606:2800:220:1::34]:9000, UDP", "not-granted"),
    }
    need(expected <= run.denied(), f"not recorded: {expected - run.denied()}", run)


def literals(world: World) -> None:
    """an address that is granted literally"""
    run = world.run(["93.184.217.9:80"], "curl -sS --fail http://93.184.217.9/; curl -sS http://93.184.217.9:443/")
    need("93.184.217.9 over http" in run.said, "it is not reached", run)
    need(("connect", "93.184.217.9:443", "not-granted") in run.denied(), "its other port is not refused", run)
    run = world.run(["[2606:2800:220:1::34]:80"], "curl -sS --fail 'http://[2606:2800:220:1::34]/'")
    need(run.code == 0 and "2606:2800:220:1::34 over http" in run.said, "IPv6 is not reached", run)


def names(world: World) -> None:
    """questions that are not for an address, and data in names"""
    kinds = {"TXT": 16, "MX": 15, "NULL": 10, "ANY": 255, "PTR": 12}
    for kind, number in kinds.items():
        run = world.run([FILES], f"python3 ask.py files.example.org {number}", {"ask.py": ASK})
        need(", 0 answers" in run.said, f"{kind} is answered", run)
        need(("resolve", "files.example.org", "record-type") in run.denied(), f"{kind} is not recorded", run)
    run = world.run([FILES], "python3 ask.py c2VjcmV0.elsewhere.example.net 1", {"ask.py": ASK})
    need(", 0 answers" in run.said, "a name that is not granted has an address", run)
    need(("resolve", "c2vjcmv0.elsewhere.example.net", "not-granted") in run.denied(), "is not recorded", run)
    run = world.run([FILES], f"getent ahosts files.example.org; {FETCH}")
    need(run.code == 0 and "198.18." in run.said and "93.184." not in run.said, "the true address is shown", run)


def two_runs(world: World) -> None:
    """two runs at once: neither reaches the other, and each is counted for itself"""
    listening = world.start([FILES], f"{FETCH}; python3 listen.py", {"listen.py": LISTEN})
    wait_for(lambda: any("GET https://files.example.org/" in line for line in world.journal()))
    time.sleep(1)  # Until it listens; if not, the others would be refused by nobody.
    attempts = " ".join(f"http://{host}:8000/" for host in ("198.19.0.1", "127.0.0.1", "198.18.0.1", "[fda5:e971:c000:1::1]"))
    other = world.run([FILES], f"for url in {attempts}; do curl -sS --max-time 5 $url; done; {FETCH}; {FETCH}")
    first = world.finish(listening)
    need("listens" in first.said and "Directory listing" not in other.said, "one run reaches the other", other)
    need(other.said.count("over https") == 2, "the other cannot go out", other)
    need(first.traffic()[FILES]["connections"] == 1, "the first is counted wrongly", first)
    need(other.traffic()[FILES]["connections"] == 2, "the other is counted wrongly", other)


def proxies(world: World) -> None:
    """a proxy of the site: it looks names up, is told who asks, and NO_PROXY goes around it"""
    variables = {"HTTPS_PROXY": "http://user:secret@proxy.example.net:3128", "NO_PROXY": "git.example.org"}
    world.journal()
    fetch = "curl -sS --fail --cacert ca.pem https://files.example.org/; curl -sS --fail http://behind.example.net/"
    run = world.run([FILES, "behind.example.net:80"], fetch, variables=variables)
    reached = world.journal()
    need(run.code == 0 and run.said.count(" over http") == 2, "nothing comes through the proxy", run)
    for host in (FILES, "behind.example.net:80"):
        need(f"CONNECT {host} as user" in reached, f"{host} did not go through the proxy: {reached}", run)
    need(run.record["egress"]["proxy"] == "proxy.example.net:3128", "the record does not name it", run)
    need("secret" not in json.dumps(run.record) + run.said, "the record has its password", run)
    around = world.run(["git.example.org:80"], "curl -sS --fail http://git.example.org/", variables=variables)
    reached = world.journal()
    need(around.code == 0 and not any("CONNECT" in line for line in reached), f"NO_PROXY: {reached}", around)
    run = world.run([FILES], "curl -sS --max-time 20 --fail --cacert ca.pem https://other.example.org/", variables=variables)
    need(run.code != 0 and not world.journal(), "the proxy is asked for what is not granted", run)


def observed(world: World) -> None:
    """observe, then a spec from that run, with which the command works"""
    place = world.place()
    (place / "command.sh").write_text(f"set -e\n{FETCH}\ncurl -sS --fail http://git.example.org/\n")
    world.journal()
    command = "sh command.sh; curl -sS --max-time 5 http://git.example.org/"
    run = world.run(["observe"], command, place=place)
    need(run.code != 0 and not world.journal(), "something was reached while it was observed", run)
    for target in (FILES, "git.example.org:80"):
        need(("connect", target, "not-granted") in run.denied(), f"{target} is not listed", run)
    made = world.call("init", "--from-run", "latest", place=place)
    need(made.code == 0, "no spec is made", made)
    spec = (place / "aseptic.toml").read_text()
    need("files.example.org:443" in spec and "git.example.org:80" in spec, f"the spec is {spec}", made)
    run = world.finish([world.aseptic, "run", "--json", "train"], place, world.variables)
    need(run.code == 0 and run.said.count(" over http") == 3, f"with its own spec it does not work: {spec}", run)


def revocation(world: World) -> None:
    """revocation cuts a download that goes on, and the record says so"""
    download = "curl -sS --cacert ca.pem -o /dev/null https://files.example.org/endless; echo ended $?"
    child = world.start([FILES, "git.example.org:443"], f"{download}; {FETCH}; {FETCH.replace('files', 'git')}")
    wait_for(lambda: "GET https://files.example.org/endless" in world.journal())
    revoked = world.call("revoke", "latest", FILES)
    need(revoked.code == 0 and "1 connection cut" in revoked.said, "it is not revoked", revoked)
    run = world.finish(child)
    need("ended 0" not in run.said and "ended" in run.said, "the download was not cut", run)
    need("files.example.org over https" not in run.said, "it is reached again", run)
    need("git.example.org over https" in run.said, "the other grant does not work any more", run)
    uses = {use["grant"]: use for use in run.record["egress"]["grants"]}
    need(uses[FILES]["revoked"] and not uses["git.example.org:443"]["revoked"], "the record does not say so", run)
    need(any(reason == "revoked" for _, _, reason in run.denied()), "what came after it is not recorded", run)
    need(world.call("revoke", "latest", FILES).code != 0, "a run that is over is revoked", run)


def killed_gateway(world: World) -> None:
    """a gateway that is killed ends the network of its run and opens nothing"""
    command = (
        "curl -sS --cacert ca.pem -o /dev/null https://files.example.org/endless; echo ended $?; "
        "for try in 1 2 3; do curl -sS --max-time 5 --cacert ca.pem https://files.example.org/; "
        "curl -sS --max-time 5 http://93.184.217.9/; getent ahosts elsewhere.example.net; done; true"
    )
    child = world.start([FILES], command)
    wait_for(lambda: "GET https://files.example.org/endless" in world.journal())
    gateways = gateways_of(child.pid)
    need(len(gateways) == 1, "there is not one gateway", gateways)
    os.kill(gateways[0], signal.SIGKILL)
    run = world.finish(child)
    need("ended" in run.said and "ended 0" not in run.said, "the download goes on", run)
    need("over http" not in run.said and not world.journal(), "the network is open", run)
    need(not run.record["egress"]["complete"], "the record is said to be complete", run)


def limits(world: World) -> None:
    """limits of connections, bytes and bandwidth"""
    run = world.run([FILES], "curl -sS --cacert ca.pem https://files.example.org/bytes/9000000 | wc -c", options=["--limit", "traffic=1MiB"])
    need("\n9000000\n" not in f"\n{run.said}" and any(reason == "limit" for *_, reason in run.denied()), "traffic", run)
    counts = run.traffic()[FILES]
    need(counts["sent_bytes"] + counts["received_bytes"] <= 1 << 20, "more than the limit went through", run)
    many = """
import socket
kept = []
for _ in range(8):
    try:
        connection = socket.create_connection(("odd.example.org", 7), timeout=10)
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
        kept.append(connection)
    except (OSError, AssertionError):
        pass
print(len(kept), "at once")
"""
    run = world.run(["odd.example.org:7"], "python3 many.py", {"many.py": many}, options=["--limit", "connections=5"])
    need("5 at once" in run.said and any(reason == "limit" for *_, reason in run.denied()), "connections", run)
    # Four seconds' worth: it cannot be there in two, however fast the machine is.
    start = time.monotonic()
    run = world.run([FILES], "curl -sS --cacert ca.pem https://files.example.org/bytes/4194304 | wc -c", options=["--limit", "bandwidth=1MiB"])
    need("4194304" in run.said and time.monotonic() - start > 2, "bandwidth", run)


def on_the_terminal(world: World) -> None:
    """what was denied is shown, with the line that would allow it"""
    place = world.place()
    command = f"{FETCH}; curl -sS http://93.184.217.9/"
    run = world.finish([world.aseptic, "run", "--", "sh", "-c", command], place, world.variables)
    for words in ("files.example.org", "93.184.217.9:80", "not granted", "--network files.example.org:443 --network 93.184.217.9:80"):
        need(words in run.said, f"`{words}` is not shown", run)


def wait_for(condition: object) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        need(time.monotonic() < deadline, "waited in vain", "")
        time.sleep(0.02)


def gateways_of(parent: int) -> list[int]:
    """The processes that serve the network of this run, as the host sees them."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            status = (entry / "status").read_text()
        except (OSError, ValueError):
            continue
        if b"gateway-part" in words and f"\nPPid:\t{parent}\n" in status:
            found.append(int(entry.name))
    return found


ALL = [
    fronts,
    second_requests,
    private_addresses,
    rebinding,
    addresses_and_datagrams,
    literals,
    names,
    two_runs,
    proxies,
    observed,
    revocation,
    killed_gateway,
    limits,
    on_the_terminal,
]
