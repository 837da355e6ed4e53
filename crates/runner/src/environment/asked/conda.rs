//! Requirements of conda: `environment.yml`.
//!
//! Only its usual form is understood, a list of one package per line below `dependencies:`, and the list of pip in
//! it. What stands otherwise is not looked at.
//!
//! Source: conda's documentation, "Managing environments" and "Package match specifications".

use super::Asked;
use super::requirement::{self, LINES_MAX, Requirement};
use super::version::Exact;

/// Understands an `environment.yml`.
pub(super) fn environment(text: &str) -> Asked {
    let mut asked = Asked::default();
    let mut inside = false;
    let mut pip: Option<usize> = None;
    for (number, line) in text.lines().enumerate().take(LINES_MAX) {
        let line = line.split(" #").next().unwrap_or_default();
        let indent = line.len() - line.trim_start().len();
        let Some(item) =
            line.trim_start().strip_prefix("- ").map(|item| item.trim().trim_matches(['\'', '"']))
        else {
            if !line.trim().is_empty() && !line.trim_start().starts_with('#') {
                inside = line.starts_with("dependencies:");
                pip = None;
            }
            continue;
        };
        if !inside {
            continue;
        }
        if pip.is_some_and(|of_pip| indent <= of_pip) {
            pip = None;
        }
        if item == "pip:" {
            pip = Some(indent);
        } else if pip.is_some() {
            asked.add(requirement::parse(item), number + 1);
        } else {
            package(item, number + 1, &mut asked);
        }
    }
    asked
}

/// `channel::name=version=build`.
fn package(item: &str, line: usize, asked: &mut Asked) {
    let item = item.rsplit("::").next().unwrap_or(item);
    let end = item.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).unwrap_or(item.len());
    let (name, version) = item.split_at(end);
    let version = version.trim();
    if name.is_empty() || ["python", "pip"].contains(&name) && version.is_empty() {
        return;
    }
    let plain = |version: &str| {
        !version.is_empty() && version.chars().all(|c| c.is_ascii_alphanumeric() || "._+!".contains(c))
    };
    let whole = version.strip_prefix("==").filter(|version| plain(version));
    let start = version.strip_prefix('=').map(|rest| rest.split('=').next().unwrap_or_default());
    match (whole, start.filter(|version| plain(version))) {
        (Some(version), _) => asked.pin(name, Exact::whole(version), line, false),
        (None, Some(version)) => asked.pin(name, Exact::prefix(version), line, false),
        (None, None) => {
            let wanted = item.chars().take(200).collect();
            asked.add(Requirement::Loose { name: name.to_owned(), wanted }, line);
        }
    }
}
