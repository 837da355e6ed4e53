//! Searches: their text, and their answers beside a filter in memory.

mod answers;
mod generate;
mod naive;
mod text;
