use std::process::ExitCode;

use aseptic_model::{ByteSize, Class, InputRef};
use aseptic_runner::{ArchiveUrl, Archived};
use serde_json::json;

use crate::context::{Context, Shown};
use crate::failure::Failure;
use crate::table::amount;

/// Copy a version of a dataset, or a run, to another place
///
/// The place is a directory, or a URL: s3://BUCKET/PATH, gs://BUCKET/PATH, az://CONTAINER/PATH, or https://HOST/PATH of
/// a WebDAV server. Everything is read back and compared before the ledger says that it is archived. After `aseptic gc`
/// gave the bytes up, `aseptic restore` brings them back. Credentials come from the environment, as the tools of each
/// cloud take them, and never from the URL.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic archive digits@1 /mnt/backup/digits-1\n  \
                        aseptic archive digits s3://archive/digits/1\n  \
                        aseptic archive run:train gs://archive/runs/train")]
pub(crate) struct Args {
    /// DATASET, DATASET@VERSION or run:RUN
    object: InputRef,
    /// Directory or URL, for this archive alone
    #[arg(value_name = "URL")]
    url: String,
}

/// A URL, or a path of this machine. Not for the parser of the command line: that repeats what it refuses, and a
/// URL may have a password in it.
pub(super) fn place(text: &str) -> Result<ArchiveUrl, Failure> {
    if text.contains("://") {
        return Ok(text.parse()?);
    }
    let path = std::path::absolute(text).map_err(|error| {
        let message = format!("`{text}` is no directory: {error}");
        Failure::new(Class::User, "archive/url", message, "name a directory or a URL")
    })?;
    Ok(ArchiveUrl::of_directory(&path)?)
}

/// The environment, where the credentials for a place are.
pub(super) fn variables() -> Vec<(String, String)> {
    let text = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((key.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let place = place(&args.url)?;
    let (project, mut home) = (context.project()?, context.home()?);
    let archived = {
        let mut observer = context.observer(Shown::Nothing).until(context.interrupt()?);
        aseptic_runner::archive(&mut home, &project, &args.object, &place, variables(), &mut observer)?
    };
    let Archived { manifest, digest, url, new } = &archived;
    if context.json() {
        context.document(&json!({
            "schema": "aseptic.archived/1", "object": manifest.object, "url": url.to_string(), "manifest": digest,
            "new": new, "files": manifest.files, "bytes": manifest.bytes, "stored_bytes": manifest.stored(),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let state = if *new { "archived" } else { "checked" };
    let what = amount(manifest.files, manifest.bytes);
    let stored = ByteSize(manifest.stored());
    context.out(format_args!("{state} {} at {url} ({what}, {stored} there)", manifest.object));
    context.out(format_args!("manifest {digest}"));
    Ok(ExitCode::SUCCESS)
}
