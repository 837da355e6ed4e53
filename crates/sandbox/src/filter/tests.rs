use super::*;

/// What the kernel would do with the filter of jobs for this call, and after how many instructions.
fn run(architecture: u32, number: u32, arguments: [u64; 6]) -> (u32, usize) {
    run_in(&program(), architecture, number, arguments)
}

fn run_in(program: &[sock_filter], architecture: u32, number: u32, arguments: [u64; 6]) -> (u32, usize) {
    let (mut at, mut value, mut steps) = (0, 0, 0);
    loop {
        let step = program[at];
        at += 1;
        steps += 1;
        let holds = match step.code {
            LOAD => {
                value = match step.k {
                    NUMBER => number,
                    ARCHITECTURE_AT => architecture,
                    offset => {
                        let argument = arguments[usize::try_from((offset - ARGUMENTS) / 8).unwrap()];
                        u32::try_from(argument & 0xffff_ffff).unwrap()
                    }
                };
                continue;
            }
            RETURN => return (step.k, steps),
            JUMP_IF_EQUAL => value == step.k,
            JUMP_IF_GREATER => value > step.k,
            JUMP_IF_AT_LEAST => value >= step.k,
            JUMP_IF_ANY_BIT => value & step.k != 0,
            code => panic!("no such instruction: {code:#x}"),
        };
        at += usize::from(if holds { step.jt } else { step.jf });
    }
}

fn call(number: c_long, arguments: [u64; 3]) -> u32 {
    let [first, second, third] = arguments;
    run(ARCHITECTURE, u32::try_from(number).unwrap(), [first, second, third, 0, 0, 0]).0
}

const ALLOWED: u32 = libc::SECCOMP_RET_ALLOW;

fn error(error: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | error.cast_unsigned()
}

/// With arguments that no condition minds, exactly the calls of rules without conditions are refused.
#[test]
fn no_call_is_refused_that_no_rule_names() {
    for number in 0..=NEWEST {
        let rule = RULES.iter().find(|rule| u32::try_from(rule.call) == Ok(number));
        let expected = match rule {
            Some(rule) if rule.when.is_empty() => error(rule.error),
            _ => ALLOWED,
        };
        let family = u64::from(libc::AF_UNIX.cast_unsigned());
        let arguments = if i64::from(number) == libc::SYS_socket { [family, 0, 0] } else { [0; 3] };
        assert_eq!(call(i64::from(number), arguments), expected, "{number}");
    }
}

#[test]
fn every_call_is_found_in_a_few_steps() {
    let longest = (0..=NEWEST).map(|number| run(ARCHITECTURE, number, [0; 6]).1).max().unwrap();
    assert!(longest <= 20, "{longest}");
    let reaches = |step: &sock_filter| step.jt < u8::MAX && step.jf < u8::MAX;
    assert!(program().iter().all(reaches), "a jump may not reach its end");
}

#[test]
fn ordinary_calls_pass() {
    for family in [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK] {
        assert_eq!(call(libc::SYS_socket, [u64::from(family.cast_unsigned()), 1, 0]), ALLOWED);
    }
    assert_eq!(call(libc::SYS_ioctl, [0, 0x5401, 0]), ALLOWED);
    assert_eq!(call(libc::SYS_unshare, [u64::from(libc::CLONE_FS.cast_unsigned()), 0, 0]), ALLOWED);
    let thread = libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND | libc::CLONE_SETTLS;
    assert_eq!(call(libc::SYS_clone, [u64::from(thread.cast_unsigned()), 0, 0]), ALLOWED);
}

#[test]
fn each_condition_refuses() {
    assert_eq!(call(libc::SYS_socket, [40, 1, 0]), error(libc::EAFNOSUPPORT));
    assert_eq!(call(libc::SYS_socket, [16, 3, 12]), error(libc::EPROTONOSUPPORT));
    // The kernel reads 32 bits; the others must not hide the command.
    assert_eq!(call(libc::SYS_ioctl, [0, 0x7_0000_5412, 0]), error(libc::EPERM));
    assert_eq!(call(libc::SYS_ioctl, [0, 0x541c, 0]), error(libc::EPERM));
    assert_eq!(call(libc::SYS_unshare, [0x1000_0000, 0, 0]), error(libc::EPERM));
    for namespace in (0..32).map(|bit| 1_u32 << bit).filter(|bit| NAMESPACES & bit != 0) {
        assert_eq!(call(libc::SYS_clone, [u64::from(namespace | 17), 0, 0]), error(libc::EPERM));
    }
}

#[test]
fn other_machines_and_unknown_calls_are_absent() {
    assert_eq!(call(470, [0; 3]), error(libc::ENOSYS));
    let read = u32::try_from(libc::SYS_read).unwrap();
    for (architecture, number) in [(0x4000_0003, read), (ARCHITECTURE, 0x4000_0000 | read)] {
        assert_eq!(run(architecture, number, [0; 6]).0, error(libc::ENOSYS));
    }
}

#[test]
fn a_confined_process_makes_threads_and_no_processes() {
    let program = confined_program();
    let reaches = |step: &sock_filter| step.jt < u8::MAX && step.jf < u8::MAX;
    assert!(program.iter().all(reaches), "a jump may not reach its end");
    let call = |number: c_long, first: i32, third: u64| {
        let arguments = [u64::from(first.cast_unsigned()), 0, third, 0, 0, 0];
        run_in(&program, ARCHITECTURE, u32::try_from(number).unwrap(), arguments).0
    };
    let thread = libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND;
    assert_eq!(call(libc::SYS_clone, thread, 0), ALLOWED);
    assert_eq!(call(libc::SYS_clone, libc::SIGCHLD, 0), error(libc::EPERM));
    assert_eq!(call(libc::SYS_clone, thread | libc::CLONE_NEWUSER, 0), error(libc::EPERM));
    assert_eq!(call(libc::SYS_clone3, 0, 0), error(libc::ENOSYS));
    assert_eq!(call(libc::SYS_execve, 1, 0), error(libc::EPERM));
    assert_eq!(call(libc::SYS_socket, libc::AF_INET6, 0), ALLOWED);
    assert_eq!(call(libc::SYS_socket, libc::AF_NETLINK, 0), ALLOWED);
    assert_eq!(call(libc::SYS_socket, libc::AF_NETLINK, 12), error(libc::EPROTONOSUPPORT));
    assert_eq!(call(libc::SYS_socket, libc::AF_UNIX, 0), error(libc::EAFNOSUPPORT));
    assert_eq!(call(libc::SYS_prlimit64, 0, 0), ALLOWED);
    assert_eq!(call(libc::SYS_prlimit64, 7, 0), error(libc::EPERM));
    assert_eq!(call(libc::SYS_futex, 0, 0), ALLOWED);
}
