//! What is written for SQLite, said to PostgreSQL.

/// A part of SQL that is looked at as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    /// A name, keyword or number.
    Word(&'a str),
    /// `?1`, by its number.
    Parameter(usize),
    /// Anything else, quoted text included.
    Other(&'a str),
}

fn tokens(sql: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = match first {
            '\'' | '"' => rest[1..].find(first).map_or(rest.len(), |end| end + 2),
            '?' => rest[1..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |end| end + 1),
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            other => other.len_utf8(),
        };
        let (text, after) = rest.split_at(length);
        found.push(match first {
            '?' => text[1..].parse().map_or(Token::Other(text), Token::Parameter),
            c if is_word(c) => Token::Word(text),
            _ => Token::Other(text),
        });
        rest = after;
    }
    found
}

/// A question or a change. Parameters that are NULL, by their place, are written out, since PostgreSQL has to know the
/// type of every other; those that are left keep their order and are numbered anew.
pub(super) fn statement(sql: &str, is_null: &[bool]) -> String {
    let tokens = tokens(sql);
    let mut text = String::with_capacity(sql.len());
    let mut place = 0;
    while let Some(token) = tokens.get(place) {
        match *token {
            Token::Parameter(number) => {
                let before = is_null.iter().take(number.saturating_sub(1)).filter(|null| !**null).count();
                match is_null.get(number.saturating_sub(1)) {
                    Some(true) => text.push_str("NULL"),
                    _ => text.push_str(&format!("${}", before + 1)),
                }
            }
            // Which index to use is the server's choice: it has statistics.
            Token::Word("INDEXED") => place += 4, // A blank, BY, a blank, a name.
            // An order for SQLite, and no SQL when it has a condition.
            Token::Word("CROSS") if has_condition(&tokens[place..]) => place += 1,
            Token::Word(word) => text.push_str(of_type(word)),
            Token::Other(other) => text.push_str(other),
        }
        place += 1;
    }
    text
}

/// Whether the join that `tokens` begin with has a condition.
fn has_condition(tokens: &[Token<'_>]) -> bool {
    let words = tokens.iter().skip(3).filter_map(|token| match token {
        Token::Word(word) => Some(*word),
        Token::Other("," | ")") => Some("WHERE"),
        _ => None,
    });
    let ends = ["USING", "ON", "CROSS", "JOIN", "LEFT", "WHERE", "GROUP", "ORDER", "LIMIT", "UNION"];
    words.into_iter().find(|word| ends.contains(word)).is_some_and(|word| matches!(word, "USING" | "ON"))
}

fn of_type(word: &str) -> &str {
    match word {
        "INTEGER" => "BIGINT",
        "REAL" => "DOUBLE PRECISION",
        "BLOB" => "BYTEA",
        other => other,
    }
}

/// Definitions of tables and their indexes, and statements without parameters.
pub(super) fn tables(sql: &str) -> String {
    sql.split(';').map(str::trim).filter(|part| !part.is_empty()).map(definition).collect()
}

fn definition(sql: &str) -> String {
    let sql = match sql.rsplit_once(')') {
        Some((table, " STRICT, WITHOUT ROWID" | " STRICT")) => format!("{table})"),
        _ => sql.to_owned(),
    };
    let text: String = tokens(&sql)
        .into_iter()
        .map(|token| match token {
            // Text is in the order of its bytes, as in SQLite.
            Token::Word("TEXT") => "TEXT COLLATE \"C\"",
            Token::Word(word) => of_type(word),
            Token::Other(other) => other,
            Token::Parameter(_) => "?",
        })
        .collect();
    short_keys(&text)
}

/// Paths have up to 4095 bytes, and an entry of a B-tree at most a third of a page: a key has their digest instead, and
/// an index is a table of hashes.
fn short_keys(sql: &str) -> String {
    if let Some((columns, key)) = sql.split_once(",\n    PRIMARY KEY (")
        && let Some((key, _)) = key.split_once(')')
        && key.ends_with("path")
        && let Some(table) = columns.split_whitespace().nth(2)
    {
        let key = key.replace("path", "sha256(path)");
        return format!("{columns}\n);\nCREATE UNIQUE INDEX {table}_key ON {table} ({key});\n");
    }
    if sql.starts_with("CREATE INDEX ")
        && let Some((index, columns)) = sql.split_once(" (")
        && let Some(first) = columns.split([',', ')']).next()
        && first.ends_with("path")
    {
        let condition = columns.split_once(')').map_or("", |(_, rest)| rest);
        return format!("{index} USING hash ({first}){condition};\n");
    }
    format!("{sql};\n")
}

#[cfg(test)]
mod tests {
    use super::{statement, tables};

    #[test]
    fn parameters_are_numbered_and_nothing_is_written_out() {
        let sql = "SELECT '?1', a FROM t WHERE a = ?2 AND (?3 IS NULL OR b = ?3) AND c = ?1";
        assert_eq!(
            statement(sql, &[false, false, true]),
            "SELECT '?1', a FROM t WHERE a = $2 AND (NULL IS NULL OR b = NULL) AND c = $1"
        );
        assert_eq!(statement("VALUES (?1, ?2, ?3)", &[true, false, false]), "VALUES (NULL, $1, $2)");
    }

    #[test]
    fn hints_for_one_database_are_left_out_for_the_other() {
        let sql =
            "SELECT a FROM x INDEXED BY x_a CROSS JOIN y USING (b) CROSS JOIN z WHERE CAST(c AS INTEGER) = 1";
        assert_eq!(
            statement(sql, &[]).split_whitespace().collect::<Vec<_>>().join(" "),
            "SELECT a FROM x JOIN y USING (b) CROSS JOIN z WHERE CAST(c AS BIGINT) = 1"
        );
    }

    #[test]
    fn tables_have_the_types_of_the_server_and_keys_that_fit() {
        let sql = "CREATE TABLE a (\n    x BLOB NOT NULL, path BLOB,\n    PRIMARY KEY (x, path)\n) STRICT, WITHOUT ROWID;
                   CREATE INDEX a_path ON a (path, x);
                   CREATE TABLE b (x INTEGER PRIMARY KEY, y REAL, z TEXT) STRICT;";
        let expected = "CREATE TABLE a (\n    x BYTEA NOT NULL, path BYTEA\n);
CREATE UNIQUE INDEX a_key ON a (x, sha256(path));
CREATE INDEX a_path ON a USING hash (path);
CREATE TABLE b (x BIGINT PRIMARY KEY, y DOUBLE PRECISION, z TEXT COLLATE \"C\");
";
        assert_eq!(tables(sql), expected);
    }
}
