"""Everything that proves something, in front of the tools of others: each takes the good one, and refuses the damaged.

A state is made as users make one, with a dataset, runs, a model and a witness. What it publishes is then read by
programs that share no code with it: Go's sumdb packages, the crates tlog_tiles and signed_note, OpenSSL,
securesystemslib, in-toto, model_signing, and the validators of CycloneDX, RO-Crate, Croissant, OpenLineage and of our
own schemas. Nothing of it needs the network.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import documents
import logs
import statements
from verdicts import Verdicts
from world import World

ROOT = Path(__file__).resolve().parents[3]
FILLED = 66_000  # More than 256 full tiles, so that three levels are there.


def check_ledger(verdicts, world, tools):
    """The ledger of the state, with its fork, proofs of runs, and a witness."""
    place = world.exports
    early = world.checkpoint("early")
    fork = world.copy_of_state("fork")
    world.run("dataset", "label", "rows", "first")
    world.run("dataset", "label", "rows", "second", home=fork)
    forked = world.checkpoint("forked", home=fork)
    world.run("ledger", "publish")
    logs.check_tiles(verdicts, tools, "the ledger", world.tiles, world.keys(), place)
    logs.check_consistency(verdicts, tools, early, forked, world.tiles, world.keys())
    proof, entry = world.proof(world.trained)
    logs.check_proof(verdicts, tools, "the run", proof, entry, world.keys(), place)
    note, witnesses = world.witnessed()
    logs.check_cosigned(verdicts, tools, "the ledger", note, world.keys(), witnesses, place)
    world.run("ledger", "rotate-key", "--reason", "a test")
    world.run("dataset", "label", "rows", "third")
    world.run("ledger", "publish")
    logs.check_tiles(verdicts, tools, "the ledger with another key", world.tiles, world.keys(), place)
    logs.check_consistency(verdicts, tools, early, forked, world.tiles, world.keys())


def check_filled(verdicts, world, tools, filler):
    """A ledger so large that its tiles have three levels."""
    place = world.place / "filled"
    for words in (["fill", str(FILLED)], ["publish"]):
        subprocess.run([filler, place, *words], check=True, stdout=subprocess.DEVNULL)
    logs.check_tiles(verdicts, tools, "a large ledger", place / "tiles", place / "verifier", world.exports)


def check_attestations(verdicts, world):
    place, key = world.exports, world.attestation_key()
    for name, envelope in world.envelopes().items():
        statements.check_envelope(verdicts, name, envelope, key, place)
        payload = statements.payload_of(envelope)
        statements.check_statement(verdicts, name, payload)
        if payload["predicateType"].startswith("https://slsa.dev/provenance/"):
            statements.check_provenance(verdicts, name, payload)
    statements.check_layout(verdicts, world.layout(), key, world.home / "attestation-key.pem", place)
    statements.check_model(verdicts, *world.model(), key, place)


def check_documents(verdicts, world):
    place = world.exports
    documents.check_cyclonedx(verdicts, world.document("cyclonedx"), place)
    documents.check_crate(verdicts, world.document("ro-crate"), place)
    documents.check_croissant(verdicts, world.document("croissant"), place)
    text = world.document("openlineage").read_text()
    documents.check_openlineage(verdicts, [json.loads(line) for line in text.splitlines()])
    golden = ROOT / "crates/model/tests/golden"
    others = [json.loads(line) for path in sorted(golden.glob("entries-*.jsonl")) for line in path.read_text().splitlines()]
    documents.check_events(verdicts, [*world.entries(), *others], ROOT / "docs/formats")


def check(verdicts, world, tools, options):
    world.make()
    parts = {
        "ledger": lambda: check_ledger(verdicts, world, tools),
        "filled": lambda: check_filled(verdicts, world, tools, options.filler.resolve()),
        "attestations": lambda: check_attestations(verdicts, world),
        "documents": lambda: check_documents(verdicts, world),
    }
    for part in options.only or parts:
        parts[part]()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--aseptic", type=Path, required=True)
    parser.add_argument("--go", type=Path, required=True, help="what scripts/peers/proofs/go builds")
    parser.add_argument("--rust", type=Path, required=True, help="what scripts/peers/proofs/tlog builds")
    parser.add_argument("--filler", type=Path, required=True, help="the example `ledger`")
    parser.add_argument("--only", choices=("ledger", "filled", "attestations", "documents"), action="append")
    options = parser.parse_args()
    verdicts, tools = Verdicts(), logs.Tools(options.go.resolve(), options.rust.resolve())
    with tempfile.TemporaryDirectory(prefix="aseptic-proofs.", dir="/var/tmp") as name:
        world = World(options.aseptic.resolve(), Path(name))
        try:
            check(verdicts, world, tools, options)
        finally:
            world.close()
    print(f"proofs: {verdicts.passed} as they must be, {verdicts.failed} not")
    sys.exit(verdicts.failed > 0)


if __name__ == "__main__":
    main()
