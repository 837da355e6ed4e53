//! What is known of the code besides its bytes.

pub(crate) mod clean;
pub(crate) mod git;
mod object;
pub(crate) mod policies;
