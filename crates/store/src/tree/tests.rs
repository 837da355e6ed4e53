use proptest::prelude::*;

use super::*;

fn entry(name: &str, kind: EntryKind) -> TreeEntry {
    TreeEntry { name: name.into(), kind }
}

fn example() -> Tree {
    let digest = Digest::of(b"x");
    Tree::new(vec![
        entry("run.sh", EntryKind::File { size: 1, digest, executable: true }),
        entry("link", EntryKind::Symlink { target: b"run.sh".to_vec() }),
        entry("data", EntryKind::Directory { files: 2, bytes: 258, digest }),
        entry("a\n", EntryKind::File { size: 256, digest, executable: false }),
    ])
    .unwrap()
}

#[test]
fn golden_bytes() {
    let mut expected = b"astree\0\x01\x04\0\0\0".to_vec();
    let content = Digest::of(b"x");
    expected.extend(b"\x01\x02a\n\0\x01\0\0\0\0\0\0");
    expected.extend(content.as_bytes());
    expected.extend(b"\x03\x04data\x02\0\0\0\0\0\0\0\x02\x01\0\0\0\0\0\0");
    expected.extend(content.as_bytes());
    expected.extend(b"\x04\x04link\x06\0run.sh");
    expected.extend(b"\x02\x06run.sh\x01\0\0\0\0\0\0\0");
    expected.extend(content.as_bytes());
    let tree = example();
    assert_eq!(tree.encode(), expected);
    assert_eq!(Tree::decode(&expected), Ok(tree.clone()));
    assert_eq!((tree.files(), tree.bytes()), (4, 515));
    assert_eq!(
        Digest::of(&expected).to_string(),
        "49667c7d9ed05ce28225229126afae6a03d6b2b02344fbbcbc1bf9e8d4d9b896"
    );
    assert_eq!(
        Digest::of(&Tree::default().encode()).to_string(),
        "16ee8ff46cd8650d9bbf8187184b6137976b9afb98af5c1b66654cfea6608e6d"
    );
}

#[test]
fn what_breaks_a_rule_is_refused() {
    let digest = Digest::of(b"");
    let file = EntryKind::File { size: 0, digest, executable: false };
    for name in ["", ".", "..", "a/b", "a\0", &"n".repeat(256)] {
        assert_eq!(Tree::new(vec![entry(name, file.clone())]), Err(TreeError::Name), "{name:?}");
    }
    for target in [String::new(), "a\0".into(), "t".repeat(4096)] {
        let link = EntryKind::Symlink { target: target.into() };
        assert_eq!(Tree::new(vec![entry("l", link)]), Err(TreeError::Name));
    }
    let twice = vec![entry("a", file.clone()), entry("a", file.clone())];
    assert_eq!(Tree::new(twice), Err(TreeError::Order));
    let huge = EntryKind::Directory { files: 0, bytes: u64::MAX, digest };
    let sum = vec![entry("a", huge.clone()), entry("b", huge)];
    assert_eq!(Tree::new(sum), Err(TreeError::Total));
}

#[test]
fn every_altered_frame_is_refused() {
    let bytes = example().encode();
    for end in 0..bytes.len() {
        assert!(Tree::decode(&bytes[..end]).is_err(), "cut to {end}");
    }
    assert_eq!(Tree::decode(&[bytes.as_slice(), b"\0"].concat()), Err(TreeError::Length));
    assert_eq!(Tree::decode(b"astree\0\x02\0\0\0\0"), Err(TreeError::Magic));
    assert_eq!(Tree::decode(b"astree\0\x01\xff\xff\xff\xff"), Err(TreeError::Length));
    assert_eq!(Tree::decode(b"astree\0\x01\x01\0\0\0\x05\x01a"), Err(TreeError::Kind));
}

fn any_entry() -> impl Strategy<Value = TreeEntry> {
    let name = prop::collection::vec(any::<u8>(), 1..6);
    let kind = prop_oneof![
        (any::<u64>(), any::<[u8; 32]>(), any::<bool>()).prop_map(|(size, digest, executable)| {
            EntryKind::File { size, digest: Digest::from_bytes(digest), executable }
        }),
        (any::<u64>(), any::<u64>(), any::<[u8; 32]>()).prop_map(|(files, bytes, digest)| {
            EntryKind::Directory { files, bytes, digest: Digest::from_bytes(digest) }
        }),
        prop::collection::vec(any::<u8>(), 1..20).prop_map(|target| EntryKind::Symlink { target }),
    ];
    (name, kind).prop_map(|(name, kind)| TreeEntry { name, kind })
}

proptest! {
    #[test]
    fn encoding_round_trips(entries in prop::collection::vec(any_entry(), 0..8)) {
        if let Ok(tree) = Tree::new(entries) {
            prop_assert_eq!(Tree::decode(&tree.encode()), Ok(tree));
        }
    }

    #[test]
    fn only_the_one_encoding_is_accepted(
        entries in prop::collection::vec(any_entry(), 0..4),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        if let Ok(tree) = Tree::new(entries) {
            let mut bytes = tree.encode();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(other) = Tree::decode(&bytes) {
                prop_assert_eq!(other.encode(), bytes);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(rest in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Tree::decode(&rest);
        let _ = Tree::decode(&[b"astree\0\x01\x02\0\0\0".as_slice(), &rest].concat());
    }
}
