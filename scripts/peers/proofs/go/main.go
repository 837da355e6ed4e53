// Checks what a ledger publishes with golang.org/x/mod/sumdb, which knows nothing of it but the C2SP pages.
//
//	notes tiles DIRECTORY KEYS              every tile, every entry, the signed checkpoint
//	notes entries DIRECTORY KEYS            the entries and the checkpoint alone, each entry hashed once
//	notes proof FILE ENTRY KEYS             a tlog-proof of the bytes in ENTRY
//	notes consistency CHECKPOINT DIRECTORY KEYS   an older checkpoint is a prefix of the published tree
//	notes note FILE KEYS WITNESSES          every signature of a note, cosignatures with their times
//
// KEYS and WITNESSES are files with one verifier key a line.
package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
)

func main() {
	if len(os.Args) < 2 {
		fail(errors.New("tell me what to check"))
	}
	arguments := os.Args[2:]
	wanted := map[string]int{"tiles": 2, "entries": 2, "proof": 3, "consistency": 3, "note": 3}
	if count, known := wanted[os.Args[1]]; !known || count != len(arguments) {
		fail(fmt.Errorf("%s takes %d arguments", os.Args[1], count))
	}
	var said string
	var err error
	switch os.Args[1] {
	case "tiles":
		said, err = checkTiles(arguments[0], arguments[1])
	case "entries":
		said, err = checkEntries(arguments[0], arguments[1])
	case "proof":
		said, err = checkProof(arguments[0], arguments[1], arguments[2])
	case "consistency":
		said, err = checkConsistency(arguments[0], arguments[1], arguments[2])
	case "note":
		said, err = checkNote(arguments[0], arguments[1], arguments[2])
	}
	if err != nil {
		fail(err)
	}
	fmt.Println(said + peak())
}

// peak says how much memory this process had at most.
func peak() string {
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		if strings.HasPrefix(line, "VmHWM:") {
			return ", peak " + strings.TrimSpace(line[len("VmHWM:"):])
		}
	}
	return ""
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// cosigner is a verifier of cosignature/v1, which the note package leaves to its users.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (c cosigner) Name() string    { return c.name }
func (c cosigner) KeyHash() uint32 { return c.hash }

func (c cosigner) Verify(message, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	time := binary.BigEndian.Uint64(signature)
	head := fmt.Sprintf("cosignature/v1\ntime %d\n", time)
	return ed25519.Verify(c.key, append([]byte(head), message...), signature[8:])
}

func newCosigner(text string) (note.Verifier, error) {
	parts := strings.SplitN(text, "+", 3)
	if len(parts) != 3 {
		return nil, fmt.Errorf("no verifier key: %s", text)
	}
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(key) != 1+ed25519.PublicKeySize || key[0] != 4 {
		return nil, fmt.Errorf("no key of a witness: %s", text)
	}
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"), key...))
	hash := binary.BigEndian.Uint32(sum[:])
	if fmt.Sprintf("%08x", hash) != parts[1] {
		return nil, fmt.Errorf("the id is not that of the key: %s", text)
	}
	return cosigner{parts[0], hash, key[1:]}, nil
}

func readVerifiers(file string, parse func(string) (note.Verifier, error)) ([]note.Verifier, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var found []note.Verifier
	for _, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		verifier, err := parse(line)
		if err != nil {
			return nil, err
		}
		found = append(found, verifier)
	}
	return found, nil
}

// openCheckpoint gives size and root, after a key of the file accepted the signature.
func openCheckpoint(message []byte, keys string) (tlog.Tree, error) {
	verifiers, err := readVerifiers(keys, note.NewVerifier)
	if err != nil {
		return tlog.Tree{}, err
	}
	opened, err := note.Open(message, note.VerifierList(verifiers...))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifiers[0].Name() {
		return tlog.Tree{}, errors.New("the note is no checkpoint of this log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

func readCheckpoint(file, keys string) (tlog.Tree, error) {
	message, err := os.ReadFile(file)
	if err != nil {
		return tlog.Tree{}, err
	}
	return openCheckpoint(message, keys)
}

// directory reads tiles where C2SP has them: as the Go package does, without the height in the path.
type directory string

func (d directory) Height() int                         { return tileHeight }
func (d directory) SaveTiles(_ []tlog.Tile, _ [][]byte) {}

func (d directory) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range tiles {
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", tileHeight), "tile/", 1)
		data, err := os.ReadFile(filepath.Join(string(d), path))
		if err != nil {
			return nil, err
		}
		if len(data) != tile.W*tlog.HashSize {
			return nil, fmt.Errorf("%s has %d bytes", path, len(data))
		}
		found = append(found, data)
	}
	return found, nil
}

// eachBundle calls f with the number of the first entry of each bundle and the hashes of its entries.
func eachBundle(dir string, size int64, f func(first int64, hashes []tlog.Hash) error) error {
	hashes := make([]tlog.Hash, 0, tileWidth)
	for first := int64(0); first < size; first += tileWidth {
		count := size - first
		if count > tileWidth {
			count = tileWidth
		}
		tile := tlog.Tile{H: tileHeight, L: 0, N: first / tileWidth, W: int(count)}
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/0/", tileHeight), "tile/entries/", 1)
		data, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			return err
		}
		hashes = hashes[:0]
		for int64(len(hashes)) < count {
			if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
				return fmt.Errorf("%s ends in entry %d", path, first+int64(len(hashes)))
			}
			end := 2 + int(binary.BigEndian.Uint16(data))
			hashes = append(hashes, tlog.RecordHash(data[2:end]))
			data = data[end:]
		}
		if len(data) != 0 {
			return fmt.Errorf("%s has %d bytes too many", path, len(data))
		}
		if err := f(first, hashes); err != nil {
			return err
		}
	}
	return nil
}

