//! Attempts to get out, each with a twin that must work where the wall is not.

use aseptic_sandbox::{Access, Ended};

use crate::support::{PYTHON, Place, With, outside, python, run, shell};

/// A prelude for scripts: `refused(error, call, argument…)` makes a raw system call.
const CALLS: &str = "import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    arguments = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return ctypes.get_errno() if libc.syscall(ctypes.c_long(number), *arguments) < 0 else 0
";

fn calls(script: &str) -> String {
    [CALLS, script].concat()
}

#[test]
fn files_that_were_not_given_are_not_there() {
    let place = Place::new();
    let secret = place.file("secret/key", "the secret");
    let script = "cat /given/key";
    let given = shell(script).bind(secret.parent().unwrap(), "/given", Access::Read);
    run(&given).assert(Ended::Exited(0), "the secret");
    let script = format!("cat {}", secret.display());
    outside("/bin/sh", &["-c", &script]).assert(Ended::Exited(0), "the secret");
    run(&shell(&script)).assert(Ended::Exited(1), "");
}

#[test]
fn the_hosts_root_cannot_be_reached() {
    let script = "for root in /proc/1/root /proc/self/root/.. / /.. /proc/self/cwd/../..; do
        ls -d $root/etc/shadow $root/root $root/home $root/boot; done 2>/dev/null | head -n 1";
    assert_ne!(outside("/bin/sh", &["-c", script]).printed, "", "the attempt itself is broken");
    run(&shell(script)).assert(Ended::Exited(0), "");
}

#[test]
fn reading_does_not_let_write() {
    let place = Place::new();
    let file = place.file("data/file", "as it was");
    let data = file.parent().unwrap();
    let script = "echo changed > /data/file; echo new > /data/other; chmod 600 /data/file; rm -f /data/file;
        mv /data/file /data/moved; ln /data/file /tmp/link; touch /data/file; exit 0";
    for access in [Access::Read, Access::Execute] {
        run(&shell(script).bind(data, "/data", access));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "as it was");
        assert_eq!(std::fs::read_dir(data).unwrap().count(), 1);
    }
    run(&shell("echo changed > /data/file").bind(data, "/data", Access::Write)).assert(Ended::Exited(0), "");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "changed\n");
}

#[test]
fn mounts_cannot_be_changed() {
    let script = "failed=0
        for attempt in 'mount -o remount,rw /usr' 'umount /usr' 'umount -l /proc/sys' 'mount -t tmpfs none /tmp' \
            'mount --bind /tmp /usr' 'mount -t proc none /tmp' 'chroot / true' 'pivot_root /tmp /tmp' \
            'unshare -U true' 'unshare -n true' 'unshare -Ur mount -t tmpfs none /tmp' \
            'mknod /tmp/disk b 8 0' 'mknod /tmp/memory c 1 1' 'nsenter -t 1 -m true' 'hostname other'; do
            PATH=/usr/bin:/usr/sbin:/bin:/sbin
            $attempt 2>/dev/null && { echo \"$attempt worked\"; failed=1; }
        done; exit $failed";
    run(&shell(script)).assert(Ended::Exited(0), "");
    // The twin: with a user namespace of its own, which a jail does not get, the same commands work.
    let twin = "PATH=/usr/bin:/usr/sbin:/bin:/sbin
        unshare -Urmn sh -c 'mount -t tmpfs none /tmp && umount /tmp && chroot / true' && echo worked";
    outside("/bin/sh", &["-c", twin]).assert(Ended::Exited(0), "worked");
}

#[test]
fn raw_mount_calls_are_refused() {
    // open_tree(CLONE), move_mount, fsopen, fspick, mount_setattr: asks for a capability each.
    let script = calls(
        "print(call(428, -100, b'/usr', 1) != 0, call(429, -100, b'/usr', -100, b'/tmp', 0) != 0,
      call(430, b'tmpfs', 0) != 0, call(433, -100, b'/usr', 0) != 0,
      call(442, -100, b'/usr', 0x8000, ctypes.create_string_buffer(32), 32) != 0)",
    );
    run(&python(&script)).assert(Ended::Exited(0), "True True True True True");
}

