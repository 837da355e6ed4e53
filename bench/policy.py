#!/usr/bin/env python3
"""What a decision costs: a plan of twenty elements against 5, 200 and 1,900 policies of a project, and whole commands.

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
# Sets of policies that the peers have, too: by our name, as many rules and the kind of them.
PEER_RULES = {
    "5 spread": (5, "spread"),
    "200 spread": (200, "spread"),
    "1900 spread": (1900, "spread"),
    "200 on one action": (200, "one"),
    "200 evaluated": (200, "evaluated"),
}
# Commands beside `aseptic plan` of the experiment.
COMMANDS = {
    "aseptic plan --no-code -- true": ["plan", "--quiet", "--no-code", "--", "true"],
    "aseptic run --no-code -- true": ["run", "--quiet", "--no-code", "--", "true"],
    "aseptic runs": ["runs"],
}
ELEMENTS = 20
NAMES = {"regorus": "opa-eval (regorus)", "rego_cpp": "regopy (rego-cpp)", "cedar": "cedarpy (Cedar)"}

# Runs in the interpreter that has the peers: decides the elements one by one, as often as it is told, and prints the
# milliseconds of all of them together.
PEER = r"""
import json, sys, time, statistics, tempfile, os
engine, rules, kind, elements, samples = sys.argv[1], int(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:6])
asked = [{"action": ("Connect", "Mount", "Write")[n % 3], "resource": f"host-{n}", "labels": ["public"],
          "keep": "everything", "release": False, "present": True, "evaluations": 0} for n in range(elements)]
begun = time.perf_counter()
if engine == "cedar":
    import cedarpy
    conditions = {
        "spread": [('Connect', 'context.labels.contains("label-%d")'), ('Mount', 'context.labels.contains("label-%d")'),
                   ('Write', 'context.labels.contains("label-%d") && context.release'), ('Connect', 'resource == Host::"x-%d"')],
        "one": [('Mount', 'context.present && context.labels.contains("label-%d")')],
        "evaluated": [('Mount', 'context.evaluations + 1 > %d + 9000')],
    }[kind]
    chosen = [conditions[n % len(conditions)] for n in range(rules)]
    text = 'permit (principal, action, resource);\n' + "\n".join(
        'forbid (principal, action == Action::"%s", resource) when { %s };' % (action, condition % n)
        for n, (action, condition) in enumerate(chosen))
    policies = cedarpy.PolicySet.from_str(text)
    requests = [{"principal": 'User::"ada"', "action": 'Action::"%s"' % one["action"],
                 "resource": 'Host::"%s"' % one["resource"], "context": {k: v for k, v in one.items() if k not in ("action", "resource")}}
                for one in asked]
    def decide():
        return all(cedarpy.is_authorized(one, policies, []).allowed for one in requests)
else:
    bodies = {
        "spread": ['input.action == "Connect"\n  "label-%d" in input.labels', 'input.action == "Mount"\n  "label-%d" in input.labels',
                   'input.action == "Write"\n  "label-%d" in input.labels\n  input.release', 'input.action == "Connect"\n  input.resource == "x-%d"'],
        "one": ['input.action == "Mount"\n  input.present\n  "label-%d" in input.labels'],
        "evaluated": ['input.action == "Mount"\n  input.evaluations + 1 > %d + 9000'],
    }[kind]
    text = "package lab\nimport rego.v1\ndefault allow := false\nallow if count(deny) == 0\n" + "\n".join(
        "deny contains %d if {\n  %s\n}" % (n, bodies[n % len(bodies)] % n) for n in range(rules))
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
    if sum(took) > 5000:
        break
took = sorted(took) or [1000 * parsed]
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


def peer(engine: str, number: int, kind: str, samples: int) -> dict | str:
    """What it took, or why it cannot be measured."""
    if not PEERS.exists():
        return "not installed"
    try:
        return json.loads(run([PEERS, "-c", PEER, engine, number, kind, ELEMENTS, samples], timeout=120))
    except subprocess.TimeoutExpired:
        return "over 120 s"
    except subprocess.CalledProcessError as error:
        return (error.stderr.strip().splitlines() or ["failed"])[-1][:80]


def commands(home: Path, times: int) -> dict[str, list[float]]:
    """Milliseconds, sorted, of `aseptic plan` of an experiment with code, two inputs and a host, and of small commands."""
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
    all_words = {"aseptic plan": ["plan", "train", "--quiet"], **COMMANDS}
    samples: dict[str, list[float]] = {name: [] for name in all_words}
    for _ in range(times + 3):
        for name, words in all_words.items():
            begun = time.monotonic()
            run([ASEPTIC, *words], **options)
            samples[name].append(1000 * (time.monotonic() - begun))
    # The first ones make what the others find.
    return {name: sorted(took[3:]) for name, took in samples.items()}


def start(engine: str, times: int) -> float | str:
    """Milliseconds of a process that starts, reads 200 rules and decides once."""
    samples = []
    for _ in range(times):
        begun = time.monotonic()
        answer = peer(engine, 200, "spread", 0)
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
    for name in ("0 spread", *PEER_RULES, "200 evaluated, inputs differ"):
        times = took[name]
        decided = times["decide 20 elements"]
        steps = ("parse", "check", "parse and one act", "parse and the first decision")
        values = [milliseconds(times[step]["p50"]) for step in steps]
        values.append(f"{milliseconds(decided['p50'])} ({milliseconds(decided['best'])})")
        values.append(milliseconds(times["explain 20 elements"]["p50"]))
        for engine in NAMES:
            if name not in PEER_RULES:
                values.append("–")
                continue
            answer = peer(engine, *PEER_RULES[name], arguments.samples)
            if isinstance(answer, dict):
                values.append(f"{answer['p50']:.3f} ({1000 * answer['p50'] / decided['p50']:.1f})")
            else:
                values.append(answer)
        lines.append(f"| {name} | " + " | ".join(values) + " |")
        print(lines[-1], flush=True)
    with tempfile.TemporaryDirectory(prefix="aseptic-bench-") as home:
        processes = commands(Path(home), 30)
    median = statistics.median(processes["aseptic plan"])
    lines += ["", "| process, from start to end | p50 | p95 | ratio |", "|---|---|---|---|"]
    for name, took in processes.items():
        middle, late = statistics.median(took), took[len(took) * 95 // 100]
        lines.append(f"| `{name}` | {middle:.1f} | {late:.1f} | {middle / median:.1f} |")
    for engine, name in NAMES.items():
        took = start(engine, 5)
        ratio = "–" if isinstance(took, str) else f"{took / median:.1f}"
        shown = took if isinstance(took, str) else f"{took:.1f}"
        lines.append(f"| Python with {name}, 200 rules, one decision | {shown} | – | {ratio} |")
    lines += [
        "",
        "A ratio above 1 says how many times as long it took as aseptic's decision, or as `aseptic plan`. *Spread* are "
        "policies as an organisation has them: they name a dataset, a host, a group or a label. *On one action* are "
        "those that speak of the same action and name nothing but a label. *Evaluated* are those of which nothing says "
        "beforehand that they do not hold, so that Cedar evaluates each: once for inputs that are labelled alike, or "
        "for each input where they *differ*.",
        "",
        "`aseptic plan` also captures the code, resolves the inputs, looks facts up and stores what was asked. A process "
        "reads the policies that it asks anew; nothing parsed is kept between processes. OPA's own program is in no "
        "package index that is used here, and is not measured.",
        "",
    ]
    text = "\n".join(lines)
    print(text)
    RESULT.write_text(text)


if __name__ == "__main__":
    main()
