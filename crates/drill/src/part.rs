//! What a process of the drill does: one word says which part it plays.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::attempt::Attempt;
use crate::family::families;
use crate::scene::{SCENE, SECRET, Scene};
use crate::victim::{self, Role};
use crate::{ring, terminal};

/// Plays the part that `words` name, to its end.
///
/// Only a process that was started for this may call it: a victim does not return, and a twin leaves
/// its namespaces.
///
/// # Errors
/// The part could not be played; what an attempt met is no error.
pub fn part(words: &[OsString]) -> io::Result<()> {
    let text: Vec<&str> = words.iter().map(|word| word.to_str().unwrap_or("")).collect();
    match text.as_slice() {
        ["attempt", name, _, "plant"] => attempt(find(name)?, Part::Plant),
        ["attempt", name, _, "act"] => attempt(find(name)?, Part::Act),
        ["victim", role, name, key, _] => {
            let role = match *role {
                "run" => Role::Run,
                "host" => Role::Host,
                "ring" => Role::Ring,
                _ => return Err(unknown()),
            };
            let canary = std::env::var(SECRET).map_err(io::Error::other)?;
            let canary = canary.as_bytes().try_into().map_err(io::Error::other)?;
            let key = key.parse().map_err(io::Error::other)?;
            victim::live(role, &scene()?, name, key, canary)
        }
        ["twin", name, id, directory] => ring::enter(find(name)?.name, id, Path::new(directory)),
        ["ring", name, id, directory] => ring::live(find(name)?, id, Path::new(directory)),
        ["terminal", ..] => terminal::on_a_terminal(words.get(1..).unwrap_or(&[])),
        ["bound", ..] => Err(bound(words.get(1..).unwrap_or(&[]))),
        ["capabilities"] => capabilities(),
        _ => Err(unknown()),
    }
}

enum Part {
    Plant,
    Act,
}

fn attempt(attempt: &Attempt, part: Part) -> io::Result<()> {
    let scene = scene()?;
    let said = match part {
        Part::Plant => attempt.plant.ok_or_else(unknown)?(&scene),
        Part::Act => (attempt.act)(&scene),
    };
    let said = said.unwrap_or_else(|error| crate::Said::Refused(error.to_string()));
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{said}")?;
    stdout.flush()
}

/// Becomes another program that is asked to end when the process that started this one ends, however it
/// does.
fn bound(command: &[OsString]) -> io::Error {
    let Some((program, words)) = command.split_first() else { return unknown() };
    match rustix::process::set_parent_process_death_signal(Some(Signal::TERM)) {
        Ok(()) => Command::new(program).args(words).exec(),
        Err(error) => error.into(),
    }
}

/// Prints which capabilities this program has after it was executed.
fn capabilities() -> io::Result<()> {
    let sets = rustix::thread::capabilities(None)?;
    writeln!(io::stdout(), "{:x}", sets.effective.bits())
}

fn scene() -> io::Result<Scene> {
    let scene = std::env::var(SCENE).map_err(io::Error::other)?;
    serde_json::from_str(&scene).map_err(io::Error::other)
}

fn find(name: &str) -> io::Result<&'static Attempt> {
    families()
        .iter()
        .flat_map(|family| family.attempts)
        .find(|attempt| attempt.name == name)
        .ok_or_else(unknown)
}

fn unknown() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "there is no such part in the drill")
}