#[test]
fn no_capability_is_left_and_none_can_be_had() {
    let script = "import os, re
status = open('/proc/self/status').read()
print(sorted(set(re.findall(r'Cap\\w+:\\s+(\\w+)', status))), re.search(r'NoNewPrivs:\\s+(\\d)', status)[1],
      re.search(r'Seccomp:\\s+(\\d)', status)[1])";
    run(&python(script)).assert(Ended::Exited(0), "['0000000000000000'] 1 2");
}

#[test]
fn a_set_user_id_program_gives_nothing() {
    // In a twin that may write, the job makes a program set-user-id; run, it is still who it was.
    let script = "cp /usr/bin/id /out/id && chmod 6755 /out/id && /out/id -u && id -u";
    let place = Place::new();
    let (user, _) = aseptic_sandbox::job_ids();
    let output = run(&shell(script).bind(&place.directory("out"), "/out", Access::Write));
    output.assert(Ended::Exited(0), &format!("{user}\n{user}"));
    run(&shell("grep -c nosuid /proc/self/mounts; wc -l < /proc/self/mounts"))
        .printed
        .split_whitespace()
        .reduce(|marked, all| {
            assert_eq!(marked, all, "a mount honours set-user-id");
            all
        });
}

#[test]
fn identities_cannot_be_changed() {
    let script = "import os
def refused(call, *arguments):
    try: call(*arguments)
    except OSError: return True
    return False
print([refused(call, other) for call in (os.setuid, os.setgid) for other in (0, 1, 65534)
       if other not in (os.getuid(), os.getgid())].count(False), refused(os.setgroups, []))";
    run(&python(script)).assert(Ended::Exited(0), "0 True");
}

#[test]
fn the_host_has_no_network_here() {
    let script = "import errno, socket
kind = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
kind.settimeout(5)
print(errno.errorcode[kind.connect_ex(('1.1.1.1', 443))])
print([name for _, name in socket.if_nameindex()])
server = socket.create_server(('127.0.0.1', 0))
socket.create_connection(server.getsockname()).sendall(b'loopback')
print(server.accept()[0].recv(20).decode())
server = socket.create_server(('::1', 0), family=socket.AF_INET6)
socket.create_connection(server.getsockname()[:2]).sendall(b'loopback 6')
print(server.accept()[0].recv(20).decode())";
    run(&python(script)).assert(Ended::Exited(0), "ENETUNREACH\n['lo']\nloopback\nloopback 6");
}

#[test]
fn a_port_of_the_host_is_not_a_port_of_the_jail() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let script = format!("import socket; print(socket.socket().connect_ex(('127.0.0.1', {port})))");
    outside(PYTHON, &["-S", "-c", &script]).assert(Ended::Exited(0), "0");
    run(&python(&script)).assert(Ended::Exited(0), &libc::ECONNREFUSED.to_string());
}

#[test]
fn an_abstract_socket_of_the_host_is_not_there() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("aseptic-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let _server = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
    let script = format!("import socket; print(socket.socket(socket.AF_UNIX).connect_ex(b'\\0{name}'))");
    outside(PYTHON, &["-S", "-c", &script]).assert(Ended::Exited(0), "0");
    run(&python(&script)).assert(Ended::Exited(0), &libc::ECONNREFUSED.to_string());
}

#[test]
fn a_socket_in_an_input_connects_to_nobody() {
    // Read-only does not stop connect(2): a plain bind of a directory with a socket is a way out.
    let place = Place::new();
    let data = place.directory("data");
    let _server = std::os::unix::net::UnixListener::bind(data.join("socket")).unwrap();
    let attempt = "import socket; print(socket.socket(socket.AF_UNIX).connect_ex('/data/socket'))";
    run(&python(attempt).bind(&data, "/data", Access::Read)).assert(Ended::Exited(0), "0");
    run(&python(attempt).overlay(&data, "/data")).assert(Ended::Exited(0), &libc::ECONNREFUSED.to_string());
}

