//! Content-addressed store: immutable snapshots of files, and read-only views of them.
//!
//! A snapshot is a Merkle tree of directory objects, named by the digest of its root. It is complete
//! before it is visible: data is on disk before an object has its name, and the root gets its name last.
//! A killed import or capture leaves unreferenced objects at most.
//!
//! **Invariant:** an object is never handed out writable, and bytes that come out were checked against
//! their digest (a view: when it was built). No network, no async, no printing.
//! **Absent on purpose:** packs, chunking, encryption, retention and collection of garbage; nothing here
//! deletes an object. See `docs/formats/store.md`.

mod capture;
mod delta;
mod error;
mod export;
mod files;
mod forest;
mod import;
mod index;
mod left;
mod object;
mod parallel;
mod remove;
mod rules;
mod scan;
mod stage;
mod tree;
mod verify;
mod view;
mod walk;

pub use capture::{CaptureError, CaptureKind, CaptureRoot, Captured, Link, Output, SkipReason, Skipped};
pub use error::{Damage, DamageCause, StoreError};
pub use export::{Existing, ExportError, Exported};
pub use import::{Ignore, ImportError, ImportOptions, Imported, Links, Progress, Special, Step};
pub use object::Store;
pub use remove::{RemoveError, remove_tree};
pub use rules::{Rule, rule_against};
pub use tree::{EntryKind, Snapshot, Tree, TreeEntry, TreeError};
pub use verify::{Verified, VerifyError};
pub use view::ViewError;
pub use walk::Walk;
