use std::convert::Infallible;

use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::*;

/// All complete subtrees of some leaves, by the definition.
struct Memory(Vec<Vec<TreeHash>>);

impl Memory {
    fn new(leaves: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut levels = vec![leaves.into_iter().map(|leaf| TreeHash::leaf(&leaf)).collect::<Vec<_>>()];
        while levels.last().unwrap().len() > 1 {
            let pairs = levels.last().unwrap().chunks_exact(2);
            levels.push(pairs.map(|pair| TreeHash::node(pair[0], pair[1])).collect());
        }
        Self(levels)
    }

    fn numbered(size: u64) -> Self {
        Self::new((0..size).map(|number| number.to_string().into_bytes()))
    }

    fn leaf(&self, index: u64) -> TreeHash {
        self.0[0][usize::try_from(index).unwrap()]
    }

    fn root(&mut self, size: u64) -> TreeHash {
        let Ok(root) = root(self, size);
        root
    }

    fn inclusion(&mut self, index: u64, size: u64) -> Vec<TreeHash> {
        let Ok(path) = prove_inclusion(self, index, size);
        path
    }

    fn consistency(&mut self, old: u64, size: u64) -> Vec<TreeHash> {
        let Ok(path) = prove_consistency(self, old, size);
        path
    }
}

impl Subtrees for Memory {
    type Error = Infallible;

    fn subtree(&mut self, level: u32, index: u64) -> Result<TreeHash, Infallible> {
        Ok(self.0[level as usize][usize::try_from(index).unwrap()])
    }
}

/// The definition of RFC 6962 section 2.1.1, word by word.
fn naive_path(memory: &mut Memory, index: u64, from: u64, to: u64) -> Vec<TreeHash> {
    let size = to - from;
    if size == 1 {
        return Vec::new();
    }
    let k = size.next_power_of_two() / 2;
    let Ok((left, right)) =
        range_hash(memory, from, from + k).and_then(|left| Ok((left, range_hash(memory, from + k, to)?)));
    if index < k {
        [naive_path(memory, index, from, from + k), vec![right]].concat()
    } else {
        [naive_path(memory, index - k, from + k, to), vec![left]].concat()
    }
}

/// The definition of RFC 6962 section 2.1.2, word by word.
fn naive_subproof(memory: &mut Memory, m: u64, from: u64, to: u64, whole: bool) -> Vec<TreeHash> {
    let n = to - from;
    if m == n {
        let Ok(hash) = range_hash(memory, from, to);
        return if whole { Vec::new() } else { vec![hash] };
    }
    let k = n.next_power_of_two() / 2;
    let Ok((left, right)) =
        range_hash(memory, from, from + k).and_then(|left| Ok((left, range_hash(memory, from + k, to)?)));
    if m <= k {
        [naive_subproof(memory, m, from, from + k, whole), vec![right]].concat()
    } else {
        [naive_subproof(memory, m - k, from + k, to, false), vec![left]].concat()
    }
}

const SIZES: u64 = 300;

#[test]
fn every_entry_of_every_tree_is_proven() {
    let mut memory = Memory::numbered(SIZES);
    for size in 1..=SIZES {
        let root = memory.root(size);
        for index in 0..size {
            let (path, leaf) = (memory.inclusion(index, size), memory.leaf(index));
            assert_eq!(path, naive_path(&mut memory, index, 0, size), "{index} of {size}");
            assert_eq!(verify_inclusion(leaf, index, size, root, &path), Ok(()), "{index} of {size}");
        }
    }
}

#[test]
fn every_tree_is_proven_to_continue_every_older_one() {
    let mut memory = Memory::numbered(SIZES);
    for size in 0..=SIZES {
        let root = memory.root(size);
        for old in 0..=size {
            let (path, old_root) = (memory.consistency(old, size), memory.root(old));
            if old > 0 {
                assert_eq!(path, naive_subproof(&mut memory, old, 0, size, true), "{old} of {size}");
            }
            assert_eq!(verify_consistency(old, old_root, size, root, &path), Ok(()), "{old} of {size}");
        }
    }
}

