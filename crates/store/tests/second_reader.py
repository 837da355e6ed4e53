"""Lists a snapshot of an aseptic store and checks every digest, written from docs/formats/store.md alone.

Usage: second_reader.py STORE DIGEST. One record per entry: kind, size, digest, path, then a NUL byte. What
is not as it should be goes to standard error, one line each; the status is then 1. Needs nothing but
Python, and for compressed objects a module for zstd or the program of this name.
"""

import pathlib
import re
import struct
import subprocess
import sys

from blake3 import Blake3, blake3

try:
    from compression import zstd  # In the library from Python 3.14 on.
except ImportError:
    zstd = None

KINDS = {1: b"file", 2: b"executable", 3: b"directory", 4: b"symlink"}
PLAIN, ZSTD, CHUNKED = 1, 2, 3
PIECE = 1 << 20
TREE_BYTES_MAX = 256 << 20
ZSTD_BYTES_MAX = 16 << 20
CHUNK_BYTES_MAX = 1 << 20


class Damage(Exception):
    pass


def need(condition, message):
    if not condition:
        raise Damage(message)


def unzstd(frame):
    if zstd:
        return zstd.decompress(frame)
    done = subprocess.run(["zstd", "-dc"], input=frame, capture_output=True, check=False)
    need(done.returncode == 0, "not a zstd frame")
    return done.stdout


class Store:
    def __init__(self, path):
        self.path = path
        self.index = {}  # From a digest to all its places in packs.
        self.packs = set()
        self.checked = set()  # Pairs of size and digest.
        form = (path / "format").read_text()
        need(form in ("aseptic-store 1\n", "aseptic-store 2\n"), "not a store of version 1 or 2")
        if form == "aseptic-store 2\n":
            for segment in sorted((path / "segments").iterdir()):
                if re.fullmatch("[0-9a-f]{32}", segment.name):
                    self.segment(segment.name, segment.read_bytes())

    def segment(self, name, data):
        try:
            need(data[:8] == b"assegm\x00\x01", "not a segment, version 1")
            need(data[8:40] == blake3(data[40:]), "other content than its checksum says")
            need(data[8:24].hex() == name, "another name than its checksum says")
            packs, objects = struct.unpack_from("<IQ", data, 40)
            at = 52 + 16 * packs
            need(len(data) == at + 64 * objects, "another length than its header says")
            ids = [data[52 + 16 * number :][:16].hex() for number in range(packs)]
            previous = b""
            for digest, offset, stored, size, pack, form, zeros in struct.iter_unpack("<32sQQQIB3s", data[at:]):
                need(digest > previous, "not sorted")
                need(pack < packs and form in (PLAIN, ZSTD, CHUNKED) and not any(zeros), "an entry that is none")
                previous = digest
                self.index.setdefault(digest, []).append((ids[pack], offset, stored, size, form))
        except Damage as damage:
            raise Damage(f"segment {name}: {damage}") from damage

    def places(self, digest):
        """Every place of an object: functions that return its size, its form and its bytes in pieces."""
        text = digest.hex()
        loose = self.path / "objects" / text[:2] / text
        found = [lambda place=place: self.packed(digest, *place) for place in self.index.get(digest, [])]
        if loose.exists():
            found.append(lambda: (loose.stat().st_size, PLAIN, pieces(loose, 0, loose.stat().st_size)))
        need(found, "missing")
        return found

    def packed(self, digest, pack, offset, stored, size, form):
        path = self.path / "packs" / f"{pack}.pack"
        with path.open("rb") as file:
            need(file.read(8) == b"aspack\x00\x01", f"{pack} is not a pack, version 1")
            file.seek(offset - 49)
            need(file.read(49) == struct.pack("<B32sQQ", form, digest, size, stored), "its record says otherwise")
        data = pieces(path, offset, stored)
        if form == PLAIN:
            need(stored == size, "another size than its bytes")
        elif form == ZSTD:
            need(stored < size <= ZSTD_BYTES_MAX, "compressed, and not smaller or too large")
            data = [unzstd(b"".join(data))]
        elif form == CHUNKED:
            need(stored % 36 == 0, "not a recipe")
            data = self.chunks(struct.iter_unpack("<32sI", b"".join(data)))
        return size, form, data

    def chunks(self, recipe):
        for digest, length in recipe:
            try:
                size, form, data = self.places(digest)[0]()
                need(size == length and form != CHUNKED, "another size, or chunked itself")
                need(1 <= length <= CHUNK_BYTES_MAX, "a chunk that is empty or too large")
                self.check(digest, size)
            except Damage as damage:
                raise Damage(f"chunk {digest.hex()}: {damage}") from damage
            yield from data

    def check(self, digest, size):
        """Reads an object wherever it is, and makes sure that all of it is what was stored."""
        if (digest, size) in self.checked:
            return
        for place in self.places(digest):
            said, _form, data = place()
            need(said == size, "another size")
            hasher, count = Blake3(), 0
            for piece in data:
                count += len(piece)
                need(count <= size, "more bytes than its size")
                hasher.update(piece)
            need(count == size, "fewer bytes than its size")
            need(hasher.digest() == digest, "other content than its digest says")
        self.checked.add((digest, size))

    def directory(self, digest):
        size, _form, data = self.places(digest)[0]()
        need(size <= TREE_BYTES_MAX, "too large for a directory")
        self.check(digest, size)
        return list(entries(b"".join(data)))


def pieces(path, offset, count):
    with path.open("rb") as file:
        file.seek(offset)
        while count > 0:
            piece = file.read(min(count, PIECE))
            need(piece, "its file ends too early")
            count -= len(piece)
            yield piece


def entries(data):
    need(data[:8] == b"astree\x00\x01", "not a directory object, version 1")
    (count,) = struct.unpack_from("<I", data, 8)
    at, previous = 12, b""
    for _ in range(count):
        kind, length = data[at], data[at + 1]
        name = data[at + 2 : at + 2 + length]
        at += 2 + length
        need(len(name) == length > 0 and name > previous, "names are not sorted and unique")
        previous = name
        files, digest = 1, None
        if kind in (1, 2):
            size, digest = struct.unpack_from("<Q32s", data, at)
            at += 40
        elif kind == 3:
            files, size, digest = struct.unpack_from("<QQ32s", data, at)
            at += 48
        elif kind == 4:
            (size,) = struct.unpack_from("<H", data, at)
            at += 2 + size
        else:
            raise Damage("unknown kind of an entry")
        yield KINDS[kind], files, size, digest, name
    need(at == len(data), "something follows the last entry")


def show(store, digest, prefix, report):
    """Lists what is below a directory. Returns how many files these are, and how many bytes they have."""
    total = [0, 0]
    for kind, files, size, child, name in store.directory(digest):
        path = prefix + name
        text = child.hex() if child else "-"
        sys.stdout.buffer.write(b"%s %d %s %s\0" % (kind, size, text.encode(), path))
        if kind == b"symlink":
            continue
        total[0] += files
        total[1] += size
        try:
            if kind == b"directory":
                below = show(store, child, path + b"/", report)
                need(below == [files, size], "other totals than its parent says")
            else:
                store.check(child, size)
        except Damage as damage:
            report.append(f"{path!r}: {damage}")
    return total


def main():
    report = []
    try:
        store = Store(pathlib.Path(sys.argv[1]))
        show(store, bytes.fromhex(sys.argv[2]), b"", report)
    except Damage as damage:
        report.append(str(damage))
    for line in report:
        print(line, file=sys.stderr)
    return 1 if report else 0


sys.exit(main())
