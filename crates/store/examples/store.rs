//! The life of a dataset in a store, and what each step takes:
//!
//! ```text
//! cargo run --release -p aseptic-store --example store -- STORE import SOURCE
//! cargo run --release -p aseptic-store --example store -- STORE view|verify SNAPSHOT
//! cargo run --release -p aseptic-store --example store -- STORE export SNAPSHOT DESTINATION
//! ```
//!
//! `import` prints the digest of the snapshot, `view` its directory; the last line is always the milliseconds
//! that the step took, with the opening of the store.

use std::io::{Write, stdout};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use aseptic_model::Digest;
use aseptic_store::{Existing, ImportOptions, Store};

const USAGE: &str = "STORE import SOURCE, view SNAPSHOT, verify SNAPSHOT, or export SNAPSHOT DESTINATION";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let words: Vec<&Path> = words.iter().map(PathBuf::as_path).collect();
    let [dir, step, what, rest @ ..] = words.as_slice() else { return Err(USAGE.into()) };
    let snapshot = || what.to_str().ok_or("no digest").map(str::parse::<Digest>);
    let begun = Instant::now();
    let store = Store::open(dir)?;
    let said = match (step.to_str(), rest) {
        (Some("import"), []) => {
            let imported = store.import(&store.lease()?, what, &ImportOptions::default(), &mut |_| {
                ControlFlow::Continue(())
            })?;
            imported.snapshot.digest.to_string()
        }
        (Some("view"), []) => store.view(&snapshot()??)?.display().to_string(),
        (Some("verify"), []) => {
            let verified = store.verify(&snapshot()??, &mut |_| ())?;
            format!("{} files, {} bytes", verified.files, verified.bytes)
        }
        (Some("export"), [destination]) => {
            let exported =
                store.export(&store.lease()?, &snapshot()??, None, destination, Existing::Refuse)?;
            format!("{} files, {} bytes", exported.files, exported.bytes)
        }
        _ => return Err(USAGE.into()),
    };
    let took = begun.elapsed();
    writeln!(stdout(), "{said}\n{:.3}", took.as_secs_f64() * 1e3)?;
    Ok(())
}
