use aseptic_model::PackageKind;

use super::*;

fn code(files: &[(&str, &str)]) -> CodeFiles {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    CodeFiles::in_directory(dir.path())
}

fn package(name: &str, version: &str) -> InstalledPackage {
    let planned = aseptic_model::Package { name: name.to_owned(), version: version.to_owned(), record: None };
    InstalledPackage { kind: PackageKind::Python, ..InstalledPackage::planned(&planned) }
}

/// Code, subject and place of each finding.
fn found(files: &[(&str, &str)], packages: &[InstalledPackage]) -> Vec<String> {
    let all = findings(&code(files), Some(packages));
    all.iter()
        .map(|one| format!("{} {} {}", one.code, one.subject, one.place.as_deref().unwrap_or("-")))
        .collect()
}

#[test]
fn requirements_without_versions_are_named_with_their_line() {
    let text = "# comment\nnumpy>=1.26\nscipy == 1.17.1 # exact\npandas[all]==3.* ; python_version > '3'\n\
                -r other.txt\n--index-url https://x.example/simple\nopen\\\ncv\n\
                tool @ git+https://git.example/tool@0123456789012345678901234567890123456789\n\
                other @ git+https://git.example/other@main\nhttps://x.example/a.whl\n\
                hashed==1 --hash=sha256:00\n";
    let installed = [package("SciPy", "1.17.1"), package("hashed", "1.0")];
    let expected = [
        "unpinned a.whl requirements.txt:11",
        "unpinned numpy requirements.txt:2",
        "unpinned opencv requirements.txt:7",
        "unpinned other requirements.txt:10",
        "unpinned pandas requirements.txt:4",
    ];
    assert_eq!(found(&[("requirements.txt", text)], &installed), expected);
    assert_eq!(
        found(
            &[("requirements.txt", "numpy>=1"), ("constraints.txt", "NumPy==2.0")],
            &[package("numpy", "2")]
        ),
        [""; 0]
    );
    assert_eq!(found(&[("requirements/dev.txt", "numpy")], &[]), ["unpinned numpy requirements/dev.txt:1"]);
}

#[test]
fn a_lock_file_makes_ranges_exact() {
    let project = "[project]\ndependencies = [\n  'numpy>=1',\n  'scipy==1.17.1',\n]\n\
                   [dependency-groups]\ndev = ['pytest', {include-group = 'x'}]\n\
                   [tool.poetry.dependencies]\npython = '^3.11'\ntorch = '^2.4'\nrich = {version = '13.0.0'}\n";
    let expected = [
        "unpinned numpy pyproject.toml:3",
        "unpinned pytest pyproject.toml:7",
        "unpinned torch pyproject.toml:10",
    ];
    let installed = [package("scipy", "1.17.1"), package("numpy", "2.4.6")];
    assert_eq!(found(&[("pyproject.toml", project)], &installed), expected);
    for (name, lock) in [
        (
            "uv.lock",
            "version = 1\n[[package]]\nname = \"numpy\"\nversion = \"2.4.5\"\n[[package]]\nname = \"own\"\n",
        ),
        ("poetry.lock", "[[package]]\nname = 'numpy'\nversion = '2.4.5'\n"),
        ("pylock.toml", "[[packages]]\nname = 'numpy'\nversion = '2.4.5'\n"),
        ("Pipfile.lock", r#"{"_meta": {}, "default": {"numpy": {"version": "==2.4.5", "hashes": []}}}"#),
        ("conda-lock.yml", "package:\n- name: numpy\n  version: 2.4.5\n  manager: conda\n"),
    ] {
        let all = found(&[("pyproject.toml", project), (name, lock)], &installed);
        assert_eq!(all.len(), 1, "{name}: {all:?}");
        assert!(all[0].starts_with(&format!("differs-from-pin numpy {name}:")), "{all:?}");
    }
}

#[test]
fn environments_of_conda_and_pipenv() {
    let conda = "name: x\nchannels:\n  - conda-forge\ndependencies:\n  - python=3.11\n  - conda-forge::numpy=1.26\n  \
                 - scipy>=1\n  - zlib==1.3\n  - pip\n  - pip:\n    - rich==13.0\n    - polars\n  - tk\nvariables:\n  A: 1\n";
    let installed = [
        package("python", "3.11.7"),
        package("numpy", "1.26.4"),
        package("zlib", "1.4"),
        package("rich", "13"),
    ];
    let expected = [
        "unpinned polars environment.yml:12",
        "unpinned scipy environment.yml:7",
        "unpinned tk environment.yml:13",
        "differs-from-pin zlib environment.yml:8",
    ];
    assert_eq!(found(&[("environment.yml", conda)], &installed), expected);
    let pipfile = "[packages]\nnumpy = '*'\nscipy = '==1.0'\nown = {path = '.'}\n[dev-packages]\npytest = {version = '>=8'}\n";
    assert_eq!(
        found(&[("Pipfile", pipfile)], &[]),
        ["unpinned numpy Pipfile:2", "unpinned pytest Pipfile:6"]
    );
}

#[test]
fn what_is_pinned_and_not_there() {
    let text = "numpy==2.0\nwin==1 ; sys_platform == 'win32'\n";
    assert_eq!(found(&[("requirements.txt", text)], &[]), ["not-installed numpy requirements.txt:1"]);
    assert!(findings(&code(&[("requirements.txt", text)]), None).is_empty(), "there is no environment");
}

#[test]
fn hostile_files_are_findings_and_no_failures() {
    let deep = format!("a = {}{}", "[".repeat(50_000), "]".repeat(50_000));
    assert_eq!(
        found(&[("pyproject.toml", &deep)], &[]),
        ["unreadable-requirements pyproject.toml pyproject.toml"]
    );
    let json = "[".repeat(100_000);
    assert_eq!(found(&[("Pipfile.lock", &json)], &[]), ["unreadable-requirements Pipfile.lock Pipfile.lock"]);
    let many = "a\n".repeat(200_000);
    assert!(found(&[("requirements.txt", &many)], &[]).len() <= FINDINGS_MAX);
    let dir = tempfile::tempdir().unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        dir.path().join("requirements.txt"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    assert!(CodeFiles::in_directory(dir.path()).files.is_empty(), "it never waits for a FIFO");
}

proptest::proptest! {
    #[test]
    fn no_file_makes_a_reader_panic(bytes: Vec<u8>, text in "[-a-z=<>@#:;. \\[\\]{}'\"\n\\\\]{0,200}") {
        for name in ["Pipfile", "Pipfile.lock", "pyproject.toml", "uv.lock", "conda-lock.yml", "environment.yml", "requirements.txt"] {
            of_file(name, &bytes);
            of_file(name, text.as_bytes());
        }
    }
}