/// Proofs of the reference tests of Certificate Transparency, which count leaves from 1.
#[test]
fn proofs_are_those_of_certificate_transparency() {
    let leaves =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    let mut memory = Memory::new(leaves.map(|leaf| HEXLOWER.decode(leaf.as_bytes()).unwrap()));
    let hex = |path: Vec<TreeHash>| {
        path.iter().map(|hash| HEXLOWER.encode(hash.as_bytes())[..8].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(hex(memory.inclusion(0, 8)), ["96a296d2", "5f083f0a", "6b47aaf2"]);
    assert_eq!(hex(memory.inclusion(5, 8)), ["bc1a0643", "ca854ea1", "d37ee418"]);
    assert_eq!(hex(memory.inclusion(2, 3)), ["fac54203"]);
    assert_eq!(hex(memory.inclusion(1, 5)), ["6e340b9c", "5f083f0a", "bc1a0643"]);
    assert_eq!(hex(memory.consistency(1, 8)), ["96a296d2", "5f083f0a", "6b47aaf2"]);
    assert_eq!(hex(memory.consistency(6, 8)), ["0ebc5d34", "ca854ea1", "d37ee418"]);
    assert_eq!(hex(memory.consistency(2, 5)), ["5f083f0a", "bc1a0643"]);
}

fn proof(memory: &mut Memory, index: u64, size: u64) -> LogProof {
    let root = memory.root(size);
    let checkpoint = format!("log\n{size}\n{root}\n\n\u{2014} log AAAAAAE=\n").parse().unwrap();
    let extra = Some(index.to_string().into_bytes());
    LogProof { extra, index, path: memory.inclusion(index, size), checkpoint }
}

#[test]
fn the_text_of_a_proof_is_that_of_the_specification() {
    let proof = proof(&mut Memory::numbered(3), 1, 3);
    let [first, second] = proof.path.as_slice() else { panic!("{proof}") };
    let text =
        format!("c2sp.org/tlog-proof@v1\nextra MQ==\nindex 1\n{first}\n{second}\n\n{}", proof.checkpoint);
    assert_eq!(proof.to_string(), text);
    assert_eq!(text.parse(), Ok(proof.clone()));
    let without: LogProof = text.replace("extra MQ==\n", "").parse().unwrap();
    assert_eq!((without.extra.clone(), without.path.len()), (None, 2));
    assert_eq!(without.verify(b"1"), Ok(()));
    without.verify(b"2").unwrap_err();
    let hash = format!("{first}\n");
    let cases = [
        text.replace("@v1", "@v2"),
        text.replace("index 1\n", "index 01\n"),
        text.replace("index 1\n", "index -1\n"),
        text.replace("index 1\n", ""),
        text.replace("extra MQ==", "extra MQ"),
        text.replace("extra MQ==", "extra MQ==\nextra MQ=="),
        text.replace(&hash, &format!("{hash} ")),
        text.replace(&hash, &hash.repeat(70)),
        text.replace("\n\n", "\n"),
        text.replace('\n', "\r\n"),
        text.replace("extra MQ==", &format!("extra {}", "AAAA".repeat(40_000))),
        String::new(),
    ];
    for bad in cases {
        bad.parse::<LogProof>().unwrap_err();
    }
}

proptest! {
    #[test]
    fn nothing_else_is_proven(size in 1..SIZES, index in 0..SIZES, other in any::<u64>(), place in any::<prop::sample::Index>(), bit in 0..256_usize) {
        let (index, mut memory) = (index % size, Memory::numbered(SIZES));
        let (root, leaf) = (memory.root(size), memory.leaf(index));
        let path = memory.inclusion(index, size);
        prop_assert!(verify_inclusion(memory.leaf((index + 1) % SIZES), index, size, root, &path).is_err());
        for wrong in [other, other % size, other % (2 * size), index + size] {
            prop_assert!(wrong == index || verify_inclusion(leaf, wrong, size, root, &path).is_err());
        }
        prop_assert!(verify_inclusion(leaf, index, size, root, &[path.as_slice(), &[leaf]].concat()).is_err());
        if !path.is_empty() {
            let mut changed = path.clone();
            let place = place.index(path.len());
            let mut bytes = *changed[place].as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            changed[place] = TreeHash::from_bytes(bytes);
            prop_assert!(verify_inclusion(leaf, index, size, root, &changed).is_err());
            prop_assert!(verify_inclusion(leaf, index, size, root, &path[1..]).is_err());
        }
    }

    #[test]
    fn no_other_history_is_proven(size in 2..SIZES, old in 1..SIZES, changed in 0..SIZES, place in any::<prop::sample::Index>()) {
        let old = 1 + old % (size - 1);
        let mut memory = Memory::numbered(SIZES);
        let (root, old_root, path) = (memory.root(size), memory.root(old), memory.consistency(old, size));
        // The same log with one entry of its first part replaced.
        let changed = changed % old;
        let mut other = Memory::new((0..SIZES).map(|at| if at == changed { b"other".to_vec() } else { at.to_string().into_bytes() }));
        let other_path = other.consistency(old, size);
        prop_assert!(verify_consistency(old, old_root, size, other.root(size), &path).is_err());
        prop_assert!(verify_consistency(old, old_root, size, other.root(size), &other_path).is_err());
        prop_assert!(verify_consistency(old, other.root(old), size, root, &path).is_err());
        let mut longer = path.clone();
        longer.push(root);
        prop_assert!(verify_consistency(old, old_root, size, root, &longer).is_err());
        let mut shorter = path.clone();
        shorter.remove(place.index(path.len()));
        prop_assert!(verify_consistency(old, old_root, size, root, &shorter).is_err());
        prop_assert!(verify_consistency(size, root, old, old_root, &path).is_err());
    }

    #[test]
    fn any_text_is_refused_without_a_panic(text in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(text.parse::<LogProof>().is_err());
        prop_assert!(String::from_utf8_lossy(&bytes).parse::<LogProof>().is_err());
        let text = format!("c2sp.org/tlog-proof@v1\n{text}");
        prop_assert!(text.parse::<LogProof>().is_err());
    }

    #[test]
    fn a_damaged_proof_is_refused_or_proves_nothing(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut memory = Memory::numbered(40);
        let text = proof(&mut memory, 17, 40).to_string();
        let mut bytes = text.clone().into_bytes();
        let place = at.index(bytes.len());
        bytes[place] = byte;
        let damaged = String::from_utf8_lossy(&bytes).into_owned();
        if let Ok(parsed) = damaged.parse::<LogProof>() {
            prop_assert_eq!(parsed.to_string(), damaged.as_str());
            // What no proof covers: extra data, the origin and the signatures.
            let covered = text.find("index ").unwrap()..text.find("\n\n").unwrap();
            prop_assert!(damaged == text || !covered.contains(&place) || parsed.verify(b"17").is_err());
        }
    }
}
