//! Which entries a command is about.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use aseptic_model::{RunId, Timestamp, parse_duration};
use aseptic_runner::{EntryFilter, EntryObject, EntryViewer, Position, Recorded};

use crate::context::Context;
use crate::failure::Failure;

/// Conditions on entries; all of them must hold.
#[derive(Debug, clap::Args)]
pub(super) struct Filter {
    /// Only entries of this run
    #[arg(long, value_name = "RUN")]
    run: Option<RunId>,
    /// Only what this user did: NAME or user:NAME
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Only entries of this type, such as run.sealed or run.*; may be repeated
    #[arg(long = "type", value_name = "TYPE")]
    kind: Vec<String>,
    /// Not before this time: 2026-03-01, 2026-03-01T08:00:00Z, or 2h for two hours ago
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// Only entries about this: NAME, NAME@VERSION, run:RUN, or a whole digest
    #[arg(long, value_name = "OBJECT")]
    object: Option<EntryObject>,
}

/// Where the entries are, and how many of them are wanted.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// Only the last N of these entries
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Ledger directory, instead of that of the state directory
    #[arg(long, value_name = "DIR")]
    ledger: Option<PathBuf>,
}

impl Filter {
    pub(super) fn conditions(&self) -> EntryFilter {
        EntryFilter {
            run: self.run.clone(),
            actor: self.actor.clone(),
            kinds: self.kind.clone(),
            since: self.since,
            until: self.until,
            object: self.object.clone(),
        }
    }
}

impl Source {
    pub(super) fn open(&self, context: &Context) -> Result<(PathBuf, EntryViewer), Failure> {
        super::shown(context, self.ledger.as_ref())
    }

    /// Passes the entries of `dir` that `viewer` has and `filter` lets through to `each`, in order, as they are read; with a limit
    /// the last ones, once they are known.
    pub(super) fn pass(
        &self,
        (dir, viewer): (&Path, &mut EntryViewer),
        filter: &EntryFilter,
        mut each: impl FnMut(&Recorded) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut last = VecDeque::new();
        for recorded in aseptic_runner::entries(dir, Position::START)? {
            let recorded = recorded?;
            if !viewer.has(&recorded)? || !filter.fits(&recorded) {
                continue;
            }
            match self.limit {
                None => each(&recorded)?,
                Some(limit) => {
                    last.push_back(recorded);
                    if last.len() > limit {
                        last.pop_front();
                    }
                }
            }
        }
        last.iter().try_for_each(each)
    }
}

/// An instant, or a duration before now.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(duration) = parse_duration(text) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let before = since.saturating_sub(duration).as_millis();
        let instant = i64::try_from(before).ok().and_then(Timestamp::from_unix_ms);
        return instant.ok_or_else(|| "this is too long ago".to_owned());
    }
    let instant = if text.contains(['T', 't']) { text.to_owned() } else { format!("{text}T00:00:00Z") };
    serde_json::from_value(instant.into()).map_err(|_| {
        "give a day such as 2026-03-01, an instant such as 2026-03-01T08:00:00Z, or an age such as 2h"
            .to_owned()
    })
}
