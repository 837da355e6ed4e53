//! What a job attempts is seen, and seeing it changes nothing.

use std::io::{BufRead, BufReader, Read};

use aseptic_sandbox::{Access, Attempts, Ended, Jail};

use crate::support::{Output, Place, With, prepared, python, run, run_watched, shell};

fn seen(jail: Jail) -> (Output, Vec<String>) {
    run_watched(&Jail { attempts: Attempts::Seen, ..jail })
}

/// The attempts whose text holds `marker`, in order.
fn with<'a>(seen: &'a [String], marker: &str) -> Vec<&'a str> {
    seen.iter().map(String::as_str).filter(|line| line.contains(marker)).collect()
}

#[test]
fn every_way_to_name_a_file_is_seen() {
    let script = "
import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True)
def attempt(call, *arguments):
    try:
        call(*arguments)
    except OSError:
        pass
libc.syscall(2, b'/mark/open', 0)
libc.syscall(85, b'/mark/creat', 0)
libc.syscall(257, -100, b'/mark/openat', 0)
libc.syscall(437, -100, b'/mark/openat2', struct.pack('QQQ', 0, 0, 0), 24)
libc.syscall(437, -100, b'/mark/openat2-write', struct.pack('QQQ', 1, 0, 0), 24)
attempt(os.execv, '/mark/execve', ['x'])
libc.syscall(322, -100, b'/mark/execveat', 0, 0, 0)
os.mkdir('/tmp/deep'); os.chdir('/tmp/deep')
attempt(open, 'mark-relative')
attempt(open, '../mark-above')
attempt(open, '/tmp/./deep//../mark-unclean')
fd = os.open('/usr/lib', os.O_RDONLY)
attempt(lambda: os.open('mark-at', os.O_RDONLY, dir_fd=fd))
attempt(lambda: os.mkdir('mark-made', dir_fd=fd))
attempt(os.rename, '/tmp/deep', '/mark/renamed')
attempt(os.unlink, '/mark/unlinked')
attempt(os.chdir, '/mark/entered')
attempt(os.symlink, 'x', '/tmp/mark-link')
attempt(os.truncate, '/mark/truncated', 0)
print('done')";
    let (output, seen) = seen(python(script));
    output.assert(Ended::Exited(0), "done");
    let expected = [
        "Open /mark/open Missing",
        "Write /mark/creat Missing",
        "Open /mark/openat Missing",
        "Open /mark/openat2 Missing",
        "Write /mark/openat2-write Missing",
        "Execute /mark/execve Missing",
        "Execute /mark/execveat Missing",
        "Open /tmp/deep/mark-relative Missing",
        "Open /tmp/mark-above Missing",
        "Open /tmp/mark-unclean Missing",
        "Open /usr/lib/mark-at Missing",
        "Write /usr/lib/mark-made ReadOnly",
        "Write /mark/renamed Missing",
        "Write /mark/unlinked Allowed",
        "Open /mark/entered Missing",
        "Write /tmp/mark-link Allowed",
        "Write /mark/truncated Missing",
    ];
    if cfg!(target_arch = "x86_64") {
        assert_eq!(with(&seen, "mark"), expected);
    }
}

#[test]
fn the_jail_is_asked_what_it_says() {
    let place = Place::new();
    place.file("input/there.txt", "x");
    let script = "
import os
for path, flags in [('/data/there.txt', 'r'), ('/data/absent.txt', 'r'), ('/data/there.txt', 'w'),
                    ('/data/new.txt', 'w'), ('/tmp/new.txt', 'w'), ('/data/link/x', 'r'), ('/tmp/out/passwd', 'r')]:
    try:
        open(path, flags)
        print('opened', path)
    except OSError as error:
        print(error.errno, path)
try:
    os.execv('/data/there.txt', ['x'])
except OSError as error:
    print(error.errno)
os.symlink('/etc', '/tmp/out2')
print(len(open('/tmp/out2/passwd').read()) > 0)";
    let (output, seen) = seen(python(script).bind(&place.path("input"), "/data", Access::Read));
    output.assert(
        Ended::Exited(0),
        "opened /data/there.txt\n2 /data/absent.txt\n30 /data/there.txt\n30 /data/new.txt\n\
         opened /tmp/new.txt\n2 /data/link/x\n2 /tmp/out/passwd\n13\nTrue",
    );
    let expected = [
        "Open /data/there.txt Allowed",
        "Open /data/absent.txt Missing",
        "Write /data/there.txt ReadOnly",
        "Write /data/new.txt ReadOnly",
        "Open /data/link/x Missing",
        "Execute /data/there.txt Forbidden",
    ];
    assert_eq!(with(&seen, "/data/"), expected);
    assert_eq!(with(&seen, "/tmp/new.txt"), ["Write /tmp/new.txt Allowed"]);
    // A link of the job is followed in its own root, where `/etc` is another.
    assert_eq!(with(&seen, "/tmp/out2/passwd"), ["Open /tmp/out2/passwd Allowed"]);
}

