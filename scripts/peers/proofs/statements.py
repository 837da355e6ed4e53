"""Signed statements: securesystemslib, OpenSSL, in-toto-attestation, in-toto-verify, model_signing."""

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, SSlibKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from verdicts import Refused, command

TOOLS = Path(sys.executable).parent


def key_of(pem):
    return SSlibKey.from_crypto(load_pem_public_key(pem))


def by_securesystemslib(envelope, pem):
    """The signature, by the key with the id that the envelope names."""
    key = key_of(pem)
    Envelope.from_dict(json.loads(json.dumps(envelope))).verify([key], 1)
    if [signature["keyid"] for signature in envelope["signatures"]] != [key.keyid]:
        raise Refused(f"the key is {key.keyid}")


def by_openssl(envelope, key, place):
    """The same without any library for DSSE: the bytes that are signed, put together here."""
    payload = base64.b64decode(envelope["payload"], validate=True)
    kind = envelope["payloadType"].encode()
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    (place / "signed").write_bytes(signed)
    (place / "signature").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"], validate=True))
    command("openssl", "dgst", "-sha256", "-verify", key, "-signature", place / "signature", place / "signed")


def payload_of(envelope):
    return json.loads(base64.b64decode(envelope["payload"], validate=True))


def as_statement(payload):
    """in-toto's own types, where an unknown field is an error, and its rules for a statement."""
    message = json_format.ParseDict(payload, statement_pb2.Statement())
    Statement.copy_from_pb(message).validate()


def as_provenance(payload):
    """The predicate of SLSA provenance, and that it has what its page requires: the package does not look."""
    as_statement(payload)
    message = json_format.ParseDict(payload["predicate"], provenance_pb2.Provenance())
    definition, details = message.build_definition, message.run_details
    for field, value in (
        ("buildType", definition.build_type),
        ("externalParameters", definition.external_parameters.fields),
        ("builder.id", details.builder.id),
    ):
        if not value:
            raise Refused(f"{field} is required")
    for resource in (*definition.resolved_dependencies, *details.byproducts):
        ResourceDescriptor.copy_from_pb(resource).validate()


