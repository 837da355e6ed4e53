//! What a job sees is the same everywhere and tells nothing about the host.

use aseptic_sandbox::{Access, Clock, Ended, PrepareError, prepare};

use crate::support::{Place, With, jail, outside, python, run, shell};

#[test]
fn the_environment_is_the_one_given() {
    let mut jail = jail("/usr/bin/env", &[]);
    jail.environment = vec![("ONE".into(), "1".into()), ("EMPTY".into(), "".into())];
    run(&jail).assert(Ended::Exited(0), "ONE=1\nEMPTY=");
}

#[test]
fn settings_name_the_job_and_no_secret() {
    let (user, _) = aseptic_sandbox::job_ids();
    run(&shell("cut -d: -f1,3 /etc/passwd; ls /etc/shadow /etc/gshadow /etc/sudoers /etc/ssh /etc/ssl/private 2>/dev/null"))
        .assert(Ended::Exited(2), &format!("job:{user}\nroot:0\nnobody:65534"));
    run(&shell("id -un; hostname; cat /etc/hostname")).assert(Ended::Exited(0), "job\naseptic\naseptic");
}

#[test]
fn names_that_programs_look_up_are_there() {
    run(&shell("getent passwd root | cut -d: -f3; getent group root"))
        .assert(Ended::Exited(0), "0\nroot:x:0:");
    run(&shell("getent hosts $(hostname) >/dev/null && echo found")).assert(Ended::Exited(0), "found");
}

#[test]
fn the_root_holds_what_was_given() {
    let output = run(&shell("ls /"));
    for name in output.printed.split_whitespace() {
        let known =
            ["bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "sys", "tmp", "usr"];
        assert!(known.contains(&name), "{name} in {output:?}");
    }
    for path in ["/", "/etc", "/dev", "/usr", "/sys"] {
        run(&shell(&format!("touch {path}/new 2>/dev/null"))).assert(Ended::Exited(1), "");
    }
    run(&shell("touch /tmp/new")).assert(Ended::Exited(0), "");
}

#[test]
fn temporary_files_are_the_jails_own() {
    let host = tempfile::NamedTempFile::new_in("/tmp").unwrap();
    run(&shell("ls -A /tmp")).assert(Ended::Exited(0), "");
    assert!(host.path().exists());
}

#[test]
fn devices_are_the_harmless_ones() {
    let list = "fd full null ptmx pts random stderr stdin stdout tty urandom zero";
    run(&shell("echo $(ls /dev)")).assert(Ended::Exited(0), list);
    let script = "echo gone > /dev/null && head -c 4 /dev/zero | wc -c && head -c 8 /dev/urandom | wc -c
        echo full > /dev/full";
    let output = run(&shell(script));
    assert_eq!((output.ended, output.printed.as_str()), (Ended::Exited(1), "4\n8\n"), "{output:?}");
    run(&python("import pty; print(pty.openpty() > (2, 2))")).assert(Ended::Exited(0), "True");
}

#[test]
fn nodes_and_settings_of_the_host_cannot_be_changed() {
    // A job of root has root's id: what keeps it out is that all of this is read-only.
    let script = "import os, stat, sys
def attempt(path):
    try: os.close(os.open(path, os.O_WRONLY))
    except OSError: return
    print(path)
for top in sorted(os.listdir('/proc')):
    if top.isdigit() or top in ('self', 'thread-self', 'net', 'mounts'): continue
    top = '/proc/' + top
    attempt(top)
    for directory, _, files in os.walk(top):
        for name in files: attempt(os.path.join(directory, name))
for name in os.listdir('/dev'):
    path = '/dev/' + name
    if stat.S_ISCHR(os.lstat(path).st_mode):
        try: os.chmod(path, 0o600); print('chmod', path)
        except OSError: pass
for descriptor in 0, 1, 2:
    if stat.S_ISCHR(os.fstat(descriptor).st_mode):
        try: os.fchmod(descriptor, 0o600); print('fchmod', descriptor)
        except OSError: pass";
    // A cover is `/dev/null`, which takes everything.
    let covered = [
        "cmdline",
        "kallsyms",
        "keys",
        "key-users",
        "modules",
        "sched_debug",
        "slabinfo",
        "timer_list",
        "vmallocinfo",
    ];
    let output = run(&python(script));
    let changed: Vec<_> = output
        .printed
        .lines()
        .filter(|line| !covered.iter().any(|name| line.ends_with(name)) && !line.ends_with("boot_id"))
        .collect();
    assert_eq!((output.ended, changed), (Ended::Exited(0), vec![]), "{}", output.complained);
}

#[test]
fn a_null_stream_is_not_the_hosts_node() {
    use std::os::unix::fs::PermissionsExt;
    let null = || std::fs::File::options().read(true).write(true).open("/dev/null").unwrap().into();
    let streams = aseptic_sandbox::Streams { stdin: null(), stdout: null(), stderr: null() };
    let script = "import os, sys
assert os.read(0, 1) == b'' and os.write(1, b'x') == 1
try: os.fchmod(0, 0o666)
except OSError: os._exit(5)";
    let mut running = prepare(&python(script), streams, &[]).unwrap().start();
    assert_eq!(running.wait(), Ended::Exited(5));
    assert_eq!(std::fs::metadata("/dev/null").unwrap().permissions().mode() & 0o777, 0o666);
    // The twin: where writing is granted, the mode of one's own file can be changed.
    let place = Place::new();
    let out = place.directory("out");
    run(&shell("touch /out/x && chmod 600 /out/x").bind(&out, "/out", Access::Write))
        .assert(Ended::Exited(0), "");
}

#[test]
fn processes_of_the_host_are_not_to_be_seen() {
    let script = "import os
print(sorted(name for name in os.listdir('/proc') if name.isdigit()) == [str(os.getpid())])
for path in '/proc/1/environ', '/proc/1/mem', '/proc/1/maps', '/proc/1/fd', '/proc/1/root', '/proc/1/cmdline':
    try: os.listdir(path) if path.endswith('d') and 'fd' in path else open(path, 'rb').read(1); print(path)
    except OSError: pass";
    run(&python(script)).assert(Ended::Exited(0), "True");
    let parent = std::process::id();
    run(&shell(&format!("kill -0 {parent} 2>/dev/null"))).assert(Ended::Exited(1), "");
}

/// Idle on a processor that the job keeps busy, it would let the job live on after a kill.
#[test]
fn the_first_process_cannot_be_slowed_down() {
    let script = "import errno, os, resource
def attempt(call, *arguments):
    try: call(*arguments)
    except OSError as error: return errno.errorcode[error.errno]
    return 'done'
def attempts(pid):
    return {attempt(os.sched_setscheduler, pid, os.SCHED_IDLE, os.sched_param(0)),
            attempt(os.sched_setparam, pid, os.sched_param(0)),
            attempt(os.sched_setaffinity, pid, {min(os.sched_getaffinity(0))}),
            attempt(os.setpriority, os.PRIO_PROCESS, pid, 19),
            attempt(resource.prlimit, pid, resource.RLIMIT_CPU, (9, 9))}
print(attempts(1), attempts(os.getpid()))
print(attempt(os.setpriority, os.PRIO_PGRP, 1, 19), attempt(os.setpriority, os.PRIO_USER, 0, 19))";
    run(&python(script)).assert(Ended::Exited(0), "{'EPERM'} {'done'}\nEPERM EPERM");
}

#[test]
fn the_first_process_cannot_be_taken_over() {
    // ptrace(ATTACH and SEIZE), process_vm_readv, pidfd_open + pidfd_getfd, kcmp; the twin is a child.
    let script = "import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments): return libc.syscall(*[ctypes.c_long(a) for a in arguments]) >= 0
def attempts(pid):
    buffer = ctypes.create_string_buffer(8)
    vector = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8)
    remote = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8)
    pointer = ctypes.addressof(vector), ctypes.addressof(remote)
    descriptor = libc.syscall(434, pid, 0)
    return [call(101, 0x4206, pid, 0, 0), call(310, pid, pointer[0], 1, pointer[1], 1, 0),
            call(438, descriptor, 0, 0), call(312, os.getpid(), pid, 2, 0, 0)]
