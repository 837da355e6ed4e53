//! Proving what came after a checkpoint that somebody kept, without reading what came before.

use std::path::Path;

use crate::error::{ReadError, Reference, StorageError, VerifyError};
use crate::frame::{Frames, Position};
use crate::head::Head;
use crate::keys::Keys;
use crate::merkle::Tree;
use crate::note::Checkpoint;
use crate::read::{Settled, settled};
use crate::tiles::tree_before;
use crate::verify::{Verified, listed_keys, prove_from, verify};

/// Proves that the ledger in `dir` goes on from the checkpoint `since`, which was verified when it was kept:
/// what it covers is not read again, what follows is proven as by [`verify`](crate::verify()).
///
/// Begins at the tiles just before the checkpoint, and believes them only if the log leads from there to the root
/// of the checkpoint; otherwise, and where there are no tiles, reads the whole log. So damage of entries
/// before the checkpoint is not found, and none can be hidden after it.
///
/// # Errors
/// As for [`verify`](crate::verify()).
pub fn verify_since(dir: &Path, since: &Checkpoint) -> Result<Verified, VerifyError> {
    let listed = listed_keys(dir)?;
    let settled = settled(dir)?;
    match head_at(dir, &settled, &listed, since)? {
        Some(head) => prove_from(dir, &listed, settled, head, since),
        None => verify(dir, Some(since)),
    }
}

/// The head of the log where it has the entries of `since` and no more; nothing where that is not known
/// without reading everything.
fn head_at(
    dir: &Path,
    settled: &Settled,
    listed: &Keys,
    since: &Checkpoint,
) -> Result<Option<Head>, VerifyError> {
    let Some(signer) = listed.iter().position(|key| since.is_signed_by(key)) else {
        return Err(VerifyError::Key { reference: Reference::Kept });
    };
    let older = |text: &String| text.parse().is_ok_and(|note: Checkpoint| note.size() < since.size());
    if settled.checkpoint.as_ref().is_some_and(older) {
        return Ok(None);
    }
    // At least one commit is read, so that a wrong place shows.
    let Some((mut tree, from)) = tree_before(dir, since.size().saturating_sub(1)) else { return Ok(None) };
    let Some(mut keys) = listed.up_to(signer) else { return Ok(None) };
    let Some(offset) = read_on(dir, settled, &mut tree, from, since.size())? else { return Ok(None) };
    if tree.root() != since.root() {
        return Ok(None);
    }
    let next = listed.iter().nth(signer + 1).filter(|next| since.extensions() == [next.extension()]);
    let handed_over = next.is_some();
    next.into_iter().for_each(|next| keys.push(next.clone()));
    let last = since.size().saturating_sub(1);
    Ok(Some(Head { tree, offset, last, signature: None, keys, handed_over }))
}

/// Adds the entries between `from` and `size` to `tree`; returns where the commit ends that has the last.
fn read_on(
    dir: &Path,
    settled: &Settled,
    tree: &mut Tree,
    from: Position,
    size: u64,
) -> Result<Option<u64>, ReadError> {
    let path = dir.join("log");
    let frames = Frames::new(&settled.log, settled.version, from, settled.length);
    let mut frames = frames.map_err(StorageError::at("read", &path))?.entering();
    loop {
        // Whatever is wrong here is found again, and named, by reading everything.
        let Ok(Some(commit)) = frames.advance() else { return Ok(None) };
        for (index, leaf) in (commit.first..).zip(&commit.leaves) {
            if index >= from.index {
                tree.push_hash(*leaf);
            }
        }
        if tree.size() >= size {
            return Ok((tree.size() == size).then_some(commit.end));
        }
    }
}
