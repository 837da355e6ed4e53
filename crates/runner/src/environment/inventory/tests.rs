use std::fs;
use std::os::unix::fs::symlink;

use aseptic_model::{Licence, PackageOrigin};
use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use super::super::python::capture;
use super::*;

/// A venv made by hand, with a description of each kind of package.
struct Venv {
    dir: TempDir,
}

impl Venv {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("opt/py");
        fs::create_dir_all(base.join("bin")).unwrap();
        fs::create_dir_all(base.join("lib/python3.11")).unwrap();
        fs::write(base.join("lib/python3.11/os.py"), "").unwrap();
        fs::write(base.join("bin/python3.11"), b"\x7fELF \0[GCC 12.2.0]\0").unwrap();
        let venv = dir.path().join("env");
        fs::create_dir_all(venv.join("bin")).unwrap();
        fs::create_dir_all(venv.join("lib/python3.11/site-packages")).unwrap();
        symlink(base.join("bin/python3.11"), venv.join("bin/python3")).unwrap();
        let config = format!("home = {}\nversion = 3.11.7\n", base.join("bin").display());
        fs::write(venv.join("pyvenv.cfg"), config).unwrap();
        Self { dir }
    }

    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.site().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn site(&self) -> PathBuf {
        self.dir.path().join("env/lib/python3.11/site-packages")
    }

    fn sources(&self) -> Sources {
        let captured = capture(&self.dir.path().join("env")).unwrap();
        Sources::new(Some(&captured), Some(&self.dir.path().join("user")))
    }

    fn inventory(&self) -> Inventory {
        take(&self.sources())
    }

    fn codes(&self) -> Vec<String> {
        let findings = self.inventory().findings;
        findings.iter().map(|finding| format!("{} {}", finding.code, finding.subject)).collect()
    }
}

#[test]
fn packages_with_everything_that_is_known_of_them() {
    let venv = Venv::new();
    venv.write(
        "numpy-2.0.0.dist-info/METADATA",
        "Metadata-Version: 2.4\nName: numpy\nVersion: 2.0.0\nLicense-Expression: BSD-3-Clause\n\nLicense: no\n",
    );
    venv.write("numpy-2.0.0.dist-info/RECORD", "numpy/__init__.py,sha256=x,1\n");
    venv.write("numpy-2.0.0.dist-info/INSTALLER", "uv\n");
    venv.write("numpy-2.0.0.dist-info/REQUESTED", "");
    venv.write("own-1.dist-info/METADATA", "Name: own\nVersion: 1\nLicense: Dual\n License\n");
    venv.write("own-1.dist-info/RECORD", "");
    venv.write(
        "own-1.dist-info/direct_url.json",
        r#"{"url": "file:///home/ada/own", "dir_info": {"editable": true}}"#,
    );
    let inventory = venv.inventory();
    assert_eq!(inventory.packages.len(), 2);
    let numpy = &inventory.packages[0];
    assert_eq!(numpy.licence, Some(Licence { expression: Some("BSD-3-Clause".to_owned()), text: None }));
    assert_eq!((numpy.installer.as_deref(), numpy.requested), (Some("uv"), Some(true)));
    assert_eq!(numpy.place, "lib/python3.11/site-packages/numpy-2.0.0.dist-info");
    assert_eq!(numpy.record, Some(aseptic_model::Digest::of(b"numpy/__init__.py,sha256=x,1\n")));
    let own = &inventory.packages[1];
    let path = "/home/ada/own".to_owned();
    assert_eq!(own.origin, Some(PackageOrigin::Directory { path, editable: true }));
    assert_eq!(own.licence.as_ref().unwrap().text.as_deref(), Some("Dual"));
    assert_eq!(venv.codes(), ["editable own"]);
    let python = inventory.python.as_ref().unwrap();
    assert_eq!(python.build.as_deref(), Some("GCC 12.2.0"));
    assert_eq!(python.implementation.as_deref(), Some("CPython"));
    let bytes = aseptic_model::to_canonical(&inventory).unwrap();
    let again: Inventory = aseptic_model::from_canonical(&bytes).unwrap();
    assert_eq!(again, inventory, "it is read back as it was");
    assert_eq!(bytes, aseptic_model::to_canonical(&venv.inventory()).unwrap(), "two looks are equal");
}

