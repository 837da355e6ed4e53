use super::*;

/// Points as name, step and value, with the numbers of lines and of those that are unreadable.
fn points(bytes: &[u8]) -> (Vec<(String, i64, f64)>, u64, u64) {
    pieces(&[bytes])
}

fn pieces(pieces: &[&[u8]]) -> (Vec<(String, i64, f64)>, u64, u64) {
    let mut found = Vec::new();
    let mut take = |point: Point<'_>| {
        found.push((point.name.to_owned(), point.step, point.value));
        Ok(())
    };
    let mut reader = Reader::new();
    for piece in pieces {
        reader.feed(piece, &mut take).unwrap();
    }
    reader.finish(&mut take).unwrap();
    (found, reader.lines(), reader.unreadable())
}

#[test]
fn without_a_step_the_values_of_a_metric_are_counted() {
    let (found, lines, unreadable) = points(b"{\"a\":5}\n{\"b\":6}\n{\"step\":40,\"a\":7}\n{\"a\":8}\n");
    let wanted = [("a", 0, 5.0), ("b", 0, 6.0), ("a", 40, 7.0), ("a", 2, 8.0)];
    assert_eq!(found, wanted.map(|(name, step, value)| (name.to_owned(), step, value)));
    assert_eq!((lines, unreadable), (4, 0));
}

#[test]
fn ends_of_lines_marks_and_blank_lines_count_for_nothing() {
    let (found, lines, unreadable) = points(b"\xef\xbb\xbf{\"a\":1}\r\n\r\n  \n{\"a\":2}");
    assert_eq!((found.len(), lines, unreadable), (2, 2, 0));
}

#[test]
fn what_cannot_be_read_is_counted_and_leaves_no_trace() {
    let torn = b"{\"a\":1}\n{\"b\":2,\"c\":3\n\xff{\"a\":1}\n{\"a\":\"\xc3\"}\n\0\0\0\n{\"step\":1.5,\"d\":1}\n{\"a\":2}\n{\"a\":3";
    let (found, lines, unreadable) = points(torn);
    assert_eq!((found.len(), lines, unreadable), (2, 8, 6));
    assert!(found.iter().all(|(name, ..)| name == "a"));
}

#[test]
fn of_a_name_that_is_there_twice_the_last_counts() {
    let (found, ..) = points(b"{\"a\":1,\"b\":2,\"a\":3}\n{\"x\":{\"y\":1},\"x/y\":9}\n{\"a\":4}\n");
    let wanted = [("a", 0, 3.0), ("b", 0, 2.0), ("x/y", 0, 9.0), ("a", 1, 4.0)];
    assert_eq!(found, wanted.map(|(name, step, value)| (name.to_owned(), step, value)));
}

#[test]
fn names_that_are_none_are_left_out_and_their_lines_are_counted() {
    let long = "n".repeat(NAME_BYTES_MAX + 1);
    let lines = format!(
        "{{\"\":1,\"a\":1}}\n{{\"a\\u0000\":1}}\n{{\"\\u001b[2J\":1,\"a\":2}}\n{{\"{long}\":1}}\n{{\"a\":3}}\n"
    );
    let (found, lines, unreadable) = points(lines.as_bytes());
    assert_eq!((found.len(), lines, unreadable), (3, 5, 4));
}

#[test]
fn only_so_many_metrics_are_kept() {
    let lines: String = (0..NAMES_MAX + 7).map(|number| format!("{{\"m{number}\":1}}\n")).collect();
    let (found, lines, unreadable) = points(lines.as_bytes());
    assert_eq!((found.len(), lines, unreadable), (NAMES_MAX, NAMES_MAX as u64 + 7, 7));
}

#[test]
fn a_line_without_end_costs_no_memory() {
    let mut reader = Reader::new();
    let mut take = |_: Point<'_>| Ok(());
    let zeros = vec![0; CHUNK_BYTES];
    for _ in 0..64 {
        reader.feed(&zeros, &mut take).unwrap();
        assert!(reader.begun.capacity() <= 2 * LINE_BYTES_MAX);
    }
    reader.feed(b"\n{\"a\":1}\n", &mut take).unwrap();
    assert_eq!((reader.lines(), reader.unreadable(), reader.series.all.len()), (2, 1, 1));
}

#[test]
fn a_file_without_end_is_read_up_to_a_bound() {
    let mut reader = Reader { read: READ_BYTES_MAX - 8, ..Reader::default() };
    let mut count = 0;
    let mut endless = io::repeat(b'\n').take(u64::MAX);
    reader
        .read(&mut endless, &mut |_| {
            count += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!((reader.read_bytes(), count), (READ_BYTES_MAX, 0));
}

/// A long name before each of many values must not be looked at for each.
#[test]
fn long_names_of_nested_objects_are_not_looked_at_again_and_again() {
    let members: Vec<_> = (0..40_000).map(|number| format!("\"{number}\":1")).collect();
    let line = format!("{{\"{}\":{{{}}}}}\n", "k".repeat(500_000), members.join(","));
    assert!(line.len() < LINE_BYTES_MAX);
    let (found, lines, unreadable) = points(line.as_bytes());
    assert_eq!((found.len(), lines, unreadable), (0, 1, 1));
}

#[test]
fn an_error_of_the_taker_ends_it() {
    let failed = Reader::new().feed(b"{\"a\":1}\n", &mut |_| Err(io::ErrorKind::BrokenPipe.into()));
    assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

proptest::proptest! {
    #[test]
    fn however_a_file_comes_it_says_the_same(
        lines in proptest::collection::vec(
            r#"\{"(step|a|b)":-?[0-9]{1,3}(,"(a|c)":(NaN|[0-9]\.5))?\}|[{}",:0-9\r]{0,9}"#, 0..12),
        cuts in proptest::collection::vec(0_usize..200, 0..6),
    ) {
        let bytes = lines.join("\n").into_bytes();
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.sort_unstable();
        let ends = cuts.iter().copied().chain([bytes.len()]);
        let starts = [0].into_iter().chain(cuts.iter().copied());
        let parts: Vec<_> = starts.zip(ends).map(|(from, to)| &bytes[from..to]).collect();
        // As text, since no number equals NaN.
        proptest::prop_assert_eq!(format!("{:?}", points(&bytes)), format!("{:?}", pieces(&parts)));
    }
}
