use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use aseptic_model::{ByteSize, Class, DatasetName, ProjectName};
use aseptic_runner::dataset::{Added, Said, Unpack};
use aseptic_runner::{Home, ImportOptions};

use crate::context::{Context, Shown};
use crate::failure::Failure;

/// Names that archives have.
const ENDINGS: [&str; 5] = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst"];

/// What to import.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// File or directory, or `-` for standard input
    path: PathBuf,
    /// Import what is in a tar archive, which may be compressed with gzip or zstd
    ///
    /// The version is the one that the unpacked directory would give. Nothing is unpacked anywhere; paths and
    /// links that lead out of the archive are refused.
    #[arg(long)]
    unpack: bool,
    /// Import standard input as one file of this name
    #[arg(long, value_name = "NAME", conflicts_with = "unpack")]
    file: Option<OsString>,
    /// Refuse an archive or a stream of more bytes, decompressed, such as 20GiB [default: what the disk holds]
    #[arg(long, value_name = "SIZE")]
    max_size: Option<ByteSize>,
}

/// Imports what was named.
pub(super) fn add(
    context: &Context,
    home: &mut Home,
    project: &ProjectName,
    (source, options): (&Source, &ImportOptions<'_>),
    name: &DatasetName,
    said: &Said,
) -> Result<Added, Failure> {
    let Source { path, unpack, file, max_size } = source;
    let limit = Unpack { max_bytes: max_size.map(|size| size.0) };
    let is_stdin = path.as_os_str() == "-";
    let mistake = |message: &str, help: &str| {
        Err(Failure::new(Class::User, "dataset/source", message.to_owned(), help))
    };
    match (is_stdin, unpack, file) {
        (true, false, None) => {
            return mistake(
                "standard input has no name",
                "say `--unpack` if it is a tar archive, or `--file NAME` if it is one file",
            );
        }
        (false, _, Some(_)) => {
            return mistake("`--file` is for standard input", "name `-` as the file, or leave `--file` out");
        }
        (true, _, Some(file)) if Path::new(file).file_name() != Some(file.as_os_str()) => {
            return mistake("`--file` is the name of one file", "leave directories out: `--file data.csv`");
        }
        (false, false, None) if max_size.is_some() => {
            return mistake(
                "`--max-size` is for archives and standard input",
                "add `--unpack`, or leave it out",
            );
        }
        _ => {}
    }
    let mut observer = context.observer(Shown::Nothing).until(context.interrupt()?);
    let added = match (unpack, file) {
        (true, _) if is_stdin => {
            let stdin = io::stdin();
            aseptic_runner::dataset::add_tar(home, project, stdin, limit, name, said, &mut observer)?
        }
        (true, _) => {
            aseptic_runner::dataset::keep_state_out(home, path)?;
            let archive = open(path)?;
            aseptic_runner::dataset::add_tar(home, project, archive, limit, name, said, &mut observer)?
        }
        (false, Some(file)) => {
            let content = (file.as_bytes(), io::stdin());
            aseptic_runner::dataset::add_file(home, project, content, limit, name, said, &mut observer)?
        }
        (false, None) => {
            aseptic_runner::dataset::add(home, project, path, name, said, options, &mut observer)?
        }
    };
    drop(observer);
    if !unpack && is_archive(path) {
        context.say("note: the archive was imported as one file; `--unpack` imports what is in it");
    }
    Ok(added)
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| {
        let message = format!("could not read `{}`: {error}", path.display());
        Failure::new(
            Class::User,
            "store/unreadable",
            message,
            "check that it exists and that you may read it",
        )
    })
}

fn is_archive(path: &Path) -> bool {
    let name = path.as_os_str().as_bytes();
    path.is_file() && ENDINGS.iter().any(|ending| name.ends_with(ending.as_bytes()))
}
