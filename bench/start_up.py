#!/usr/bin/env python3
"""What a sealed run costs before the program in it does anything.

Measures fork+exec of true(1), other sandboxes, our jail alone and a whole `aseptic run`, one after the other
in each round, so that all of them meet the same state of the machine. In the same rounds it measures the
fdatasync that a durable ledger cannot do without. As root, everything is measured twice: as root, and as an
ordinary user. Prints tables and writes them to bench/results/.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RELEASE = ROOT / "target/release"
RESULT = ROOT / "bench/results/start-up.md"
USER = "aseptic-test"  # Made by scripts/setup.sh.
SAMPLES_MIN = 50  # Below that, the 95th percentile is one or two values.
WARM_UP_ROUNDS = 3
SLOW_MS = 50  # What takes longer is measured in SAMPLES_MIN rounds, however many there are,
WAITING_MS = 5000  # and what takes so long waits for something that is not here.
SYNC_CALLS = ("fsync", "fdatasync", "syncfs", "sync_file_range", "msync")
BUDGET_MS = 15  # What a sealed run may cost beyond bubblewrap and its own fdatasyncs.
JAIL_TARGET = 0.85  # Of bubblewrap.
BUBBLEWRAP = (
    "bwrap --unshare-all --ro-bind /usr /usr --symlink usr/lib /lib --symlink usr/lib64 /lib64"
    " --symlink usr/bin /bin --proc /proc --dev /dev true"
).split()
PODMAN = "podman --log-level=error --cgroup-manager=cgroupfs run --rm --network none --ulimit host -v /usr:/usr:ro"
# Debian 12's crun refuses a machine that has both versions of cgroups; runc does not.
PEERS = {
    "unshare": ["unshare -Urmpinf --mount-proc true"],
    "crun": ["crun --root {scratch}/crun --cgroup-manager=disabled run --bundle {bundle} peer"],
    "runc": ["runc --root {scratch}/runc run --bundle {bundle} peer"],
    "firejail": ["firejail --quiet --noprofile --net=none true"],
    "podman": [f"{PODMAN} --runtime {runtime} --rootfs {{bundle}}/rootfs true" for runtime in ("crun", "runc")],
}


def spawn(command: list[str], environment: dict[str, str], directory: Path) -> Callable[[], float]:
    """Milliseconds from just before the fork to the death of the process and everything it waits for."""
    program = shutil.which(command[0], path=environment["PATH"])
    if program is None:
        sys.exit(f"bench: {command[0]} is not here; see scripts/setup.sh")

    def sample() -> float:
        os.chdir(directory)
        start = time.monotonic_ns()
        child = os.posix_spawn(program, command, environment, file_actions=QUIET)
        _, status, _ = os.wait4(child, 0)
        milliseconds = (time.monotonic_ns() - start) / 1e6
        if status != 0:
            sys.exit(
                f"bench: {' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}; run it by hand"
            )
        return milliseconds

    return sample


def fdatasync(directory: Path) -> Callable[[], float]:
    """Milliseconds of making an append of 4 KiB durable, on the disk that holds the ledger."""
    file = os.open(directory / "append", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def sample() -> float:
        start = time.monotonic_ns()
        os.write(file, b"\0" * 4096)
        os.fdatasync(file)
        return (time.monotonic_ns() - start) / 1e6

    return sample


def make_bundle(bundle: Path) -> None:
    """An OCI bundle that shows `true` of a read-only /usr, as bubblewrap does."""
    for name in ("usr", "proc", "dev"):
        (bundle / "rootfs" / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (bundle / "rootfs" / name).symlink_to(f"usr/{name}")
    rootless = ["--rootless"] if os.geteuid() != 0 else []
    subprocess.run(["runc", "spec", *rootless], cwd=bundle, check=True, capture_output=True)
    config = json.loads((bundle / "config.json").read_text())
    config["process"] |= {"terminal": False, "args": ["true"]}
    config["process"].pop("rlimits", None)
    config["root"] = {"path": "rootfs", "readonly": True}
    usr = {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]}
    mounts = [mount for mount in config["mounts"] if not mount["destination"].startswith("/sys")]
    config["mounts"] = [*mounts, usr]
    (bundle / "config.json").write_text(json.dumps(config))


def peers(scratch: Path, environment: dict[str, str], without: list[str]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Commands of those that work here, and of the others why not."""
    works, reasons, bundle = {}, {}, scratch / "bundle"
    try:
        make_bundle(bundle)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"bench: no bundle for runc, crun and podman: {error}", file=sys.stderr)
    for name, attempts in PEERS.items():
        if name in without:
            continue
        for attempt in attempts:
            command = [word.format(scratch=scratch, bundle=bundle) for word in attempt.split()]
            try:
                done = subprocess.run(
                    command, env=environment, cwd=scratch, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
                )
            except FileNotFoundError:
                reasons[name] = "not installed"
                continue
            except subprocess.TimeoutExpired:
                reasons[name] = "did not end"
                continue
            if done.returncode == 0:
                works[name] = command
                break
            said = done.stderr.decode(errors="replace").strip().splitlines() or ["without a message"]
            reasons[name] = f"ended with {done.returncode}: {said[-1][:200]}"
    return works, {name: reason for name, reason in reasons.items() if name not in works}


