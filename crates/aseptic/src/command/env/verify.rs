use std::process::ExitCode;

use aseptic_model::{ByteSize, Severity};
use serde_json::json;

use super::{Present, documents, plain, print_findings};
use crate::context::{Context, Shown};
use crate::failure::Failure;

/// Compare every file of the environment of now with the digest that its installer recorded
///
/// A plan names packages by the digests of their lists of files. Whether the files are still those of the lists is
/// only known when they are read, which takes seconds for gigabytes. Exit code 4 says that a file is not as it was
/// installed, or gone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic env verify\n  aseptic env verify --python .venv --json")]
pub(crate) struct Args {
    #[command(flatten)]
    present: Present,
}

/// Exit code when a file is not as it was installed: that of damaged data.
const MODIFIED: u8 = 4;

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let request = args.present.request(context);
    let verified = {
        let mut observer = context.observer(Shown::Nothing).until(context.interrupt()?);
        aseptic_runner::verify_environment(&request, &mut observer)?
    };
    let damaged = verified.findings.iter().any(|finding| finding.code.severity() == Severity::Error);
    if context.json() {
        context.document(&json!({
            "schema": "aseptic.env-verify/1", "prefix": verified.prefix, "intact": !damaged,
            "packages": verified.packages, "unlisted_packages": verified.unlisted_packages,
            "system_packages": verified.system_packages,
            "files": verified.files, "bytes": verified.bytes, "without_digest": verified.without_digest,
            "findings": documents(&verified.findings), "more_findings": verified.more,
        }))?;
    } else {
        let (files, bytes) = (verified.files, ByteSize(verified.bytes));
        context.out(format_args!(
            "read {files} files of {} packages ({bytes}) in {}",
            verified.packages,
            plain(&verified.prefix)
        ));
        print_findings(context, &verified.findings);
        if verified.more > 0 {
            context.out(format_args!("  and {} more that are not listed", verified.more));
        }
        if !damaged {
            context.out("every file with a digest is as it was installed");
        }
        if verified.without_digest > 0 {
            let count = verified.without_digest;
            context
                .say(format_args!("note: {count} files have no digest in their list, and were not compared"));
        }
        if verified.system_packages > 0 {
            let count = verified.system_packages;
            context
                .say(format_args!("note: {count} packages are the system's: `dpkg --verify` compares these"));
        }
        if !verified.unlisted_packages.is_empty() {
            let names: Vec<_> = verified.unlisted_packages.iter().take(10).map(|name| plain(name)).collect();
            let count = verified.unlisted_packages.len();
            context.say(format_args!(
                "note: nothing was compared of {count} packages, which have no list of files that can be read: {}",
                names.join(", ")
            ));
        }
    }
    Ok(if damaged { ExitCode::from(MODIFIED) } else { ExitCode::SUCCESS })
}
