//! System V and POSIX IPC, and kernel keys.

use std::ffi::CString;
use std::io;
use std::ptr;

use super::{check, number};

/// Bytes of a canary: what the objects here hold.
pub(crate) const SIZE: usize = 16;

/// Makes a shared memory segment with `bytes` in it.
pub(crate) fn shm_put(key: i32, bytes: &[u8; SIZE]) -> io::Result<()> {
    // SAFETY: the call takes integers.
    let id = number(unsafe { libc::shmget(key, SIZE, libc::IPC_CREAT | libc::IPC_EXCL | 0o600) }.into())?;
    // SAFETY: the kernel chooses the address; nothing of ours is replaced.
    let memory = unsafe { libc::shmat(id, ptr::null(), 0) };
    if memory.addr() == usize::MAX {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the segment is `SIZE` bytes long and was just mapped for writing.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), memory.cast(), SIZE) };
    Ok(())
}

/// The key of something that was made. Zero is that of whatever has none, and would make a new object.
fn known(key: i32) -> io::Result<i32> {
    if key == libc::IPC_PRIVATE { Err(io::ErrorKind::NotFound.into()) } else { Ok(key) }
}

/// What the segment `key` holds.
pub(crate) fn shm_get(key: i32) -> io::Result<[u8; SIZE]> {
    let key = known(key)?;
    // SAFETY: the call takes integers.
    let id = number(unsafe { libc::shmget(key, SIZE, 0) }.into())?;
    // SAFETY: the kernel chooses the address; nothing of ours is replaced.
    let memory = unsafe { libc::shmat(id, ptr::null(), libc::SHM_RDONLY) };
    if memory.addr() == usize::MAX {
        return Err(io::Error::last_os_error());
    }
    let mut bytes = [0; SIZE];
    // SAFETY: shmget(2) refuses a segment of fewer than `SIZE` bytes.
    unsafe { ptr::copy_nonoverlapping(memory.cast(), bytes.as_mut_ptr(), SIZE) };
    Ok(bytes)
}

/// Makes one semaphore per byte, with that value.
pub(crate) fn sem_put(key: i32, bytes: &[u8; SIZE]) -> io::Result<()> {
    let flags = libc::IPC_CREAT | libc::IPC_EXCL | 0o600;
    // SAFETY: the call takes integers.
    let id = number(unsafe { libc::semget(key, 16, flags) }.into())?;
    for (at, byte) in (0..).zip(bytes) {
        // SAFETY: SETVAL reads its fourth argument as an integer.
        check(unsafe { libc::semctl(id, at, libc::SETVAL, libc::c_int::from(*byte)) }.into())?;
    }
    Ok(())
}

/// The values of the semaphores `key`.
pub(crate) fn sem_get(key: i32) -> io::Result<[u8; SIZE]> {
    let key = known(key)?;
    // SAFETY: the call takes integers.
    let id = number(unsafe { libc::semget(key, 16, 0) }.into())?;
    let mut bytes = [0; SIZE];
    for (at, byte) in (0..).zip(&mut bytes) {
        // SAFETY: GETVAL takes no fourth argument.
        let value = check(unsafe { libc::semctl(id, at, libc::GETVAL) }.into())?;
        *byte = u8::try_from(value).map_err(io::Error::other)?;
    }
    Ok(bytes)
}

#[repr(C)]
struct Message {
    kind: libc::c_long,
    text: [u8; SIZE],
}

/// Makes a message queue with one message in it.
pub(crate) fn msg_put(key: i32, bytes: &[u8; SIZE]) -> io::Result<()> {
    // SAFETY: the call takes integers.
    let id = number(unsafe { libc::msgget(key, libc::IPC_CREAT | libc::IPC_EXCL | 0o600) }.into())?;
    let message = Message { kind: 1, text: *bytes };
    // SAFETY: the message is a number and `SIZE` bytes, as the call is told.
    check(unsafe { libc::msgsnd(id, ptr::from_ref(&message).cast(), SIZE, libc::IPC_NOWAIT) }.into())?;
    Ok(())
}

/// Takes a message from the queue `key`.
pub(crate) fn msg_get(key: i32) -> io::Result<[u8; SIZE]> {
    let key = known(key)?;
    // SAFETY: the call takes integers.
    let id = number(unsafe { libc::msgget(key, 0) }.into())?;
    let mut message = Message { kind: 0, text: [0; SIZE] };
    let to = ptr::from_mut(&mut message).cast();
    // SAFETY: the kernel writes a number and at most `SIZE` bytes.
    let taken = unsafe { libc::msgrcv(id, to, SIZE, 0, libc::IPC_NOWAIT) };
    check(libc::c_long::try_from(taken).unwrap_or(-1))?;
    Ok(message.text)
}

