//! The system call filter: what namespaces and missing capabilities leave open.
//!
//! A deny list, because a job is any program; each rule says what it closes. A system call newer than
//! this list is answered as a kernel without it would.

use libc::{c_long, sock_filter};

/// A system call that is refused with `error` if all its conditions hold.
struct Rule {
    call: c_long,
    when: &'static [Condition],
    error: i32,
}

/// About the lower 32 bits of an argument, which is all that the kernel reads of those used here.
enum Condition {
    Is { argument: u32, value: u32 },
    NoneOf { argument: u32, values: &'static [u32] },
}

const fn absent(call: c_long) -> Rule {
    Rule { call, when: &[], error: libc::ENOSYS }
}

const fn refused(call: c_long) -> Rule {
    Rule { call, when: &[], error: libc::EPERM }
}

const NETLINK: u32 = libc::AF_NETLINK.cast_unsigned();
/// `TIOCLINUX`: pastes into a virtual console.
const TIOCLINUX: u32 = 0x541c;

const RULES: [Rule; 16] = [
    // Keys are found by a number that no namespace confines, and a user's keyrings open to everything
    // that runs under the same id: a job could try all numbers.
    absent(libc::SYS_keyctl),
    absent(libc::SYS_add_key),
    absent(libc::SYS_request_key),
    // Its operations pass by this filter.
    absent(libc::SYS_io_uring_setup),
    absent(libc::SYS_io_uring_enter),
    absent(libc::SYS_io_uring_register),
    // Large parts of the kernel that a job has no use for; the usual ways from a job to root.
    refused(libc::SYS_bpf),
    refused(libc::SYS_perf_event_open),
    refused(libc::SYS_userfaultfd),
    // Opens files that no path of the jail leads to.
    refused(libc::SYS_open_by_handle_at),
    // The kernel's log is the host's, and many hosts let everyone read it.
    refused(libc::SYS_syslog),
    // Sockets of other families leave the network namespace: `AF_VSOCK` reaches the hypervisor.
    Rule {
        call: libc::SYS_socket,
        when: &[Condition::NoneOf {
            argument: 0,
            values: &[
                libc::AF_UNIX.cast_unsigned(),
                libc::AF_INET.cast_unsigned(),
                libc::AF_INET6.cast_unsigned(),
                NETLINK,
            ],
        }],
        error: libc::EAFNOSUPPORT,
    },
    // Of netlink, programs use routes (protocol 0) to list interfaces.
    Rule {
        call: libc::SYS_socket,
        when: &[
            Condition::Is { argument: 0, value: NETLINK },
            Condition::NoneOf { argument: 2, values: &[0] },
        ],
        error: libc::EPROTONOSUPPORT,
    },
    // Types on a terminal as if its user did.
    Rule {
        call: libc::SYS_ioctl,
        when: &[Condition::Is { argument: 1, value: TIOCSTI }],
        error: libc::EPERM,
    },
    Rule {
        call: libc::SYS_ioctl,
        when: &[Condition::Is { argument: 1, value: TIOCLINUX }],
        error: libc::EPERM,
    },
    // A second lock on the ban of nested user namespaces.
    Rule {
        call: libc::SYS_unshare,
        when: &[Condition::NoneOf { argument: 0, values: UNSHARED }],
        error: libc::EPERM,
    },
];

const TIOCSTI: u32 = 0x5412;

/// What may be unshared: what threads share of a process, one at a time.
const UNSHARED: &[u32] = &[
    0,
    libc::CLONE_FILES.cast_unsigned(),
    libc::CLONE_FS.cast_unsigned(),
    libc::CLONE_SYSVSEM.cast_unsigned(),
];

/// The newest system call that this list was checked against: `file_setattr` of Linux 6.17.
const NEWEST: u32 = 469;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the system call filter knows x86_64 and aarch64");

// Offsets into `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;
const ARGUMENTS: u32 = 16;

const LOAD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_GREATER: u16 = 0x25;
const RETURN: u16 = 0x06;

/// The filter as a program of the kernel's packet filter machine. Source: seccomp(2).
pub(crate) fn program() -> Vec<sock_filter> {
    let absent = answer(libc::ENOSYS);
    let mut program = vec![
        load(ARCHITECTURE_AT),
        // Programs for another machine, such as 32-bit ones, have other numbers.
        jump(JUMP_IF_EQUAL, ARCHITECTURE, 1, 0),
        absent,
        load(NUMBER),
        jump(JUMP_IF_GREATER, NEWEST, 0, 1),
        absent,
    ];
    for rule in &RULES {
        let mut body = Vec::new();
        for condition in rule.when.iter().rev() {
            // Every jump out goes behind the body, which grows from its end.
            let rest = body.len() + 1;
            let test = match condition {
                Condition::Is { argument, value } => {
                    vec![load(ARGUMENTS + 8 * argument), jump(JUMP_IF_EQUAL, *value, 0, distance(rest))]
                }
                Condition::NoneOf { argument, values } => {
                    let tests = values.iter().enumerate().map(|(at, value)| {
                        jump(JUMP_IF_EQUAL, *value, distance(values.len() - 1 - at + rest), 0)
                    });
                    [load(ARGUMENTS + 8 * argument)].into_iter().chain(tests).collect()
                }
            };
            body.splice(..0, test);
        }
        body.push(answer(rule.error));
        program.push(load(NUMBER));
        program.push(jump(
            JUMP_IF_EQUAL,
            u32::try_from(rule.call).unwrap_or(u32::MAX),
            0,
            distance(body.len()),
        ));
        program.append(&mut body);
    }
    program.push(sock_filter { code: RETURN, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW });
    program
}

fn load(offset: u32) -> sock_filter {
    sock_filter { code: LOAD, jt: 0, jf: 0, k: offset }
}

fn jump(code: u16, value: u32, if_true: u8, if_false: u8) -> sock_filter {
    sock_filter { code, jt: if_true, jf: if_false, k: value }
}

fn answer(error: i32) -> sock_filter {
    sock_filter { code: RETURN, jt: 0, jf: 0, k: libc::SECCOMP_RET_ERRNO | error.cast_unsigned() }
}

/// Rules are a few instructions long; one that were not would not get past the test below.
fn distance(instructions: usize) -> u8 {
    u8::try_from(instructions).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would do with `program` for this call.
    fn run(architecture: u32, number: c_long, arguments: [u64; 6]) -> u32 {
        let program = program();
        let (mut at, mut value) = (0, 0);
        loop {
            let step = program[at];
            at += 1;
            match step.code {
                LOAD => {
                    value = match step.k {
                        NUMBER => u32::try_from(number).unwrap(),
                        ARCHITECTURE_AT => architecture,
                        offset => {
                            let argument = arguments[usize::try_from((offset - ARGUMENTS) / 8).unwrap()];
                            u32::try_from(argument & 0xffff_ffff).unwrap()
                        }
                    }
                }
                RETURN => return step.k,
                code => {
                    let holds = if code == JUMP_IF_EQUAL { value == step.k } else { value > step.k };
                    at += usize::from(if holds { step.jt } else { step.jf });
                }
            }
        }
    }

    fn call(number: c_long, arguments: [u64; 3]) -> u32 {
        let [first, second, third] = arguments;
        run(ARCHITECTURE, number, [first, second, third, 0, 0, 0])
    }

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

    #[test]
    fn ordinary_calls_pass() {
        for number in [libc::SYS_read, libc::SYS_execve, libc::SYS_futex, libc::SYS_memfd_create] {
            assert_eq!(call(number, [0; 3]), ALLOW);
        }
        for family in [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK] {
            assert_eq!(call(libc::SYS_socket, [u64::from(family.cast_unsigned()), 1, 0]), ALLOW);
        }
        assert_eq!(call(libc::SYS_ioctl, [0, 0x5401, 0]), ALLOW);
        assert_eq!(call(libc::SYS_unshare, [u64::from(libc::CLONE_FS.cast_unsigned()), 0, 0]), ALLOW);
    }

    #[test]
    fn each_rule_refuses() {
        let refused = |error: i32| libc::SECCOMP_RET_ERRNO | error.cast_unsigned();
        assert_eq!(call(libc::SYS_keyctl, [0; 3]), refused(libc::ENOSYS));
        assert_eq!(call(libc::SYS_bpf, [0; 3]), refused(libc::EPERM));
        assert_eq!(call(libc::SYS_socket, [40, 1, 0]), refused(libc::EAFNOSUPPORT));
        assert_eq!(call(libc::SYS_socket, [16, 3, 12]), refused(libc::EPROTONOSUPPORT));
        // The kernel reads 32 bits; the others must not hide the command.
        assert_eq!(call(libc::SYS_ioctl, [0, 0x7_0000_5412, 0]), refused(libc::EPERM));
        assert_eq!(call(libc::SYS_unshare, [0x1000_0000, 0, 0]), refused(libc::EPERM));
        assert_eq!(call(470, [0; 3]), refused(libc::ENOSYS));
        assert_eq!(run(0x4000_0003, libc::SYS_read, [0; 6]), refused(libc::ENOSYS));
    }
}
