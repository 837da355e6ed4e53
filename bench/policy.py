#!/usr/bin/env python3
"""What a decision costs: a plan of twenty elements against 5, 200 and 1,900 policies of a project, and `aseptic plan`.

Beside it, in the same round, engines of others decide as many elements with as many equivalent rules, which are parsed
before: regorus and rego-cpp, which read the language of OPA, and Cedar through its Python package. Each is a call of a
library in a process that runs. None of them has a program of its own in the package index; what is started instead is
Python with the engine, so that start is compared as start. Prints tables and writes them to bench/results/.
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
DECIDE = RELEASE / "examples/decide"
ASEPTIC = RELEASE / "aseptic"
RESULT = ROOT / "bench/results/policy.md"
PEERS = ROOT / "bench/scratch/policy/bin/python"
NUMBERS = (5, 200, 1900)
ELEMENTS = 20
NAMES = {"regorus": "opa-eval (regorus)", "rego_cpp": "regopy (rego-cpp)", "cedar": "cedarpy (Cedar)"}

# Runs in the interpreter that has the peers: decides the elements one by one, as often as it is told, and prints the
# milliseconds of all of them together.
PEER = r"""
import json, sys, time, statistics, tempfile, os
engine, rules, elements, samples = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
asked = [{"action": ("Connect", "Mount", "Write")[n % 3], "resource": f"host-{n}", "labels": ["public"],
          "keep": "everything", "release": False} for n in range(elements)]
begun = time.perf_counter()
if engine == "cedar":
    import cedarpy
    conditions = [('Connect', 'context.labels.contains("label-%d")'), ('Mount', 'context.labels.contains("label-%d")'),
                  ('Write', 'context.labels.contains("label-%d") && context.release'), ('Connect', 'resource == Host::"x-%d"')]
    text = 'permit (principal, action, resource);\n' + "\n".join(
        'forbid (principal, action == Action::"%s", resource) when { %s };' % (conditions[n % 4][0], conditions[n % 4][1] % n)
        for n in range(rules))
    policies = cedarpy.PolicySet.from_str(text)
    requests = [{"principal": 'User::"ada"', "action": 'Action::"%s"' % one["action"],
                 "resource": 'Host::"%s"' % one["resource"], "context": {k: one[k] for k in ("labels", "keep", "release")}}
                for one in asked]
    def decide():
        return all(cedarpy.is_authorized(one, policies, []).allowed for one in requests)
else:
    bodies = ['input.action == "Connect"\n  "label-%d" in input.labels', 'input.action == "Mount"\n  "label-%d" in input.labels',
              'input.action == "Write"\n  "label-%d" in input.labels\n  input.release', 'input.action == "Connect"\n  input.resource == "x-%d"']
    text = "package lab\nimport rego.v1\ndefault allow := false\nallow if count(deny) == 0\n" + "\n".join(
        "deny contains %d if {\n  %s\n}" % (n, bodies[n % 4] % n) for n in range(rules))
    if engine == "regorus":
        import opa_eval
        place = os.path.join(tempfile.mkdtemp(), "lab.rego")
        open(place, "w").write(text)
        evaluator = opa_eval.OpaEval(place, query="data.lab.allow")
        documents = [json.dumps(one) for one in asked]
        def decide():
            return all("true" in str(evaluator.evaluate(one)).lower() for one in documents)
    else:
        import regopy
        interpreter = regopy.Interpreter()
        interpreter.add_module("lab", text)
        def decide():
            allowed = True
            for one in asked:
                interpreter.set_input(one)
                allowed = allowed and "true" in str(interpreter.query("data.lab.allow"))
            return allowed
assert decide(), "the rules of the peer decide otherwise"
parsed = time.perf_counter() - begun
took = []
for _ in range(samples):
    begun = time.perf_counter()
    decide()
    took.append(1000 * (time.perf_counter() - begun))
    if sum(took) > 20000:
        break
