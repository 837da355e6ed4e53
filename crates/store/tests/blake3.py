"""BLAKE3 in Python alone: no key, 32 bytes. Written from the paper of BLAKE3, sections 2.1 to 2.5.

One Python integer holds a word of many chunks, one in each 64 bits, so that one addition adds for all of
them: some megabytes a second instead of some kilobytes.
"""

from array import array
import sys

IV = [0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19]
PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
CHUNK_BYTES, BLOCK_BYTES = 1024, 64
CHUNKS_AT_ONCE = 1024

assert sys.byteorder == "little" and array("I").itemsize == 4 and array("Q").itemsize == 8


def pack(words):
    """Many words, one in each 64 bits of the result."""
    return int.from_bytes(array("Q", words).tobytes(), "little")


def unpack(number, count):
    return array("I", array("Q", number.to_bytes(8 * count, "little")))


def compress(chaining, words, counter, length, flags, count):
    """The compression function for `count` inputs at once, its result truncated to 8 words."""
    ones = pack([1] * count)
    mask = ones * 0xFFFFFFFF
    low, high = counter & mask, counter >> 32 & mask
    state = [*chaining, *(word * ones for word in IV[:4]), low, high, length * ones, flags * ones]

    def quarter(a, b, c, d, x, y):
        va, vb, vc, vd = state[a], state[b], state[c], state[d]
        va = va + vb + x & mask
        vd ^= va
        vd = (vd >> 16 | vd << 16) & mask
        vc = vc + vd & mask
        vb ^= vc
        vb = (vb >> 12 | vb << 20) & mask
        va = va + vb + y & mask
        vd ^= va
        vd = (vd >> 8 | vd << 24) & mask
        vc = vc + vd & mask
        vb ^= vc
        vb = (vb >> 7 | vb << 25) & mask
        state[a], state[b], state[c], state[d] = va, vb, vc, vd

    for _ in range(7):
        for column in range(4):
            x, y = words[2 * column], words[2 * column + 1]
            quarter(column, 4 + column, 8 + column, 12 + column, x, y)
        for row in range(4):
            x, y = words[8 + 2 * row], words[9 + 2 * row]
            quarter(row, 4 + (row + 1) % 4, 8 + (row + 2) % 4, 12 + (row + 3) % 4, x, y)
        words = [words[number] for number in PERMUTATION]
    return [state[number] ^ state[8 + number] for number in range(8)]


def chunks(data, first, root):
    """Chaining values of chunks that are equally long; the first of them has the number `first`."""
    count = max(1, len(data) // CHUNK_BYTES)
    size = len(data) // count
    counter = pack(range(first, first + count))
    ones = pack([1] * count)
    chaining = [word * ones for word in IV]
    starts = range(0, max(size, 1), BLOCK_BYTES)
    padded = data if size % BLOCK_BYTES == 0 and data else data.ljust(starts[-1] + BLOCK_BYTES, b"\0")
    table = array("I", padded)
    stride = len(table) // count
    for start in starts:
        length = min(size - start, BLOCK_BYTES)
        flags = CHUNK_START if start == 0 else 0
        if start == starts[-1]:
            flags |= CHUNK_END | (ROOT if root else 0)
        words = [pack(table[start // 4 + number :: stride]) for number in range(16)]
        chaining = compress(chaining, words, counter, length, flags, count)
    return [unpack(word, count) for word in chaining]


def parents(level):
    """One level up in the tree: neighbours are joined, a last one without a neighbour stays."""
    count = len(level[0]) // 2
    words = [pack(column[side : 2 * count : 2]) for side in (0, 1) for column in level]
    flags = PARENT | (ROOT if len(level[0]) == 2 else 0)
    ones = pack([1] * count)
    joined = compress([word * ones for word in IV], words, 0, BLOCK_BYTES, flags, count)
    return [unpack(word, count) + column[2 * count :] for word, column in zip(joined, level)]


class Blake3:
    def __init__(self):
        self.level = [array("I") for _ in range(8)]
        self.rest = bytearray()

    def update(self, data):
        self.rest += data
        batch = CHUNK_BYTES * CHUNKS_AT_ONCE
        # The last chunk may be the root or have fewer bytes: it waits for the end.
        while len(self.rest) > batch:
            self.take(batch)

    def take(self, size, root=False):
        values = chunks(bytes(self.rest[:size]), len(self.level[0]), root)
        del self.rest[:size]
        for column, value in zip(self.level, values):
            column.extend(value)

    def digest(self):
        """The digest; nothing can be added after it."""
        whole = max(len(self.rest) - 1, 0) // CHUNK_BYTES * CHUNK_BYTES
        if whole:
            self.take(whole)
        self.take(len(self.rest), root=not self.level[0])
        level = self.level
        while len(level[0]) > 1:
            level = parents(level)
        return b"".join(column.tobytes() for column in level)


def blake3(data):
    hasher = Blake3()
    hasher.update(data)
    return hasher.digest()
