"""Lists a snapshot of an aseptic store, written from docs/formats/store.md alone.

Usage: second_reader.py STORE DIGEST. One record per entry: kind, size, digest, path, then a NUL byte.
BLAKE3 is not in the standard library, so digests are followed but not checked.
"""

import pathlib
import struct
import sys

KINDS = {1: b"file", 2: b"executable", 3: b"directory", 4: b"symlink"}


def entries(data):
    assert data[:8] == b"astree\x00\x01", "not a directory object, version 1"
    (count,) = struct.unpack_from("<I", data, 8)
    at, previous = 12, b""
    for _ in range(count):
        kind, length = data[at], data[at + 1]
        name = data[at + 2 : at + 2 + length]
        at += 2 + length
        assert len(name) == length > 0 and name > previous, "names are sorted and unique"
        previous = name
        if kind in (1, 2):
            size, digest = struct.unpack_from("<Q32s", data, at)
            at += 40
        elif kind == 3:
            _files, size, digest = struct.unpack_from("<QQ32s", data, at)
            at += 48
        elif kind == 4:
            (size,) = struct.unpack_from("<H", data, at)
            digest = None
            at += 2 + size
        else:
            raise AssertionError("unknown kind")
        yield KINDS[kind], size, digest, name
    assert at == len(data), "nothing follows the last entry"


def show(store, digest, prefix):
    data = (store / "objects" / digest[:2] / digest).read_bytes()
    for kind, size, child, name in entries(data):
        text = child.hex() if child else "-"
        line = b"%s %d %s %s%s\0" % (kind, size, text.encode(), prefix, name)
        sys.stdout.buffer.write(line)
        if kind == b"directory":
            show(store, text, prefix + name + b"/")


store = pathlib.Path(sys.argv[1])
assert (store / "format").read_text() == "aseptic-store 1\n"
show(store, sys.argv[2], b"")
