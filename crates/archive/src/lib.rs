//! Archives: files put to a URL and got from there, and the list of what is there.
//!
//! A place is a directory of this machine, a bucket of a cloud or a WebDAV collection; `object_store` speaks
//! to all of them. What is put is content that its list, the [`Manifest`], has the BLAKE3 of; whatever comes
//! back is compared with it, byte by byte.
//!
//! **Invariant:** no secret is in a URL that this crate accepts, and none is in an error that it returns.
//! **Invariant:** the manifest comes last: a place without one holds no archive.
//! **Absent on purpose:** what the files mean. They are those of a store, and only the runner knows one.
//! Retention at the place, encryption, and deleting an archive are for whoever owns the place.
#![forbid(unsafe_code)]

mod error;
mod manifest;
mod place;
mod transfer;
mod url;

pub use error::ArchiveError;
pub use manifest::{FileSum, INCOMING, Incoming, MANIFEST, MANIFEST_BYTES_MAX, Manifest, is_archive_path};
pub use place::Place;
pub use transfer::Tick;
pub use url::ArchiveUrl;
