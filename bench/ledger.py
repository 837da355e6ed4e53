#!/usr/bin/env python3
"""What the ledger costs, beside fdatasync(2), SQLite and a verifier in Go.

In each round every writer has one turn of some seconds, one after the other, in changing order, so that all meet the
same state of the disk; ratios are medians of the ratios of rounds. Then a ledger of a million entries is verified by
us and by Go's `golang.org/x/mod/sumdb`, each on one processor, and entries of it are proven. Prints tables and writes
them to bench/results/.
"""

import argparse
import os
import platform
import re
import shutil
import sqlite3
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from start_up import cpu, file_system

ROOT = Path(__file__).resolve().parent.parent
RELEASE = ROOT / "target/release"
LEDGER = RELEASE / "examples/ledger"
GO = ROOT / "bench/scratch/ledger-notes"
RESULT = ROOT / "bench/results/ledger.md"
SCRATCH = ROOT / "bench/scratch"
ROUNDS_MIN = 3
ENTRY_BYTES = 512
BLOCK_BYTES = 4096
PROOFS = 1000
RUNS = 20
NOTES_TITLE = "## How to read this"
FRAME = struct.Struct("<QIHH8s")
MAGIC = b"aseptic-ledger 2\n"


def percentile(samples: list[float], share: int) -> float:
    return sorted(samples)[len(samples) * share // 100]


class Turn:
    """How many writes were durable in how many seconds, and how long one took in milliseconds."""

    def __init__(self, count: int, seconds: float, p50: float, p99: float) -> None:
        self.count, self.seconds, self.p50, self.p99 = count, seconds, p50, p99
        self.rate = count / seconds


def timed(write, seconds: float) -> Turn:
    took, begun = [], time.monotonic()
    while time.monotonic() - begun < seconds:
        start = time.monotonic()
        write()
        took.append(1000 * (time.monotonic() - start))
    return Turn(len(took), time.monotonic() - begun, percentile(took, 50), percentile(took, 99))


def fdatasync(place: Path, seconds: float) -> Turn:
    file = os.open(place / "append", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write() -> None:
        os.write(file, b"\0" * BLOCK_BYTES)
        os.fdatasync(file)

    turn = timed(write, seconds)
    os.close(file)
    return turn


def sqlite(place: Path, seconds: float) -> Turn:
    base = sqlite3.connect(place / "base", isolation_level=None)
    base.execute("PRAGMA journal_mode = WAL")
    base.execute("PRAGMA synchronous = FULL")
    base.execute("CREATE TABLE entries (number INTEGER PRIMARY KEY, entry BLOB)")
    turn = timed(lambda: base.execute("INSERT INTO entries (entry) VALUES (?)", [os.urandom(ENTRY_BYTES)]), seconds)
    base.close()
    return turn


def said(line: str) -> dict[str, float]:
    words = line.split()
    return {name: float(value) for name, value in zip(words[::2], words[1::2], strict=True)}


def writers(processes: int, threads: int):
    """A turn of so many processes with so many threads each, on one ledger."""

    def turn(place: Path, seconds: float) -> Turn:
        command = [LEDGER, place, "append", str(threads), str(round(seconds))]
        children = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
        ]
        time.sleep(0.2 if processes == 1 else 2)  # Each opens the ledger and appends once before it waits.
        for child in children:
            child.stdin.write("\n")
            child.stdin.flush()
        ends = [child.communicate()[0] for child in children]
        if any(child.returncode for child in children):
            sys.exit(f"bench: a writer failed: {command}")
        ends = [said(end) for end in ends]
        count = sum(round(end["entries"]) for end in ends)
        middle = statistics.median(end["p50"] for end in ends)
        return Turn(count, max(end["seconds"] for end in ends), middle, max(end["p99"] for end in ends))

    return turn


CASES = {
    "append 4 KiB + fdatasync": fdatasync,
    "SQLite, WAL, FULL, a row a commit": sqlite,
    "ledger, one writer": writers(1, 1),
    "ledger, 8 threads": writers(1, 8),
    "ledger, 64 threads": writers(1, 64),
    "ledger, 8 processes": writers(8, 1),
    "ledger, 64 processes": writers(64, 1),
}
FLOOR, ONE = "append 4 KiB + fdatasync", "ledger, one writer"


def measure_writers(scratch: Path, rounds: int, seconds: float) -> dict[str, list[Turn]]:
    turns: dict[str, list[Turn]] = {name: [] for name in CASES}
    names = list(CASES)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            place = scratch / "turn"
            place.mkdir(mode=0o700)
            turns[name].append(CASES[name](place, seconds))
            shutil.rmtree(place)
            print(f"bench: round {number + 1}: {name}: {turns[name][-1].rate:.0f} /s", file=sys.stderr)
    return turns


def alone(command: list) -> tuple[float, float, int]:
    """Seconds, seconds of the processor and peak memory in KiB of a command that has one processor."""
    read, write = os.pipe()
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        os.dup2(write, 1)
        os.environ["GOMAXPROCS"] = "1"
        os.execv(command[0], [str(word) for word in command])
    os.close(write)
    with os.fdopen(read) as output:
        text = output.read()
    _, status, usage = os.wait4(child, 0)
    if status != 0:
        sys.exit(f"bench: {command} ended with {os.waitstatus_to_exitcode(status)}")
    # Not the kernel's figure for the child, which counts what this script had when it was forked.
    peak = int(re.search(r"peak (\d+)", text)[1])
    return time.monotonic() - begun, usage.ru_utime + usage.ru_stime, peak


def measure_verifiers(place: Path, rounds: int) -> dict[str, list[tuple[float, float, int]]]:
    tiles = place / "tiles"
    commands = {
        "aseptic": [LEDGER, place, "verify"],
        "Go, entries only": [GO, "entries", tiles, place / "verifier"],
        "Go, entries and every tile": [GO, "tiles", tiles, place / "verifier"],
    }
    ends: dict[str, list] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            end = alone(command)
            if number > 0:  # The first one warms the page cache.
                ends[name].append(end)
            print(f"bench: {name}: {end[0]:.2f} s", file=sys.stderr)
    return ends


def commits_of_run(scratch: Path, program: Path) -> tuple[list[int], list[int]]:
    """Commits and entries that each of some runs adds to the ledger."""
    home = scratch / "home"
    environment = {"PATH": os.defpath, "HOME": str(scratch), "ASEPTIC_HOME": str(home)}
    command = [program, "run", "--quiet", "--no-code", "--", "/bin/true"]
    commits, entries = [], []
    before = (0, 0)
    for number in range(RUNS + 1):
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        now = count_frames(home)
        if number > 0:  # The first one makes project and keys.
            commits.append(now[0] - before[0])
            entries.append(now[1] - before[1])
        before = now
    return commits, entries


def count_frames(home: Path) -> tuple[int, int]:
    """Commits and entries of the log; see docs/formats/ledger.md."""
    log = next(home.rglob("log")).read_bytes()
    if not log.startswith(MAGIC):
        sys.exit("bench: this is another version of the log")
    at, commits, entries = len(MAGIC), 0, 0
    while at < len(log):
        _, length, count, _, _ = FRAME.unpack_from(log, at)
        at += FRAME.size + length + 64 + 16
        commits, entries = commits + 1, entries + count
    return commits, entries


def ratio(turns: dict[str, list[Turn]], name: str, other: str, what: str) -> float:
    pairs = zip(turns[name], turns[other], strict=True)
    return statistics.median(getattr(ours, what) / getattr(theirs, what) for ours, theirs in pairs)


def notes() -> list[str]:
    """What people wrote about the last results; it stays until they change it."""
    written = RESULT.read_text() if RESULT.exists() else ""
    _, _, kept = written.partition(NOTES_TITLE)
    return ["", NOTES_TITLE + (kept.rstrip() or "\n\nNot written yet.")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help=f"at least {ROUNDS_MIN}")
    parser.add_argument("--seconds", type=float, default=4, help="of a turn")
    parser.add_argument("--entries", type=int, default=1_000_000, help="nothing is written with fewer than a million")
    parser.add_argument("--program", type=Path, default=RELEASE / "aseptic", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.program = options.program.absolute()
    rounds = max(ROUNDS_MIN, options.rounds)
    SCRATCH.mkdir(parents=True, exist_ok=True)
    # On the disk of the project: where /tmp is memory, durable means nothing.
    with tempfile.TemporaryDirectory(prefix="ledger.", dir=SCRATCH) as name:
        scratch = Path(name)
        disk = file_system(scratch)
        turns = measure_writers(scratch, rounds, options.seconds)
        place = scratch / "million"
        filled = said(subprocess.run([LEDGER, place, "fill", str(options.entries)], check=True, capture_output=True, text=True).stdout)
        published = said(subprocess.run([LEDGER, place, "publish"], check=True, capture_output=True, text=True).stdout)
        if published["entries"] != options.entries:
            sys.exit(f"bench: {published['entries']:.0f} of {options.entries} entries are published")
        verifiers = measure_verifiers(place, rounds)
        proofs = said(subprocess.run([LEDGER, place, "prove", str(PROOFS)], check=True, capture_output=True, text=True).stdout)
        log_bytes = (place / "log").stat().st_size
        commits, entries = commits_of_run(scratch, options.program)

    lines = ["", "## Durable appends", "", f"| Writer | /s, median | min – max | p50, ms | p99, ms | of {ONE} |", "|---|---:|---:|---:|---:|---:|"]
    for name, of in turns.items():
        rates = [turn.rate for turn in of]
        lines.append(
            f"| {name} | {statistics.median(rates):,.0f} | {min(rates):,.0f} – {max(rates):,.0f}"
            f" | {statistics.median(turn.p50 for turn in of):.2f} | {statistics.median(turn.p99 for turn in of):.2f}"
            f" | {ratio(turns, name, ONE, 'rate'):.2f} × |"
        )
    lines += ["", f"## Verifying {options.entries:,} entries of {ENTRY_BYTES} bytes, each a commit of its own", ""]
    lines += ["| Verifier | s, median | processor, s | peak, MiB |", "|---|---:|---:|---:|"]
    for name, ends in verifiers.items():
        lines.append(
            f"| {name} | {statistics.median(end[0] for end in ends):.2f} | {statistics.median(end[1] for end in ends):.2f}"
            f" | {max(end[2] for end in ends) / 1024:.1f} |"
        )
    ours = statistics.median(end[0] for end in verifiers["aseptic"])
    theirs = statistics.median(a[0] / b[0] for a, b in zip(verifiers["aseptic"], verifiers["Go, entries only"], strict=True))
    lines += [
        "",
        f"The log has {log_bytes / 1e6:.0f} MB. It took {filled['ms'] / 1e3:.0f} s of 64 threads to write, and"
        f" {published['ms'] / 1e3:.1f} s to publish as tiles.",
        f"A proof out of it took {proofs['p50']:.2f} ms (p99 {proofs['p99']:.2f} ms, {PROOFS} entries all over it).",
        f"A run of true(1) adds {statistics.median(entries):.0f} entries in {max(commits)} commits at most ({RUNS} runs).",
    ]

    rows: list[tuple[str, float, str, bool, str]] = []

    def at_most(what: str, value: float, bound: float, unit: str) -> None:
        rows.append((what, value, unit, value <= bound, f"≤ {bound:g}{unit}"))

    def at_least(what: str, value: float, bound: float, unit: str) -> None:
        rows.append((what, value, unit, value >= bound, f"≥ {bound:g}{unit}"))

    at_least("64 threads, of one writer", ratio(turns, "ledger, 64 threads", ONE, "rate"), 20, " ×")
    at_least("64 processes, of one writer", ratio(turns, "ledger, 64 processes", ONE, "rate"), 20, " ×")
    at_most("one durable append, of fdatasync of 4 KiB (p50)", ratio(turns, ONE, FLOOR, "p50"), 1.3, " ×")
    at_most("commits of a run", max(commits), 3, "")
    at_most("full verification of a million entries, one processor", ours, 3, " s")
    at_most("full verification, of Go's", theirs, 1, " ×")
    at_most("peak memory of it", max(end[2] for end in verifiers["aseptic"]) / 1024, 64, " MiB")
    at_most("a proof (p50)", proofs["p50"], 5, " ms")
    at_most("a proof (p99)", proofs["p99"], 5, " ms")
    verdicts = ["", "## Targets", "", "| Promise | Measured | Target | |", "|---|---:|---:|---|"]
    for what, value, unit, good, target in rows:
        verdicts.append(f"| {what} | {value:.2f}{unit} | {target} | {'reached' if good else 'NOT reached'} |")
    head = [
        "# The ledger",
        "",
        f"`bench/ledger.py`, {rounds} rounds, turns of {options.seconds:g} s; Linux {platform.release()}, {cpu()},"
        f" {os.cpu_count()} cores, {disk}, as user {os.geteuid()}.",
        f"Entries have {ENTRY_BYTES} bytes, and an append is one entry. Each writer waits until its own is durable before",
        "it writes the next. Threads share one open ledger; processes have one each. Ratios are medians of the ratios of",
        "rounds. Go's verifier reads the published tiles, ours the log with its checksums; both check the signature of the",
        "last checkpoint, with a warm page cache.",
    ]
    text = "\n".join([*head, *verdicts, *lines, *notes()]) + "\n"
    if options.entries >= 1_000_000:
        RESULT.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
