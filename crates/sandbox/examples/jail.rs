//! Runs one command in a jail: `cargo run --example jail -- [--network] COMMAND…`. With `--network` it has
//! one that nobody serves. What making the jail took is said when `--times` comes first.

use std::io::{stderr, stdin, stdout};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Instant;

use aseptic_sandbox::{
    Ended, Jail, Limits, Mount, Network, Streams, enforces_task_limit, prepare, system_mounts,
};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut command = std::env::args_os().skip(1).peekable();
    let mut option = |name: &str| command.next_if(|argument| argument == name).is_some();
    let (times, network, _) = (option("--times"), option("--network"), option("--"));
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
        network: network.then(Network::default),
        ..Jail::default()
    };
    let streams = Streams {
        stdin: stdin().as_fd().try_clone_to_owned()?,
        stdout: stdout().as_fd().try_clone_to_owned()?,
        stderr: stderr().as_fd().try_clone_to_owned()?,
    };
    let begun = Instant::now();
    let mut prepared = prepare(&jail, streams, &[])?;
    let made = begun.elapsed();
    let _ends = prepared.take_network();
    let mut running = prepared.start();
    let ended = running.wait();
    if times {
        #[expect(clippy::print_stderr, reason = "asked for")]
        {
            eprintln!("made in {} µs, over after {} µs", made.as_micros(), begun.elapsed().as_micros());
        }
    }
    match ended {
        Ended::Exited(code) => Ok(u8::try_from(code)?.into()),
        Ended::Signaled(signal) => Ok((128 + u8::try_from(signal)?).into()),
        Ended::NotExecuted(error) => Err(std::io::Error::from_raw_os_error(error).into()),
        Ended::Killed => Err("the jail was killed".into()),
    }
}
