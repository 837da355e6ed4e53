//! A file of metrics that a job wrote: read at once and in pieces, and line by line beside another reader of JSON.
#![no_main]

use aseptic_metrics::{Envelope, Point, Reader, Summaries};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (cut, bytes) = bytes.split_first().map_or((0, bytes), |(cut, rest)| (usize::from(*cut), rest));
    let at_once = read(&[bytes]);
    let (first, second) = bytes.split_at(cut.min(bytes.len()));
    assert_eq!(at_once, read(&[first, second]));
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    for line in lines {
        let Ok(serde_json::Value::Object(object)) = serde_json::from_slice(line) else { continue };
        if object.contains_key("step") || object.contains_key("time") {
            continue;
        }
        // Nothing in it is too deep, and every name is one.
        let plain = |(name, value): (&String, &serde_json::Value)| {
            !name.is_empty() && name.len() <= 200 && !name.contains(char::is_control) && !value.is_object()
        };
        if object.iter().all(plain) && !line.contains(&b'[') {
            let (points, count, unreadable) = read(&[line]);
            assert_eq!((count, unreadable), (1, 0), "{}", String::from_utf8_lossy(line));
            // A name may have had a number before it had what is none.
            if object.values().all(serde_json::Value::is_number) {
                assert_eq!(points.len(), object.len());
            }
        }
    }
});

/// Points as text, since no number equals NaN, with the numbers of lines and of those that are unreadable.
fn read(pieces: &[&[u8]]) -> (Vec<String>, u64, u64) {
    let (mut reader, mut points) = (Reader::new(), Vec::new());
    let (mut summaries, mut envelope) = (Summaries::new(), Envelope::new(8));
    let mut take = |point: Point<'_>| {
        summaries.add(&point);
        envelope.add(0.0, point.value);
        points.push(format!("{point:?}"));
        Ok(())
    };
    for piece in pieces {
        reader.feed(piece, &mut take).expect("nothing fails");
    }
    reader.finish(&mut take).expect("nothing fails");
    let (lines, unreadable) = (reader.lines(), reader.unreadable());
    for summary in summaries.finish().values() {
        assert!(summary.shape.len() <= 40 && summary.shape.iter().all(|mean| mean.is_finite()));
        assert!(summary.min <= summary.last && summary.last <= summary.max);
    }
    assert!(envelope.buckets().len() <= 8);
    (points, lines, unreadable)
}
