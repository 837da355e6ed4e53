//! Callers who ask for the impossible, and descriptors that must not come along.

use std::os::fd::AsFd;

use aseptic_sandbox::{Access, Ended, Jail, Mount, PrepareError, Streams, prepare};

use crate::support::{Place, With, explain, pipes, python, run, shell};

fn refused(jail: &Jail) -> PrepareError {
    prepare(jail, pipes().0, &[]).unwrap_err()
}

#[test]
fn no_descriptor_of_the_supervisor_comes_along() {
    let place = Place::new();
    let secret = std::fs::File::open(place.file("secret", "secret")).unwrap();
    rustix::io::fcntl_setfd(&secret, rustix::io::FdFlags::empty()).unwrap(); // As a careless library would.
    let kept = std::fs::File::open(place.path("secret")).unwrap();
    let script = "import os; print([fd for fd in range(1024) if os.path.exists(f'/proc/self/fd/{fd}')])";
    let (streams, mut pipes) = pipes();
    let mut running = prepare(&python(script), streams, &[kept.as_fd()]).unwrap().start();
    assert_eq!(pipes.read_all().0.trim_end(), "[0, 1, 2]");
    assert_eq!(running.wait(), Ended::Exited(0));
    drop(secret);
}

#[test]
fn a_description_that_cannot_be_meant_is_refused() {
    for target in ["/a/../b", "relative", "/", "/a\0b", ""] {
        let error = refused(&shell("true").with(Mount::Directory { target: target.into() }));
        assert!(matches!(error, PrepareError::Description { .. }), "{target:?}: {error:?}");
    }
    let mut jail = shell("true");
    jail.environment.push(("NAME".into(), "a\0b".into()));
    assert_eq!(explain(&refused(&jail)), "the jail cannot have a NUL byte in `NAME=a\\0b`");
}

#[test]
fn a_source_that_is_not_there_is_named() {
    let error = refused(&shell("true").bind("/no/such/file".as_ref(), "/a", Access::Read));
    assert_eq!(explain(&error), "could not find `/no/such/file`: No such file or directory (os error 2)");
    let error = refused(&shell("true").overlay("/etc/passwd".as_ref(), "/a"));
    assert!(matches!(error, PrepareError::Source { .. }), "{error:?}");
}

#[test]
fn a_source_that_may_not_be_read_stays_unread() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let closed = place.directory("closed");
    place.file("closed/file", "text");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).unwrap();
    let output = run(&shell("cat /closed/file").bind(&closed, "/closed", Access::Read));
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    // Root's id opens no more than anybody's, without root's capabilities.
    output.assert(Ended::Exited(1), "");
}

#[test]
fn too_much_is_refused() {
    let file = std::fs::File::open("/dev/null").unwrap();
    let error = prepare(&shell("true"), pipes().0, &[file.as_fd(); 11]).unwrap_err();
    assert_eq!(explain(&error), "the jail cannot have more than 10 kept descriptors");
    let mut running = prepare(&shell("exit 4"), pipes().0, &[file.as_fd(); 10]).unwrap().start();
    assert_eq!(running.wait(), Ended::Exited(4));
}

#[test]
fn a_directory_is_no_stream() {
    let (streams, _pipes) = pipes();
    let streams = Streams { stdin: std::fs::File::open("/").unwrap().into(), ..streams };
    let error = prepare(&shell("true"), streams, &[]).unwrap_err();
    assert!(matches!(error, PrepareError::Description { .. }), "{error:?}");
}

#[test]
fn a_failed_step_is_named() {
    let mut jail = shell("true");
    jail.working_directory = "/no/such/directory".into();
    assert_eq!(
        explain(&refused(&jail)),
        "could not enter the working directory: No such file or directory (os error 2)"
    );
}

#[test]
fn a_link_in_an_input_leads_nowhere_on_the_host() {
    // A later mount below an input whose directory is a link to a directory of the host.
    let place = Place::new();
    let (data, host) = (place.directory("data"), place.directory("host"));
    std::os::unix::fs::symlink(&host, data.join("link")).unwrap();
    let file = Mount::File { target: "/data/link/file".into(), contents: b"text".to_vec() };
    let error = refused(&shell("true").bind(&data, "/data", Access::Write).with(file.clone()));
    assert!(matches!(error, PrepareError::Step { .. }), "{error:?}");
    assert_eq!(std::fs::read_dir(&host).unwrap().count(), 0, "a file was made on the host");
    let target = "/data/link".into();
    let memory = Mount::Memory { target, bytes: 4096 };
    refused(&shell("true").bind(&data, "/data", Access::Write).with(memory));
    // The twin: where the link leads to a directory of the jail, the file is made there.
    let jail = shell("cat /data/link/file").bind(&data, "/data", Access::Read);
    let jail = jail.with(Mount::Directory { target: host.clone() });
    run(&jail.with(file)).assert(Ended::Exited(0), "text");
}

#[test]
fn a_file_is_not_written_over() {
    let place = Place::new();
    let data = place.directory("data");
    let kept = place.file("data/file", "as it was");
    let file = Mount::File { target: "/data/file".into(), contents: b"new".to_vec() };
    refused(&shell("true").bind(&data, "/data", Access::Write).with(file));
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "as it was");
}

#[test]
fn a_jail_without_procfs_has_the_same_walls() {
    let mut jail =
        shell("unshare -U true 2>/dev/null; echo $?; mkdir -p /tmp/x; unshare -m true 2>/dev/null; echo $?");
    jail.mounts.retain(|mount| !matches!(mount, Mount::Processes { .. }));
    run(&jail).assert(Ended::Exited(0), "1\n1");
}
