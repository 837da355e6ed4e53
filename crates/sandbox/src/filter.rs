//! The system call filter: what namespaces and missing capabilities leave open.
//!
//! A deny list, because a job is any program; each rule says what it closes. A system call newer than
//! this list is answered as a kernel without it would.

mod confined;

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
    AnyBitOf { argument: u32, bits: u32 },
    NoBitOf { argument: u32, bits: u32 },
}

const fn absent(call: c_long) -> Rule {
    Rule { call, when: &[], error: libc::ENOSYS }
}

const fn refused(call: c_long) -> Rule {
    Rule { call, when: &[], error: libc::EPERM }
}

const fn of_the_first_process(call: c_long) -> Rule {
    Rule { call, when: &[Condition::Is { argument: 0, value: FIRST_PROCESS }], error: libc::EPERM }
}

/// Its number in the jail.
const FIRST_PROCESS: u32 = 1;

/// `MSG_FASTOPEN`.
const FAST_OPEN: u32 = 0x2000_0000;

const NETLINK: u32 = libc::AF_NETLINK.cast_unsigned();
/// Of another type in each C library.
const PRIO_PROCESS: u32 = 0;
const TIOCSTI: u32 = 0x5412;
/// `TIOCLINUX`: pastes into a virtual console.
const TIOCLINUX: u32 = 0x541c;
/// `TIOCSETD`: drives a terminal as a modem line or radio, by modules that are rarely looked at.
const TIOCSETD: u32 = 0x5423;

/// `CLONE_NEW*`, all of them.
const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET)
    .cast_unsigned();

