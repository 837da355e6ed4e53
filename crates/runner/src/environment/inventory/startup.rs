//! What Python would read before a program starts: `.pth` files, `sitecustomize`, the user's own packages.
//!
//! Source: the module `site` of Python's standard library.

use std::collections::BTreeSet;
use std::path::Path;

use aseptic_model::FindingCode;

use super::super::python::{Longer, TEXT_BYTES_MAX, is_of_system, libraries, read};
use super::{Found, Sources, dpkg, listing, shown};

/// Paths of one `.pth` file that are looked at.
const LINES_MAX: usize = 1000;

/// Adds what stands out in one site directory.
pub(super) fn scan(site: &Path, sources: &Sources, found: &mut Found) {
    let paths: BTreeSet<_> = listing(site, found);
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".pth") {
            path_file(&path, site, &name, sources, found);
        } else if ["sitecustomize.py", "usercustomize.py", "sitecustomize", "usercustomize"]
            .contains(&name.as_str())
        {
            let detail = "it runs whenever Python starts".to_owned();
            found.finding(FindingCode::StartupCode, name, Some(shown(&path, sources)), detail);
        }
    }
}

fn path_file(path: &Path, site: &Path, name: &str, sources: &Sources, found: &mut Found) {
    let place = shown(path, sources);
    let Ok(bytes) = read(path, TEXT_BYTES_MAX, Longer::Refuse) else {
        let detail = "it is no file of a reasonable size, and Python would read it".to_owned();
        return found.finding(FindingCode::Unreadable, name, Some(place), detail);
    };
    let text = String::from_utf8_lossy(&bytes);
    for (number, line) in text.lines().enumerate().take(LINES_MAX) {
        let at = Some(format!("{place}:{}", number + 1));
        let line = line.trim();
        if line.starts_with("import ") || line.starts_with("import\t") {
            let owned = found.owned.contains(path) || is_of_system(path) && dpkg::owns(path);
            let (code, whose) = match owned {
                true => (FindingCode::PathCode, "an installed package brought it"),
                false => (FindingCode::PathCodeUnowned, "no installed package lists it"),
            };
            let detail = format!("it runs code whenever Python starts, and {whose}");
            found.finding(code, name, at, detail);
        } else if !line.is_empty() && !line.starts_with('#') {
            let directory = site.join(line);
            let inside = sources.python.iter().any(|(python, _)| directory.starts_with(&python.prefix));
            let above = directory.components().any(|part| part == std::path::Component::ParentDir);
            if !inside || above {
                let line: String = line.chars().take(300).collect();
                found.finding(FindingCode::PathAdded, name, at, format!("Python also imports from `{line}`"));
            }
        }
    }
}

/// Adds that the user has packages of the same version of Python in a directory that a run does not see.
pub(super) fn user_site(sources: &Sources, found: &mut Found) {
    let (Some((python, installed)), Some(home)) = (&sources.python, &sources.home_directory) else { return };
    if !installed.user_site {
        return;
    }
    let series: Vec<_> = python.version.split('.').take(2).collect();
    let wanted = format!("python{}", series.join("."));
    for lib in libraries(&home.join(".local/lib")) {
        let site = lib.join("site-packages");
        if lib.file_name().is_none_or(|name| name.to_string_lossy() != wanted) || !site.is_dir() {
            continue;
        }
        let packages = listing(&site, found);
        let count =
            packages.iter().filter(|path| path.extension().is_some_and(|end| end == "dist-info")).count();
        if count > 0 {
            let detail = format!("{count} packages of the user are outside of the environment");
            found.finding(FindingCode::UserSite, "user site", Some(shown(&site, sources)), detail);
        }
    }
}
