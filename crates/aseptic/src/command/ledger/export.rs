//! `aseptic ledger export`: the entries for other programs.

mod ocsf;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aseptic_model::{Class, Timestamp};
use aseptic_runner::{EntryViewer, Recorded};

use super::filter::{Filter, Source};
use super::show;
use crate::context::Context;
use crate::failure::Failure;
use crate::table::csv_field;

/// Write the entries for another program
///
/// JSON lines have the entries as they were signed. CSV is for spreadsheets: a text that one could take for a
/// formula begins with an apostrophe. OCSF is for security monitoring: API Activity of version 1.5.0, each event
/// with its whole entry under `unmapped`. Values that were erased are in none of them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic ledger export --as jsonl --out entries.jsonl\n  \
                        aseptic ledger export --as ocsf --since 1d --type 'run.*'")]
pub(crate) struct Args {
    /// Form
    #[arg(long = "as", value_name = "FORM", value_enum)]
    form: Form,
    /// New file for them, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    source: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// One JSON document a line
    Jsonl,
    /// Comma-separated values with a header
    Csv,
    /// One OCSF event a line
    Ocsf,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let (dir, mut viewer) = args.source.open(context)?;
    let Some(path) = &args.out else {
        let out = BufWriter::new(io::stdout().lock());
        let written = write(args, (&dir, &mut viewer), out)?;
        context.written(written.map(|_| ()));
        super::say_left_out(context, &viewer);
        return Ok(ExitCode::SUCCESS);
    };
    let failed = |error: io::Error| {
        let message = format!("could not write `{}`: {error}", path.display());
        Failure::new(
            Class::User,
            "ledger/export",
            message,
            "name a new file, on a disk with space, with `--out`",
        )
    };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let count = write_file(args, (&dir, &mut viewer), &file).inspect_err(|_| drop(fs::remove_file(path)))?;
    let count = count.inspect_err(|_| drop(fs::remove_file(path))).map_err(failed)?;
    context.say(format_args!("Exported {count} entries to {}.", path.display()));
    super::say_left_out(context, &viewer);
    Ok(ExitCode::SUCCESS)
}

fn write_file(
    args: &Args,
    entries: (&Path, &mut EntryViewer),
    file: &File,
) -> Result<io::Result<u64>, Failure> {
    Ok(write(args, entries, BufWriter::new(file))?.and_then(|count| file.sync_all().map(|()| count)))
}

/// Writes the entries and returns how many they were; the inner error is that of `out`.
fn write(
    args: &Args,
    entries: (&Path, &mut EntryViewer),
    mut out: impl Write,
) -> Result<io::Result<u64>, Failure> {
    let filter = args.filter.conditions();
    let (mut count, mut lost) = (0, None);
    if args.form == Form::Csv {
        lost = out.write_all(CSV_HEADER.as_bytes()).err();
    }
    args.source.pass(entries, &filter, |recorded| {
        if lost.is_none() {
            let line = match args.form {
                Form::Jsonl => format!("{}\n", show::document(recorded)),
                Form::Csv => csv(recorded),
                Form::Ocsf => format!("{}\n", ocsf::event(recorded)),
            };
            lost = out.write_all(line.as_bytes()).err();
            count += 1;
        }
        Ok(())
    })?;
    Ok(match lost {
        Some(error) => Err(error),
        None => out.flush().map(|()| count),
    })
}

const CSV_HEADER: &str = "index,time,actor,project,type,run,dataset,about,reason,hidden,entry\r\n";

/// One entry as a line of CSV.
///
/// Source: RFC 4180.
fn csv(recorded: &Recorded) -> String {
    let text = String::from_utf8_lossy(&recorded.bytes).into_owned();
    let hidden: Vec<_> =
        recorded.hidden.iter().map(|(place, why)| format!("{place} {}", why.as_str())).collect();
    let mut fields = vec![recorded.index.to_string()];
    match &recorded.entry {
        None => fields.extend(std::iter::repeat_n(String::new(), 8)),
        Some(entry) => {
            let event = &entry.event;
            fields.extend([
                entry.time.to_string(),
                entry.actor.clone(),
                entry.project.to_string(),
                event.kind().to_owned(),
                event.run().map(ToString::to_string).unwrap_or_default(),
                event.dataset().map(|dataset| dataset.to_string()).unwrap_or_default(),
                event.subject(),
                event.reason().unwrap_or_default().to_owned(),
            ]);
        }
    }
    fields.extend([hidden.join("; "), text]);
    let fields: Vec<_> = fields.iter().map(|field| csv_field(field)).collect();
    fields.join(",") + "\r\n"
}

/// Milliseconds since 1970 of an entry's time.
fn milliseconds(time: Timestamp) -> i64 {
    time.as_unix_ms()
}
