//! Against a repository that git 2 made: two commits, packed with `git repack -adf`, so that the tree `src` of the first
//! is a difference from that of the second.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use aseptic_store::{Ignore, ImportOptions, Links, Special};

use super::*;

const FIRST: &str = "d8ebb2129a640e4720bd1c099b97b20084fe291a";
const SECOND: &str = "7a295a44130e71804c493cad645e6a8b662b3747";

struct World {
    dir: tempfile::TempDir,
    commit: &'static str,
}

impl World {
    /// A working tree as `commit` has it.
    fn at(commit: &'static str) -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap(), commit };
        world.write("code/.git/HEAD", commit);
        world.write("code/.git/objects/pack/pack-1.pack", include_bytes!("two-commits.pack"));
        world.write("code/.git/objects/pack/pack-1.idx", include_bytes!("two-commits.idx"));
        for number in 10..70 {
            world.write(&format!("code/src/f{number}.txt"), format!("line {number}\n"));
        }
        let main = world.write("code/main.py", if commit == FIRST { "print(1)\n" } else { "print(2)\n" });
        fs::set_permissions(main, fs::Permissions::from_mode(0o755)).unwrap();
        if commit == SECOND {
            world.write("code/src/f30.txt", "y\n");
        }
        symlink("main.py", world.path("code/link")).unwrap();
        world.write("code/src/deep/x", "x\n");
        world.write("code/.gitignore", "ignored.bin\n");
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// What is said of the code in the directory `root`.
    fn why_not(&self, root: &str) -> Option<String> {
        let (store, code) = self.taken(root);
        why_not(&store, &code, &self.path(root), None)
    }

    fn taken(&self, root: &str) -> (Store, Code) {
        let store = Store::open(&self.path("store")).unwrap();
        let lease = store.lease().unwrap();
        let options = ImportOptions {
            leave_out: None,
            without: &[],
            ignore: Ignore::GitRules,
            special: Special::Skip,
            links: Links::Keep,
            paranoid: false,
        };
        let root = self.path(root);
        let taken = store
            .import(&lease, &root, &options, &mut |_| std::ops::ControlFlow::Continue(()))
            .unwrap()
            .snapshot;
        let git_commit = super::super::git::commit_of(&root);
        assert!(git_commit.is_none() || git_commit.as_deref() == Some(self.commit));
        drop(lease);
        (
            store,
            Code {
                snapshot: taken.digest,
                files: taken.files,
                bytes: taken.bytes,
                git_commit,
                labels: std::collections::BTreeSet::new(),
            },
        )
    }
}

#[test]
fn what_a_commit_has_is_clean() {
    for commit in [FIRST, SECOND] {
        let world = World::at(commit);
        assert_eq!(world.why_not("code"), None, "{commit}");
        assert_eq!(world.why_not("code/src/deep"), None, "a directory of it, {commit}");
        world.write("code/ignored.bin", "what git does not see either");
        fs::create_dir_all(world.path("code/empty/directories")).unwrap();
        assert_eq!(world.why_not("code"), None, "{commit}");
        // What is in the commit and not in the run does nothing to the run.
        world.write("code/.asepticignore", "src/deep\n.asepticignore\n");
        assert_eq!(world.why_not("code"), None, "{commit}");
    }
}

#[test]
fn a_change_is_named() {
    let change = |what: &dyn Fn(&World)| {
        let world = World::at(SECOND);
        what(&world);
        world.why_not("code").unwrap()
    };
    assert_eq!(
        change(&|world| drop(world.write("code/src/f42.txt", "line 43\n"))),
        "`src/f42.txt` differs from its commit"
    );
    assert_eq!(change(&|world| drop(world.write("code/new", ""))), "`new` is in no commit");
    assert_eq!(change(&|world| drop(world.write("code/n/e/w", ""))), "`n/e/w` is in no commit");
    assert_eq!(
        change(&|world| world.remove("code/src/f10.txt")),
        "`src/f10.txt` is in its commit and was removed"
    );
    assert_eq!(
        change(&|world| fs::remove_dir_all(world.path("code/src/deep")).unwrap()),
        "`src/deep/x` is in its commit and was removed"
    );
    let mode = fs::Permissions::from_mode(0o644);
    assert_eq!(
        change(&|world| fs::set_permissions(world.path("code/main.py"), mode.clone()).unwrap()),
        "`main.py` differs from its commit"
    );
    let link = |world: &World| {
        world.remove("code/link");
        symlink("src", world.path("code/link")).unwrap();
    };
    assert_eq!(change(&link), "`link` differs from its commit");
    let file = |world: &World| {
        world.remove("code/link");
        world.write("code/link", "main.py");
    };
    assert_eq!(change(&file), "`link` differs from its commit");
}

#[test]
fn loose_objects_are_read_too() {
    let world = World::at(FIRST);
    let objects = Objects::open(&world.path("code/.git"));
    let loose = |kind: &str, id: &Id, digits: &str| {
        let content = objects.get(kind, id).unwrap();
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        write!(encoder, "{kind} {}\0", content.len()).unwrap();
        encoder.write_all(&content).unwrap();
        world.write(
            &format!("code/.git/objects/{}/{}", &digits[..2], &digits[2..]),
            encoder.finish().unwrap(),
        );
        content
    };
    loose("commit", &Id::parse(FIRST).unwrap(), FIRST);
    for digits in [
        "ac770e0adf3529b110246d4a906737632fd22221",
        "c0387101e1c509b1c19250b61385cc322a3b7667",
        "ab69b4abf3bb84d4e268bd42d84e4a9a5e242bd3",
    ] {
        loose("tree", &Id::parse(digits).unwrap(), digits);
    }
    fs::remove_dir_all(world.path("code/.git/objects/pack")).unwrap();
    assert_eq!(world.why_not("code"), None);
    // A repository may borrow the objects of another.
    fs::rename(world.path("code/.git/objects"), world.path("lent")).unwrap();
    world.write("code/.git/objects/info/alternates", format!("{}\n", world.path("lent").display()));
    assert_eq!(world.why_not("code"), None);
}

#[test]
fn what_cannot_be_read_counts_as_changed() {
    let unreadable = Some("its commit cannot be read from the repository".to_owned());
    let world = World::at(SECOND);
    fs::remove_dir_all(world.path("code/.git")).unwrap();
    assert_eq!(world.why_not("code").as_deref(), Some("it is not in a git repository with a commit"));
    let world = World::at(SECOND);
    fs::remove_dir_all(world.path("code/.git/objects")).unwrap();
    assert_eq!(world.why_not("code"), unreadable);
    for file in ["pack", "idx"] {
        let world = World::at(FIRST);
        let path = world.path(&format!("code/.git/objects/pack/pack-1.{file}"));
        let bytes = fs::read(&path).unwrap();
        let (store, code) = world.taken("code");
        let said = || why_not(&store, &code, &world.path("code"), None);
        // Whatever is damaged: it is clean as it is, or it cannot be read, and nothing panics or goes on for ever.
        for at in (0..bytes.len()).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xff;
            fs::write(&path, damaged).unwrap();
            let found = said();
            assert!(found.is_none() || found == unreadable, "{file} {at}: {found:?}");
        }
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert_eq!(said(), unreadable);
        fs::write(&path, &bytes).unwrap();
        assert_eq!(said(), None);
    }
}
