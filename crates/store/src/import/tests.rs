use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::*;

fn import(store: &Store, source: &Path, now: SystemTime) -> Imported {
    store.import_at(source, &ImportOptions::default(), now, &mut |_| ()).unwrap()
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
    let object = store.dir.join("objects").join(crate::object::object_name(&aseptic_model::Digest::of(b"a")));
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
    let root = open_directory(&source).unwrap();
    let path = source.join("a");
    let meddlers: [&dyn Fn(); 3] =
        [&|| fs::write(&path, "longer").unwrap(), &|| fs::write(&path, "b").unwrap(), &|| {
            File::options().write(true).open(&path).unwrap().set_len(0).unwrap()
        }];
    for meddle in meddlers {
        // An old time, because on some kernels two writes within milliseconds get the same one.
        File::open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let writer = Writer::new(&store);
        let result = read_file(&root, &writer, &mut [0; 16], b"a", |_| meddle());
        assert!(matches!(result, Err(ImportError::Changed { path }) if path == "a"));
    }
    fs::remove_file(&path).unwrap();
    rustix::fs::mkfifoat(&root, "a", rustix::fs::Mode::RUSR).unwrap();
    let result = read_file(&root, &Writer::new(&store), &mut [0; 16], b"a", |_| ());
    assert!(matches!(result, Err(ImportError::Changed { .. })), "a FIFO was swapped in");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("d/b", &path).unwrap();
    let result = read_file(&root, &Writer::new(&store), &mut [0; 16], b"a", |_| ());
    assert!(matches!(result, Err(ImportError::Changed { .. })), "a link was swapped in");
}
