//! Policies that lie in the directory of the code: they say what runs may do, and are no part of what runs.
//!
//! So writing a policy makes no code dirty, and no job sees by which rules it is judged. Left out are the files that
//! decide and their tests, and nothing else: a program may have a package of the name `policy`.

use std::fs;
use std::path::Path;

use aseptic_model::FilePath;

use crate::policy::{POLICY_DIRECTORY, decides};
use crate::request::{CodeChoice, Request};

/// Where tests of policies are, in their directory.
const TESTS: &[u8] = b"tests";

/// What of a directory of code is policies.
#[derive(Debug)]
pub(crate) struct PoliciesInCode {
    /// The directory of the policies, from that of the code on.
    directory: FilePath,
    /// What is left out, in the order of its bytes: files, and directories that have nothing else.
    pub(crate) paths: Vec<FilePath>,
    /// Whether files of the program lie beside them.
    pub(crate) is_shared: bool,
}

impl PoliciesInCode {
    /// Those beside the spec of a request, if they are in its code. Nothing is left out where nothing decides.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let CodeChoice::Directory(root) = &request.code else { return None };
        Self::beside(&root.canonicalize().ok()?, request.spec.as_deref())
    }

    fn beside(root: &Path, spec: Option<&Path>) -> Option<Self> {
        let beside = spec?.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let path = beside.canonicalize().ok()?.join(POLICY_DIRECTORY);
        let directory =
            FilePath::from_bytes(path.strip_prefix(root).ok()?.as_os_str().as_encoded_bytes()).ok()?;
        let mut policies = Self { directory: directory.clone(), paths: Vec::new(), is_shared: false };
        let mut is_whole = policies.leave_out(&path, &directory, decides);
        if !policies.paths.is_empty() {
            let tests = directory.join(TESTS).ok()?;
            if path.join("tests").symlink_metadata().is_ok() {
                is_whole &= policies.leave_out(&path.join("tests"), &tests, is_test);
            }
            policies.is_shared = !is_whole;
            if is_whole {
                policies.paths = vec![directory];
            }
            policies.paths.sort_unstable_by(|one, other| one.as_bytes().cmp(other.as_bytes()));
        }
        Some(policies)
    }

    /// Leaves out what is `wanted` of the files in the directory at `path`, which the code calls `directory`, and the
    /// directory if it has nothing else. Whether it has nothing else.
    fn leave_out(&mut self, path: &Path, directory: &FilePath, wanted: fn(&[u8]) -> bool) -> bool {
        // What cannot be read is no policy, and the import says why it cannot be read.
        let Ok(entries) = fs::read_dir(path) else { return false };
        if path.symlink_metadata().is_ok_and(|kind| kind.is_symlink()) {
            return false;
        }
        let (mut found, mut is_whole) = (Vec::new(), true);
        for entry in entries {
            // What cannot be read may be anything.
            let Ok(entry) = entry else {
                is_whole = false;
                continue;
            };
            let name = entry.file_name();
            let name = name.as_encoded_bytes();
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            match directory.join(name) {
                Ok(path) if is_file && wanted(name) => found.push(path),
                _ if name == TESTS && directory == &self.directory => {}
                _ => is_whole = false,
            }
        }
        match is_whole && directory != &self.directory {
            true => self.paths.push(directory.clone()),
            false => self.paths.extend(found),
        }
        is_whole
    }

    /// Whether a file at `path` would be a policy, or the test of one.
    pub(crate) fn hold(&self, path: &FilePath) -> bool {
        let below = path.as_bytes().strip_prefix(self.directory.as_bytes());
        match below.and_then(|below| below.strip_prefix(b"/")) {
            Some(name) if !name.contains(&b'/') => decides(name),
            Some(inner) => {
                let name = inner.strip_prefix(b"tests/").filter(|name| !name.contains(&b'/'));
                !self.paths.is_empty() && name.is_some_and(is_test)
            }
            None => false,
        }
    }
}

fn is_test(name: &[u8]) -> bool {
    !name.starts_with(b".") && name.ends_with(b".toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left out of a directory with these files, and whether other files lie beside it.
    fn left_out(files: &[&str]) -> (Vec<String>, bool) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        for file in files {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "").unwrap();
        }
        let policies = PoliciesInCode::beside(&root, Some(&root.join("aseptic.toml"))).unwrap();
        let mut paths: Vec<_> = policies.paths.iter().map(ToString::to_string).collect();
        paths.sort();
        (paths, policies.is_shared)
    }

    #[test]
    fn policies_are_left_out_and_nothing_else() {
        let nothing = (Vec::new(), false);
        assert_eq!(left_out(&["main.py"]), nothing);
        assert_eq!(left_out(&["policy/__init__.py", "policy/net.py", "policy/tests/case.toml"]), nothing);
        let whole = (vec!["policy".to_owned()], false);
        assert_eq!(left_out(&["policy/lab.cedar", "policy/settings.toml"]), whole);
        assert_eq!(left_out(&["policy/roles.toml", "policy/roles.sig", "policy/tests/lab.toml"]), whole);
        let (paths, is_shared) =
            left_out(&["policy/lab.cedar", "policy/net.py", "policy/tests/lab.toml", "policy/deep/x.cedar"]);
        assert_eq!((paths.join(" ").as_str(), is_shared), ("policy/lab.cedar policy/tests", true));
        let (paths, is_shared) =
            left_out(&["policy/lab.cedar", "policy/tests/lab.toml", "policy/tests/test.py"]);
        assert_eq!((paths.join(" ").as_str(), is_shared), ("policy/lab.cedar policy/tests/lab.toml", true));
    }

    #[test]
    fn links_are_no_policies() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("elsewhere")).unwrap();
        fs::write(root.join("elsewhere/lab.cedar"), "").unwrap();
        std::os::unix::fs::symlink("elsewhere", root.join("policy")).unwrap();
        let spec = root.join("aseptic.toml");
        assert!(PoliciesInCode::beside(&root, Some(&spec)).unwrap().paths.is_empty());
        assert!(
            PoliciesInCode::beside(&root.join("elsewhere"), Some(&spec)).is_none(),
            "they lie outside of the code"
        );
        assert!(PoliciesInCode::beside(&root, None).is_none());
    }
}
