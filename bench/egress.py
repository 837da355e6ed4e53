#!/usr/bin/env python3
"""What the gateway of a run costs: throughput, connections, memory, and the start of a run.

Everything is measured in a testbed without internet, one after the other in each round: a client and a server with
nothing between them, with HAProxy or nginx between them, and a client in a sealed run. A relay has one loopback
on either side of it, and so has the gateway.
"""

import argparse
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts/testbed"))

import network
from start_up import cpu, percentile_95, spawn

RESULT = ROOT / "bench/results/egress.md"
PYTHON = "/usr/bin/python3"
HOSTS = {"bench.example.org": ["93.184.216.50"]}
HOST, ADDRESS = "bench.example.org", "93.184.216.50"
SERVER_PORT, RELAY_PORT = 700, 701  # Below those that clients get.
CONNECTIONS = 5000
ROUNDS_MIN = 5
STREAM_BYTES = 2 << 30
CONNECTS = 500

HAPROXY = """
global
    maxconn 6000
defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
    {splice}
listen relay
    bind {address}:{relay} backlog 65535
    server server {address}:{server}
"""
NGINX = """
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
pid {scratch}/nginx.pid;
error_log {scratch}/nginx.log;
worker_processes auto;
worker_rlimit_nofile {files};
events {{ worker_connections 18000; }}
stream {{
    server {{
        listen {address}:{relay} backlog=65535;
        proxy_timeout 1h;
        proxy_pass {address}:{server};
    }}
}}
"""


def resident_bytes(process: int) -> int:
    """Memory of a process and of all that it started; what several share counts in parts."""
    total, waiting = 0, [process]
    while waiting:
        one = waiting.pop()
        rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
        total += 1024 * int(re.search(r"^Pss:\s+(\d+) kB$", rollup, re.MULTILINE)[1])
        waiting += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
    return total


class Way:
    """A way from client to server. Where nothing is added, there is nothing to start and no memory to look at."""

    name = "direct"
    host, port = ADDRESS, SERVER_PORT

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch

    def start(self) -> None:
        """Starts what is between client and server."""

    def stop(self) -> None:
        """Ends it."""

    def process(self, client: int) -> int | None:
        """What is between client and server."""

    def command(self, *arguments: object) -> list[str]:
        return [PYTHON, str(ROOT / "bench/load.py"), *map(str, arguments)]

    def client(self, *arguments: object) -> subprocess.Popen:
        what, *more = arguments
        command = self.command(what, self.port, self.host, *more)
        return subprocess.Popen(
            command, cwd=self.scratch, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def measure(self, *arguments: object) -> dict:
        client = self.client(*arguments)
        out, err = client.communicate()
        if client.returncode != 0:
            sys.exit(f"bench: {self.name}: the client ended with {client.returncode}: {err[-2000:]}")
        return json.loads(out.splitlines()[-1])

    def hold(self) -> dict:
        """Failures of many connections at once, and the memory that each costs."""
        process = self.process(0)
        before = resident_bytes(process) if process else 0
        client = self.client("hold", "--count", CONNECTIONS)
        line = client.stdout.readline()
        if not line:
            sys.exit(f"bench: {self.name}: the client said nothing: {client.communicate()[1][-2000:]}")
        measured = json.loads(line)
        process = self.process(client.pid)
        measured["resident"] = resident_bytes(process) if process else 0
        measured["per_connection"] = (measured["resident"] - before) / CONNECTIONS
        client.communicate("\n")
        return measured


class Relay(Way):
    """A program with a configuration, started anew for each measurement of memory."""

    port = RELAY_PORT

    def __init__(self, scratch: Path, name: str, command: list[str], configuration: str, **values: object) -> None:
        super().__init__(scratch)
        self.name, self.configuration = name, scratch / f"{name.replace(', ', '-')}.conf"
        places = {"address": ADDRESS, "relay": RELAY_PORT, "server": SERVER_PORT, "scratch": scratch}
        self.configuration.write_text(configuration.format(**places, **values))
        self.words = [word.format(configuration=self.configuration, **places) for word in command]

    def start(self) -> None:
        log = self.configuration.with_suffix(".log")
        with log.open("w") as file:
            self.child = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *self.words], stdout=file, stderr=file)
        deadline = time.monotonic() + 20
        while not is_listening(RELAY_PORT):
            if self.child.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"bench: {self.name} did not start: {log.read_text()[-2000:]}")
            time.sleep(0.01)

    def stop(self) -> None:
        self.child.terminate()
        self.child.wait()

    def process(self, client: int) -> int:
        return self.child.pid


