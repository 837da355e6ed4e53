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

MAGIC = b"aseptic-ledger 1\n"


def sha256(data):
    return hashlib.sha256(data).digest()


def frames(log):
    """The entries; stops at an incomplete last frame."""
    if not log.startswith(MAGIC):
        sys.exit("not a ledger of version 1")
    at, index = len(MAGIC), 0
    while at + 16 <= len(log):
        found, length, check = struct.unpack_from("<QH6s", log, at)
        if sha256(log[at : at + 10])[:6] != check or length == 0 or found != index:
            sys.exit(f"broken at entry {index}: header")
        end = at + 16 + length + 64 + 16
        if end > len(log):
            break
        if sha256(log[at : end - 16])[:16] != log[end - 16 : end]:
            sys.exit(f"broken at entry {index}: checksum")
        yield log[at + 16 : at + 16 + length]
        at, index = end, index + 1


def root(leaves):
    """The definition of RFC 6962, section 2.1."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"")
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + root(leaves[:split]) + root(leaves[split:]))


directory = pathlib.Path(sys.argv[1])
leaves = [sha256(b"\x00" + entry) for entry in frames((directory / "log").read_bytes())]
text = base64.b64encode(root(leaves)).decode()

name = (directory / "verifier").read_text().split("+")[0]
origin, size, signed_root = (directory / "checkpoint").read_text().split("\n\n")[0].split("\n")
if origin != name or int(size) > len(leaves):
    sys.exit("the checkpoint is of another ledger, or entries were removed")
if base64.b64encode(root(leaves[: int(size)])).decode() != signed_root:
    sys.exit("the checkpoint has another root")
print(f"{len(leaves)} entries, root {text}, signatures not checked")
