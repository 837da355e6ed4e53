//! aseptic catalog
