//! A dataset stays what it is, whatever a job or a user does with what they are given. Each attempt has a twin
//! on a file that may be written, which works. As root, too: no mode keeps that one out.

use std::fs;

use crate::world::{World, contents};

/// Tries to write to the files in the directory of its first argument, and prints which attempts worked.
const ATTEMPTS: &str = r#"
import ctypes, fcntl, mmap, os, shutil, sys
directory = sys.argv[1]
file = os.path.join(directory, 'x')
libc = ctypes.CDLL(None, use_errno=True)

def write(flags):
    opened = os.open(file, flags)
    os.write(opened, b'!')
def reopen():
    opened = os.open(file, os.O_RDONLY)
    os.write(os.open(f'/proc/self/fd/{opened}', os.O_WRONLY), b'!')
def granted():
    os.chmod(file, 0o666)
    write(os.O_WRONLY)
def mapped():
    opened = os.open(file, os.O_RDWR)
    mmap.mmap(opened, 1, mmap.MAP_SHARED, mmap.PROT_WRITE)[0] = 33
def punched():
    opened = os.open(file, os.O_WRONLY)
    if libc.fallocate(opened, 3, ctypes.c_long(0), ctypes.c_long(1)) != 0:
        raise OSError(ctypes.get_errno(), 'fallocate')
def linked():
    os.link(file, os.path.join(directory, 'link'))
    os.write(os.open(os.path.join(directory, 'link'), os.O_WRONLY), b'!')
def replaced():
    with open(os.path.join(directory, 'new'), 'w') as new:
        new.write('!')
    os.rename(os.path.join(directory, 'new'), file)
def attribute():
    os.setxattr(file, 'user.test', b'!')

attempts = {
    'write': lambda: write(os.O_WRONLY), 'append': lambda: write(os.O_WRONLY | os.O_APPEND),
    'read and write': lambda: write(os.O_RDWR), 'truncating': lambda: write(os.O_WRONLY | os.O_TRUNC),
    'truncate': lambda: os.truncate(file, 1), 'reopen': reopen, 'granted': granted, 'mapped': mapped,
    'punched': punched, 'linked': linked, 'touched': lambda: os.utime(file, (1, 1)),
    'moved': lambda: os.rename(file, os.path.join(directory, 'moved')),
    'replaced': replaced, 'attribute': attribute, 'made': lambda: os.mkdir(os.path.join(directory, 'd')),
    'owned': lambda: os.chown(file, os.getuid(), os.getgid()),
    'opened up': lambda: os.chmod(directory, 0o777), 'removed': lambda: os.unlink(file),
}
for name, attempt in attempts.items():
    try:
        attempt()
        print(name)
    except OSError:
        pass
    if not os.path.exists(file) and directory != '/data/d':
        open(file, 'w').write('as it was')
"#;

#[test]
fn no_write_of_a_job_reaches_a_dataset() {
    let world = World::new();
    world.write("d/x", "as it was");
    world.write("d/large", vec![7; 1 << 20]);
    world.write("code/attempts.py", ATTEMPTS);
    world.ok(&["dataset", "add", "d", "--name", "d"]);
    let run = |directory: &str| {
        let script = format!(
            "mkdir -m 755 /out/d; cp /data/d/x /out/d/x; chmod 644 /out/d/x; \
             python3 code/attempts.py {directory}; cat /data/d/x >&2; sha256sum /data/d/large >&2"
        );
        let output = world.output(&["run", "--quiet", "--data", "d=d", "--", "sh", "-c", &script]);
        assert!(output.status.success(), "{output:?}");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr))
    };
    let (allowed, read) = run("/data/d");
    assert_eq!(allowed, "", "a job changed a dataset");
    let (twin, again) = run("/out/d");
    assert_eq!(twin.lines().count(), 18, "an attempt is broken: {twin}");
    assert_eq!(read, again);
    assert!(read.starts_with("as it was"), "{read}");
    world.ok(&["dataset", "verify", "d"]);
}

#[test]
fn no_write_of_a_user_to_what_was_exported_or_captured_reaches_the_store() {
    let world = World::new();
    world.write("d/x", "as it was");
    world.write("d/large", vec![7; 1 << 20]);
    world.ok(&["dataset", "add", "d", "--name", "d"]);
    let script = "cp /data/d/large /out/model; echo small > /out/small";
    let (code, run) = world.run_json(&["--no-code", "--data", "d=d", "--", "sh", "-c", script]);
    assert_eq!(code, 0, "{run:#}");
    world.ok(&["export", "latest", "--to", "exported"]);
    let bytes = |place: &str| {
        let found = contents(&world.path(place)).into_iter().map(|(_, bytes, _)| bytes);
        found.collect::<Vec<_>>()
    };
    let exported = bytes("project/exported");
    assert_eq!(exported.iter().map(Vec::len).collect::<Vec<_>>(), [1 << 20, 6]);
    let mut directories = vec![world.path("project/exported"), world.path("project/d")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                fs::write(path, "written by its owner").unwrap();
            }
        }
    }
    world.ok(&["dataset", "verify", "d"]);
    world.ok(&["export", "latest", "--to", "again"]);
    assert!(bytes("project/again") == exported, "the store keeps what was written to an export");
}
