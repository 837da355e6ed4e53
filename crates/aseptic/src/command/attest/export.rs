use std::path::PathBuf;
use std::process::ExitCode;

use aseptic_model::{Class, InputRef};
use aseptic_runner::{Destination, Document};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::json;

use super::super::network;
use crate::context::Context;
use crate::failure::Failure;

/// Write a document about a run or a dataset, for tools outside
///
/// Formats about a run: `slsa` and `runtime-trace` are the statements that were signed when it was sealed, a DSSE
/// envelope each; `in-toto` is a directory with layout and link for `in-toto-verify`; `oms` is a model signature for
/// `model_signing verify key`, of outputs labelled `model` or of RUN/PATH; `cyclonedx` is a bill of materials;
/// `ro-crate` is a directory with the outputs, a Process Run Crate; `openlineage` are events, a JSON line each.
/// About a dataset: `croissant`. Each export is an entry of the ledger.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic attest export latest --as slsa --out provenance.jsonl\n  \
                        aseptic attest export train/out/model --as oms --out model.sig\n  \
                        aseptic attest export digits@1 --as croissant --out croissant.json\n  \
                        aseptic attest export latest --as openlineage --to https://catalog.example/api/v1/lineage")]
pub(crate) struct Args {
    /// RUN, RUN/PATH for `oms`, or NAME@VERSION for `croissant`
    #[arg(value_name = "RUN|DATASET")]
    object: String,
    /// Format
    #[arg(long = "as", value_name = "FORMAT", value_parser = formats())]
    format: Document,
    /// File to write, or directory for `in-toto` and `ro-crate`; what is there is not replaced
    #[arg(long, value_name = "PATH", required_unless_present = "to", conflicts_with = "to")]
    out: Option<PathBuf>,
    /// Service that takes OpenLineage events by HTTP POST; a token comes from OPENLINEAGE_API_KEY
    #[arg(long, value_name = "URL")]
    to: Option<String>,
}

fn formats() -> impl TypedValueParser<Value = Document> {
    PossibleValuesParser::new(Document::ALL.map(Document::as_str)).map(|word| {
        let named = Document::ALL.into_iter().find(|document| document.as_str() == word);
        named.unwrap_or(Document::Slsa) // The parser lets no other word through.
    })
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let text = match args.format {
        Document::Croissant => args.object.clone(),
        _ => format!("run:{}", args.object.strip_prefix("run:").unwrap_or(&args.object)),
    };
    let object: InputRef = text.parse().map_err(|error: aseptic_model::InputRefError| {
        let help = "name a run as RUN or RUN/PATH, a dataset as NAME or NAME@VERSION";
        Failure::new(Class::User, "attest/object", error.to_string(), help)
    })?;
    let token = std::env::var("OPENLINEAGE_API_KEY").ok().filter(|token| !token.is_empty());
    let proxy = network::proxy();
    let to = match (&args.out, &args.to) {
        (Some(path), _) => Destination::Path(path),
        (None, Some(url)) => Destination::Url { url, token: token.as_deref(), proxy: &proxy },
        (None, None) => {
            let message = "nothing says where to write it".to_owned();
            return Err(Failure::new(Class::User, "attest/out", message, "name it with `--out PATH`"));
        }
    };
    let (project, mut home) = (context.project()?, context.home()?);
    let about = aseptic_runner::attest_export(&mut home, &project, &object, args.format, to)?;
    let format = args.format.as_str();
    if context.json() {
        context.document(&json!({
            "schema": "aseptic.attest-export/1", "object": about, "format": format, "out": args.out, "to": args.to,
        }))?;
    } else if let Some(out) = &args.out {
        context.out(format_args!("wrote {format} of {about} to {}", out.display()));
    } else {
        context.out(format_args!("sent {format} of {about}"));
    }
    Ok(ExitCode::SUCCESS)
}