const RULES: &[Rule] = &[
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
    // Says which pages of a file are in memory, and so what other runs have read of `/usr` or an input.
    absent(CACHESTAT),
    // File events for parts of the system that other runs use, too; inotify(7) does not see them in inputs.
    refused(libc::SYS_fanotify_init),
    // A second lock on what needs a capability that no job has: mounts,
    refused(libc::SYS_mount),
    refused(libc::SYS_umount2),
    refused(libc::SYS_pivot_root),
    refused(libc::SYS_chroot),
    refused(libc::SYS_fsopen),
    refused(libc::SYS_fspick),
    refused(libc::SYS_fsconfig),
    refused(libc::SYS_fsmount),
    refused(libc::SYS_move_mount),
    refused(libc::SYS_mount_setattr),
    // the kernel itself and the machine,
    refused(libc::SYS_init_module),
    refused(libc::SYS_finit_module),
    refused(libc::SYS_delete_module),
    refused(libc::SYS_kexec_load),
    refused(libc::SYS_reboot),
    refused(libc::SYS_swapon),
    refused(libc::SYS_swapoff),
    refused(libc::SYS_acct),
    refused(libc::SYS_quotactl),
    refused(libc::SYS_settimeofday),
    refused(libc::SYS_clock_settime),
    #[cfg(target_arch = "x86_64")]
    refused(libc::SYS_iopl),
    #[cfg(target_arch = "x86_64")]
    refused(libc::SYS_ioperm),
    #[cfg(target_arch = "x86_64")]
    refused(libc::SYS_kexec_file_load),
    // and namespaces, which open much of the kernel to whoever has one of his own.
    refused(libc::SYS_setns),
    Rule {
        call: libc::SYS_unshare,
        when: &[Condition::NoneOf { argument: 0, values: UNSHARED }],
        error: libc::EPERM,
    },
    Rule {
        call: libc::SYS_clone,
        when: &[Condition::AnyBitOf { argument: 0, bits: NAMESPACES }],
        error: libc::EPERM,
    },
    // Its flags are in memory, out of the filter's sight; the C library then uses clone(2).
    absent(libc::SYS_clone3),
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
    // Landlock's rules on ports know TCP and miss what becomes TCP on the way: MPTCP falls back to it, and
    // an opening that carries data connects past them.
    Rule {
        call: libc::SYS_socket,
        when: &[Condition::Is { argument: 2, value: libc::IPPROTO_MPTCP.cast_unsigned() }],
        error: libc::EPROTONOSUPPORT,
    },
    Rule {
        call: libc::SYS_sendto,
        when: &[Condition::AnyBitOf { argument: 3, bits: FAST_OPEN }],
        error: libc::EOPNOTSUPP,
    },
    Rule {
        call: libc::SYS_sendmsg,
        when: &[Condition::AnyBitOf { argument: 2, bits: FAST_OPEN }],
        error: libc::EOPNOTSUPP,
    },
    Rule {
        call: libc::SYS_sendmmsg,
        when: &[Condition::AnyBitOf { argument: 3, bits: FAST_OPEN }],
        error: libc::EOPNOTSUPP,
    },
    // The jail's first process has the job's user id, which is all that these ask for. Idle on a processor
    // that is busy, it would hear of no signal and die of none, and the jail would outlive its limits; with
    // other limits of its own it would end too early.
    of_the_first_process(libc::SYS_sched_setscheduler),
    of_the_first_process(libc::SYS_sched_setparam),
    of_the_first_process(libc::SYS_sched_setattr),
    of_the_first_process(libc::SYS_sched_setaffinity),
    of_the_first_process(libc::SYS_prlimit64),
    Rule {
        call: libc::SYS_setpriority,
        when: &[
            Condition::Is { argument: 0, value: PRIO_PROCESS },
            Condition::Is { argument: 1, value: FIRST_PROCESS },
        ],
        error: libc::EPERM,
    },
    // Of a process group or a user: it may be in either.
    Rule {
        call: libc::SYS_setpriority,
        when: &[Condition::NoneOf { argument: 0, values: &[PRIO_PROCESS] }],
        error: libc::EPERM,
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
    Rule {
        call: libc::SYS_ioctl,
        when: &[Condition::Is { argument: 1, value: TIOCSETD }],
        error: libc::EPERM,
    },
];

/// `cachestat(2)` of Linux 6.5; the same number everywhere.
const CACHESTAT: c_long = 451;

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
pub(crate) const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub(crate) const ARCHITECTURE: u32 = 0xc000_00b7;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the system call filter knows x86_64 and aarch64");

// Offsets into `struct seccomp_data`.
pub(crate) const NUMBER: u32 = 0;
pub(crate) const ARCHITECTURE_AT: u32 = 4;
pub(crate) const ARGUMENTS: u32 = 16;

const LOAD: u16 = 0x20;
pub(crate) const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_GREATER: u16 = 0x25;
const JUMP_IF_AT_LEAST: u16 = 0x35;
const JUMP_IF_ANY_BIT: u16 = 0x45;
pub(crate) const RETURN: u16 = 0x06;

const ALLOW: sock_filter = sock_filter { code: RETURN, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW };

/// The filter of jobs as a program of the kernel's packet filter machine. Source: seccomp(2).
pub(crate) fn program() -> Vec<sock_filter> {
    program_of(RULES.iter().collect())
}

/// The same for a process of ours that serves one, and needs less.
pub(crate) fn confined_program() -> Vec<sock_filter> {
    program_of(RULES.iter().chain(confined::RULES).collect())
}

fn program_of(mut rules: Vec<&Rule>) -> Vec<sock_filter> {
    let absent = answer(libc::ENOSYS);
    let mut program = vec![
        load(ARCHITECTURE_AT),
        // Programs for another machine, such as 32-bit ones, have other numbers.
        jump(JUMP_IF_EQUAL, ARCHITECTURE, 1, 0),
        absent,
        load(NUMBER),
        // Those of x32 are greater than any other.
        jump(JUMP_IF_GREATER, NEWEST, 0, 1),
        absent,
    ];
    rules.sort_by_key(|rule| rule.call); // Stable: rules of one call stay in their order.
    let calls: Vec<_> = rules.chunk_by(|one, other| one.call == other.call).collect();
    program.append(&mut search(&calls));
    program
}

/// Calls that are compared one after the other; with more, the search halves them first.
const COMPARED: usize = 2;

/// A search among calls in the order of their numbers. When the filter is installed, the kernel goes
/// through it once for every system call there is, so a short way is what makes that fast.
fn search(calls: &[&[&Rule]]) -> Vec<sock_filter> {
    if calls.len() <= COMPARED {
        let compared = calls.iter().flat_map(|rules| {
            let mut body = rules.iter().rev().fold(vec![ALLOW], |rest, rule| body(rule, rest));
            body.insert(0, jump(JUMP_IF_EQUAL, number(rules), 0, distance(body.len())));
            body
        });
        return compared.chain([ALLOW]).collect();
    }
    let (left, right) = calls.split_at(calls.len() / 2);
    let (mut left, mut right) = (search(left), search(right));
    let pivot = calls.get(calls.len() / 2).map_or(0, |rules| number(rules));
    let mut found = vec![jump(JUMP_IF_AT_LEAST, pivot, distance(left.len()), 0)];
    found.append(&mut left);
    found.append(&mut right);
    found
}

fn number(rules: &[&Rule]) -> u32 {
    rules.first().and_then(|rule| u32::try_from(rule.call).ok()).unwrap_or(u32::MAX)
}

/// Answers as the rule says if all its conditions hold, else goes on with `rest`.
fn body(rule: &Rule, rest: Vec<sock_filter>) -> Vec<sock_filter> {
    let mut body = vec![answer(rule.error)];
    for condition in rule.when.iter().rev() {
        // Every jump out goes behind the body, which grows from its end.
        let out = body.len();
        let test = match condition {
            Condition::Is { argument, value } => {
                vec![load(ARGUMENTS + 8 * argument), jump(JUMP_IF_EQUAL, *value, 0, distance(out))]
            }
            Condition::NoneOf { argument, values } => {
                let tests = values
                    .iter()
                    .enumerate()
                    .map(|(at, value)| jump(JUMP_IF_EQUAL, *value, distance(values.len() - 1 - at + out), 0));
                [load(ARGUMENTS + 8 * argument)].into_iter().chain(tests).collect()
            }
            Condition::AnyBitOf { argument, bits } => {
                vec![load(ARGUMENTS + 8 * argument), jump(JUMP_IF_ANY_BIT, *bits, 0, distance(out))]
            }
            Condition::NoBitOf { argument, bits } => {
                vec![load(ARGUMENTS + 8 * argument), jump(JUMP_IF_ANY_BIT, *bits, distance(out), 0)]
            }
        };
        body.splice(..0, test);
    }
    body.extend(rest);
    body
}

pub(crate) fn load(offset: u32) -> sock_filter {
    sock_filter { code: LOAD, jt: 0, jf: 0, k: offset }
}

pub(crate) fn jump(code: u16, value: u32, if_true: u8, if_false: u8) -> sock_filter {
    sock_filter { code, jt: if_true, jf: if_false, k: value }
}

fn answer(error: i32) -> sock_filter {
    sock_filter { code: RETURN, jt: 0, jf: 0, k: libc::SECCOMP_RET_ERRNO | error.cast_unsigned() }
}

/// Half of the search is shorter than this; one that were not would not get past the test below.
pub(crate) fn distance(instructions: usize) -> u8 {
    u8::try_from(instructions).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests;
