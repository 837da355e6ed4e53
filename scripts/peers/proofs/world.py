"""A state with datasets, runs and a model, made with the program as its users make it."""

import base64
import json
import os
import shutil
import subprocess

import logs

TRAIN = """
import json, os, pathlib
rows = pathlib.Path("/data/train/rows.csv").read_text().splitlines()[1:]
out = pathlib.Path(os.environ["ASEPTIC_OUT"])
(out / "model").mkdir()
(out / "model/weights.bin").write_bytes(bytes(len(row) % 256 for row in rows) * 100)
(out / "model/config.json").write_text(json.dumps({"layers": 2}))
(out / "metrics.json").write_text(json.dumps({"accuracy": 0.75, "rows": len(rows)}))
print("trained on", len(rows), "rows")
"""
SPEC = """
[project]
name = "peers"

[experiment.train]
command = ["/usr/bin/python3", "train.py"]
params = { lr = 0.1, seed = 7 }
data = { train = "rows" }
"""


class World:
    """A home of the program, a project, and whatever is exported from them."""

    def __init__(self, aseptic, place):
        self.aseptic, self.place = aseptic, place
        self.home, self.project, self.exports = place / "state", place / "project", place / "exports"
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(place), "ASEPTIC_HOME": str(self.home), "LANG": "C.UTF-8"}
        self.servers = []
        self.project.mkdir()
        self.exports.mkdir()

    @property
    def ledger(self):
        return self.home / "ledger"

    def run(self, *words, home=None, code=0):
        """What it printed; a wrong exit code ends the tests, as nothing after it means anything."""
        environment = self.environment | ({"ASEPTIC_HOME": str(home)} if home else {})
        words = [str(word) for word in (self.aseptic, *words)]
        done = subprocess.run(words, cwd=self.project, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if code is not None and done.returncode != code:
            raise SystemExit(f"proofs: {' '.join(words[1:])} ended with {done.returncode}:\n{done.stderr}{done.stdout}")
        return done.stdout

    def json(self, *words):
        return json.loads(self.run(*words, "--json"))

    def make(self):
        rows = self.project / "rows"
        rows.mkdir()
        (rows / "rows.csv").write_text("n,square\n" + "".join(f"{n},{n * n}\n" for n in range(300)))
        (rows / "notes.txt").write_text("made here\n")
        (self.project / "aseptic.toml").write_text(SPEC)
        (self.project / "train.py").write_text(TRAIN)
        (self.project / ".asepticignore").write_text("rows\n")
        self.run("dataset", "add", "rows", "--name", "rows", "--label", "public", "--licence", "CC0-1.0", "--owner", "somebody")
        self.run("run", "train")
        self.run("run", "--no-code", "--", "/bin/sh", "-c", "echo of this one as well >$ASEPTIC_OUT/said; exit 3", code=3)
        self.trained = self.newest("train")

    def newest(self, name):
        return self.json("show", name)["run"]

    def copy_of_state(self, name):
        """The whole state as it is now, for a history that goes another way."""
        copy = self.place / name
        shutil.copytree(self.home, copy, symlinks=True)
        return copy

    def close(self):
        """Stops what still runs."""
        for server in self.servers:
            server.terminate()
            server.wait()

    @property
    def tiles(self):
        return self.ledger / "tiles"

    def keys(self):
        return self.ledger / "verifier"

    def checkpoint(self, name, home=None):
        path = self.exports / f"{name}.checkpoint"
        path.write_text(self.run("ledger", "checkpoint", home=home))
        return path

    def proof(self, run):
        """The proof of a run, and the entry that it carries."""
        path, entry = self.exports / "run.tlog-proof", self.exports / "entry"
        path.write_text(self.run("ledger", "prove", run))
        carried = path.read_text().split("\n")[1]
        entry.write_bytes(base64.b64decode(carried.removeprefix("extra "), validate=True))
        return path, entry

    def entries(self):
        """Every entry, as it is in the published bundles."""
        size = int((self.tiles / "checkpoint").read_text().split("\n")[1])
        return [json.loads(logs.entry_of(self.tiles, index)) for index in range(size)]

    def witnessed(self):
        """A checkpoint that a witness over HTTP and one by file cosigned, and their keys."""
        keys = {}
        for name in ("served", "carried"):
            keys[name] = self.run("witness", "key", f"{name}.example/witness", "--dir", self.place / name).strip()
        words = [self.aseptic, "witness", "serve", "--listen", "127.0.0.1:0", "--dir", self.place / "served"]
        words = [str(word) for word in (*words, "--log-file", self.keys())]
        server = subprocess.Popen(words, cwd=self.place, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.servers.append(server)
        address = server.stdout.readline().split()[-1]
        self.run("ledger", "witness", "add", keys["served"], "--url", address, "--name", "served")
        self.run("ledger", "witness", "add", keys["carried"], "--name", "carried", "--require", "all")
        self.run("ledger", "witness", "update", code=None)  # One has answered, and one is still missing.
        self.run("ledger", "witness", "update", "--request", self.exports / "request", "--witness", "carried")
        words = ["--dir", self.place / "carried", "--log-file", self.keys()]
        self.run("witness", "sign", "--request", self.exports / "request", "--cosignature", self.exports / "answer", *words)
        self.run("ledger", "witness", "update", "--cosignature", self.exports / "answer")
        witnesses = self.exports / "witnesses"
        witnesses.write_text("".join(f"{key}\n" for key in keys.values()))
        return self.checkpoint("cosigned"), witnesses

    def export(self, what, kind, name):
        """A document about a run, part of a run, or a dataset."""
        path = self.exports / name
        self.run("attest", "export", what, "--as", kind, "--out", path)
        return path

    def attestation_key(self):
        path = self.exports / "key.pem"
        path.write_text(self.run("attest", "key"))
        return path

    def envelopes(self):
        """The signed statements of the run, by their kind."""
        found = {}
        for kind in ("slsa", "runtime-trace"):
            lines = self.export(self.trained, kind, f"{kind}.dsse.json").read_text().splitlines()
            found[kind] = json.loads("".join(lines))
        return found

    def layout(self):
        return self.export(self.trained, "in-toto", "in-toto")

    def model(self):
        """The directory of a model, and its signature."""
        signature = self.export(f"{self.trained}/out/model", "oms", "model.sig")
        self.run("export", f"run:{self.trained}/out/model", "--to", self.exports / "model")
        return self.exports / "model", signature

    def document(self, kind):
        names = {"cyclonedx": "run.cdx.json", "ro-crate": "crate", "croissant": "croissant.json", "openlineage": "events.jsonl"}
        return self.export("rows@1" if kind == "croissant" else self.trained, kind, names[kind])
