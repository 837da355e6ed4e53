//! Plain tables and phrases; nothing in them depends on colour.

use aseptic_model::{ByteSize, Decision, Digest, Label, Outcome, Usage, describe_ms};
use aseptic_runner::policy::Risk;
use serde_json::{Value, json};

/// Lines up `rows` under `titles`, two spaces between columns, the last column as it is.
pub(crate) fn table<const N: usize>(titles: [&str; N], rows: &[[String; N]]) -> String {
    let all: Vec<_> = [titles.map(str::to_owned)].into_iter().chain(rows.iter().cloned()).collect();
    columns(&all).join("\n")
}

/// Widest column in characters. What is longer moves the rest of its own line alone: names can have a million.
const WIDTH_MAX: usize = 200;

/// The same without titles, line by line.
pub(crate) fn columns<R: AsRef<[String]>>(rows: &[R]) -> Vec<String> {
    let mut widths = vec![0; rows.iter().map(|row| row.as_ref().len()).max().unwrap_or(0)];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row.as_ref()) {
            *width = (*width).max(cell.chars().count().min(WIDTH_MAX));
        }
    }
    rows.iter().map(|row| padded(row.as_ref(), &widths)).collect()
}

/// The cells of a row in one line. The last one is as it is.
fn padded(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (number, (cell, width)) in row.iter().zip(widths).enumerate() {
        line.push_str(cell);
        if number + 1 < row.len() {
            let missing = width.saturating_sub(cell.chars().count());
            line.extend(std::iter::repeat_n(' ', missing + 2));
        }
    }
    line.truncate(line.trim_end().len());
    line
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

/// Why a plan is not allowed: of each reason the element, the message, the value and where it was said, what would
/// help, the rule with what follows from it, and who may allow it.
pub(crate) fn reasons(decision: &Decision) -> String {
    let mut lines = Vec::new();
    for reason in &decision.reasons {
        lines.push(format!("  {}: {}", name(&reason.element), name(&reason.message)));
        // Most elements that are named by their value end with it.
        let is_new = |value: &&String| !reason.element.ends_with(&format!(".{value}"));
        let value = reason.value.as_ref().filter(is_new);
        lines.extend(value.map(|value| format!("    value: {}", name(value))));
        lines.extend(reason.at.as_ref().map(|at| format!("    at: {}", name(at))));
        lines.push(format!("    help: {}", name(&reason.advice)));
        lines.push(format!("    rule: {} ({})", name(&reason.rule), reason.outcome.as_str()));
        lines.extend(reason.grant.as_ref().map(|role| format!("    may allow it: {}", name(role))));
    }
    if decision.unlisted > 0 {
        lines.push(format!("  and {} more", decision.unlisted));
    }
    lines.join("\n")
}

/// `45: sensitive-labels pii (25), destinations a.example:443 (10), …`, or `0: nothing that counts`.
pub(crate) fn risk(risk: &Risk) -> String {
    let inputs: Vec<String> = risk
        .inputs
        .iter()
        .map(|input| format!("{} {} (+{})", input.fact, name(&input.value), input.points))
        .collect();
    let inputs = if inputs.is_empty() { "nothing that counts".to_owned() } else { inputs.join(", ") };
    format!("{} of 100: {inputs}", risk.score)
}

/// The same for documents.
pub(crate) fn risk_document(risk: &Risk) -> Value {
    json!({ "score": risk.score, "inputs": risk.inputs })
}

/// What an approval would be of, where one is needed.
pub(crate) fn approval(decision: &Decision, plan: &Digest) -> Option<String> {
    (decision.outcome == Outcome::NeedsApproval).then(|| {
        format!(
            "needs approval: plan {plan}; this version records no approvals, so change what stands above, or the policy"
        )
    })
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
    fn a_cell_of_any_length_is_a_cell() {
        let long = "x".repeat(1 << 20);
        let rows =
            [["a".to_owned(), long.clone(), "b".to_owned()], ["c".to_owned(), "d".to_owned(), String::new()]];
        assert_eq!(columns(&rows), [format!("a  {long}  b"), "c  d".to_owned()]);
        assert_eq!(table(["t", "", ""], &rows).lines().map(str::len).max(), Some(long.len() + 6));
    }

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