// checkTiles lets the package authenticate every tile on the way from the root to each entry.
func checkTiles(dir, keys string) (string, error) {
	tree, err := readCheckpoint(filepath.Join(dir, "checkpoint"), keys)
	if err != nil {
		return "", err
	}
	reader := tlog.TileHashReader(tree, directory(dir))
	err = eachBundle(dir, tree.N, func(first int64, hashes []tlog.Hash) error {
		indexes := make([]int64, len(hashes))
		for i := range hashes {
			indexes[i] = tlog.StoredHashIndex(0, first+int64(i))
		}
		stored, err := reader.ReadHashes(indexes)
		if err != nil {
			return err
		}
		for i, hash := range hashes {
			if stored[i] != hash {
				return fmt.Errorf("entry %d does not match its tile", first+int64(i))
			}
		}
		return nil
	})
	return fmt.Sprintf("%d entries", tree.N), err
}

// checkEntries is the least work that proves all entries: each is hashed once, and a node for each.
func checkEntries(dir, keys string) (string, error) {
	tree, err := readCheckpoint(filepath.Join(dir, "checkpoint"), keys)
	if err != nil {
		return "", err
	}
	var stack []tlog.Hash // Complete subtrees, the largest first.
	err = eachBundle(dir, tree.N, func(first int64, hashes []tlog.Hash) error {
		for i, hash := range hashes {
			for n := first + int64(i); n&1 == 1; n >>= 1 {
				hash = tlog.NodeHash(stack[len(stack)-1], hash)
				stack = stack[:len(stack)-1]
			}
			stack = append(stack, hash)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	root := tlog.Hash(sha256.Sum256(nil))
	for i := len(stack) - 1; i >= 0; i-- {
		if i == len(stack)-1 {
			root = stack[i]
		} else {
			root = tlog.NodeHash(stack[i], root)
		}
	}
	if root != tree.Hash {
		return "", errors.New("the entries do not have the root of the checkpoint")
	}
	return fmt.Sprintf("%d entries", tree.N), nil
}

func checkProof(file, entry, keys string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	record, err := os.ReadFile(entry)
	if err != nil {
		return "", err
	}
	head, checkpoint, found := bytes.Cut(text, []byte("\n\n"))
	if !found {
		return "", errors.New("the proof has no checkpoint")
	}
	tree, err := openCheckpoint(checkpoint, keys)
	if err != nil {
		return "", err
	}
	lines := bufio.NewScanner(bytes.NewReader(head))
	if !lines.Scan() || lines.Text() != "c2sp.org/tlog-proof@v1" {
		return "", errors.New("not a tlog-proof")
	}
	lines.Scan()
	if strings.HasPrefix(lines.Text(), "extra ") {
		lines.Scan()
	}
	number, found := cutPrefix(lines.Text(), "index ")
	index, err := strconv.ParseInt(number, 10, 64)
	if !found || err != nil || strconv.FormatInt(index, 10) != number {
		return "", errors.New("the proof has no index")
	}
	var proof tlog.RecordProof
	for lines.Scan() {
		hash, err := tlog.ParseHash(lines.Text())
		if err != nil {
			return "", err
		}
		proof = append(proof, hash)
	}
	if index >= tree.N {
		return "", errors.New("the index is past the tree")
	}
	err = tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(record))
	return fmt.Sprintf("entry %d of %d", index, tree.N), err
}

func cutPrefix(text, prefix string) (string, bool) {
	return strings.TrimPrefix(text, prefix), strings.HasPrefix(text, prefix)
}

func checkConsistency(old, dir, keys string) (string, error) {
	before, err := readCheckpoint(old, keys)
	if err != nil {
		return "", err
	}
	tree, err := readCheckpoint(filepath.Join(dir, "checkpoint"), keys)
	if err != nil {
		return "", err
	}
	proof, err := tlog.ProveTree(tree.N, before.N, tlog.TileHashReader(tree, directory(dir)))
	if err != nil {
		return "", err
	}
	err = tlog.CheckTree(proof, tree.N, tree.Hash, before.N, before.Hash)
	return fmt.Sprintf("%d of %d entries", before.N, tree.N), err
}

// checkNote wants every signature of the note to be known and right.
func checkNote(file, keys, witnesses string) (string, error) {
	message, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	logs, err := readVerifiers(keys, note.NewVerifier)
	if err != nil {
		return "", err
	}
	cosigners, err := readVerifiers(witnesses, newCosigner)
	if err != nil {
		return "", err
	}
	opened, err := note.Open(message, note.VerifierList(append(logs, cosigners...)...))
	if err != nil {
		return "", err
	}
	if len(opened.UnverifiedSigs) != 0 {
		return "", fmt.Errorf("%d signatures are of unknown keys", len(opened.UnverifiedSigs))
	}
	var names []string
	for _, signature := range opened.Sigs {
		names = append(names, signature.Name)
	}
	return "signed by " + strings.Join(names, ", "), nil
}
