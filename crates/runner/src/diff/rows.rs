//! What differs in one file: a patch of code, rows of data, values of anything else that can be read.

use std::time::Duration;

use aseptic_compare::compare;
use aseptic_model::{Digest, Tolerance, escape_bytes};
use aseptic_store::{EntryKind, Store, StoreError};
use similar::{Algorithm, DiffOp, TextDiff};

use super::{Cause, Part, unless_gone};
use crate::effects::content;
use crate::home::{Home, HomeError};

/// Largest text whose lines are matched; larger files are compared value by value, in their order.
const TEXT_BYTES_MAX: u64 = 4 << 20;
/// Largest file that is compared by its values.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// Longest that lines are matched; after it the difference is right and no longer the shortest.
const MATCHING: Duration = Duration::from_secs(1);
/// So many rows are listed.
const ROWS_MAX: usize = 10;
/// So many characters of a row.
const ROW_CHARACTERS_MAX: usize = 200;
/// Longest patch.
const PATCH_BYTES_MAX: usize = 1 << 20;

/// Adds to `cause` what differs in a file that is `before` in one run and `after` in the other.
pub(super) fn explain(
    home: &Home,
    store: &Store,
    before: Option<&EntryKind>,
    after: Option<&EntryKind>,
    cause: &mut Cause,
) -> Result<(), HomeError> {
    let file = |entry: Option<&EntryKind>| match entry {
        Some(EntryKind::File { digest, size, .. }) => Some((*digest, *size)),
        _ => None,
    };
    let (old, new) = (file(before), file(after));
    if old.map(|(digest, _)| digest) == new.map(|(digest, _)| digest) {
        return Ok(()); // Renamed, or executable or not.
    }
    let size = [old, new].into_iter().flatten().map(|(_, size)| size).max().unwrap_or(0);
    if size <= TEXT_BYTES_MAX {
        let texts = (text(store, old)?, text(store, new)?);
        match texts {
            (Err(gone), _) | (_, Err(gone)) => {
                cause.details.push(gone);
                return Ok(());
            }
            (Ok(Some(old)), Ok(Some(new))) => {
                lines(&old, &new, cause);
                return Ok(());
            }
            _ => {}
        }
    }
    let (Some((old, _)), Some((new, _))) = (old, new) else { return Ok(()) };
    if size > FILE_BYTES_MAX {
        cause.details.push("it is over 1 GiB, and not compared by its values".to_owned());
        return Ok(());
    }
    let read = |digest: Digest| match content(home, store, &digest) {
        Err(HomeError::Store(error)) => unless_gone(Err(error)),
        other => other.map(Ok),
    };
    match (read(old)?, read(new)?) {
        (Err(gone), _) | (_, Err(gone)) => cause.details.push(gone),
        (Ok(old), Ok(new)) => {
            cause.values = Some(compare(cause.name.as_bytes(), &old, &new, Tolerance::EXACT));
        }
    }
    Ok(())
}

/// A file as text, the empty one where there is none; nothing where it is no text.
fn text(store: &Store, file: Option<(Digest, u64)>) -> Result<Result<Option<String>, String>, HomeError> {
    let Some((digest, _)) = file else { return Ok(Ok(Some(String::new()))) };
    let max = usize::try_from(TEXT_BYTES_MAX).unwrap_or(usize::MAX);
    let read: Result<Vec<u8>, StoreError> = store.get_bytes(&digest, max);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    Ok(unless_gone(read)?.map(text))
}

fn lines(old: &str, new: &str, cause: &mut Cause) {
    let mut configuration = TextDiff::configure();
    let diff = configuration.algorithm(Algorithm::Myers).timeout(MATCHING).diff_lines(old, new);
    match cause.part {
        Part::Code => {
            let names = (
                cause.before.as_ref().map_or("/dev/null".to_owned(), |_| format!("a/{}", cause.name)),
                cause.after.as_ref().map_or("/dev/null".to_owned(), |_| format!("b/{}", cause.name)),
            );
            let patch = diff.unified_diff().context_radius(3).header(&names.0, &names.1).to_string();
            if patch.len() > PATCH_BYTES_MAX {
                cause.details.push(format!("its patch is over {PATCH_BYTES_MAX} bytes"));
            } else {
                cause.patch = Some(patch);
            }
        }
        _ => cause.details.extend(rows(&diff)),
    }
}

/// The rows that differ, the first of them one by one.
fn rows(diff: &TextDiff<'_, '_, '_, str>) -> Vec<String> {
    let (mut rows, mut all) = (Vec::new(), 0);
    let mut push = |row: &dyn Fn() -> String| {
        all += 1;
        if rows.len() < ROWS_MAX {
            rows.push(row());
        }
    };
    let line = |lines: &[&str], index: usize| {
        let line = lines.get(index).copied().unwrap_or_default().trim_end_matches(['\n', '\r']);
        let start: String = line.chars().take(ROW_CHARACTERS_MAX).collect();
        let cut = if start.len() < line.len() { "…" } else { "" };
        format!("`{}{cut}`", escape_bytes(start.as_bytes()))
    };
    for operation in diff.ops() {
        let (old, new) = (operation.old_range(), operation.new_range());
        if matches!(operation, DiffOp::Equal { .. }) {
            continue;
        }
        let (was, is) = (|at| line(diff.old_slices(), at), |at| line(diff.new_slices(), at));
        for at in 0..old.len().max(new.len()) {
            let (from, to) = (old.start + at, new.start + at);
            match (at < old.len(), at < new.len()) {
                (true, true) => push(&|| format!("line {}: {} -> {}", from + 1, was(from), is(to))),
                (true, false) => push(&|| format!("line {} is gone: {}", from + 1, was(from))),
                _ => push(&|| format!("line {} is new: {}", to + 1, is(to))),
            }
        }
    }
    let listed = rows.len();
    if all > listed {
        rows.push(format!("and {} more lines", all - listed));
    }
    rows
}
