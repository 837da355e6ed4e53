use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use aseptic_model::Digest;
use rustix::fs::Mode;

use super::read::Reader;
use super::*;
use std::sync::Arc;

use crate::forest::{Branch, Place, directory_to_come, file_to_come};
use crate::tree::EntryKind;

const NEVER: Duration = Duration::MAX;

fn import(store: &Store, source: &Path, now: SystemTime) -> Imported {
    import_with(store, source, &ImportOptions::default(), now)
}

fn import_with(store: &Store, source: &Path, options: &ImportOptions<'_>, now: SystemTime) -> Imported {
    let pace = Pace { now, checkpoint_every: NEVER };
    let lease = store.lease().unwrap();
    store.import_at(&lease, source, options, pace, &mut |_| ControlFlow::Continue(())).unwrap()
}

fn tree(dir: &Path) -> PathBuf {
    let source = dir.join("source");
    fs::create_dir_all(source.join("d")).unwrap();
    fs::write(source.join("a"), "a").unwrap();
    fs::write(source.join("d/b"), "b").unwrap();
    source
}

/// Long after anything was written, so that the index records everything.
fn later() -> SystemTime {
    SystemTime::now() + Duration::from_secs(3600)
}

#[test]
fn paths_are_left_out_with_all_that_is_below() {
    let dir = tempfile::tempdir().unwrap();
    let (store, source) = (Store::open(&dir.path().join("store")).unwrap(), tree(dir.path()));
    fs::create_dir_all(source.join("e/d")).unwrap();
    for file in ["d/a", "da", "d.x", "e/d/b"] {
        fs::write(source.join(file), "1").unwrap();
    }
    let mut without = ["d", "d.x", "e/none", "a"].map(|path| path.parse().unwrap());
    without.sort_by(|one: &FilePath, other| one.as_bytes().cmp(other.as_bytes()));
    let options = ImportOptions { without: &without, ..ImportOptions::default() };
    let imported = import_with(&store, &source, &options, later());
    let walked = store.walk(&imported.snapshot.digest).unwrap().map(|entry| entry.unwrap().0.to_string());
    assert_eq!(walked.collect::<Vec<_>>(), ["da", "e", "e/d", "e/d/b"]);
}

#[test]
fn an_unchanged_file_is_not_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, source) = (Store::open(&dir.path().join("store")).unwrap(), tree(dir.path()));
    let first = import(&store, &source, later());
    assert_eq!(first.files_read, 2);
    let again = import(&store, &source, later());
    assert_eq!((again.snapshot, again.files_read), (first.snapshot, 0));

    fs::write(source.join("a"), "A").unwrap();
    let changed = import(&store, &source, later());
    assert_eq!(changed.files_read, 1);
    assert_ne!(changed.snapshot.digest, first.snapshot.digest);

    // Replaced by another file of the same size and time: the inode and time of change tell.
    let time = fs::metadata(source.join("d/b")).unwrap().modified().unwrap();
    fs::write(source.join("new"), "B").unwrap();
    File::open(source.join("new")).unwrap().set_modified(time).unwrap();
    fs::rename(source.join("new"), source.join("d/b")).unwrap();
    assert_eq!(import(&store, &source, later()).files_read, 1);

    // Only the mode: the content is read, and the snapshot differs.
    fs::set_permissions(source.join("a"), fs::Permissions::from_mode(0o755)).unwrap();
    let executable = import(&store, &source, later());
    assert_ne!(executable.snapshot.digest, changed.snapshot.digest);
}

#[test]
fn a_file_written_just_before_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, source) = (Store::open(&dir.path().join("store")).unwrap(), tree(dir.path()));
    let now = fs::metadata(source.join("a")).unwrap().modified().unwrap();
    assert_eq!(import(&store, &source, now).files_read, 2);
    assert_eq!(import(&store, &source, now).files_read, 2);
}

#[test]
fn a_lost_object_comes_back_and_a_damaged_index_is_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let (store, source) = (Store::open(&dir.path().join("store")).unwrap(), tree(dir.path()));
    let first = import(&store, &source, later());
    let object = store.dir.join("objects").join(crate::object::object_name(&Digest::of(b"a")));
    fs::remove_file(&object).unwrap();
    assert_eq!(import(&store, &source, later()).files_read, 1);
    assert!(object.exists());
    for entry in fs::read_dir(store.dir.join("index")).unwrap() {
        fs::write(entry.unwrap().path(), "damaged").unwrap();
    }
    let again = import(&store, &source, later());
    assert_eq!((again.snapshot, again.files_read), (first.snapshot, 2));
}