def count_syncs(command: list[str], environment: dict[str, str], directory: Path) -> dict[str, int] | None:
    """How often one run makes the disk confirm, by system call; nothing where strace(1) cannot trace."""
    table = directory.parent / "strace.txt"
    strace = ["strace", "-f", "-c", "-e", "trace=" + ",".join(SYNC_CALLS), "-o", str(table)]
    if not shutil.which("strace"):
        return None
    done = subprocess.run(
        [*strace, *command], cwd=directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True
    )
    if done.returncode != 0:
        return None
    rows = [line.split() for line in table.read_text().splitlines()]
    return {row[-1]: int(row[3]) for row in rows if len(row) >= 5 and row[-1] in SYNC_CALLS}


def percentile_95(samples: list[float]) -> float:
    return statistics.quantiles(samples, n=20)[-1]


def cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(
        (line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine()
    )


def file_system(directory: Path) -> str:
    command = ["findmnt", "--noheadings", "--output", "FSTYPE", "--target", str(directory)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def measure(release: Path, scratch: Path, rounds: int, without: list[str]) -> dict:
    """All samples of whoever runs this, and what could not be measured."""
    empty, runtime = scratch / "empty", scratch / "runtime"
    for directory in (empty, runtime):
        directory.mkdir(mode=0o700)
    plain = {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": str(scratch),
        "LANG": "C.UTF-8",
        "XDG_RUNTIME_DIR": str(runtime),  # Where podman keeps its state.
    }
    ours = {**plain, "ASEPTIC_HOME": str(scratch / "aseptic")}
    run = [str(release / "aseptic"), "run", "--", "true"]
    commands, reasons = peers(scratch, plain, without)
    contenders = {
        "fork+exec": spawn(["true"], plain, empty),
        "bubblewrap": spawn(BUBBLEWRAP, plain, empty),
        "our jail alone": spawn([str(release / "examples/jail"), "--", "true"], plain, empty),
    }
    if (release / "examples/jail-static").exists():
        static = [str(release / "examples/jail-static"), "--", "true"]
        contenders["our jail alone, static"] = spawn(static, plain, empty)
    contenders["aseptic run"] = spawn(run, ours, empty)
    contenders |= {name: spawn(command, plain, empty) for name, command in commands.items()}
    contenders["one fdatasync"] = fdatasync(scratch)
    warm = {name: [sample() for _ in range(WARM_UP_ROUNDS)] for name, sample in contenders.items()}
    took = {name: statistics.median(values) for name, values in warm.items()}
    for name in [name for name in commands if took[name] > WAITING_MS]:
        reasons[name] = f"took {took[name] / 1000:.0f} s, as if it waited for something"
        del contenders[name]
    bounds = {name: SAMPLES_MIN if took[name] > SLOW_MS else rounds for name in contenders}
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, sample in contenders.items():
            if number < bounds[name]:
                samples[name].append(sample())
    syncs = count_syncs(run, ours, empty)
    return {
        "user": os.geteuid(),
        "disk": file_system(empty),
        "samples": samples,
        "syncs": syncs,
        "reasons": reasons,
    }


def measure_as_user(options: argparse.Namespace, rounds: int) -> dict:
    """The same by an ordinary user, who gets copies: the checkout may lie where he cannot go."""
    with tempfile.TemporaryDirectory(prefix="aseptic-bench.", dir="/var/tmp") as place:
        os.chmod(place, 0o755)
        release, scratch = Path(place, "release"), Path(place, "scratch")
        (release / "examples").mkdir(parents=True)
        for name in ("aseptic", "examples/jail", "examples/jail-static"):
            if (options.release / name).exists():
                shutil.copy(options.release / name, release / name)
        script = shutil.copy(__file__, place)
        scratch.mkdir()
        shutil.chown(scratch, USER, USER)
        become = ["setpriv", "--reuid", USER, "--regid", USER, "--init-groups", "--inh-caps=-all", "env", "-i"]
        command = [sys.executable, script, "--measure", scratch, "--release", release, "--samples", str(rounds)]
        command += [word for name in options.without for word in ("--without", name)]
        done = subprocess.run([*become, *map(str, command)], cwd=place, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"bench: measuring as {USER} ended with {done.returncode}")
        return json.loads(done.stdout)


def report(measured: dict) -> list[str]:
    samples: dict[str, list[float]] = measured["samples"]
    median = {name: statistics.median(values) for name, values in samples.items()}
    who = "root" if measured["user"] == 0 else "an ordinary user"
    lines = [
        "",
        f"## As {who}",
        "",
        f"{len(samples['bubblewrap'])} rounds; the state of aseptic is on {measured['disk']}.",
        "",
        "| What | Median | 95th percentile | × fork+exec | × bubblewrap |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, values in samples.items():
        ratios = [f"{median[name] / median[peer]:.2f}" for peer in ("fork+exec", "bubblewrap")]
        cells = [name, f"{median[name]:.2f}", f"{percentile_95(values):.2f}", *ratios]
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    for name in ("our jail alone", "our jail alone, static"):
        if name in median:
            ratio = median[name] / median["bubblewrap"]
            verdict = "reached" if ratio <= JAIL_TARGET else "NOT reached"
            lines.append(f"- {name}: {ratio:.2f} of bubblewrap; target {JAIL_TARGET}: {verdict}.")
    lines += [f"- {name} could not be measured here: {reason}" for name, reason in measured["reasons"].items()]
    if measured["syncs"] is None:
        lines.append("- The waits for the disk were not counted: strace(1) is missing or may not trace here.")
    else:
        number = sum(measured["syncs"].values())
        calls = ", ".join(f"{calls} {name}" for name, calls in sorted(measured["syncs"].items())) or "none"
        durable = number * median["one fdatasync"]
        budget = median["bubblewrap"] + durable + BUDGET_MS
        verdict = "reached" if median["aseptic run"] <= budget else "NOT reached"
        lines += [
            f"- One `aseptic run -- true` waits for the disk {number} times ({calls}): {durable:.2f} ms at the median of",
            f"  one fdatasync. Bubblewrap, plus these, plus {BUDGET_MS} ms is {budget:.2f} ms; `aseptic run` takes"
            f" {median['aseptic run']:.2f} ms: {verdict}.",
        ]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--samples", type=int, default=100, help=f"rounds, at least {SAMPLES_MIN}", metavar="N"
    )
    parser.add_argument("--without", action="append", default=[], choices=PEERS, help="leave it out; repeatable")
    parser.add_argument("--release", type=Path, default=RELEASE, help=argparse.SUPPRESS)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    rounds = max(SAMPLES_MIN, options.samples)
    if options.measure:
        print(json.dumps(measure(options.release, options.measure, rounds, options.without)))
        return

    # On a disk: where /tmp is memory, an fdatasync costs nothing and says nothing.
    with tempfile.TemporaryDirectory(prefix="aseptic-bench.", dir="/var/tmp") as scratch:
        measured = [measure(options.release, Path(scratch), rounds, options.without)]
        os.chdir(ROOT)
    if os.geteuid() == 0:
        measured.append(measure_as_user(options, rounds))
    lines = [
        "# Start-up",
        "",
        f"`make bench` on Linux {platform.release()}, {cpu()}, {os.cpu_count()} cores.",
        "Each round runs every line once, in turn. Times in milliseconds.",
        *(line for one in measured for line in report(one)),
    ]
    text = "\n".join(lines) + "\n"
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(text)
    print(text, end="")


QUIET = [
    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
    (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
    (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
]

if __name__ == "__main__":
    main()