#[test]
fn sockets_that_know_no_namespace_are_refused() {
    // AF_VSOCK reaches the hypervisor of a virtual machine; netfilter and crypto are large.
    let script = "import socket
def attempt(*arguments):
    try: socket.socket(*arguments).close()
    except OSError as error: return error.errno
    return 0
print(attempt(40, 1), attempt(38, 5), attempt(16, 3, 12), attempt(16, 3, 16), attempt(42, 2), attempt(16, 3, 0))";
    let expected = format!("{0} {0} {1} {1} {0} 0", libc::EAFNOSUPPORT, libc::EPROTONOSUPPORT);
    run(&python(script)).assert(Ended::Exited(0), &expected);
    let twin = outside(PYTHON, &["-S", "-c", script]).printed;
    assert!(twin.contains(" 0 "), "none of these exist on the host either: {twin}");
}

#[test]
fn keys_of_the_same_user_cannot_be_taken() {
    // The user's keyring (-4) on the host and its number, which no namespace confines.
    let host = calls(
        "number = libc.syscall(250, 0, -4, 1)
print(number, libc.syscall(250, 6, number, 0, 0, 0) >= 0)",
    );
    let outside = outside(PYTHON, &["-S", "-c", &host]).printed;
    let (number, described) = outside.trim().split_once(' ').unwrap();
    assert_eq!(described, "True", "the attempt itself is broken");
    let script =
        calls(&format!("print(call(250, 6, {number}, 0, 0, 0), call(248, b'user', b'k', b'v', 1, -3))"));
    run(&python(&script)).assert(Ended::Exited(0), &format!("{0} {0}", libc::ENOSYS));
    run(&shell("cat /proc/keys /proc/key-users")).assert(Ended::Exited(0), "");
}

#[test]
fn dangerous_parts_of_the_kernel_are_closed() {
    // io_uring_setup, bpf, perf_event_open, userfaultfd, open_by_handle_at, syslog(READ_ALL)
    let script = calls(
        "buffer = ctypes.create_string_buffer(4096)
print(call(425, 1, buffer), call(321, 0, buffer, 72), call(298, buffer, 0, -1, -1, 0), call(323, 1),
      call(304, -100, buffer, 0), call(103, 3, buffer, 4096))",
    );
    let expected = format!("{} {1} {1} {1} {1} {1}", libc::ENOSYS, libc::EPERM);
    run(&python(&script)).assert(Ended::Exited(0), &expected);
}

#[test]
fn a_terminal_is_not_typed_on() {
    // On a terminal of its own, even, where no permission is missing; TIOCGWINSZ is the twin.
    let script = "import errno, fcntl, os, pty, termios
master, slave = pty.openpty()
print(len(fcntl.ioctl(slave, termios.TIOCGWINSZ, bytes(8))))
try: fcntl.ioctl(slave, termios.TIOCSTI, b'x')
except OSError as error: print(errno.errorcode[error.errno])
try: open('/dev/tty')
except OSError as error: print(errno.errorcode[error.errno])";
    run(&python(script)).assert(Ended::Exited(0), "8\nEPERM\nENXIO");
}

#[test]
fn a_fork_bomb_is_bounded() {
    let script = "import os, signal
count = 0
try:
    while count < 5000:
        if os.fork() == 0: signal.pause()
        count += 1
except OSError: print(count < 450)
else: print('unbounded')";
    let mut bomb = python(script);
    bomb.limits.tasks = Some(100);
    if !aseptic_sandbox::enforces_task_limit() {
        let (streams, _pipes) = crate::support::pipes();
        aseptic_sandbox::prepare(&bomb, streams, &[]).unwrap_err();
        return;
    }
    run(&bomb).assert(Ended::Exited(0), "True");
    let before = std::fs::read_to_string("/proc/sys/kernel/pid_max").unwrap();
    run(&bomb);
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/pid_max").unwrap(), before, "the host's changed");
}

#[test]
fn memory_is_bounded_in_bytes_and_in_files() {
    let script = "import errno, os
def fill(step):
    try:
        for number in range(100000): step(number)
    except OSError as error: return errno.errorcode[error.errno]
    return 'unbounded'
print(fill(lambda n: open(f'/tmp/{n}', 'w').close()))
for name in os.listdir('/tmp'): os.unlink(f'/tmp/{name}')
file = open('/tmp/large', 'wb', buffering=0)
print(fill(lambda n: file.write(bytes(1 << 20)) == 1 << 20 or file.write(b'.')))";
    run(&python(script)).assert(Ended::Exited(0), "ENOSPC\nENOSPC");
}
