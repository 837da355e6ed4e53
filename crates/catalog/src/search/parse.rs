//! Reading a search. Bounded by [`SEARCH_BYTES_MAX`], [`SEARCH_TERMS_MAX`] and [`SEARCH_DEPTH_MAX`].

use std::str::FromStr;

use aseptic_model::PackageName;

use super::error::SearchError;
use super::field::{Column, Field, Kind, Statistic};
use super::lex::{Parser, is_mark, is_plain};
use super::{Mark, Operator, SEARCH_BYTES_MAX, SEARCH_DEPTH_MAX, SEARCH_TERMS_MAX, Search, Term};

impl FromStr for Search {
    type Err = SearchError;

    fn from_str(text: &str) -> Result<Self, SearchError> {
        let mut parser = Parser::new(text);
        if text.len() > SEARCH_BYTES_MAX {
            let what = format!("a search has at most {SEARCH_BYTES_MAX} bytes, and this one {}", text.len());
            return Err(parser.wrong(0, what, "leave conditions out"));
        }
        let search = parser.any()?;
        parser.space();
        match parser.rest().chars().next() {
            None => Ok(search),
            Some(')') => Err(parser.wrong(parser.at, "`)` closes nothing", "take it away")),
            Some(_) => {
                Err(parser.wrong(parser.at, "expected `and` or `or` here", "put one between two conditions"))
            }
        }
    }
}

impl FromStr for Field {
    type Err = SearchError;

    /// A field alone, as for a column or an order.
    fn from_str(text: &str) -> Result<Self, SearchError> {
        let mut parser = Parser::new(text);
        if text.len() > SEARCH_BYTES_MAX {
            return Err(parser.wrong(0, "the name is too long", KNOWN));
        }
        let field = match parser.head()? {
            Head::Field(field) => field,
            Head::Mark(..) => return Err(parser.wrong(0, "this is a condition and no field", KNOWN)),
        };
        match parser.rest().is_empty() {
            true => Ok(field),
            false => Err(parser.wrong(parser.at, "nothing may follow the field", KNOWN)),
        }
    }
}

const KNOWN: &str = "fields are metric.NAME, param.NAME, data.INPUT, package.NAME, tag:TAG, label:LABEL, dataset:NAME, \
                     read:PATH, status, experiment, name, planned, duration and more: see docs/search.md";

enum Head {
    Field(Field),
    Mark(Mark, String),
}

