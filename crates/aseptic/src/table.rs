//! Plain tables and phrases; nothing in them depends on colour.

use aseptic_model::{ByteSize, Decision, Label, Reason, Usage, describe_ms};

/// Lines up `rows` under `titles`, two spaces between columns, the last column as it is.
pub(crate) fn table<const N: usize>(titles: [&str; N], rows: &[[String; N]]) -> String {
    let all: Vec<_> = [titles.map(str::to_owned)].into_iter().chain(rows.iter().cloned()).collect();
    columns(&all).join("\n")
}

/// The same without titles, line by line.
pub(crate) fn columns<R: AsRef<[String]>>(rows: &[R]) -> Vec<String> {
    let mut widths = vec![0; rows.iter().map(|row| row.as_ref().len()).max().unwrap_or(0)];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row.as_ref()) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &R| {
        let padded = row.as_ref().iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A command as a person would type it.
pub(crate) fn command(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@%+,".contains(c);
    let word = |word: &String| match word {
        word if !word.is_empty() && word.chars().all(plain) => word.clone(),
        word if word.chars().any(is_odd) => format!("$'{}'", word.chars().map(escaped).collect::<String>()),
        word => format!("'{}'", word.replace('\'', "'\\''")),
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// A name that somebody else chose, with nothing in it that a terminal would obey or turn around.
pub(crate) fn name(name: &str) -> String {
    name.chars().map(|c| if is_odd(c) { escaped(c) } else { c.to_string() }).collect()
}

/// Whether a terminal would not show it as it is.
fn is_odd(c: char) -> bool {
    !"'\"\\".contains(c) && c.escape_debug().len() > 1
}

/// As in `$'…'` of a shell.
fn escaped(c: char) -> String {
    match c {
        '\'' | '\\' => format!("\\{c}"),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        c if is_odd(c) && u32::from(c) > 0xffff => format!("\\U{:08x}", u32::from(c)),
        c if is_odd(c) => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    }
}

/// `3 files, 1.2 MiB`.
pub(crate) fn amount(files: u64, bytes: u64) -> String {
    format!("{files} {}, {}", if files == 1 { "file" } else { "files" }, ByteSize(bytes))
}

/// `1.2 s of processor time and at most 64.0 MiB of memory`.
pub(crate) fn usage(usage: &Usage) -> String {
    let time = describe_ms(usage.cpu_user_ms.saturating_add(usage.cpu_system_ms));
    let memory = usage.memory_peak_bytes.map(|bytes| format!(" and at most {} of memory", ByteSize(bytes)));
    format!("{time} of processor time{}", memory.unwrap_or_default())
}

/// What was read from disks and written to them, or nothing if that is not known.
pub(crate) fn disks(usage: &Usage) -> Option<String> {
    let (read, written) = usage.read_bytes.zip(usage.written_bytes)?;
    Some(format!("{} read, {} written", ByteSize(read), ByteSize(written)))
}

/// Why a plan was denied: element, message, help and rule of each reason.
pub(crate) fn reasons(decision: &Decision) -> String {
    let lines = decision.reasons.iter().map(|Reason { rule, element, message, advice }| {
        format!("  {element}: {message}\n    help: {advice}\n    rule: {rule}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A field that no spreadsheet takes for a formula, whatever it trims.
pub(crate) fn csv_field(field: &str) -> String {
    let is_formula = field.trim_start().starts_with(['=', '+', '-', '@', '|', '%', '＝', '＋', '－', '＠'])
        || field.starts_with(['\t', '\r', '\n', '\0']);
    let field = format!("{}{field}", if is_formula { "'" } else { "" });
    if field.contains([',', '"', '\r', '\n', ';', '\t']) || is_formula {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field
    }
}

/// Labels, or a dash.
pub(crate) fn labels<'a>(labels: impl IntoIterator<Item = &'a Label>) -> String {
    let text = labels.into_iter().map(Label::as_str).collect::<Vec<_>>().join(" ");
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_is_a_formula() {
        for (field, written) in [
            ("digits@1", "digits@1"),
            ("a, \"b\"", "\"a, \"\"b\"\"\""),
            ("=1+1", "\"'=1+1\""),
            ("  @SUM(A1)", "\"'  @SUM(A1)\""),
            ("-2", "\"'-2\""),
            ("\t=1", "\"'\t=1\""),
            ("a\r\n=1", "\"a\r\n=1\""),
        ] {
            assert_eq!(csv_field(field), written);
        }
    }

    #[test]
    fn a_command_can_be_typed_again() {
        let typed = |word: &str| command(&[word.to_owned()]);
        assert_eq!(typed("a/b-1.py"), "a/b-1.py");
        assert_eq!(typed(""), "''");
        assert_eq!(typed(r#"print("a\b")"#), r#"'print("a\b")'"#);
        assert_eq!(typed("it's"), r"'it'\''s'");
        assert_eq!(typed("a\n'b'\\\u{1b}[0m"), r"$'a\n\'b\'\\\u001b[0m'");
        assert_eq!(typed("\u{e0001}"), r"$'\U000e0001'");
        assert_eq!(typed("grün"), "'grün'");
    }
}
