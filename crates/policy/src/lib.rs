//! aseptic policy
