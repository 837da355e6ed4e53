//! Content-addressed store: immutable snapshots of files, and read-only views of them.
//!
//! A snapshot is a Merkle tree of directory objects, named by the digest of its root. It is complete
//! before it is visible: data is on disk before an object has its name, and the root gets its name last.
//! A killed import or capture leaves unreferenced objects at most.
//!
//! **Invariant:** an object is never handed out writable, and bytes that come out were checked against
//! their digest (a view: when it was built). No network, no async, no printing.
//! **Absent on purpose:** encryption, and who needs what for how long: the caller says what must stay. See
//! `docs/formats/store.md`.

mod capture;
mod check;
mod chunk;
mod compare;
mod compress;
mod copy;
mod delta;
mod diff;
mod digests;
mod directories;
mod disk;
mod error;
mod export;
#[cfg(test)]
mod faults;
mod files;
mod find;
mod forest;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod gc;
mod hash;
mod hint;
mod import;
mod index;
mod jobs;
mod lease;
mod left;
mod loose;
mod merge;
mod object;
mod objects;
mod outside;
mod pack;
mod parallel;
mod portion;
mod reader;
mod remove;
mod repair;
mod rules;
mod sample;
mod scan;
mod segment;
mod segments;
mod sink;
mod sorted;
mod stage;
mod standing;
mod storage;
mod tar;
mod tree;
mod verified;
mod verify;
mod view;
mod walk;
mod writer;

pub use capture::{CaptureError, CaptureKind, CaptureRoot, Captured, Link, Output, SkipReason, Skipped};
pub use compare::{Amount, Change, ChangeKind, Comparison, Totals};
pub use copy::Copied;
pub use error::{Damage, DamageCause, StoreError};
pub use export::{Existing, ExportError, Exported};
pub use find::FoundPlaces;
pub use gc::{GcError, Marked, Roots, Sweep, Swept};
pub use import::{
    CHECKPOINT_EVERY, Ignore, ImportError, ImportOptions, Imported, Links, Progress, Special, Step,
};
pub use lease::Lease;
pub use object::Store;
pub use remove::{RemoveError, remove_tree};
pub use rules::{Rule, rule_against};
pub use stage::remove_dead;
pub use storage::{Storage, Stored};
pub use tar::{TarError, TarOptions};
pub use tree::{EntryKind, Snapshot, Tree, TreeEntry, TreeError};
pub use verify::{Extent, Verified, VerifyError};
pub use view::ViewError;
pub use walk::Walk;
