//! aseptic runner
