#!/usr/bin/env python3
"""What the catalog costs: filling it, asking it at a million runs, and the start of `aseptic runs`, beside MLflow's
search API.

A made-up ledger is applied to a catalog in a file (runs with ten edges, five parameters and four metrics each), then
each question is asked warm, and a label is given to a dataset and taken off it again, which reaches what came
of it. MLflow keeps as many runs as it is given (10,000) in SQLite, filled with its own `log_batch`, and answers the
same three questions in the same round. Prints tables and writes them to bench/results/.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from start_up import cpu

ROOT = Path(__file__).resolve().parent.parent
RELEASE = ROOT / "target/release"
CATALOG = RELEASE / "examples/catalog"
ASEPTIC = RELEASE / "aseptic"
RESULT = ROOT / "bench/results/catalog.md"
SCRATCH = ROOT / "bench/scratch"
MLFLOW = SCRATCH / "mlflow/bin/python"
NOTES_TITLE = "## How to read this"

# Runs in MLflow's own interpreter: fills a store and times three questions, each as often as it is told.
PEER = r"""
import json, sys, time, statistics
from mlflow.entities import Metric, Param, ViewType
from mlflow.tracking import MlflowClient
uri, runs, times = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
client = MlflowClient(tracking_uri=uri)
experiments = [client.create_experiment(f"experiment-{number}") for number in range(max(1, runs // 100))]
begun = time.monotonic()
for number in range(runs):
    run = client.create_run(experiments[number // 100 % len(experiments)]).info.run_id
    last = number % 997 / 997
    metrics = [Metric(name, last, 0, 1000) for name in ("accuracy", "loss", "val_accuracy", "val_loss")]
    params = [Param(name, str(number % 1000)) for name in ("lr", "seed", "layers", "optimizer", "batch")]
    client.log_batch(run, metrics=metrics, params=params)
    client.set_terminated(run, "FAILED" if number % 50 == 0 else "FINISHED")
filled = time.monotonic() - begun
def ask(ids, where):
    return len(client.search_runs(ids, where, ViewType.ACTIVE_ONLY, 50, ["attributes.start_time DESC"]))
questions = {
    "newest": lambda: ask(experiments, ""),
    "failed": lambda: ask(experiments, "attributes.status = 'FAILED'"),
    "experiment": lambda: ask([experiments[len(experiments) // 2]], ""),
}
took = {"per_second": runs * 4 / filled}
for name, question in questions.items():
    question()
    samples = []
    for _ in range(times):
        begun = time.monotonic()
        found = question()
        samples.append(1000 * (time.monotonic() - begun))
    took[name] = [statistics.median(samples), found]
print(json.dumps(took))
"""


def words(text: str) -> dict[str, str]:
    parts = text.split()
    return dict(zip(parts[::2], parts[1::2]))


def catalog(*arguments: object) -> dict[str, str]:
    command = [str(CATALOG), *map(str, arguments)]
    return words(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def asked(answer: dict[str, str]) -> dict[str, tuple[float, int]]:
    pairs = {name: text.split("/") for name, text in answer.items() if "/" in text}
    return {name: (float(took), int(found)) for name, (took, found) in pairs.items()}


def first_line(home: Path, times: int) -> float:
    """Median milliseconds from the start of `aseptic runs` to its first line."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "ASEPTIC_HOME": str(home / "state")}
    samples = []
    for _ in range(times + 1):
        begun = time.monotonic()
        with subprocess.Popen([ASEPTIC, "runs", "--quiet"], cwd=home, env=environment, stdout=subprocess.PIPE) as child:
            child.stdout.readline()
            samples.append(1000 * (time.monotonic() - begun))
            child.stdout.read()
    return statistics.median(samples[1:])


def real_ledger(home: Path, runs: int) -> tuple[int, float]:
    """Runs of `true` in a real ledger with a real store; entries, and seconds of a rebuild."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "ASEPTIC_HOME": str(home / "state")}

    def aseptic(*arguments: str) -> str:
        command = [ASEPTIC, *arguments]
        return subprocess.run(command, cwd=home, env=environment, check=True, capture_output=True, text=True).stdout

    for _ in range(runs):
        aseptic("run", "--quiet", "--no-code", "--", "true")
    begun = time.monotonic()
    aseptic("catalog", "rebuild")
    seconds = time.monotonic() - begun
    return 4 * runs, seconds


def notes() -> str:
    """The part of the last results that a person wrote."""
    text = RESULT.read_text() if RESULT.exists() else ""
    return NOTES_TITLE + text.split(NOTES_TITLE, 1)[1] if NOTES_TITLE in text else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="sizes of catalogs")
    parser.add_argument("--mlflow-runs", type=int, default=10_000)
    parser.add_argument("--real-runs", type=int, default=200, help="runs of a real ledger")
    parser.add_argument("--times", type=int, default=20, help="times that each question is asked")
    options = parser.parse_args()
    SCRATCH.mkdir(parents=True, exist_ok=True)
    lines = [
        "# The catalog",
        "",
        f"{platform.node()}: {cpu()}, {os.cpu_count()} processors, Linux {platform.release()}; load at the start "
        f"{os.getloadavg()[0]:.1f}. `make bench` writes this page; times are medians of {options.times}.",
        "",
        "| runs | edges | entries/s applied | of processor time of the fold | longest commit | file |",
        "|---|---|---|---|---|---|",
    ]
    answers: dict[int, dict[str, tuple[float, int]]] = {}
    with tempfile.TemporaryDirectory(dir=SCRATCH) as scratch:
        for runs in options.runs:
            place = Path(scratch) / "catalog.db"
            filled = catalog(place, "fill", runs, 16_000)
            size = place.stat().st_size
            answers[runs] = asked(catalog(place, "ask", options.times)) | asked(catalog(place, "label", 1))
            fold = int(filled["entries"]) / max(float(filled["fold_cpu"]), 0.01)
            lines.append(
                f"| {runs:,} | {10 * runs:,} | {float(filled['per_second']):,.0f} | {fold:,.0f}/s | "
                f"{float(filled['slowest_ms']):.0f} ms | {size >> 20:,} MiB |"
            )
            for file in place.parent.iterdir():
                file.unlink()
        peer = None
        if MLFLOW.exists():
            uri = f"sqlite:///{scratch}/mlflow.db"
            command = [MLFLOW, "-c", PEER, uri, str(options.mlflow_runs), str(options.times)]
            environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
            peer = json.loads(
                subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout.splitlines()[-1]
            )
        else:
            print("bench: MLflow cannot be installed here", file=sys.stderr)
        home = Path(scratch) / "home"
        home.mkdir()
        entries, seconds = real_ledger(home, options.real_runs)
        start = first_line(home, options.times)
    titles = [f"{runs:,} runs" for runs in options.runs]
    beside = f" MLflow, {options.mlflow_runs:,} runs | times as fast at {max(options.runs):,} |" if peer else ""
    lines += ["", f"| question (ms) | rows | {' | '.join(titles)} |{beside}"]
    lines += ["|---" * (2 + len(titles) + (2 if peer else 0)) + "|"]
    for name, (took, found) in answers[max(options.runs)].items():
        row = f"| {name} | {found:,} | " + " | ".join(f"{answers[runs][name][0]:.2f}" for runs in options.runs) + " |"
        if peer:
            row += f" {peer[name][0]:.1f} | {peer[name][0] / took:.0f} |" if name in peer else " – | – |"
        lines.append(row)
    if peer:
        lines += ["", f"MLflow took {peer['per_second']:,.0f} calls a second while it was filled."]
    lines += [
        "",
        f"A real ledger of {entries} entries with its store was rebuilt in {seconds:.2f} s ({entries / seconds:,.0f}/s, "
        f"start and sync included); `aseptic runs` printed its first line after {start:.1f} ms.",
        "",
    ]
    text = "\n".join(lines)
    print(text)
    RESULT.write_text(f"{text}\n{notes()}".rstrip() + "\n")


if __name__ == "__main__":
    main()
