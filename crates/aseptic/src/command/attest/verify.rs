use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aseptic_model::{Class, FilePath, RunRef};
use aseptic_runner::{Checked, OutputsToCheck, PublicKey, Statement};
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::table::amount;

/// Verify signed statements, and files that they are about
///
/// Of a run of this machine: both statements are signed by the key that was in force, and the ledger names them, their
/// key and the outputs. Of a file with statements, such as `aseptic attest export` writes: with --key, the signature
/// alone, and no ledger is asked; without, the key must be in the ledger of this machine, and what is said of a run of
/// this ledger must be what the ledger names. That nobody rewrote the ledger is what `aseptic ledger verify` shows.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic attest verify latest\n  \
                        aseptic attest verify latest --outputs ./results --part out\n  \
                        aseptic attest verify ./provenance.jsonl --key ./key.pem")]
pub(crate) struct Args {
    /// Run, or a file with signed statements; a file that is there comes first
    #[arg(value_name = "RUN|FILE")]
    what: String,
    /// Public key as PEM, from someone whom you trust
    #[arg(long, value_name = "PEM")]
    key: Option<PathBuf>,
    /// Directory to which the outputs were copied: every file is compared
    #[arg(long, value_name = "DIR")]
    outputs: Option<PathBuf>,
    /// Part of the outputs that was copied, such as `out`
    #[arg(long, value_name = "PATH", requires = "outputs")]
    part: Option<FilePath>,
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let key = args.key.as_deref().map(read_key).transpose()?;
    let outputs = args.outputs.clone().map(|dir| OutputsToCheck { dir, part: args.part.clone() });
    let path = Path::new(&args.what);
    let checked = if path.is_file() {
        let text = read(path, aseptic_runner::STATEMENTS_BYTES_MAX)?;
        match &key {
            Some(key) => aseptic_runner::attest_verify_file(&text, Ok(key), outputs.as_ref())?,
            None => {
                let (project, home) = (context.project()?, context.home()?);
                aseptic_runner::attest_verify_file(&text, Err((&home, &project)), outputs.as_ref())?
            }
        }
    } else {
        let run: RunRef = args.what.parse().map_err(|_| {
            let message = format!("`{}` is neither a file nor a run", args.what);
            Failure::new(Class::User, "attest/what", message, "`aseptic runs` lists the runs of the project")
        })?;
        let (project, home) = (context.project()?, context.home()?);
        aseptic_runner::attest_verify(&home, &project, &run, key.as_ref(), outputs.as_ref())?
    };
    report(context, &checked)?;
    Ok(ExitCode::SUCCESS)
}

fn report(context: &Context, checked: &Checked) -> Result<(), Failure> {
    let Checked { run, key, key_entry, entry, statements, outputs } = checked;
    let unproven = match (key_entry, entry) {
        (None, _) => {
            Some("not proven: whose key it is, and that a ledger names the statements; no ledger was asked")
        }
        (Some(_), None) => Some("not proven: that the ledger names what was signed; it names the key"),
        (Some(_), Some(_)) => None,
    };
    if context.json() {
        let kinds: Vec<_> = statements.iter().map(|statement| &statement.predicate_type).collect();
        return context.document(&json!({
            "schema": "aseptic.attest-verify/1", "run": run, "key": key, "key_entry": key_entry, "entry": entry,
            "statements": kinds, "files": outputs.map(|compared| compared.files),
            "bytes": outputs.map(|compared| compared.bytes), "not_proven": unproven,
        }));
    }
    for statement in statements {
        context.out(format_args!("verified {}, about {}", statement.predicate_type, subjects(statement)));
    }
    context.out(format_args!("signed by key {key}"));
    if let (Some(run), Some(entry), Some(key_entry)) = (run, entry, key_entry) {
        context
            .out(format_args!("run {run}: entry {entry} of the ledger names it, entry {key_entry} the key"));
    } else if let Some(key_entry) = key_entry {
        context.out(format_args!("entry {key_entry} of the ledger names the key"));
    }
    if let Some(compared) = outputs {
        context.out(format_args!("compared {}: every one as stated", amount(compared.files, compared.bytes)));
    }
    if let Some(unproven) = unproven {
        context.say(unproven);
    }
    Ok(())
}

/// What a statement is about, in words.
pub(super) fn subjects(statement: &Statement) -> String {
    let listed =
        statement.subject.iter().filter(|subject| subject.digest.contains_key("sha256")).count() as u64;
    let of_tree = |subject: &aseptic_runner::Subject| subject.annotations.as_ref()?.get("files")?.as_u64();
    let of_model = || Some(statement.predicate.get("resources")?.as_array()?.len() as u64);
    match statement.subject.iter().find_map(of_tree).or_else(of_model).unwrap_or(listed) {
        1 => "1 file".to_owned(),
        files if files > 0 && listed == 0 => format!("a tree of {files} files, which it does not list"),
        files => format!("{files} files"),
    }
}

fn read_key(path: &Path) -> Result<PublicKey, Failure> {
    let text = read(path, 64 << 10)?; // More than the bound of the key itself, which says what is wrong.
    Ok(PublicKey::from_pem(&String::from_utf8_lossy(&text))?)
}

fn read(path: &Path, max: usize) -> Result<Vec<u8>, Failure> {
    let wrong = |message: String| {
        let message = format!("could not read `{}`: {message}", path.display());
        Failure::new(
            Class::User,
            "attest/read",
            message,
            "name a file with signed statements, or a key as PEM",
        )
    };
    // What a file says of its length is not believed: a device has none.
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    file.take(max as u64 + 1).read_to_end(&mut bytes).map_err(|error| wrong(error.to_string()))?;
    if bytes.len() <= max { Ok(bytes) } else { Err(wrong("it is too long".to_owned())) }
}
