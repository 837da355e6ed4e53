"""Checks a ledger from docs/formats/ledger.md alone; shares no code with the crate.

usage: second_reader.py DIRECTORY

Checks framing, checksums, the Merkle root and the published checkpoint. Leaves out the Ed25519 signatures,
because the standard library of Python cannot check them.
"""

import base64
import hashlib
import pathlib
import struct
import sys

MAGIC = b"aseptic-ledger 2\n"


def sha256(data):
    return hashlib.sha256(data).digest()


def frames(log):
    """Commits: their entries and the new key of a handover; stops at an incomplete last frame."""
    if not log.startswith(MAGIC):
        sys.exit("not a ledger of version 2")
    at, index = len(MAGIC), 0
    while at + 24 <= len(log):
        header = log[at : at + 24]
        first, length, count, kind, check = struct.unpack("<QIHH8s", header)
        if sha256(header[:16])[:8] != check or first != index or count == 0 or kind > 1:
            sys.exit(f"broken at entry {index}: header")
        end = at + 24 + length + 64 + 16
        if end > len(log):
            break
        body, signature, check = log[at + 24 : end - 80], log[end - 80 : end - 16], log[end - 16 : end]
        key = body[len(body) - 32 :] if kind == 1 else b""
        body = body[: len(body) - len(key)]
        entries = []
        while body:
            size = int.from_bytes(body[:2], "little")
            entries.append(body[2 : 2 + size])
            body = body[2 + size :]
        hashes = b"".join(leaf(entry) for entry in entries)
        if len(entries) != count or sha256(header + hashes + key + signature)[:16] != check:
            sys.exit(f"broken at entry {index}: checksum")
        yield entries, key
        at, index = end, index + count


def leaf(entry):
    return sha256(b"\x00" + entry)


def key_line(name, key):
    """The text form of a verifier key."""
    number = sha256(name.encode() + b"\n\x01" + key)[:4].hex()
    return f"{name}+{number}+{base64.b64encode(bytes([1]) + key).decode()}"


def root(leaves):
    """The definition of RFC 6962, section 2.1."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"")
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + root(leaves[:split]) + root(leaves[split:]))


directory = pathlib.Path(sys.argv[1])
keys = (directory / "verifier").read_text().splitlines()
name = keys[0].split("+")[0]
leaves, known = [], keys[:1]
for entries, key in frames((directory / "log").read_bytes()):
    leaves += [leaf(entry) for entry in entries]
    known += [key_line(name, key)] if key else []
text = base64.b64encode(root(leaves)).decode()

if keys != known[: len(keys)]:
    sys.exit("the verifier keys are not those of the log")
origin, size, signed_root, *extensions = (directory / "checkpoint").read_text().split("\n\n")[0].split("\n")
if origin != name or int(size) > len(leaves):
    sys.exit("the checkpoint is of another ledger, or entries were removed")
if base64.b64encode(root(leaves[: int(size)])).decode() != signed_root:
    sys.exit("the checkpoint has another root")
if extensions and extensions not in [[f"aseptic-key {key}"] for key in known[1:]]:
    sys.exit("the checkpoint hands over to a key that the log does not know")
print(f"{len(leaves)} entries, root {text}, signatures not checked")
