//! What a process of ours that serves a job is refused beyond what a job is: it starts nothing, and leaves
//! other processes of its user alone.

use super::{Condition, Rule, refused};

/// What makes a thread and not a process.
const THREAD: u32 = libc::CLONE_THREAD.cast_unsigned();

/// Of itself, which calls name 0.
const fn of_others(call: libc::c_long) -> Rule {
    Rule { call, when: &[Condition::NoneOf { argument: 0, values: &[0] }], error: libc::EPERM }
}

pub(super) const RULES: &[Rule] = &[
    refused(libc::SYS_execve),
    refused(libc::SYS_execveat),
    Rule {
        call: libc::SYS_clone,
        when: &[Condition::NoBitOf { argument: 0, bits: THREAD }],
        error: libc::EPERM,
    },
    #[cfg(target_arch = "x86_64")]
    refused(libc::SYS_fork),
    #[cfg(target_arch = "x86_64")]
    refused(libc::SYS_vfork),
    // A path leads to sockets of services that do whatever their user may: agents, buses, container engines.
    // What this process needs of them it was given; pairs can still be made.
    Rule {
        call: libc::SYS_socket,
        when: &[Condition::Is { argument: 0, value: libc::AF_UNIX.cast_unsigned() }],
        error: libc::EAFNOSUPPORT,
    },
    // Other processes: their memory, descriptors, limits and signals. A thread that ends its own process
    // uses tgkill(2).
    refused(libc::SYS_ptrace),
    refused(libc::SYS_process_vm_readv),
    refused(libc::SYS_process_vm_writev),
    refused(libc::SYS_process_madvise),
    refused(libc::SYS_kcmp),
    refused(libc::SYS_pidfd_open),
    refused(libc::SYS_pidfd_getfd),
    refused(libc::SYS_pidfd_send_signal),
    refused(libc::SYS_kill),
    refused(libc::SYS_tkill),
    refused(libc::SYS_rt_sigqueueinfo),
    refused(libc::SYS_rt_tgsigqueueinfo),
    refused(libc::SYS_setpriority),
    refused(libc::SYS_ioprio_set),
    refused(libc::SYS_migrate_pages),
    refused(libc::SYS_move_pages),
    of_others(libc::SYS_prlimit64),
    of_others(libc::SYS_sched_setscheduler),
    of_others(libc::SYS_sched_setparam),
    of_others(libc::SYS_sched_setattr),
    of_others(libc::SYS_sched_setaffinity),
    // What processes of one user share by a number or a name, and no rule about files covers.
    refused(libc::SYS_shmget),
    refused(libc::SYS_shmat),
    refused(libc::SYS_shmctl),
    refused(libc::SYS_semget),
    refused(libc::SYS_semop),
    refused(libc::SYS_semtimedop),
    refused(libc::SYS_semctl),
    refused(libc::SYS_msgget),
    refused(libc::SYS_msgsnd),
    refused(libc::SYS_msgrcv),
    refused(libc::SYS_msgctl),
    refused(libc::SYS_mq_open),
    refused(libc::SYS_mq_unlink),
];
