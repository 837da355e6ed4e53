//! aseptic ledger