took.sort()
print(json.dumps({"first_ms": 1000 * parsed, "p50": took[len(took) // 2], "p95": took[len(took) * 95 // 100]}))
"""


def run(command: list[object], **options: object) -> str:
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True, **options).stdout


def ours(samples: int) -> dict[str, dict]:
    """Microseconds by set of policies and by what was done with it."""
    answer = json.loads(run([DECIDE, samples]))
    if answer["schema"] != "aseptic.bench.decide/1" or answer["unit"] != "us":
        sys.exit(f"bench: {DECIDE} answers otherwise than this script reads")
    return answer["own policies"]


def peer(engine: str, number: int, samples: int) -> dict | str:
    """What it took, or why it cannot be measured."""
    if not PEERS.exists():
        return "not installed"
    try:
        return json.loads(run([PEERS, "-c", PEER, engine, number, ELEMENTS, samples], timeout=240))
    except subprocess.TimeoutExpired:
        return "over 240 s"
    except subprocess.CalledProcessError as error:
        return (error.stderr.strip().splitlines() or ["failed"])[-1][:80]


def plan(home: Path, times: int) -> list[float]:
    """Milliseconds of `aseptic plan` of an experiment with code, two inputs and a host."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "ASEPTIC_HOME": str(home / "state")}
    options = {"cwd": home / "project", "env": environment}
    (home / "project/rows").mkdir(parents=True)
    (home / "project/rows/a.csv").write_text("1,2\n")
    (home / "project/train.py").write_text("print(1)\n")
    (home / "project/.asepticignore").write_text("rows/\n")
    (home / "project/aseptic.toml").write_text(
        '[project]\nname = "example"\n\n[experiment.train]\ncommand = ["python3", "train.py"]\n'
        'data = { train = "rows", test = "more" }\nnetwork = ["files.example.org:443"]\n'
    )
    for name in ("rows", "more"):
        run([ASEPTIC, "dataset", "add", "rows", "--name", name], **options)
    samples = []
    for _ in range(times + 3):
        begun = time.monotonic()
        run([ASEPTIC, "plan", "train", "--quiet"], **options)
        samples.append(1000 * (time.monotonic() - begun))
    return sorted(samples[3:])


def start(engine: str, times: int) -> float | str:
    """Milliseconds of a process that starts, reads 200 rules and decides once."""
    samples = []
    for _ in range(times):
        begun = time.monotonic()
        answer = peer(engine, 200, 1)
        if isinstance(answer, str):
            return answer
        samples.append(1000 * (time.monotonic() - begun))
    return statistics.median(samples)


def milliseconds(microseconds: float) -> str:
    return f"{microseconds / 1000:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=500)
    arguments = parser.parse_args()
    for program in (DECIDE, ASEPTIC):
        if not program.exists():
            sys.exit(f"bench: {program} is not built; run scripts/bench.sh policy")
    load = os.getloadavg()[0]
    lines = [
        "# Policy",
        "",
        f"{cpu()}, {os.cpu_count()} processors, Linux {platform.release()}; load at the start {load:.1f}. "
        "`make bench` writes this page. Milliseconds, the median; for decisions with the best, which says most on a "
        f"machine that does other work. A decision is about all {ELEMENTS} elements of one plan.",
        "",
        "| policies of a project | read | checked | read, one act | read, first decision | decided (best) | explained | "
        + " | ".join(f"{name} decides (ratio)" for name in NAMES.values())
        + " |",
        "|---" * (7 + len(NAMES)) + "|",
    ]
    took = ours(arguments.samples)
    for name, times in took.items():
        decided = times["decide 20 elements"]
        steps = ("parse", "check", "parse and one act", "parse and the first decision")
        values = [milliseconds(times[step]["p50"]) for step in steps]
        values.append(f"{milliseconds(decided['p50'])} ({milliseconds(decided['best'])})")
        values.append(milliseconds(times["explain 20 elements"]["p50"]))
        count, _, kind = name.partition(" ")
        number = int(count)
        for engine in NAMES:
            if kind != "spread" or number not in NUMBERS:
                values.append("–")
                continue
            answer = peer(engine, number, arguments.samples)
            if isinstance(answer, dict):
                values.append(f"{answer['p50']:.3f} ({1000 * answer['p50'] / decided['p50']:.1f})")
            else:
                values.append(answer)
        lines.append(f"| {number:,} {kind} | " + " | ".join(values) + " |")
        print(lines[-1], flush=True)
    with tempfile.TemporaryDirectory(prefix="aseptic-bench-") as home:
        planned = plan(Path(home), 30)
    median, late = planned[len(planned) // 2], planned[len(planned) * 95 // 100]
    lines += ["", "| process, from start to end | ms | ratio |", "|---|---|---|"]
    lines.append(f"| `aseptic plan`, p50 (p95 {late:.1f}) | {median:.1f} | 1.0 |")
    for engine, name in NAMES.items():
        took = start(engine, 5)
        ratio = "–" if isinstance(took, str) else f"{took / median:.1f}"
        lines.append(f"| Python with {name}, 200 rules, one decision | {took if isinstance(took, str) else f'{took:.1f}'} | {ratio} |")
    lines += [
        "",
        "A ratio above 1 says how many times as long the peer took. *Spread* are policies as an organisation has them: "
        "they name a dataset, a host, a group or a label. *On one action* are those that speak of the same action and "
        "name nothing that could tell them apart, so that each is evaluated. `aseptic plan` also captures the code, resolves the "
        "inputs, looks facts up and stores what was asked. OPA's own program is in no package index that is used here, "
        "and is not measured.",
        "",
    ]
    text = "\n".join(lines)
    print(text)
    RESULT.write_text(text)


if __name__ == "__main__":
    main()
