//! Runs one command in a jail: `cargo run --example jail -- COMMAND…`.
#![allow(clippy::print_stderr, reason = "an example talks to its user")]
use std::process::ExitCode;

use aseptic_sandbox::{Ended, Jail, Mount, Streams, prepare, system_mounts};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut command = std::env::args_os().skip(1).skip_while(|argument| argument == "--");
    let staging = std::env::temp_dir();
    let mut mounts = system_mounts("/tmp".as_ref());
    mounts.push(Mount::Memory { target: "/tmp".into(), bytes: 64 << 20 });
    let jail = Jail {
        staging,
        mounts,
        watched: Vec::new(),
        hostname: "aseptic".into(),
        program: command.next().ok_or("name a command")?,
        arguments: command.collect(),
        environment: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
        working_directory: "/tmp".into(),
        tasks: Some(1000),
    };
    let [stdin, stdout, stderr] = [0, 1, 2].map(|number| format!("/proc/self/fd/{number}"));
    let streams = Streams {
        stdin: std::fs::File::open(stdin)?.into(),
        stdout: std::fs::OpenOptions::new().append(true).open(stdout)?.into(),
        stderr: std::fs::OpenOptions::new().append(true).open(stderr)?.into(),
    };
    let mut running = prepare(&jail, streams, &[])?.start();
    match running.wait() {
        Ended::Exited(code) => Ok(u8::try_from(code)?.into()),
        Ended::Signaled(signal) => Ok((128 + u8::try_from(signal)?).into()),
        other => {
            eprintln!("{other:?}");
            Ok(127.into())
        }
    }
}
