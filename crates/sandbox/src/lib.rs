//! aseptic sandbox