class Sealed(Way):
    """A client in a sealed run, with its gateway."""

    def __init__(self, scratch: Path, aseptic: Path, name: str, host: str) -> None:
        super().__init__(scratch)
        self.name, self.host, self.aseptic = name, host, aseptic
        self.code = scratch / f"code-{host}"
        self.code.mkdir()
        (self.code / "load.py").write_text((ROOT / "bench/load.py").read_text())

    def command(self, *arguments: object) -> list[str]:
        grant = ["--network", f"{self.host}:{self.port}"]
        run = [str(self.aseptic), "run", "--quiet", "--code", str(self.code), *grant]
        return [*run, "--", PYTHON, "load.py", *map(str, arguments)]

    def process(self, client: int) -> int | None:
        if client == 0:
            return None  # There is none before the run; its start is taken from a run without connections.
        children = Path(f"/proc/{client}/task/{client}/children").read_text().split()
        words = {int(child): Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0") for child in children}
        gateways = [child for child, line in words.items() if b"gateway-part" in line]
        if len(gateways) != 1:
            sys.exit(f"bench: {self.name}: not one gateway, but {words}")
        return gateways[0]

    def hold(self) -> dict:
        idle = self.client("hold", "--count", 0)
        idle.stdout.readline()
        before = resident_bytes(self.process(idle.pid))
        idle.communicate("\n")
        measured = super().hold()
        measured["per_connection"] = (measured["resident"] - before) / CONNECTIONS
        return measured


def is_listening(port: int) -> bool:
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(row.split()[1].endswith(f":{port:04X}") and row.split()[3] == "0A" for row in rows)


def ways(scratch: Path, aseptic: Path | None) -> list[Way]:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    haproxy = ["haproxy", "-db", "-f", "{configuration}"]
    found: list[Way] = [
        Way(scratch),
        Relay(scratch, "HAProxy", haproxy, HAPROXY, splice="no option splice-auto"),
        Relay(scratch, "HAProxy, splice", haproxy, HAPROXY, splice="option splice-auto"),
        Relay(scratch, "nginx", ["nginx", "-p", "{scratch}", "-c", "{configuration}"], NGINX, files=files),
    ]
    if aseptic:
        found.append(Sealed(scratch, aseptic, "aseptic", HOST))
        found.append(Sealed(scratch, aseptic, "aseptic, by address", ADDRESS))
    return found


def measure(way: Way, samples: dict[str, list[float]]) -> None:
    """One round of one way. The many connections come last, for what they leave takes a relay a while."""
    way.start()
    way.measure("connects", "--count", 50)
    took = way.measure("connects", "--count", CONNECTS)["microseconds"]
    samples["connect p50"].append(statistics.median(took))
    samples["connect p95"].append(percentile_95(took))
    for streams in (1, 8):
        rate = way.measure("streams", "--count", streams, "--bytes", STREAM_BYTES // streams)
        samples[f"streams {streams}"].append(rate["bytes_per_second"] / 1e9)
    way.stop()
    way.start()
    held = way.hold()
    samples["failures"].append(sum(held["failures"].values()))
    samples["bytes per connection"].append(held["per_connection"])
    way.stop()


def measure_starts(scratch: Path, aseptic: Path, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of `aseptic run -- true`."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(scratch), "ASEPTIC_HOME": os.environ["ASEPTIC_HOME"]}
    run = [str(aseptic), "run", "--quiet", "--no-code"]
    contenders = {
        "no grant": spawn([*run, "--", "true"], environment, scratch),
        "a grant": spawn([*run, "--network", f"{HOST}:{SERVER_PORT}", "--", "true"], environment, scratch),
    }
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 3):
        for name, sample in contenders.items():
            took = sample()
            if number >= 3:
                samples[name].append(took)
    return samples


def report(samples: dict[str, dict[str, list[float]]], starts: dict[str, list[float]], rounds: int) -> str:
    names = list(samples)
    median = {name: {what: statistics.median(values) for what, values in of.items()} for name, of in samples.items()}
    lines = [
        "# The gateway of a run",
        "",
        f"`bench/egress.py` on Linux {platform.release()}, {cpu()}, {os.cpu_count()} cores, as user {os.geteuid()};"
        f" {rounds} rounds, in each of",
        "which every column is measured in turn. Medians. Client, server and relay share the cores.",
        "",
        f"| What | {' | '.join(names)} |",
        f"|---|{'---:|' * len(names)}",
    ]
    rows = {
        "one stream, GB/s": ("streams 1", "{:.2f}"),
        "8 streams, GB/s": ("streams 8", "{:.2f}"),
        "connect and one byte, median, µs": ("connect p50", "{:.0f}"),
        "connect and one byte, 95th percentile, µs": ("connect p95", "{:.0f}"),
        f"failures of {CONNECTIONS} connections at once": ("failures", "{:.0f}"),
        "memory per idle connection, bytes": ("bytes per connection", "{:.0f}"),
    }
    for title, (what, form) in rows.items():
        lines.append(f"| {title} | {' | '.join(form.format(median[name][what]) for name in names)} |")
    if "aseptic" in samples:
        lines += ["", "| Promise | Measured | Target | |", "|---|---:|---:|---|"]
        lines += verdicts(samples, starts)
    return "\n".join(lines) + "\n"


def verdicts(samples: dict[str, dict[str, list[float]]], starts: dict[str, list[float]]) -> list[str]:
    ours, lines = samples["aseptic"], []

    def row(what: str, measured: float, form: str, reached: bool, target: str) -> None:
        lines.append(f"| {what} | {form.format(measured)} | {target} | {'reached' if reached else 'NOT reached'} |")

    def pairs(what: str, name: str) -> list[tuple[float, float]]:
        return list(zip(ours[what], samples[name][what], strict=True))

    for what, title in (("streams 1", "one stream"), ("streams 8", "8 streams")):
        for name in (name for name in samples if not name.startswith("aseptic")):
            ratio = statistics.median(our / other for our, other in pairs(what, name))
            least = 0.5 if name == "direct" else 1.0
            row(f"{title}, of {name}", ratio, "{:.2f} ×", ratio >= least, f"≥ {least} ×")
    for what, title in (("connect p50", "median"), ("connect p95", "95th percentile")):
        added = statistics.median(our - other for our, other in pairs(what, "direct"))
        row(f"connect and one byte, added, {title}", added, "{:.0f} µs", added <= 150, "≤ 150 µs")
    worst = max(ours["failures"])
    row(f"failures of {CONNECTIONS} connections", worst, "{:.0f}", worst == 0, "0")
    memory = statistics.median(ours["bytes per connection"])
    row("memory per idle connection", memory / 1024, "{:.1f} KiB", memory <= 16384, "≤ 16 KiB")
    added = statistics.median(with_ - without for with_, without in zip(starts["a grant"], starts["no grant"], strict=True))
    row("start of a run, added by a grant", added, "{:.2f} ms", added <= 3, "≤ 3 ms")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10, help=f"at least {ROUNDS_MIN}")
    parser.add_argument("--only", action="append", default=[], help="measure this way; repeatable", metavar="NAME")
    parser.add_argument("--aseptic", type=Path, default=ROOT / "target/release/aseptic", help=argparse.SUPPRESS)
    options = parser.parse_args()
    rounds = max(ROUNDS_MIN, options.rounds)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="aseptic-bench.", dir="/var/tmp") as place:
        scratch = Path(place)
        os.environ |= {"ASEPTIC_HOME": f"{place}/state", "HOME": place}
        network.enter(scratch, HOSTS, [])
        # Every way leaves thousands of closed connections, whose ports rest for a minute.
        Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("1024 65535")
        Path("/proc/sys/net/ipv4/tcp_tw_reuse").write_text("1")
        serve = ["setpriv", "--pdeathsig", "KILL", PYTHON, str(ROOT / "bench/load.py"), "serve", str(SERVER_PORT)]
        server = subprocess.Popen(serve, stdout=subprocess.PIPE)
        server.stdout.readline()
        aseptic = options.aseptic if "--network" in help_of(options.aseptic) else None
        wanted = [way for way in ways(scratch, aseptic) if not options.only or way.name in options.only]
        samples = {way.name: {what: [] for what in WHAT} for way in wanted}
        for number in range(rounds):
            for way in wanted[number % len(wanted) :] + wanted[: number % len(wanted)]:
                measure(way, samples[way.name])
        starts = measure_starts(scratch, aseptic, 10 * rounds) if aseptic else {}
        server.kill()
        server.wait()
        text = report(samples, starts, rounds)
        os.chdir(ROOT)
    if not options.only:
        RESULT.write_text(text)
    print(text, end="")


WHAT = ("failures", "bytes per connection", "connect p50", "connect p95", "streams 1", "streams 8")


def help_of(aseptic: Path) -> str:
    return subprocess.run([aseptic, "run", "--help"], capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