/// Makes a POSIX message queue with one message in it.
pub(crate) fn mq_put(name: &str, bytes: &[u8; SIZE]) -> io::Result<()> {
    let name = CString::new(format!("/{name}"))?;
    // SAFETY: all-zero attributes are valid; the fields that matter are set below.
    let mut attributes: libc::mq_attr = unsafe { std::mem::zeroed() };
    attributes.mq_maxmsg = 1;
    attributes.mq_msgsize = 16;
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY;
    // SAFETY: with O_CREAT the call reads a mode and attributes, which outlive it.
    let queue = number(unsafe { libc::mq_open(name.as_ptr(), flags, 0o600, &raw const attributes) }.into())?;
    // SAFETY: the message is `SIZE` bytes long.
    check(unsafe { libc::mq_send(queue, bytes.as_ptr().cast(), SIZE, 0) }.into())?;
    Ok(())
}

/// Takes a message from the POSIX queue `name`.
pub(crate) fn mq_get(name: &str) -> io::Result<[u8; SIZE]> {
    let name = CString::new(format!("/{name}"))?;
    // SAFETY: without O_CREAT the call reads two arguments.
    let queue = number(unsafe { libc::mq_open(name.as_ptr(), libc::O_RDONLY | libc::O_NONBLOCK) }.into())?;
    let mut bytes = [0; SIZE];
    // SAFETY: the kernel writes at most `SIZE` bytes.
    let taken = unsafe { libc::mq_receive(queue, bytes.as_mut_ptr().cast(), SIZE, ptr::null_mut()) };
    check(libc::c_long::try_from(taken).unwrap_or(-1))?;
    Ok(bytes)
}

const USER_KEYRING: libc::c_long = -4;
/// Everything for its possessor and for its user: the weakest that a careless program would choose.
const PERMISSIONS: libc::c_long = 0x3f3f_0000;
/// A key of a drill that was killed goes by itself.
const KEY_SECONDS: libc::c_long = 180;

const KEYCTL_SETPERM: libc::c_long = 5;
const KEYCTL_UNLINK: libc::c_long = 9;
const KEYCTL_READ: libc::c_long = 11;
const KEYCTL_SET_TIMEOUT: libc::c_long = 15;

/// Puts a key into the keyring of the user; returns its number.
pub(crate) fn key_put(name: &str, bytes: &[u8; SIZE]) -> io::Result<i32> {
    let name = CString::new(name)?;
    let (kind, name, payload) = (c"user".as_ptr(), name.as_ptr(), bytes.as_ptr());
    // SAFETY: two C strings and `SIZE` bytes, which outlive the call.
    let key = number(unsafe { libc::syscall(libc::SYS_add_key, kind, name, payload, SIZE, USER_KEYRING) })?;
    for (what, value) in [(KEYCTL_SETPERM, PERMISSIONS), (KEYCTL_SET_TIMEOUT, KEY_SECONDS)] {
        // SAFETY: the call takes integers.
        check(unsafe { libc::syscall(libc::SYS_keyctl, what, libc::c_long::from(key), value) })?;
    }
    Ok(key)
}

/// What the key of that number holds.
pub(crate) fn key_read(key: i32) -> io::Result<[u8; SIZE]> {
    let mut bytes = [0_u8; SIZE];
    let to = bytes.as_mut_ptr();
    // SAFETY: the kernel writes at most `SIZE` bytes.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_READ, libc::c_long::from(key), to, SIZE) })?;
    Ok(bytes)
}

/// The number of the key of that name that this process can find.
pub(crate) fn key_find(name: &str) -> io::Result<i32> {
    let name = CString::new(name)?;
    let nothing = ptr::null::<libc::c_char>();
    // SAFETY: two C strings which outlive the call; without a third nobody is asked to make the key.
    let found = unsafe {
        libc::syscall(libc::SYS_request_key, c"user".as_ptr(), name.as_ptr(), nothing, 0 as libc::c_long)
    };
    number(found)
}

/// Takes the key out of the keyring of the user, which is all that keeps it.
pub(crate) fn key_remove(key: i32) -> io::Result<()> {
    let key = libc::c_long::from(key);
    // SAFETY: the call takes integers.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_UNLINK, key, USER_KEYRING) }).map(drop)
}
