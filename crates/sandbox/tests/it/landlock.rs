//! The second wall around files: what it alone stops, and that it stops nothing else.

use std::fs::File;
use std::io::Read;

use aseptic_sandbox::{Access, Ended, PrepareError, missing_walls, prepare};

use crate::support::{PYTHON, Place, With, outside, pipes, python, run};

/// A stream that the caller hands in is a file of the host that the mount namespace does not hide:
/// opened again through `/proc`, it could be written to.
#[test]
fn a_stream_cannot_be_opened_again_to_write_to_it() {
    if !missing_walls().is_empty() {
        return; // The walls of this kernel are listed by another test.
    }
    let place = Place::new();
    let file = place.file("given", "as it was");
    let script = "import errno, os
try: os.write(os.open('/proc/self/fd/0', os.O_RDWR), b'changed ')
except OSError as error: print(errno.errorcode[error.errno])
else: print('written')
print(os.read(0, 9).decode())";
    let (mut streams, mut ends) = pipes();
    streams.stdin = File::open(&file).unwrap().into();
    let mut running = prepare(&python(script), streams, &[]).unwrap().start();
    let printed = ends.read_all();
    assert_eq!((running.wait(), printed), (Ended::Exited(0), ("EACCES\nas it was\n".into(), String::new())));
    // The twin: outside of a jail the same attempt writes.
    let twin = format!("exec < {}; exec {PYTHON} -S -c \"$0\"", file.display());
    outside("/bin/sh", &["-c", &twin, script]).assert(Ended::Exited(0), "written\nchanged s");
    let mut changed = String::new();
    File::open(&file).unwrap().read_to_string(&mut changed).unwrap();
    assert_eq!(changed, "changed s");
}

#[test]
fn everything_that_a_writable_directory_is_for_works() {
    let place = Place::new();
    let script = "import os, shutil, socket, subprocess
os.chdir('/out')
os.makedirs('a/b'); os.mkdir('c')
open('a/file', 'w').write('text')
os.rename('a/file', 'c/file'); os.rename('a', 'c/a'); os.link('c/file', 'c/link'); os.symlink('file', 'c/soft')
os.truncate('c/file', 2); os.mkfifo('fifo')
socket.socket(socket.AF_UNIX).bind('socket')
shutil.copy('/bin/true', 'program'); print(subprocess.call('./program'))
os.unlink('c/link'); shutil.rmtree('c'); os.unlink('fifo'); os.unlink('socket'); os.unlink('program')
open('/dev/null', 'w').write('x'); open('/proc/self/comm', 'w').write('name')
open('/dev/shm/file', 'w').write('x'); open('/tmp/file', 'w').write('x')
print(os.listdir('.'), open('/proc/self/comm').read().strip())
print(os.system('true > /dev/null 2>&1 < /dev/null'))
master, slave = os.openpty(); os.write(slave, b'x'); print(os.read(master, 1), os.ttyname(slave))
program = os.memfd_create('program'); os.write(program, open('/bin/true', 'rb').read())
print(subprocess.call(f'/proc/self/fd/{program}', pass_fds=[program]))";
    let mut jail = python(script).bind(&place.directory("out"), "/out", Access::Write);
    jail.mounts.push(aseptic_sandbox::Mount::Memory { target: "/dev/shm".into(), bytes: 1 << 20 });
    run(&jail).assert(Ended::Exited(0), "0\n[] name\n0\nb'x' /dev/pts/0\n0");
}

/// The same attempts with a list of ports and without.
#[test]
fn only_the_listed_ports_can_be_used() {
    let script = "import errno, socket
def attempt(call, *arguments):
    try: call(*arguments)
    except OSError as error: return errno.errorcode[error.errno]
    return 'done'
listed, other = socket.socket(), socket.socket()
print(attempt(listed.bind, ('127.0.0.1', 4000)), attempt(other.bind, ('127.0.0.1', 4001)))
listed.listen()
print(attempt(socket.create_connection, ('127.0.0.1', 4000)), attempt(socket.socket().connect, ('127.0.0.1', 4001)))";
    let mut jail = python(script);
    run(&jail).assert(Ended::Exited(0), "done done\ndone ECONNREFUSED");
    jail.tcp_ports = Some(vec![4000]);
    match prepare(&jail, pipes().0, &[]) {
        Ok(_) => run(&jail).assert(Ended::Exited(0), "done EACCES\ndone EACCES"),
        Err(error) => assert!(matches!(error, PrepareError::Wall { wall: "tcp ports", .. }), "{error}"),
    }
}

/// Two ways to TCP that the kernel does not count as TCP.
#[test]
fn no_detour_leads_to_other_ports() {
    let script = "import errno, socket
def attempt(call, *arguments):
    try: call(*arguments)
    except OSError as error: return errno.errorcode[error.errno]
    return 'done'
there, FAST_OPEN = ('127.0.0.1', 4001), 0x20000000
print(attempt(socket.socket, socket.AF_INET, socket.SOCK_STREAM, 262))
print(attempt(socket.socket().sendto, b'x', FAST_OPEN, there))
print(attempt(socket.socket().sendmsg, [b'x'], [], FAST_OPEN, there))";
    run(&python(script)).assert(Ended::Exited(0), "EPROTONOSUPPORT\nENOTSUP\nENOTSUP");
}