#[test]
fn conda_and_python_describe_one_package() {
    let venv = Venv::new();
    venv.write("numpy-2.0.0.dist-info/METADATA", "Name: numpy\nVersion: 2.0.0\n");
    venv.write("numpy-2.0.0.dist-info/RECORD", "numpy/__init__.py,sha256=x,1\n");
    venv.write("numpy-2.0.0.dist-info/INSTALLER", "conda\n");
    let meta = venv.dir.path().join("env/conda-meta");
    fs::create_dir(&meta).unwrap();
    for (name, version) in [("numpy", "2.0.0"), ("openssl", "3.3.0")] {
        let text = format!(
            r#"{{"name": "{name}", "version": "{version}", "build": "0", "channel": "conda-forge"}}"#
        );
        fs::write(meta.join(format!("{name}.json")), text).unwrap();
    }
    fs::write(meta.join("broken.json"), "{").unwrap();
    fs::write(meta.join("history"), "").unwrap();
    let inventory = venv.inventory();
    let packages: Vec<_> =
        inventory.packages.iter().map(|one| (one.name.as_str(), one.kind, one.record.is_some())).collect();
    assert_eq!(packages, [("numpy", PackageKind::Conda, true), ("openssl", PackageKind::Conda, false)]);
    assert_eq!(venv.codes(), ["unreadable broken"]);
}

