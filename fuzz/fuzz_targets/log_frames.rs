//! Logs: as they are, and with the checksums that they should have, so that what is behind these is read too.
//!
//! The second form is written from `docs/formats/ledger.md` alone.
#![no_main]

use std::fs;
use std::path::Path;

use aseptic_ledger::{Position, read, verify};
use sha2::{Digest, Sha256};

const MAGIC: &[u8] = b"aseptic-ledger 2\n";
const HEADER: usize = 24;
const KEY: usize = 32;
const SIGNATURE: usize = 64;
const CHECKSUM: usize = 16;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let dir = aseptic_fuzz::directory("log");
    fs::write(dir.join("verifier"), format!("{}\n", aseptic_fuzz::LOG)).expect("a file");
    look(&dir, bytes);
    look(&dir, &mended(bytes));
});

fn look(dir: &Path, log: &[u8]) {
    fs::write(dir.join("log"), log).expect("a file");
    let mut size = 0;
    if let Ok(entries) = read(dir, Position::START) {
        for entry in entries {
            let Ok(entry) = entry else { break };
            assert_eq!(entry.index, size, "entries come in their order");
            assert!(!entry.bytes.is_empty());
            size += 1;
        }
    }
    if let Ok(verified) = verify(dir, None) {
        assert_eq!(verified.entries, size, "what is proven can be read");
    }
}

/// The log with right magic, indexes and checksums.
fn mended(bytes: &[u8]) -> Vec<u8> {
    let mut log = MAGIC.to_vec();
    log.extend(bytes.get(MAGIC.len()..).unwrap_or_default());
    let (mut at, mut first) = (MAGIC.len(), 0_u64);
    while let Some(header) = log.get_mut(at..at + HEADER) {
        header[..8].copy_from_slice(&first.to_le_bytes());
        let body = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
        let count = u16::from_le_bytes([header[12], header[13]]);
        let handover = header[14] == 1;
        let check = Sha256::digest(&header[..16]);
        header[16..].copy_from_slice(&check[..8]);
        let end = at + HEADER + body + SIGNATURE + CHECKSUM;
        let Some(frame) = log.get_mut(at..end) else { break };
        let key = if handover { KEY.min(body) } else { 0 };
        let mut sum = Sha256::new_with_prefix(&frame[..HEADER]);
        let mut entries = &frame[HEADER..HEADER + body - key];
        while let Some((length, rest)) = entries.split_first_chunk() {
            let Some((entry, rest)) = rest.split_at_checked(u16::from_le_bytes(*length).into()) else {
                break;
            };
            sum.update(Sha256::new_with_prefix([0]).chain_update(entry).finalize());
            entries = rest;
        }
        sum.update(&frame[HEADER + body - key..HEADER + body + SIGNATURE]);
        let sum = sum.finalize();
        frame[HEADER + body + SIGNATURE..].copy_from_slice(&sum[..CHECKSUM]);
        (at, first) = (end, first.wrapping_add(count.into()));
    }
    log
}