impl Parser<'_> {
    /// Conditions with `or` between them.
    fn any(&mut self) -> Result<Search, SearchError> {
        let first = self.all()?;
        let mut parts = vec![first];
        while self.keyword("or") {
            parts.push(self.all()?);
        }
        Ok(single(parts, Search::Any))
    }

    /// Conditions with `and` between them.
    fn all(&mut self) -> Result<Search, SearchError> {
        let first = self.one()?;
        let mut parts = vec![first];
        while self.keyword("and") {
            parts.push(self.one()?);
        }
        Ok(single(parts, Search::All))
    }

    fn one(&mut self) -> Result<Search, SearchError> {
        self.space();
        let start = self.at;
        if self.keyword("not") {
            self.enter(start)?;
            let inner = self.one()?;
            self.depth -= 1;
            return Ok(Search::Not(Box::new(inner)));
        }
        if self.take("(") {
            self.enter(start)?;
            let inner = self.any()?;
            self.space();
            if !self.take(")") {
                return Err(self.wrong(start, "this `(` is never closed", "add `)`"));
            }
            self.depth -= 1;
            return Ok(inner);
        }
        self.term().map(Search::Term)
    }

    fn enter(&mut self, start: usize) -> Result<(), SearchError> {
        self.depth += 1;
        if self.depth > SEARCH_DEPTH_MAX {
            let what = format!("more than {SEARCH_DEPTH_MAX} levels of parentheses and `not`");
            return Err(self.wrong(start, what, "write it with fewer"));
        }
        Ok(())
    }

    fn counted(&mut self, start: usize) -> Result<(), SearchError> {
        self.terms += 1;
        if self.terms > SEARCH_TERMS_MAX {
            let what = format!("more than {SEARCH_TERMS_MAX} conditions and values");
            return Err(self.wrong(start, what, "ask in several searches"));
        }
        Ok(())
    }

    fn term(&mut self) -> Result<Term, SearchError> {
        self.space();
        let start = self.at;
        self.counted(start)?;
        let has = self.keyword("has") || self.keyword("exists");
        self.space();
        let field = match self.head()? {
            Head::Mark(mark, text) => return Ok(Term::Mark(mark, text)),
            Head::Field(field) => field,
        };
        if has {
            return Ok(Term::Has(field));
        }
        self.space();
        let place = self.at;
        if self.keyword("in") {
            return self.list(field);
        }
        let Some(operator) = Operator::ALL.into_iter().find(|operator| self.take(operator.as_str())) else {
            return Ok(Term::Has(field));
        };
        self.allowed(&field, operator, place)?;
        let value = self.value(&field, Some(operator))?;
        Ok(Term::Compare(field, operator, value))
    }

    fn list(&mut self, field: Field) -> Result<Term, SearchError> {
        self.space();
        let start = self.at;
        if !self.take("(") {
            return Err(self.wrong(start, "expected `(` here", "write `in (one, two)`"));
        }
        if matches!(field.kind(), Kind::Instant | Kind::Duration) {
            let help = "write two comparisons, such as `planned >= 2026-11-01 and planned < 2026-12-01`";
            return Err(self.wrong(start, "times are compared with `<` and `>`, not with a list", help));
        }
        let mut values = Vec::new();
        loop {
            self.space();
            self.counted(self.at)?;
            values.push(self.value(&field, None)?);
            self.space();
            if self.take(")") {
                return Ok(Term::OneOf(field, values));
            }
            if !self.take(",") {
                return Err(self.wrong(self.at, "expected `,` or `)` here", "write `in (one, two)`"));
            }
        }
    }

    /// A field, or a mark with its text.
    fn head(&mut self) -> Result<Head, SearchError> {
        let start = self.at;
        let letters = |c: char| c.is_ascii_alphabetic() || c == '_';
        let word = self.run(letters);
        if self.take(":") {
            let Some(mark) = Mark::ALL.into_iter().find(|mark| mark.as_str() == word) else {
                return Err(self.unknown(start));
            };
            let place = self.at;
            let text = self.text(is_mark, "a name")?;
            let text = self.marked(mark, text, place)?;
            return Ok(Head::Mark(mark, text));
        }
        if self.take(".") {
            let field: fn(String) -> Field = match word {
                "metric" => return self.metric().map(Head::Field),
                "param" => Field::Param,
                "data" => Field::Data,
                "package" => Field::Package,
                _ => return Err(self.unknown(start)),
            };
            let place = self.at;
            let name = self.text(is_plain, "a name")?;
            let name = match word {
                "package" => self.package(&name, place)?,
                _ => name,
            };
            return Ok(Head::Field(field(name)));
        }
        let whole = self.rest().chars().next().is_none_or(|next| !is_plain(next));
        match Column::ALL.iter().find(|column| column.as_str() == word && whole) {
            Some(column) => Ok(Head::Field(Field::Column(*column))),
            None => Err(self.unknown(start)),
        }
    }

    fn metric(&mut self) -> Result<Field, SearchError> {
        if self.rest().starts_with(['"', '\'']) {
            let name = self.text(is_plain, "the name of a metric")?;
            let statistic = Statistic::ALL.into_iter().find(|statistic| {
                let word =
                    self.rest().strip_prefix('.').and_then(|rest| rest.strip_prefix(statistic.as_str()));
                word.is_some_and(|rest| !rest.starts_with(is_plain))
            });
            self.at += statistic.map_or(0, |statistic| 1 + statistic.as_str().len());
            return Ok(Field::Metric(name, statistic.unwrap_or(Statistic::Last)));
        }
        let text = self.text(is_plain, "the name of a metric")?;
        let named = Statistic::ALL.into_iter().find_map(|statistic| {
            let name = text.strip_suffix(statistic.as_str())?.strip_suffix('.')?;
            (!name.is_empty()).then(|| Field::Metric(name.to_owned(), statistic))
        });
        Ok(named.unwrap_or(Field::Metric(text, Statistic::Last)))
    }

    /// The text of a mark, checked as far as it has a form.
    fn marked(&self, mark: Mark, text: String, place: usize) -> Result<String, SearchError> {
        match mark {
            Mark::Dataset => {
                self.dataset(&text, place)?;
            }
            Mark::Package => {
                let (name, version) = match text.split_once('@') {
                    Some((name, version)) => (name, Some(version)),
                    None => (text.as_str(), None),
                };
                let name = self.package(name, place)?;
                return match version {
                    Some("") => Err(self.wrong(place, "the version is empty", "write `package:numpy@1.26`")),
                    Some(version) => Ok(format!("{name}@{version}")),
                    None => Ok(name),
                };
            }
            Mark::Tag | Mark::Label | Mark::Read => {}
        }
        Ok(text)
    }

    fn package(&self, name: &str, place: usize) -> Result<String, SearchError> {
        let help = "a package has letters, digits, `-`, `_` and `.`";
        match PackageName::normalised(name) {
            Some(name) => Ok(name.as_str().to_owned()),
            None => Err(self.wrong(place, "this is no name of a package", help)),
        }
    }

    /// No field begins at `start`.
    fn unknown(&self, start: usize) -> SearchError {
        let rest = self.text.get(start..).unwrap_or_default();
        let word = rest.get(..rest.find(|c| !is_plain(c)).unwrap_or(rest.len())).unwrap_or_default();
        if word.is_empty() {
            return self.wrong(start, "expected a condition here", KNOWN);
        }
        let what = "there is no such field";
        match nearest(word) {
            Some(near) => self.wrong(start, what, &format!("did you mean `{near}`? {KNOWN}")),
            None => self.wrong(start, what, KNOWN),
        }
    }
}

/// The known field whose name is most like the first word of `text`.
fn nearest(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|c| !".:".contains(*c)).take(40).collect();
    let columns = Column::ALL.iter().map(|column| column.as_str().to_owned());
    let marks = Mark::ALL.iter().map(|mark| format!("{}:NAME", mark.as_str()));
    let named = ["metric.NAME", "param.NAME", "data.INPUT", "package.NAME"].map(str::to_owned);
    let near = columns.chain(named).chain(marks).map(|known| {
        let name = known.split(['.', ':']).next().unwrap_or_default();
        (strsim::damerau_levenshtein(&word.to_lowercase(), name), known)
    });
    near.filter(|(distance, _)| *distance <= 2).min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

fn single(mut parts: Vec<Search>, of: fn(Vec<Search>) -> Search) -> Search {
    match (parts.len(), parts.pop()) {
        (1, Some(part)) => part,
        (_, last) => {
            parts.extend(last);
            of(parts)
        }
    }
}