#[test]
fn a_single_file_is_known_too() {
    let dir = tempfile::tempdir().unwrap();
    let (store, source) = (Store::open(&dir.path().join("store")).unwrap(), tree(dir.path()));
    let first = import(&store, &source.join("a"), later());
    assert_eq!((first.snapshot.files, first.files_read), (1, 1));
    assert_eq!(import(&store, &source.join("a"), later()).files_read, 0);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, source) = (Store::open(&dir.path().join("store")).unwrap(), tree(dir.path()));
    let lease = store.lease().unwrap();
    let root = open_directory(&source).unwrap();
    let path = source.join("a");
    // In one piece, streamed, and in chunks: a buffer of one byte has no room for what has grown.
    for (buffer, chunked_min) in [(16, u64::MAX), (1, u64::MAX), (1, 1)] {
        let read = |seen: &(dyn Fn() + Sync)| {
            let writer = Writer::new(&store, &lease);
            let mut reader = Reader::new(&writer);
            reader.chunked_min = chunked_min;
            let read = reader.read_seen(&root, b"a", b"a", &mut vec![0; buffer], &|| false, &|| seen());
            read.map(|read| read.kind)
        };
        let meddlers: [&(dyn Fn() + Sync); 3] =
            [&|| fs::write(&path, "longer").unwrap(), &|| fs::write(&path, "b").unwrap(), &|| {
                File::options().write(true).open(&path).unwrap().set_len(0).unwrap()
            }];
        for meddle in meddlers {
            fs::write(&path, "a").unwrap();
            // An old time, because on some kernels two writes within milliseconds get the same one.
            File::open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
            assert!(matches!(read(meddle), Err(ImportError::Changed { path }) if path == "a"));
        }
        fs::write(&path, "a").unwrap();
        let kind = EntryKind::File { size: 1, digest: Digest::of(b"a"), executable: false };
        assert_eq!(read(&|| ()).unwrap(), kind, "nobody wrote");
        fs::remove_file(&path).unwrap();
        rustix::fs::mkfifoat(&root, "a", Mode::RUSR).unwrap();
        assert!(matches!(read(&|| ()), Err(ImportError::Changed { .. })), "a FIFO was swapped in");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("d/b", &path).unwrap();
        assert!(matches!(read(&|| ()), Err(ImportError::Changed { .. })), "a link was swapped in");
        fs::remove_file(&path).unwrap();
    }
}

/// Content of each file of a tree of many.
fn many(source: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let content = |number: u32| number.to_string().repeat(500).into_bytes();
    let files = (0..300).map(|number| (source.join(format!("{}/{number}", number % 60)), content(number)));
    let files: BTreeMap<_, _> = files.collect();
    for (path, content) in &files {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    files
}

#[test]
fn an_interrupted_import_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (store, source) = (Store::open(&dir.path().join("store")).unwrap(), dir.path().join("source"));
    let files = many(&source);
    let lease = store.lease().unwrap();
    let mut rounds = 0;
    let mut left = files.len() as u64;
    let last = loop {
        let mut stop_at = |progress: Progress| {
            let stop = progress.step == Step::Read && progress.files >= 60;
            if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let pace = Pace { now: later(), checkpoint_every: NEVER };
        match store.import_at(&lease, &source, &ImportOptions::default(), pace, &mut stop_at) {
            Ok(imported) => break imported,
            Err(error) => assert!(matches!(error, ImportError::Interrupted), "{error}"),
        }
        assert_eq!(fs::read_dir(store.dir.join("tmp")).unwrap().count(), 0, "nothing is left in tmp");
        // Every file that was taken is there and is not read again.
        let taken = files.values().filter(|content| store.has(&Digest::of(content))).count() as u64;
        assert!(files.len() as u64 - taken <= left - 60, "{taken} are taken");
        left = files.len() as u64 - taken;
        rounds += 1;
    };
    assert!(rounds >= 2, "{rounds}");
    assert_eq!(last.files_read, left);
    let other = Store::open(&dir.path().join("other")).unwrap();
    assert_eq!(import(&other, &source, later()).snapshot, last.snapshot);
    assert_eq!(import(&store, &source, later()).files_read, 0);
}

#[test]
fn a_failed_import_is_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (store, source) = (Store::open(&dir.path().join("store")).unwrap(), dir.path().join("source"));
    let files = many(&source);
    let lease = store.lease().unwrap();
    let mut first = true;
    let mut spoil = |progress: Progress| {
        if progress.files >= 60 && progress.step == Step::Read && std::mem::take(&mut first) {
            files.keys().for_each(|path| drop(fs::remove_file(path)));
        }
        ControlFlow::Continue(())
    };
    let pace = Pace { now: later(), checkpoint_every: NEVER };
    let error = store.import_at(&lease, &source, &ImportOptions::default(), pace, &mut spoil).unwrap_err();
    assert!(matches!(error, ImportError::Changed { .. }), "{error}");
    assert!(files.values().filter(|content| store.has(&Digest::of(content))).count() >= 60);
}