#[test]
fn addresses_are_seen() {
    let script = "
import socket
def attempt(family, kind, call, *arguments):
    with socket.socket(family, kind) as s:
        try:
            getattr(s, call)(*arguments)
        except OSError as error:
            print(error.errno)
attempt(socket.AF_INET, socket.SOCK_STREAM, 'connect', ('93.184.216.34', 443))
attempt(socket.AF_INET6, socket.SOCK_STREAM, 'connect', ('2606:2800::1', 443))
attempt(socket.AF_INET, socket.SOCK_DGRAM, 'sendto', b'x', ('9.9.9.9', 53))
attempt(socket.AF_INET, socket.SOCK_STREAM, 'connect', ('127.0.0.1', 9))
attempt(socket.AF_UNIX, socket.SOCK_STREAM, 'connect', '/mark/socket')
attempt(socket.AF_UNIX, socket.SOCK_STREAM, 'bind', '/usr/mark')
attempt(socket.AF_INET, socket.SOCK_STREAM, 'bind', ('127.0.0.1', 80))
attempt(socket.AF_INET, socket.SOCK_STREAM, 'bind', ('127.0.0.1', 8080))
attempt(socket.AF_UNIX, socket.SOCK_STREAM, 'bind', '\\0abstract')
a, b = socket.socketpair(); a.send(b'unseen')";
    let (output, seen) = seen(python(script));
    output.assert(Ended::Exited(0), "101\n101\n101\n111\n2\n30\n13");
    let addresses: Vec<_> =
        seen.iter().filter(|line| line.starts_with("Connect") || line.starts_with("Bind")).collect();
    let expected = [
        "Connect 93.184.216.34:443 Unreachable",
        "Connect [2606:2800::1]:443 Unreachable",
        "Connect 9.9.9.9:53 Unreachable",
        "Connect 127.0.0.1:9 Allowed",
        "Connect /mark/socket Missing",
        "Bind 127.0.0.1:80 Forbidden",
        "Bind 127.0.0.1:8080 Allowed",
    ];
    assert_eq!(addresses, expected);
    assert_eq!(with(&seen, "/usr/mark"), ["Write /usr/mark ReadOnly"]);
}

/// What a job passes may be anything. The kernel's answer to the job is what it is without a listener.
#[test]
fn hostile_arguments_change_nothing() {
    let script = "
import ctypes, mmap, os
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    ctypes.set_errno(0)
    libc.syscall(*arguments)
    print(ctypes.get_errno())
edge = mmap.mmap(-1, 8192)
address = ctypes.addressof(ctypes.c_char.from_buffer(edge))
libc.mprotect(ctypes.c_void_p(address + 4096), 4096, 0)
edge[4090:4096] = b'/mark\\0'
call(257, -100, ctypes.c_void_p(address + 4090), 0)
edge[4091:4096] = b'/mark'
call(257, -100, ctypes.c_void_p(address + 4091), 0)
call(257, -100, ctypes.c_void_p(1), 0)
call(257, -100, ctypes.c_void_p(2**64 - 1), 0)
call(257, -100, ctypes.c_void_p(2**63), 0)
call(257, -100, b'', 0)
call(257, 12345, b'relative', 0)
call(257, -100, b'/' + b'x' * 5000, 0)
call(257, -100, b'/mark' + b'/x' * 2000, 0)
call(257, -100, b'\\xff\\xfe/\\n', 0)
call(437, -100, b'/mark', ctypes.c_void_p(8), 24)
call(42, 12345, b'\\x02\\0', 2**32 - 1)
call(42, 0, ctypes.c_void_p(8), 16)
call(59, ctypes.c_void_p(8), 0, 0)
os.symlink('loop', '/tmp/loop')
call(257, -100, b'/tmp/loop/x', 0)
r, w = os.pipe()
call(257, r, b'x', 0)
";
    let plain = run(&python(script));
    let (output, seen) = seen(python(script));
    if cfg!(target_arch = "x86_64") {
        assert_eq!(plain.printed.lines().count(), 16, "{plain:?}");
    }
    output.assert(plain.ended, plain.printed.trim_end());
    assert_eq!(with(&seen, "/mark")[0], "Open /mark Missing");
    let longest = format!("Open /mark{} Missing", "/x".repeat(2000));
    assert_eq!(with(&seen, "/x/x"), [longest]);
}

