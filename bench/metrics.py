#!/usr/bin/env python3
"""Metrics: writing and reading them beside MLflow and pandas, and what it costs to sample a run.

A program writes 100,000 values as lines to a file, in a sealed run whose seal summarises them, and the same values
with MLflow's `log_batch` to SQLite, 1,000 in a call, which is the most that it takes; both are read back
whole. A file of a million lines is read beside `pandas.read_json`. Samples of the machine are
taken while runs of one, 32 and 256 processes go on: the kernel says how much processor time the thread
that takes them had, and how much the rest of the supervisor. Prints a table and writes it to bench/results/.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "target/release/aseptic"
EXAMPLE = ROOT / "target/release/examples/metrics"
PEERS = ROOT / "bench/scratch/mlflow/bin/python"
RESULT = ROOT / "bench/results/metrics.md"
VALUES = 100_000
LINES = 1_000_000
PROCESSES = (1, 32, 256)
BUDGET = 0.5  # Per cent of one processor.

MEASURE = f"""
import json, os, random
random.seed(1)
with open(os.environ["ASEPTIC_METRICS"], "a") as metrics:
    for step in range({VALUES}):
        metrics.write(json.dumps({{"step": step, "loss": random.random()}}) + "\\n")
"""

MLFLOW = f"""
import random, sys, time
import mlflow
from mlflow.entities import Metric
random.seed(1)
client = mlflow.MlflowClient(tracking_uri="sqlite:///" + sys.argv[1])
run = client.create_run(client.create_experiment("bench"))
begun = time.monotonic()
for first in range(0, {VALUES}, 1000):
    batch = [Metric("loss", random.random(), int(time.time() * 1000), step) for step in range(first, first + 1000)]
    client.log_batch(run.info.run_id, metrics=batch)
written = time.monotonic()
read = len(client.get_metric_history(run.info.run_id, "loss"))
assert read == {VALUES}, read
print(mlflow.__version__, written - begun, time.monotonic() - written)
"""

PANDAS = """
import sys, time
import pandas
begun = time.monotonic()
frame = pandas.read_json(sys.argv[1], lines=True)
frame.agg(["count", "min", "max"])
print(pandas.__version__, time.monotonic() - begun)
"""

# Processes that compute a little and sleep, as loaders of data do.
BUSY = """
import os, sys, time
for _ in range(int(sys.argv[1]) - 1):
    if os.fork() == 0:
        break
until = time.monotonic() + float(sys.argv[2])
while time.monotonic() < until:
    time.sleep(0.2)
"""


def aseptic(home: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Runs the command, which must succeed."""
    environment = {"PATH": os.defpath, "HOME": str(home), "ASEPTIC_HOME": str(home / "state")}
    done = subprocess.run([str(PROGRAM), *arguments], env=environment, capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"bench: {done.stderr.decode()}")
    return done


