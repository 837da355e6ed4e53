//! Runs one command in a jail: `cargo run --example jail -- COMMAND…`.

use std::io::{stderr, stdin, stdout};
use std::os::fd::AsFd;
use std::process::ExitCode;

use aseptic_sandbox::{Ended, Jail, Limits, Mount, Streams, enforces_task_limit, start, system_mounts};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut command = std::env::args_os().skip(1).skip_while(|argument| argument == "--");
    let mut mounts = system_mounts("/tmp".as_ref());
    mounts.push(Mount::Memory { target: "/tmp".into(), bytes: 64 << 20 });
    let jail = Jail {
        staging: std::env::temp_dir(),
        mounts,
        watched: Vec::new(),
        hostname: "aseptic".into(),
        program: command.next().ok_or("name a command")?,
        arguments: command.collect(),
        environment: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
        working_directory: "/tmp".into(),
        limits: Limits { tasks: enforces_task_limit().then_some(16_384), ..Limits::default() },
        ..Jail::default()
    };
    let streams = Streams {
        stdin: stdin().as_fd().try_clone_to_owned()?,
        stdout: stdout().as_fd().try_clone_to_owned()?,
        stderr: stderr().as_fd().try_clone_to_owned()?,
    };
    let mut running = start(&jail, streams, &[])?;
    match running.wait() {
        Ended::Exited(code) => Ok(u8::try_from(code)?.into()),
        Ended::Signaled(signal) => Ok((128 + u8::try_from(signal)?).into()),
        Ended::NotExecuted(error) => Err(std::io::Error::from_raw_os_error(error).into()),
        Ended::Killed => Err("the jail was killed".into()),
    }
}
