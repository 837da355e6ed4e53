//! Verification of a part, what a view is after a power cut, and who can write what leaves the store.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aseptic_model::Digest;
use aseptic_store::{Damage, DamageCause, Existing, Extent, Store, Verified, VerifyError, ViewError};

use crate::view::flip;
use crate::{Env, assert_success, child, listing, path, role_dir};

/// Writes files of which most are in packs, one is a file of its own, and one is read by several threads.
fn mixed(env: &Env) -> Digest {
    for number in 0..300 {
        env.write(&format!("source/{}/{number}", number % 3), format!("file {number}"));
    }
    let mut large = Vec::new();
    (0_u32..3 << 20).for_each(|number| large.extend(number.wrapping_mul(2_654_435_761).to_le_bytes()));
    env.write("source/large", &large);
    env.write("source/own", &large[..1 << 20]);
    env.import("source").snapshot.digest
}

fn packs(env: &Env) -> Vec<PathBuf> {
    fs::read_dir(env.path("store/packs")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Waits until a change now would be told from one before, as far as the clock of files goes.
fn settle(path: &Path) {
    while fs::metadata(path).unwrap().ctime() + 3 > now() {
        thread::sleep(Duration::from_millis(50));
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

fn damaged(result: Result<Verified, VerifyError>) -> Vec<String> {
    let VerifyError::Damaged { list, .. } = result.unwrap_err() else { unreachable!("not damage") };
    list.iter().map(|damage| format!("{}: {}", damage.path, damage.cause)).collect()
}

#[test]
fn files_of_every_form_are_shown_and_verified() {
    let env = Env::new();
    let digest = mixed(&env);
    assert!(!packs(&env).is_empty(), "small files are in packs");
    let view = env.store.view(&digest).unwrap();
    for (name, _, content) in listing(&view) {
        let source = env.path("source").join(&name);
        assert!(source.is_dir() || fs::read(source).unwrap() == content, "{}", name.display());
    }
    assert_eq!(listing(&view).len(), 305);
    let whole = env.store.verify(&digest, &mut |_| ()).unwrap();
    assert_eq!((whole.files, whole.bytes), (302, 13_633_778));

    flip(&view.join("large"));
    let found = damaged(env.store.verify(&digest, &mut |_| ()));
    let linked = env.object(&Digest::of(&fs::read(env.path("source/large")).unwrap())).exists();
    let cause = if linked { "other content" } else { "other content in the view" };
    assert_eq!(found, [format!("large: {cause}")]);
}

#[test]
fn a_flipped_bit_of_a_pack_is_found_and_never_shown() {
    let env = Env::new();
    let digest = mixed(&env);
    let content = b"file 123";
    let pack = packs(&env).into_iter().find(|pack| {
        let bytes = fs::read(pack).unwrap();
        bytes.windows(content.len()).any(|window| window == content)
    });
    let pack = pack.unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    let at = bytes.windows(content.len()).position(|window| window == content).unwrap();
    bytes[at + 7] ^= 1;
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
    assert_eq!(damaged(env.store.verify(&digest, &mut |_| ())), ["0/123: other content"]);
    let ViewError::Damaged { list, .. } = env.store.view(&digest).unwrap_err() else {
        panic!("the damage was not found")
    };
    assert_eq!(list, [Damage { path: path("0/123"), cause: DamageCause::Content }]);
    assert_eq!(fs::read_dir(env.path("store/views")).unwrap().count(), 0);
}

#[test]
fn what_a_power_cut_may_have_left_half_is_not_shown() {
    let env = Env::new();
    let digest = mixed(&env);
    let view = env.store.view(&digest).unwrap();
    let standing = view.parent().unwrap().join("standing");
    let says = |text: &str| {
        fs::remove_file(&standing).unwrap();
        fs::write(&standing, text).unwrap();
    };
    assert!(fs::read_to_string(&standing).unwrap().starts_with("until reboot "), "it was not waited for");
    // After a power cut: another system runs, a file is empty, and one is gone.
    says("until reboot 00000000-0000-0000-0000-000000000000\n");
    fs::set_permissions(view.join("1"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(view.join("1/1"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(view.join("1/1"), "").unwrap();
    fs::remove_file(view.join("1/4")).unwrap();
    env.store.verify(&digest, &mut |_| ()).unwrap();
    let views: Vec<_> = thread::scope(|scope| {
        let build = || Store::open(&env.path("store")).unwrap().view(&digest).unwrap();
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(build)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(views.iter().all(|found| *found == view));
    assert_eq!(fs::read_to_string(view.join("1/1")).unwrap(), "file 1");
    assert_eq!(listing(&view).len(), 305);
    assert_eq!(fs::read_to_string(&standing).unwrap(), "on disk\n", "nor is it built a third time");
    assert_eq!(fs::read_dir(env.path("store/tmp")).unwrap().count(), 0);
    env.store.verify(&digest, &mut |_| ()).unwrap();
    let built = fs::metadata(&view).unwrap().ino();
    assert_eq!(fs::metadata(env.store.view(&digest).unwrap()).unwrap().ino(), built);
    // Neither is one of which nothing is said, such as a view of an older version of the store.
    fs::remove_file(&standing).unwrap();
    assert_ne!(fs::metadata(env.store.view(&digest).unwrap()).unwrap().ino(), built);
}

#[test]
fn a_sample_reads_so_many_files() {
    let env = Env::new();
    let digest = mixed(&env);
    for (wanted, files) in [(0, 0), (1, 1), (50, 50), (1000, 302)] {
        let sample = Extent::Sample { files: wanted, seed: 7 };
        let read = env.store.verify_part(&digest, sample, &mut |_| ()).unwrap();
        assert_eq!(read.files, files);
        assert_eq!(read, env.store.verify_part(&digest, sample, &mut |_| ()).unwrap());
    }
    // Seeds that choose the damaged file find it, and no other does.
    flip(&env.object(&Digest::of(&fs::read(env.path("source/own")).unwrap())));
    let found = |seed| {
        let sample = Extent::Sample { files: 150, seed };
        env.store.verify_part(&digest, sample, &mut |_| ()).is_err()
    };
    let count = (0..40).filter(|seed| found(*seed)).count();
    assert!((5..35).contains(&count), "{count} of 40 samples of half of the files");
}

#[test]
fn only_what_changed_is_read_again() {
    let env = Env::new();
    let digest = mixed(&env);
    env.store.view(&digest).unwrap();
    let changed = || env.store.verify_part(&digest, Extent::Changed, &mut |_| ());
    assert_eq!(changed().unwrap().files, 302, "nothing is known yet");
    settle(&env.path("store/views"));
    let sample = Extent::Sample { files: 302, seed: 0 };
    env.store.verify_part(&digest, sample, &mut |_| ()).unwrap();
    assert_eq!(changed().unwrap().files, 302, "a sample is not kept, and what was fresh was not either");
    assert_eq!(changed().unwrap(), Verified::default());

    // A write changes the state, whatever time the file says it has.
    let own = env.object(&Digest::of(&fs::read(env.path("source/own")).unwrap()));
    let modified = fs::metadata(&own).unwrap().modified().unwrap();
    flip(&own);
    fs::File::open(&own).unwrap().set_modified(modified).unwrap();
    assert_eq!(damaged(changed()), ["own: other content"]);
    assert_eq!(damaged(changed()), ["own: other content"], "damage is never taken for known");
    flip(&own);
    assert_eq!(changed().unwrap().files, 302, "after damage everything is read again");

    // Fresh again: it is read until it has settled.
    settle(&own);
    assert_eq!(changed().unwrap().files, 1);
    assert_eq!(changed().unwrap(), Verified::default());

    // The copies in the view count, too.
    let copy = env.store.view(&digest).unwrap().join("1/1");
    flip(&copy);
    assert_eq!(damaged(changed()), ["1/1: other content in the view"]);
}

#[test]
fn nothing_that_leaves_the_store_shares_a_file_with_it() {
    let env = Env::new();
    let digest = mixed(&env);
    let view = env.store.view(&digest).unwrap();
    let inodes = |dir: &Path| {
        let found = listing(dir).into_iter().map(|(name, ..)| fs::metadata(dir.join(name)).unwrap().ino());
        found.collect::<HashSet<u64>>()
    };
    let inside = inodes(&env.path("store"));
    for (name, mode, _) in listing(&view) {
        assert_eq!(mode & 0o222, 0, "{} can be written", name.display());
    }
    let lease = env.store.lease().unwrap();
    env.store.export(&lease, &digest, None, &env.path("export"), Existing::Refuse).unwrap();
    assert!(inodes(&env.path("export")).is_disjoint(&inside), "an export is a copy");
    assert!(inodes(&env.path("source")).is_disjoint(&inside), "an import is a copy");
    for place in ["export", "source"] {
        for (name, mode, _) in listing(&env.path(place)) {
            if mode & 0o170_000 == 0o100_000 {
                fs::write(env.path(place).join(name), "written by its owner").unwrap();
            }
        }
    }
    env.store.verify(&digest, &mut |_| ()).unwrap();
    assert_eq!(fs::metadata(env.path("store")).unwrap().mode() & 0o777, 0o700, "nobody else gets there");
}

#[test]
fn a_umask_takes_nothing_from_a_view() {
    let env = Env::new();
    let digest = mixed(&env);
    fs::write(env.path("digest"), digest.to_string()).unwrap();
    let wrapper = ["sh", "-c", "umask 077 && exec \"$@\"", "sh"];
    assert_success(&child(&wrapper, "verify::role_view", &env.dir).output().unwrap());
    for (name, mode, _) in listing(&env.store.view(&digest).unwrap()) {
        assert_eq!(mode & 0o444, 0o444, "{}", name.display());
    }
}

#[test]
fn role_view() {
    let Some(dir) = role_dir() else { return };
    let digest = fs::read_to_string(dir.join("digest")).unwrap().parse().unwrap();
    Store::open(&dir.join("store")).unwrap().view(&digest).unwrap();
}

#[test]
fn directories_are_listed_without_reading_the_tree() {
    let env = Env::new();
    let digest = mixed(&env);
    let listed: Vec<String> =
        env.store.directories(&digest).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(listed, ["0", "1", "2"]);
    let list = env.store.view(&digest).unwrap().parent().unwrap().join("directories");
    let again = || env.store.directories(&digest).unwrap().len();
    assert_eq!(again(), 3);
    fs::remove_file(&list).unwrap();
    assert_eq!(again(), 3, "without the list the tree is read");
    fs::write(&list, "asdirs").unwrap();
    assert_eq!(again(), 3, "a damaged list is not used");
}