#[test]
fn exit_codes_and_signals_are_the_same() {
    let scripts = [
        "exit 7",
        "kill -TERM $$",
        "cat /absent",
        "/absent",
        "exec /usr/bin/python3 -c 'import json, decimal; print(json.dumps(1))'",
        "for i in 1 2 3; do echo $i > /tmp/$i; cat /tmp/$i; done; ls /tmp; rm /tmp/2; ls /tmp",
    ];
    for script in scripts {
        let plain = run(&shell(script));
        let (output, _) = seen(shell(script));
        assert_eq!(
            (output.ended, output.printed, output.complained),
            (plain.ended, plain.printed, plain.complained),
            "{script}"
        );
    }
}

#[test]
fn a_program_that_is_not_there_is_no_hang() {
    let (output, _) = seen(Jail { program: "/absent/program".into(), ..shell("") });
    assert_eq!(output.ended, Ended::NotExecuted(2));
}

/// A timer's signals do not keep a call from ever being made.
#[test]
fn signals_do_not_starve_attempts() {
    let script = "
import signal
ticks = 0
def tick(*_):
    global ticks
    ticks += 1
signal.signal(signal.SIGALRM, tick)
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
for _ in range(3000):
    open('/etc/passwd').close()
signal.setitimer(signal.ITIMER_REAL, 0)
print(ticks > 0)";
    let (output, seen) = seen(python(script));
    output.assert(Ended::Exited(0), "True");
    assert!(with(&seen, "/etc/passwd").len() >= 3000);
}

#[test]
fn a_flood_from_several_threads_ends() {
    let script = "
import os, threading
def flood(n):
    for i in range(25000):
        try:
            os.close(os.open('/etc/passwd' if i % 2 else f'/mark/{n}/{i}', os.O_RDONLY))
        except OSError:
            pass
threads = [threading.Thread(target=flood, args=(n,)) for n in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print('done')";
    let (output, seen) = seen(python(script));
    output.assert(Ended::Exited(0), "done");
    assert_eq!(with(&seen, "/mark/").len(), 50_000);
}

/// Killed from outside while its threads wait for answers, all of it ends, and so does the listener.
#[test]
fn a_job_killed_in_between_leaves_nothing_waiting() {
    let script = "
import os, threading
def flood():
    while True:
        os.close(os.open('/etc/passwd', os.O_RDONLY))
print('started', flush=True)
[threading.Thread(target=flood).start() for _ in range(4)]
for _ in range(8):
    if os.fork() == 0:
        flood()
flood()";
    for _ in 0..5 {
        let jail = Jail { attempts: Attempts::Seen, ..python(script) };
        let (prepared, mut pipes) = prepared(&jail);
        let mut running = prepared.start();
        let mut listener = running.attempts.take().unwrap();
        let watching = std::thread::spawn(move || {
            let mut count = 0_u32;
            listener.watch(|_| count += 1).map(|()| count)
        });
        let mut line = String::new();
        BufReader::new(&pipes.stdout).read_line(&mut line).unwrap();
        assert_eq!(line, "started\n");
        running.kill();
        assert_eq!(running.wait(), Ended::Killed);
        assert!(watching.join().unwrap().unwrap() > 0);
        pipes.stdout.read_to_end(&mut Vec::new()).unwrap();
    }
}

/// A listener that is dropped leaves nobody waiting: the calls fail.
#[test]
fn without_a_listener_calls_fail() {
    let jail = Jail { attempts: Attempts::Seen, ..shell("exit 0") };
    let (prepared, _pipes) = prepared(&jail);
    let mut running = prepared.start();
    drop(running.attempts.take());
    assert!(matches!(running.wait(), Ended::NotExecuted(38) | Ended::Exited(_)));
}