#[test]
fn a_killed_import_goes_on_at_its_last_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let (store, source) = (Store::open(&dir.path().join("store")).unwrap(), dir.path().join("source"));
    let files = many(&source);
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "import::tests::role_killed", "--nocapture"])
        .env("ASEPTIC_STORE_TEST_DIR", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // When a line comes, the checkpoint of the line before is done.
    let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut reported =
        lines.filter_map(|line| line.strip_prefix("files ")?.parse().ok()).filter(|count| *count >= 60);
    let taken: u64 = reported.next().unwrap();
    reported.find(|count| *count > taken).unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    let imported = import(&store, &source, later());
    assert_eq!(imported.snapshot.files, files.len() as u64);
    assert!(imported.files_read <= files.len() as u64 - taken, "{} were read again", imported.files_read);
    assert_eq!(fs::read_dir(store.dir.join("tmp")).unwrap().count(), 0, "nothing is left in tmp");
}

#[test]
fn role_killed() {
    let Some(dir) = std::env::var_os("ASEPTIC_STORE_TEST_DIR").map(PathBuf::from) else { return };
    let store = Store::open(&dir.join("store")).unwrap();
    let mut report = |progress: Progress| {
        if progress.step == Step::Read {
            std::io::stdout().write_all(format!("files {}\n", progress.files).as_bytes()).unwrap();
        }
        ControlFlow::Continue(())
    };
    let pace = Pace { now: later(), checkpoint_every: Duration::ZERO };
    let lease = store.lease().unwrap();
    store.import_at(&lease, &dir.join("source"), &ImportOptions::default(), pace, &mut report).unwrap();
}

#[test]
fn directories_are_stored_as_soon_as_they_are_complete() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let lease = store.lease().unwrap();
    let writer = Writer::new(&store, &lease);
    let root = Branch::root();
    let names =
        |names: &[&str]| names.iter().map(|name| directory_to_come(name.as_bytes().to_vec())).collect();
    assert!(root.fill(names(&["a", "b"]), 2, &writer).unwrap().is_none());
    let below = Place { branch: Arc::clone(&root), slot: 0 }.open();
    assert_eq!(below.path(), b"a");
    assert!(below.fill(names(&["c"]), 1, &writer).unwrap().is_none());
    let weak = Arc::downgrade(&below);
    let deepest = Place { branch: below, slot: 0 }.open();
    assert!(deepest.fill(Vec::new(), 0, &writer).unwrap().is_none());
    drop(deepest);
    assert!(weak.upgrade().is_none(), "memory does not hold what is stored");
    let other = Place { branch: root, slot: 1 }.open();
    let file = |name: &[u8]| file_to_come(name.to_vec());
    assert!(other.fill(vec![file(b"y"), file(b"x")], 2, &writer).unwrap().is_none());
    let kind = EntryKind::File { size: 1, digest: Digest::of(b"x"), executable: false };
    assert!(other.set([(1, kind.clone())], &writer).unwrap().is_none());
    let snapshot = other.set([(0, kind)], &writer).unwrap().unwrap();
    assert_eq!((snapshot.files, snapshot.bytes), (2, 2));
}