print(attempts(1))
child = os.fork()
if child == 0: signal.pause()
print(attempts(child))
os.kill(child, signal.SIGKILL)
for number in range(1, 65):
    try: os.kill(1, number)
    except OSError: pass
print('alive')";
    run(&python(script))
        .assert(Ended::Exited(0), "[False, False, False, False]\n[True, True, True, True]\nalive");
}

#[test]
fn the_host_does_not_show_in_procfs() {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert!(!boot.trim().is_empty());
    run(&shell("cat /proc/sys/kernel/random/boot_id /proc/cmdline /proc/kallsyms"))
        .assert(Ended::Exited(0), "");
    run(&shell("cat /proc/self/cgroup | cut -d: -f3 | sort -u")).assert(Ended::Exited(0), "/");
    run(&shell(
        "grep -c processor /proc/cpuinfo > /tmp/n && test -s /tmp/n && grep -q MemTotal /proc/meminfo
        ls /sys/devices/system/cpu | grep -c possible",
    ))
    .assert(Ended::Exited(0), "1");
}

#[test]
fn ipc_objects_of_the_host_are_not_shared() {
    // System V shared memory by its key and number, and a POSIX message queue by its name.
    let name = format!("aseptic-test-{}", std::process::id());
    let key = std::process::id() | 0x4000_0000;
    let make = format!(
        "import ctypes; libc = ctypes.CDLL(None)
print(libc.shmget({key}, 4096, 0o1600) >= 0, libc.mq_open(b'/{name}', 0o102, 0o600, None) >= 0)"
    );
    let find = format!(
        "import ctypes; libc = ctypes.CDLL(None)
print(libc.shmget({key}, 4096, 0) >= 0, libc.mq_open(b'/{name}', 0) >= 0)"
    );
    let remove = format!(
        "import ctypes; libc = ctypes.CDLL(None)
libc.shmctl(libc.shmget({key}, 4096, 0), 0, None); libc.mq_unlink(b'/{name}')"
    );
    let outside = |script: &str| outside(crate::support::PYTHON, &["-S", "-c", script]);
    outside(&make).assert(Ended::Exited(0), "True True");
    let twin = outside(&find);
    let jailed = run(&python(&find));
    outside(&remove);
    twin.assert(Ended::Exited(0), "True True");
    jailed.assert(Ended::Exited(0), "False False");
    run(&shell("df -P /dev/shm 2>/dev/null")).assert(Ended::Exited(1), "");
}

/// The uptime of the host is in its clocks; a jail can have clocks of its own.
#[test]
fn clocks_of_its_own_begin_with_the_jail() {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    let script = format!(
        "import time
clocks = [time.clock_gettime(clock) for clock in (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME)]
clocks.append(float(open('/proc/uptime').read().split()[0]))
print(*(clock >= {uptime} for clock in clocks), time.time() > 1e9)"
    );
    let mut jail = python(&script);
    run(&jail).assert(Ended::Exited(0), "True True True True");
    jail.clock = Clock::Own;
    match prepare(&jail, crate::support::pipes().0, &[]) {
        Ok(_) => run(&jail).assert(Ended::Exited(0), "False False False True"),
        Err(error) => {
            assert!(matches!(error, PrepareError::Wall { wall: "time namespace", .. }), "{error}");
        }
    }
}
