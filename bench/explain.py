#!/usr/bin/env python3
"""What `aseptic run --explain` costs a program that imports much.

Each round starts the same Python program without and with `--explain`, in changing order, so that both meet
the same state of the machine, and takes from each record how long the job itself ran. A second program
does nothing but open files: the price of one attempt. Prints a table and writes it to bench/results/.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "target/release/aseptic"
RESULT = ROOT / "bench/results/explain.md"
SAMPLES_MIN = 50
WARM_UP_ROUNDS = 3
BUDGET = 1.02  # An import-heavy start with `--explain` against one without.
IMPORTS = (
    "asyncio concurrent.futures ctypes decimal email.mime.multipart html.parser http.server importlib.metadata"
    " lib2to3.pytree logging.config multiprocessing.pool pydoc sqlite3 ssl statistics tarfile tkinter"
    " unittest.mock urllib.request xml.dom.minidom xmlrpc.client zipfile"
).split()
OPENS = 20_000


def job(home: Path, arguments: list[str], script: str) -> tuple[float, int]:
    """Milliseconds that the job ran, and how many attempts were looked at."""
    command = [str(PROGRAM), "run", "--json", "--no-code", *arguments, "--", "/usr/bin/python3", "-c", script]
    environment = {"PATH": os.defpath, "HOME": str(home), "ASEPTIC_HOME": str(home / "state")}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.exit(f"bench: {done.stderr.decode()}")
    record = json.loads(done.stdout)
    return record["duration_ms"], (record.get("observed") or {}).get("attempts", 0)


def compare(home: Path, script: str, rounds: int) -> tuple[list[float], list[float], int]:
    """Milliseconds without and with, round by round, and the attempts of one run."""
    kinds: tuple[list[str], list[str]] = ([], ["--explain"])
    samples: tuple[list[float], list[float]] = ([], [])
    attempts = 0
    for number in range(-WARM_UP_ROUNDS, rounds):
        for kind in (0, 1) if number % 2 else (1, 0):
            milliseconds, seen = job(home, kinds[kind], script)
            attempts = max(attempts, seen)
            if number >= 0:
                samples[kind].append(milliseconds)
    return *samples, attempts


def main() -> None:
    """Measures, prints, writes."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--samples", type=int, default=100)
    options.add_argument("--no-write", action="store_true")
    arguments = options.parse_args()
    if arguments.samples < SAMPLES_MIN:
        sys.exit(f"bench: at least {SAMPLES_MIN} samples")
    with tempfile.TemporaryDirectory(prefix="aseptic-bench-") as directory:
        home = Path(directory)
        found = f"import importlib\nfor name in {IMPORTS!r}:\n    try:\n        importlib.import_module(name)\n"
        imports = found + "    except ImportError:\n        pass\n"
        opens = f"import os\nfor _ in range({OPENS}):\n    os.close(os.open('/etc/passwd', os.O_RDONLY))\n"
        plain, explained, attempts = compare(home, imports, arguments.samples)
        plain_opens, explained_opens, _ = compare(home, opens, 10)
    medians = statistics.median(plain), statistics.median(explained)
    pairs = statistics.median(b / a for a, b in zip(plain, explained, strict=True))
    least = min(plain), min(explained)
    each = (statistics.median(explained_opens) - statistics.median(plain_opens)) * 1e3 / OPENS
    lines = [
        "# What `aseptic run --explain` costs",
        "",
        f"`bench/explain.py`, {arguments.samples} rounds, one after the other in each; Linux {platform.release()},"
        f" {os.cpu_count()} processors. Python imports {len(IMPORTS)} modules: {attempts} attempts.",
        "",
        "| The job ran for | without (ms) | with (ms) | ratio |",
        "|---|---|---|---|",
        f"| median | {medians[0]:.2f} | {medians[1]:.2f} | {medians[1] / medians[0]:.3f} |",
        f"| minimum | {least[0]:.2f} | {least[1]:.2f} | {least[1] / least[0]:.3f} |",
        f"| median of the ratios of one round | | | {pairs:.3f} |",
        "",
        f"One open that is looked at costs {each:.1f} µs more, among {OPENS} that do nothing else.",
    ]
    text = "\n".join(lines)
    print(text)
    print(f"\n{'within' if medians[1] / medians[0] <= BUDGET else 'OVER'} the budget of {BUDGET}")
    if not arguments.no_write:
        RESULT.write_text(text + "\n")


if __name__ == "__main__":
    main()
