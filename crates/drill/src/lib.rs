//! A red team for a jail: attempts to get out of a sealed run or across to another one, as data.
//!
//! An [`Attempt`] is a name, the wall that should hold, and a function. It runs in a process of its own,
//! in a sealed run, and once more as its *twin* in a place without walls, where it must succeed: an
//! attempt that fails everywhere proves nothing. [`judge`] compares the two.
//!
//! What an attempt says of itself is not enough. Victims hold random bytes, and only who repeats them has
//! read them; what may have been changed is looked at from outside ([`Marks`]).
//!
//! **Invariant:** nothing is sent to another machine. Addresses of the outside world are added to the
//! loopback interface of the twin's own network.
//! **Invariant:** a twin works in namespaces of its own, which take with them whatever it did.
//! **Absent on purpose:** starting sealed runs. The caller does that, as its users do.
//!
//! A new family is one file in `family/` and one line in its table.
#![deny(unsafe_code)]

mod attempt;
mod decoy;
mod dns;
mod family;
mod marks;
mod outside;
mod part;
mod ring;
mod said;
mod scene;
mod service;
mod sys;
mod terminal;
mod verdict;
mod victim;

pub use attempt::{Attempt, Evidence, Family, Stage};
pub use decoy::{Decoys, SECRET_FILES};
pub use family::families;
pub use marks::{Marks, children_with, processes_with};
pub use part::part;
pub use ring::{PART, canary, ready};
pub use said::{Said, last};
pub use scene::{Ground, Host, Place, READY, SCENE, SECRET, Scene, TERMINAL, Target};
pub use terminal::{PLACEHOLDER, typed};
pub use verdict::{Observed, Outcome, judge};
