"""What a ledger publishes: Go's sumdb packages, Cloudflare's crates, OpenSSL for the signature of a checkpoint."""

import base64
import shutil
import struct

from verdicts import Refused, command

ENTRIES_A_TILE = 256


class Tools:
    """The two programs of scripts/peers/proofs, and the checks that both know."""

    def __init__(self, go, rust):
        self.programs = {"go x/mod": go, "tlog_tiles": rust}
        self.go = go

    def each(self):
        for name, program in self.programs.items():

            def check(*words, program=program):
                command(program, *words)

            yield name, check

    def note(self, file, keys, witnesses):
        said = command(self.go, "note", file, keys, witnesses)
        names = {line.split("+")[0] for line in witnesses.read_text().splitlines()}
        missing = [name for name in names if name not in said]
        if missing:
            raise Refused(f"{missing[0]} did not sign")


def flip(path, at=None):
    """Changes one bit of a file, in its middle or at an offset."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 1
    path.write_bytes(data)


def copy(source, place):
    """A directory that may be damaged."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(source, place)
    return place


def edited(path, place, before, after):
    """A copy of a text in which something stands in the place of something."""
    text = path.read_text()
    if before not in text:
        raise Refused(f"{path} has no {before!r}")
    place.write_text(text.replace(before, after, 1))
    return place


def other_line(path, place, number, change):
    """A copy of a text with one line changed."""
    lines = path.read_text().split("\n")
    lines[number] = change(lines[number])
    place.write_text("\n".join(lines))
    return place


def other_base64(text):
    """The same length, other bytes; a name before it stays."""
    before, _, encoded = text.rpartition(" ")
    data = bytearray(base64.b64decode(encoded))
    data[-1] ^= 1
    return f"{before} {base64.b64encode(data).decode()}".strip()


def by_openssl(note, keys, place):
    """The signature of a checkpoint by the last key of the file: the text, 64 bytes, and nothing of ours."""
    text, _, signatures = note.read_text().partition("\n\n")
    name, identifier, key = keys.read_text().splitlines()[-1].split("+", 2)
    public = base64.b64decode(key)
    prefix = bytes.fromhex("302a300506032b6570032100")  # SubjectPublicKeyInfo of an Ed25519 key; RFC 8410.
    (place / "key.der").write_bytes(prefix + public[1:])
    for line in signatures.splitlines():
        _, signer, encoded = line.split(" ")
        data = base64.b64decode(encoded)
        if signer == name and data[:4].hex() == identifier:
            (place / "text").write_text(text + "\n")
            (place / "signature").write_bytes(data[4:])
            words = ["-verify", "-pubin", "-inkey", place / "key.der", "-keyform", "DER", "-rawin"]
            command("openssl", "pkeyutl", *words, "-in", place / "text", "-sigfile", place / "signature")
            return
    raise Refused("the key did not sign")


def entry_of(tiles, index):
    """One entry of the published bundles."""
    number, inside = divmod(index, ENTRIES_A_TILE)
    stem = tiles / "tile/entries" / tile_name(number)
    partial = sorted(stem.parent.glob(f"{stem.name}.p/*"), key=lambda path: int(path.name))
    data = (stem if stem.is_file() else partial[-1]).read_bytes()
    for _ in range(inside):
        data = data[2 + struct.unpack_from(">H", data)[0] :]
    return data[2 : 2 + struct.unpack_from(">H", data)[0]]


def tile_name(number):
    name = f"{number % 1000:03}"
    while number := number // 1000:
        name = f"x{number % 1000:03}/{name}"
    return name


def size_of(checkpoint):
    return int(checkpoint.read_text().split("\n")[1])


def some_tile(tiles, under):
    """A tile of the published ones: a full one where there is one."""
    files = [path for path in sorted((tiles / "tile" / under).rglob("*")) if path.is_file()]
    return min(files, key=lambda path: path.parent.name.endswith(".p"))


def check_tiles(verdicts, tools, name, tiles, keys, place):
    for tool, check in tools.each():
        verdicts.accepts(tool, f"{name}: {size_of(tiles / 'checkpoint')} entries and their tiles", check, "tiles", tiles, keys)
        for under, change in (("entries", "another byte in an entry"), ("0", "another byte in a hash")):
            bad = copy(tiles, place / "bad")
            flip(some_tile(bad, under), -1)
            verdicts.refuses(tool, f"{name} with {change}", check, "tiles", bad, keys)
        for number, change in ((1, "another size"), (2, "another root")):
            bad = copy(tiles, place / "bad")
            edit = other_base64 if number == 2 else lambda line: str(int(line) - 1)
            other_line(bad / "checkpoint", bad / "checkpoint", number, edit)
            verdicts.refuses(tool, f"{name} with {change} in its checkpoint", check, "tiles", bad, keys)
    checkpoint = tiles / "checkpoint"
    verdicts.accepts("openssl", f"{name}: the signature of its checkpoint", by_openssl, checkpoint, keys, place)
    bad = other_line(checkpoint, place / "bad-note", 1, lambda line: str(int(line) + 1))
    verdicts.refuses("openssl", f"{name}: a checkpoint with another size", by_openssl, bad, keys, place)


def check_consistency(verdicts, tools, old, forked, tiles, keys):
    for tool, check in tools.each():
        verdicts.accepts(tool, "an older checkpoint of the same ledger", check, "consistency", old, tiles, keys)
        verdicts.refuses(tool, "a checkpoint of a fork with the same key", check, "consistency", forked, tiles, keys)


def check_proof(verdicts, tools, name, proof, entry, keys, place):
    for tool, check in tools.each():
        verdicts.accepts(tool, f"{name}: its tlog-proof", check, "proof", proof, entry, keys)
        lines = proof.read_text().split("\n")
        index = next(number for number, line in enumerate(lines) if line.startswith("index "))
        bad = other_line(proof, place / "bad.tlog-proof", index + 1, other_base64)
        verdicts.refuses(tool, f"{name}: a tlog-proof with another hash", check, "proof", bad, entry, keys)
        bad = other_line(proof, place / "bad.tlog-proof", index, lambda line: f"index {int(line[6:]) ^ 1}")
        verdicts.refuses(tool, f"{name}: a tlog-proof with another index", check, "proof", bad, entry, keys)
        bad = place / "bad-entry"
        bad.write_bytes(entry.read_bytes() + b" ")
        verdicts.refuses(tool, f"{name}: the tlog-proof of another entry", check, "proof", proof, bad, keys)


def check_cosigned(verdicts, tools, name, note, keys, witnesses, place):
    tool = "go x/mod"
    verdicts.accepts(tool, f"{name}: every signature of a cosigned checkpoint", tools.note, note, keys, witnesses)
    lines = note.read_text().rstrip("\n").split("\n")
    bad = other_line(note, place / "bad-note", len(lines) - 1, other_base64)
    verdicts.refuses(tool, f"{name}: another byte in a cosignature", tools.note, bad, keys, witnesses)
    bad = other_line(note, place / "bad-note", len(lines) - 1, later)
    verdicts.refuses(tool, f"{name}: another time in a cosignature", tools.note, bad, keys, witnesses)
    bad = place / "bad-note"
    bad.write_text("\n".join(lines[:-1]) + "\n")
    verdicts.refuses(tool, f"{name}: a checkpoint without its cosignature", tools.note, bad, keys, witnesses)


def later(line):
    before, _, encoded = line.rpartition(" ")
    data = bytearray(base64.b64decode(encoded))
    data[11] ^= 1  # The last byte of the time, behind four of the key's id.
    return f"{before} {base64.b64encode(data).decode()}"
