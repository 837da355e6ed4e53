//! What is known of the code besides its bytes.

pub(crate) mod git;
