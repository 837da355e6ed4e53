//! aseptic store