def seconds(work: object) -> float:
    """How long a call takes."""
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def peer(script: str, *arguments: str) -> list[str]:
    """What a script of a peer printed, or nothing where that is not installed."""
    done = subprocess.run([str(PEERS), "-c", script, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"bench: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return []
    return done.stdout.split()


def writing(home: Path) -> list[str]:
    """Rows about 100,000 values."""
    run = ("run", "--quiet", "--no-code", "--", "/usr/bin/python3", "-c")
    empty = min(seconds(lambda: aseptic(home, *run, "pass")) for _ in range(3))
    whole = min(seconds(lambda: aseptic(home, *run, MEASURE)) for _ in range(3))
    read = min(seconds(lambda: aseptic(home, "metrics", "latest", "--csv")) for _ in range(3))
    rows = [
        f"| write {VALUES:,} values | a sealed run, start and seal included | {whole:.2f} s |",
        f"| | the same run without writing any | {empty:.2f} s |",
    ]
    found = peer(MLFLOW, str(home / "mlflow.db"))
    if found:
        version, written, read_back = found[0], float(found[1]), float(found[2])
        rows.append(f"| | MLflow {version}, `log_batch` to SQLite, without its start | {written:.2f} s, {written / whole:.0f} times |")
    rows.append(f"| read them all | `aseptic metrics --csv`, start included | {read:.2f} s |")
    if found:
        rows.append(f"| | MLflow, `get_metric_history` | {read_back:.2f} s, {read_back / read:.0f} times |")
    return rows


def reading(home: Path) -> list[str]:
    """Rows about a million lines."""
    path = home / "million.jsonl"
    with path.open("w") as metrics:
        for step in range(LINES):
            line = {"step": step, "time": 1.8e9 + step / 100, "loss": 1 / (step + 1), "accuracy": step / LINES}
            metrics.write(json.dumps(line) + "\n")
    runs = [subprocess.run([str(EXAMPLE), str(path)], capture_output=True, check=True) for _ in range(3)]
    uses: dict[str, float] = {}
    for line in b"".join(run.stdout for run in runs).splitlines():
        said = json.loads(line)
        uses[said["use"]] = min(said["seconds"], uses.get(said["use"], said["seconds"]))
    size = path.stat().st_size
    rows = [f"| read {LINES:,} lines, {size >> 20} MiB, two metrics | summary | {uses['summary']:.2f} s |"]
    rows.append(f"| | every value as CSV | {uses['csv']:.2f} s |")
    rows.append(f"| | a chart | {uses['chart']:.2f} s |")
    found = peer(PANDAS, str(path))
    if found:
        taken = float(found[1])
        rows.append(f"| | pandas {found[0]}, `read_json` and a summary | {taken:.2f} s, {taken / uses['summary']:.1f} times |")
    return rows


def processor_times(supervisor: int) -> tuple[float, float]:
    """Seconds of processor time of the sampling thread, and of all others of the supervisor.

    Source: Documentation/scheduler/sched-stats.rst, /proc/<pid>/schedstat.
    """
    sampling = rest = 0.0
    for task in Path(f"/proc/{supervisor}/task").iterdir():
        taken = int((task / "schedstat").read_text().split()[0]) / 1e9
        if (task / "comm").read_text().strip() == "sampler":
            sampling += taken
        else:
            rest += taken
    return sampling, rest


def sampling(home: Path, duration: float) -> tuple[list[str], float]:
    """Rows about the cost of sampling, and the most that it took."""
    rows, most = [], 0.0
    for processes in PROCESSES:
        command = [str(PROGRAM), "run", "--quiet", "--no-code", "--", "/usr/bin/python3", "-c", BUSY]
        environment = {"PATH": os.defpath, "HOME": str(home), "ASEPTIC_HOME": str(home / "state")}
        command += [str(processes), str(duration + 6)]
        run = subprocess.Popen(command, env=environment)
        time.sleep(3)
        before, begun = processor_times(run.pid), time.monotonic()
        time.sleep(duration)
        after, ended = processor_times(run.pid), time.monotonic()
        run.wait()
        shares = [(late - early) / (ended - begun) * 100 for early, late in zip(before, after, strict=True)]
        lines = aseptic(home, "metrics", "latest", "--system", "--csv", "--name", "processes").stdout.count(b"\n") - 1
        rows.append(f"| {processes} | {lines} | {shares[0]:.3f}% | {shares[1]:.3f}% |")
        most = max(most, shares[0])
    return rows, most


def main() -> None:
    """Measures, prints, writes."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=30, help="how long each run is sampled")
    options.add_argument("--no-write", action="store_true")
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="aseptic-bench-") as directory:
        home = Path(directory)
        rows = writing(home) + reading(home)
        samples, most = sampling(home, arguments.seconds)
    lines = [
        "# Metrics",
        "",
        f"`bench/metrics.py`; the best of three; Linux {platform.release()}, {os.cpu_count()} processors.",
        "",
        "| What | How | Time |",
        "|---|---|---|",
        *rows,
        "",
        f"What sampling a run costs, of one processor, over {arguments.seconds:.0f} s, as the kernel counted it for the thread that"
        " samples; the run without it costs what the rest of the supervisor does:",
        "",
        "| Processes of the run | samples | sampling | the rest of the supervisor |",
        "|---|---|---|---|",
        *samples,
    ]
    text = "\n".join(lines)
    print(text)
    print(f"\n{'within' if most <= BUDGET else 'OVER'} the budget of {BUDGET}% of one processor")
    if not arguments.no_write:
        RESULT.write_text(text + "\n")


if __name__ == "__main__":
    main()
