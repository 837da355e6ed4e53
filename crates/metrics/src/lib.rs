//! Metrics that programs append to a file of JSON lines: read, summarised, drawn.
//!
//! [`Reader`] takes the bytes of such a file as they come and gives the points that they hold; [`Summaries`],
//! [`Envelope`] and [`write_csv`] take points. `docs/metrics.md` has the format.
//!
//! **Invariant:** whatever a file holds, memory is bounded and time is in proportion to the bytes that are read.
//! **Invariant:** what is no metric is counted and never an error.
//! **Absent on purpose:** files, the store, terminals. The caller brings bytes and takes text.
#![forbid(unsafe_code)]

mod csv;
mod envelope;
mod line;
mod name;
mod number;
mod only;
mod reader;
mod sparkline;
mod summary;
mod svg;
mod ticks;

pub use csv::{CSV_HEADER, write_csv};
pub use envelope::{Bucket, Envelope};
pub use name::matches;
pub use number::value;
pub use only::{LeftOut, Only, only_metrics};
pub use reader::{Point, READ_BYTES_MAX, Reader};
pub use sparkline::{Letters, sparkline};
pub use summary::Summaries;
pub use svg::{Chart, Curve, Horizontal, Panel, Scale, svg};