#[test]
fn what_stands_out_of_packages() {
    let venv = Venv::new();
    for (name, url) in [
        ("vcs", r#"{"url": "https://u:p@h/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}"#),
        ("vcs-loose", r#"{"url": "https://h/x.git", "vcs_info": {"vcs": "git"}}"#),
        ("dir", r#"{"url": "file:///srv/x", "dir_info": {}}"#),
        ("archive", r#"{"url": "https://h/x.whl", "archive_info": {}}"#),
        ("nonsense", "{"),
    ] {
        venv.write(&format!("{name}-1.dist-info/METADATA"), format!("Name: {name}\nVersion: 1\n"));
        venv.write(&format!("{name}-1.dist-info/RECORD"), "");
        venv.write(&format!("{name}-1.dist-info/direct_url.json"), url);
    }
    venv.write("twice-1.dist-info/METADATA", "Name: twice\nVersion: 1\n");
    venv.write("Twice-2.dist-info/METADATA", "Name: Twice\nVersion: 2\n");
    venv.write("old-1.egg-info", "Name: old\nVersion: 1\n");
    venv.write("dev.egg-link", "/srv/dev\n.\n");
    let expected = [
        "editable dev",
        "local-directory dir",
        "repository vcs",
        "repository-unpinned vcs-loose",
        "archive-unhashed archive",
        "no-record Twice",
        "no-record old",
        "no-record twice",
        "unreadable nonsense",
        "duplicate Twice",
    ];
    assert_eq!(venv.codes(), expected);
    let bytes = aseptic_model::to_canonical(&venv.inventory()).unwrap();
    assert!(!String::from_utf8(bytes).unwrap().contains("u:p"), "a password is nowhere");
}

#[test]
fn what_python_would_read_at_its_start() {
    let venv = Venv::new();
    venv.write("own-1.dist-info/METADATA", "Name: own\nVersion: 1\n");
    venv.write("own-1.dist-info/RECORD", "own.pth,sha256=x,1\nown/a.py,,\n");
    venv.write("own.pth", "# comment\nimport own; own.start()\n");
    venv.write("planted.pth", "import os\n/srv/lib\nsub\n../../../../../srv\n");
    venv.write("sitecustomize.py", "");
    let inventory = venv.inventory();
    let found: Vec<_> =
        inventory.findings.iter().map(|one| format!("{} {}", one.code, one.place.clone().unwrap())).collect();
    let site = "lib/python3.11/site-packages";
    let expected = [
        format!("path-added {site}/planted.pth:2"),
        format!("path-added {site}/planted.pth:4"),
        format!("path-code {site}/own.pth:2"),
        format!("path-code-unowned {site}/planted.pth:1"),
        format!("startup-code {site}/sitecustomize.py"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn packages_of_the_user_count_where_python_would_import_them() {
    let venv = Venv::new();
    let user = venv.dir.path().join("user/.local/lib/python3.11/site-packages/rich-1.dist-info");
    fs::create_dir_all(user).unwrap();
    assert_eq!(venv.codes(), [""; 0], "a venv does not");
    let config = venv.dir.path().join("env/pyvenv.cfg");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}include-system-site-packages = true\n")).unwrap();
    assert_eq!(venv.codes(), ["user-site user site"]);
}

/// An ELF file of 64 bits that needs `needed`, and looks for it in `search`.
fn library(needed: &[&str], search: Option<&str>) -> Vec<u8> {
    let mut strings = vec![0];
    let mut dynamic: Vec<(u64, u64)> = Vec::new();
    let mut add = |tag: u64, text: &str, dynamic: &mut Vec<(u64, u64)>| {
        dynamic.push((tag, strings.len() as u64));
        strings.extend(text.as_bytes());
        strings.push(0);
    };
    for name in needed {
        add(1, name, &mut dynamic);
    }
    if let Some(search) = search {
        add(29, search, &mut dynamic);
    }
    let dynamic_at = 64 + 2 * 56;
    let strings_at = dynamic_at + 16 * (dynamic.len() as u64 + 2);
    dynamic.extend([(5, strings_at), (0, 0)]);
    let total = strings_at + strings.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend([3, 0, 62, 0, 1, 0, 0, 0]);
    for number in [0_u64, 64, 0] {
        file.extend(number.to_le_bytes());
    }
    file.extend([0, 0, 0, 0, 64, 0, 56, 0, 2, 0, 64, 0, 0, 0, 0, 0]);
    for (kind, offset, size) in [(1_u32, 0, total), (2, dynamic_at, 16 * dynamic.len() as u64)] {
        file.extend(kind.to_le_bytes());
        file.extend(4_u32.to_le_bytes());
        for number in [offset, offset, offset, size, size, 8] {
            file.extend(number.to_le_bytes());
        }
    }
    for (tag, value) in dynamic {
        file.extend(tag.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend(strings);
    file
}

#[test]
fn native_libraries_from_elsewhere() {
    let venv = Venv::new();
    let outside = venv.dir.path().join("srv");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("libouter.so.1"), "").unwrap();
    venv.write("pkg.libs/libinner.so.2", library(&["libc.so.6"], None));
    let search = format!("$ORIGIN/pkg.libs:{}", outside.display());
    venv.write(
        "_a.so",
        library(&["libinner.so.2", "libouter.so.1", "libc.so.6", "libnowhere.so.9"], Some(&search)),
    );
    venv.write("sub/_b.so", library(&["libinner.so.2", "libnowhere.so.9"], None));
    let findings = venv.inventory().findings;
    let found: Vec<_> =
        findings.iter().map(|one| (one.code, one.subject.as_str(), one.detail.as_str())).collect();
    let outer = outside.join("libouter.so.1").display().to_string();
    let site = "lib/python3.11/site-packages";
    let one = format!("`{site}/_a.so` needs it");
    let two = format!("`{site}/_a.so` and another library need it");
    let expected = [
        (FindingCode::NativeOutside, outer.as_str(), one.as_str()),
        (FindingCode::NativeMissing, "libnowhere.so.9", two.as_str()),
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_needs_of_a_real_library() {
    let program = std::env::current_exe().unwrap();
    let needs = elf::needs(&program).unwrap();
    assert!(needs.needed.iter().any(|name| name.starts_with("libc.so")), "{needs:?}");
}

#[test]
fn hostile_files_neither_block_nor_fill_memory() {
    let venv = Venv::new();
    let site = venv.site();
    for path in [
        "fifo-1.dist-info/METADATA",
        "fifo-1.dist-info/RECORD",
        "fifo-1.dist-info/direct_url.json",
        "a.pth",
        "f.so",
    ] {
        let path = site.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    }
    venv.write("bytes-1.dist-info/METADATA", b"Name: \xff\xfe\nVersion: \x1b[31m\nLicense: \xff\n");
    venv.write("bytes-1.dist-info/RECORD", b"\xff,\xff,\xff\n\0\n");
    venv.write(&format!("{}.egg-info", "x".repeat(200)), "a".repeat(1 << 20));
    symlink("loop-1.dist-info", site.join("loop-1.dist-info")).unwrap();
    symlink(&site, site.join("around")).unwrap();
    symlink("/dev/zero", site.join("zero.so")).unwrap();
    // A sparse file that says that its table of strings has a terabyte.
    let mut huge = library(&["a"], None);
    huge[64 + 56 + 32..64 + 56 + 40].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    venv.write("huge.so", &huge);
    fs::OpenOptions::new().write(true).open(site.join("huge.so")).unwrap().set_len(1 << 42).unwrap();
    let inventory = venv.inventory();
    let names: Vec<_> = inventory.packages.iter().map(|package| package.name.as_str()).collect();
    assert!(names.contains(&"fifo") && names.contains(&"loop") && names.len() == 4, "{names:?}");
    assert!(elf::needs(&site.join("huge.so")).is_none());
    assert!(fingerprint::of(&venv.sources()) == fingerprint::of(&venv.sources()));
}

#[test]
fn the_fingerprint_follows_what_is_installed() {
    let venv = Venv::new();
    venv.write("own-1.dist-info/METADATA", "Name: own\nVersion: 1\n");
    let first = fingerprint::of(&venv.sources());
    venv.write("own-1.dist-info/direct_url.json", "{}");
    let second = fingerprint::of(&venv.sources());
    venv.write("a.pth", "/srv\n");
    let third = fingerprint::of(&venv.sources());
    venv.write("a.pth", "/srx\n");
    let fourth = fingerprint::of(&venv.sources());
    let all = BTreeSet::from([first, second, third, fourth]);
    assert_eq!(all.len(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_a_parser_panic(bytes: Vec<u8>, text in "[-A-Za-z:, \"=@/#?\n\r\t{}\\[\\]0-9]{0,300}") {
        for bytes in [bytes.as_slice(), text.as_bytes()] {
            let lossy = String::from_utf8_lossy(bytes);
            metadata::Headers::parse(&lossy);
            licence::licence(Some(&lossy), Some(&lossy), &[lossy.to_string()]);
            origin::parse(bytes);
            origin::without_secrets(&lossy);
            conda::parse(bytes, "");
            prop_assert!(dpkg::parse(&lossy).all(|package| !package.name.is_empty()));
            prop_assert!(listed(bytes).all(|listed| !listed.path.is_empty()));
        }
    }

    #[test]
    fn no_native_library_makes_the_reader_panic(at in 0_usize..400, byte: u8, cut in 0_usize..400) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.so");
        let mut bytes = library(&["liba.so", "libb.so"], Some("$ORIGIN"));
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        bytes.truncate(cut.max(5));
        fs::write(&path, bytes).unwrap();
        elf::needs(&path);
    }

    #[test]
    fn no_secret_of_a_url_is_kept(user in "[a-z]{1,8}", secret in "[A-Z]{8}", host in "[a-z]{3,8}") {
        for url in [format!("https://{user}:{secret}@{host}/x"), format!("git+ssh://{secret}@{host}"), format!("http://{host}/x?token={secret}#egg=a")] {
            prop_assert!(!origin::without_secrets(&url).contains(&secret), "{url}");
        }
    }
}