def altered(envelope):
    """The envelope with other bytes in its payload, and with another signature; each by what was done."""
    payload = bytearray(base64.b64decode(envelope["payload"]))
    payload[len(payload) // 2] ^= 1
    signature = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
    signature[-1] ^= 1
    other = [envelope["signatures"][0] | {"sig": base64.b64encode(signature).decode()}]
    return {
        "another byte in its payload": envelope | {"payload": base64.b64encode(payload).decode()},
        "another byte in its signature": envelope | {"signatures": other},
        "another payload type": envelope | {"payloadType": "application/json"},
    }


def check_envelope(verdicts, name, envelope, key, place):
    pem = key.read_bytes()
    for tool, check, arguments in (
        ("securesystemslib", by_securesystemslib, [pem]),
        ("openssl", by_openssl, [key, place]),
    ):
        verdicts.accepts(tool, name, check, envelope, *arguments)
        for change, bad in altered(envelope).items():
            verdicts.refuses(tool, f"{name} with {change}", check, bad, *arguments)


def without(document, *path):
    """A copy in which one member is missing."""
    copy = json.loads(json.dumps(document))
    inner = copy
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return copy


def with_value(document, value, *path):
    """A copy in which one member is another."""
    copy = json.loads(json.dumps(document))
    inner = copy
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return copy


def check_statement(verdicts, name, payload):
    tool = "in-toto-attestation"
    verdicts.accepts(tool, name, as_statement, payload)
    verdicts.refuses(tool, f"{name} without subject", as_statement, without(payload, "subject"))
    verdicts.refuses(tool, f"{name} with an unknown field", as_statement, payload | {"subjects": []})
    verdicts.refuses(tool, f"{name} of another type", as_statement, payload | {"_type": "https://in-toto.io/Statement/v0.1"})


def check_provenance(verdicts, name, payload):
    tool = "in-toto-attestation (SLSA)"
    verdicts.accepts(tool, name, as_provenance, payload)
    bad = without(payload, "predicate", "buildDefinition", "buildType")
    verdicts.refuses(tool, f"{name} without buildType", as_provenance, bad)
    bad = with_value(payload, 1, "predicate", "buildDefinition", "dependencies")
    verdicts.refuses(tool, f"{name} with an unknown field in the predicate", as_provenance, bad)


def in_toto_verify(layout, links, key):
    """Inspections of a layout run in the current directory, so it is a place of their own."""
    command(TOOLS / "in-toto-verify", "--layout", layout, "--verification-keys", key, "--link-dir", links, cwd=links)


def model_signing(model, signature, key):
    words = [TOOLS / "model_signing", "verify", "key", model, "--signature", signature, "--public_key", key]
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise Refused(said[-1] if said else "without a word")


def signed_again(envelope, payload, private):
    """What someone with the key of the state could say."""
    key = load_pem_private_key(private.read_bytes(), None)
    signer = CryptoSigner(key, SSlibKey.from_crypto(key.public_key()))
    again = Envelope(json.dumps(payload).encode(), envelope["payloadType"], {})
    again.sign(signer)
    return again.to_dict()


def check_layout(verdicts, directory, key, private, place):
    """A directory with `root.layout` and the links that it asks for."""
    tool, layout = "in-toto-verify", directory / "root.layout"
    verdicts.accepts(tool, "layout and link of the run", in_toto_verify, layout, directory, key)
    bad = place / "bad-layout"
    shutil.rmtree(bad, ignore_errors=True)
    shutil.copytree(directory, bad)
    link = next(bad.glob("*.link"))
    good = link.read_text()
    link.write_text(json.dumps(altered(json.loads(good))["another byte in its payload"]))
    verdicts.refuses(tool, "a link with another byte", in_toto_verify, bad / "root.layout", bad, key)
    envelope = json.loads(good)
    for member, what in (("materials", "read"), ("products", "left")):
        payload = payload_of(envelope)
        payload[member]["/secret.csv"] = {"sha256": "0" * 64}
        link.write_text(json.dumps(signed_again(envelope, payload, private)))
        name = f"a signed link of a run that {what} what it may not"
        verdicts.refuses(tool, name, in_toto_verify, bad / "root.layout", bad, key)
    link.write_text(json.dumps(signed_again(envelope, payload_of(envelope), private)))
    verdicts.accepts(tool, "the same link signed by securesystemslib", in_toto_verify, bad / "root.layout", bad, key)
    link.write_text(good)
    (bad / "root.layout").write_text(json.dumps(altered(json.loads(layout.read_text()))["another byte in its signature"]))
    verdicts.refuses(tool, "a layout with another signature", in_toto_verify, bad / "root.layout", bad, key)
    shutil.copy(layout, bad)
    link.unlink()
    verdicts.refuses(tool, "a layout without its link", in_toto_verify, layout, bad, key)


def check_model(verdicts, model, signature, key, place):
    """A directory with a model, and what signs it."""
    tool = "model_signing"
    verdicts.accepts(tool, "the model", model_signing, model, signature, key)
    bad = place / "bad-model"

    def damaged(change):
        shutil.rmtree(bad, ignore_errors=True)
        shutil.copytree(model, bad)
        # Any file but the list of labels, which is written beside the model and is none of it.
        change(next(path for path in sorted(bad.rglob("*")) if path.is_file() and path.name != ".aseptic-labels.json"))
        return bad

    verdicts.refuses(tool, "a model with another byte", model_signing, damaged(flip), signature, key)
    verdicts.refuses(tool, "a model without a file", model_signing, damaged(lambda path: path.unlink()), signature, key)
    more = damaged(lambda path: (path.parent / "more.bin").write_bytes(b"more"))
    verdicts.refuses(tool, "a model with one more file", model_signing, more, signature, key)
    bundle = json.loads(signature.read_text())
    sealed = bundle["dsseEnvelope"]
    for change, envelope in altered(sealed).items():
        other = place / "bad.sig"
        other.write_text(json.dumps(bundle | {"dsseEnvelope": envelope}))
        verdicts.refuses(tool, f"a signature of it with {change}", model_signing, model, other, key)


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
