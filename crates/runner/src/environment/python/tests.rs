use std::os::unix::fs::symlink;
use std::process::Command;

use tempfile::TempDir;

use super::*;

/// A directory with an installation in `opt/py` and a venv in `env` made of it by hand, as tools make them.
fn world() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    install(&dir.path().join("opt/py"));
    let venv = dir.path().join("env");
    fs::create_dir_all(venv.join("bin")).unwrap();
    fs::create_dir_all(venv.join("lib/python3.11/site-packages")).unwrap();
    symlink("lib", venv.join("lib64")).unwrap();
    symlink(dir.path().join("opt/py/bin/python3"), venv.join("bin/python")).unwrap();
    symlink("python", venv.join("bin/python3")).unwrap();
    configure(dir.path(), &dir.path().join("opt/py/bin"), "version_info = 3.11.7.final.0");
    dir
}

fn install(prefix: &Path) {
    fs::create_dir_all(prefix.join("bin")).unwrap();
    fs::create_dir_all(prefix.join("lib/python3.11/site-packages")).unwrap();
    fs::write(prefix.join("lib/python3.11/os.py"), "").unwrap();
    fs::write(prefix.join("bin/python3.11"), b"\x7fELF and so on").unwrap();
    symlink("python3.11", prefix.join("bin/python3")).unwrap();
}

fn configure(dir: &Path, home: &Path, rest: &str) {
    fs::write(dir.join("env/pyvenv.cfg"), format!("home = {}\n{rest}\n", home.display())).unwrap();
}

fn package(site: &Path, directory: &str, files: &[(&str, &str)]) {
    let directory = site.join(directory);
    fs::create_dir_all(&directory).unwrap();
    for (name, text) in files {
        fs::write(directory.join(name), text).unwrap();
    }
}

fn site(dir: &TempDir) -> PathBuf {
    dir.path().join("env/lib/python3.11/site-packages")
}

fn names(captured: &Captured) -> Vec<String> {
    captured.python.packages.iter().map(|package| format!("{} {}", package.name, package.version)).collect()
}

#[test]
fn a_venv_and_what_it_builds_on() {
    let dir = world();
    let (env, base) = (dir.path().join("env"), dir.path().join("opt/py"));
    package(
        &site(&dir),
        "numpy-2.0.0.dist-info",
        &[
            ("METADATA", "Metadata-Version: 2.1\nName: NumPy\nVersion: 2.0.0\n\nName: not this\n"),
            ("RECORD", "numpy/__init__.py,sha256=x,1\n"),
        ],
    );
    package(
        &base.join("lib/python3.11/site-packages"),
        "wheel-1.dist-info",
        &[("METADATA", "Name: wheel\nVersion: 1")],
    );
    let captured = capture(&env).unwrap();
    assert_eq!(captured.python.prefix, env.to_str().unwrap());
    assert_eq!(captured.python.base_prefix, base.to_str().unwrap());
    assert_eq!(captured.python.version, "3.11.7");
    assert_eq!(captured.python.interpreter, Digest::of(b"\x7fELF and so on"));
    assert_eq!(captured.mounts, [env.clone(), base.clone()]);
    assert_eq!(captured.bin, env.join("bin"));
    assert_eq!(names(&captured), ["NumPy 2.0.0"]);
    let record = Digest::of(b"numpy/__init__.py,sha256=x,1\n");
    assert_eq!(captured.python.packages[0].record, Some(record));
    assert_eq!(capture(&env.join("bin/python3")).unwrap().python, captured.python, "by its interpreter");
    assert_eq!(capture(&env.join("../env")).unwrap().python.prefix, captured.python.prefix);

    configure(dir.path(), &base.join("bin"), "include-system-site-packages = True\nversion = 3.11.7");
    assert_eq!(names(&capture(&env).unwrap()), ["NumPy 2.0.0", "wheel 1"]);
}

#[test]
fn an_installation_by_its_directory_and_its_interpreter() {
    let dir = world();
    let base = dir.path().join("opt/py");
    let link = dir.path().join("python");
    symlink(base.join("bin/python3"), &link).unwrap();
    for path in [base.clone(), base.join("bin/python3"), link] {
        let captured = capture(&path).unwrap();
        assert_eq!(
            (captured.python.prefix.as_str(), captured.python.version.as_str()),
            (base.to_str().unwrap(), "3.11")
        );
        assert_eq!((captured.mounts, captured.bin), (vec![base.clone()], base.join("bin")));
    }
}

#[test]
fn every_link_on_the_way_is_mounted_and_nothing_around_it() {
    let dir = world();
    let local = dir.path().join("user/.local/bin");
    fs::create_dir_all(&local).unwrap();
    fs::create_dir_all(dir.path().join("user/.ssh")).unwrap();
    symlink("../../../opt/py/bin/python3.11", local.join("python3.11")).unwrap();
    let program = dir.path().join("env/bin/python");
    fs::remove_file(&program).unwrap();
    symlink(local.join("python3.11"), &program).unwrap();
    configure(dir.path(), &local, "");
    let captured = capture(&dir.path().join("env")).unwrap();
    assert_eq!(captured.mounts, [dir.path().join("env"), dir.path().join("opt/py"), local]);
    assert_eq!(captured.python.base_prefix, dir.path().join("opt/py").to_str().unwrap());
}

#[test]
fn an_alias_of_the_installation_stays_an_alias() {
    let dir = world();
    let alias = dir.path().join("opt/latest");
    symlink("py", &alias).unwrap();
    let program = dir.path().join("env/bin/python");
    fs::remove_file(&program).unwrap();
    symlink(alias.join("bin/python3"), &program).unwrap();
    configure(dir.path(), &alias.join("bin"), "");
    let captured = capture(&dir.path().join("env")).unwrap();
    assert_eq!(captured.mounts, [dir.path().join("env"), alias.clone(), dir.path().join("opt/py")]);
    assert_eq!(captured.python.base_prefix, alias.to_str().unwrap());
}

#[test]
fn a_python_that_lives_in_a_home_is_refused() {
    for (home, private) in [("ada", ".ssh"), (".local", "share")] {
        let dir = world();
        let home = dir.path().join(home);
        install(&home);
        fs::create_dir(home.join(private)).unwrap();
        let error = capture(&home.join("bin/python3")).unwrap_err();
        assert!(matches!(error, EnvironmentError::TooWide { .. }), "{error}");
        configure(dir.path(), &home.join("bin"), "");
        let error = capture(&dir.path().join("env")).unwrap_err();
        assert!(matches!(error, EnvironmentError::TooWide { .. }), "{error}");
    }
    for path in ["/", "/home", "/home/ada", "/root", "/home/ada/.local"] {
        assert!(holds_more(Path::new(path)), "{path}");
    }
    for path in ["/opt/python", "/venv", "/home/ada/.venv", "/home/ada/.local/bin"] {
        assert!(!holds_more(Path::new(path)), "{path}");
    }
}

#[test]
fn what_is_no_environment_is_an_error() {
    let dir = world();
    let env = dir.path().join("env");
    let code = |path: &Path| capture(path).unwrap_err().diagnosis().code;
    assert_eq!(code(&dir.path().join("absent")), "environment/python");
    assert_eq!(code(dir.path()), "environment/python");
    for config in ["", "home\n", "home = here\n"] {
        fs::write(env.join("pyvenv.cfg"), config).unwrap();
        assert_eq!(code(&env), "environment/config", "{config:?}");
    }
    configure(dir.path(), &dir.path().join("gone/bin"), "");
    fs::remove_file(dir.path().join("opt/py/lib/python3.11/os.py")).unwrap();
    assert_eq!(code(&env), "environment/python");

    let program = env.join("bin/python");
    fs::remove_file(&program).unwrap();
    symlink("python3", &program).unwrap(); // And `python3` leads to it.
    assert_eq!(code(&env), "environment/python");

    let dir = world();
    let shim = dir.path().join("shims/python3");
    fs::create_dir(shim.parent().unwrap()).unwrap();
    fs::write(&shim, "#!/bin/sh\nexec pyenv exec python3\n").unwrap();
    assert_eq!(code(&shim), "environment/script");
}

#[test]
fn hostile_packages_neither_block_nor_vanish() {
    let dir = world();
    let site = site(&dir);
    for (directory, file) in
        [("pipe-1.dist-info", "METADATA"), ("pipe-1.dist-info", "RECORD"), ("x-2.dist-info", "RECORD")]
    {
        fs::create_dir_all(site.join(directory)).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            site.join(directory).join(file),
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
    }
    let huge = format!("Name: huge\nVersion: 3\n\n{}", "x".repeat(9 << 20));
    package(&site, "huge-3.dist-info", &[("METADATA", &huge)]);
    package(
        &site,
        "long-4.dist-info",
        &[("METADATA", &format!("Name: {}\nVersion: 4\n", "n".repeat(5_000)))],
    );
    package(&site, "latin-5.dist-info", &[]);
    fs::write(site.join("latin-5.dist-info/METADATA"), b"Name: latin\nAuthor: \xe9\nVersion: 5\n").unwrap();
    symlink("loop.dist-info", site.join("loop.dist-info")).unwrap();
    fs::write(site.join("old-6.egg-info"), "Name: old\nVersion: 6\n").unwrap();
    let captured = capture(&dir.path().join("env")).unwrap();
    assert_eq!(names(&captured), ["huge 3", "latin 5", "long 4", "loop unknown", "old 6", "pipe 1", "x 2"]);
}

#[test]
fn code_outside_is_pointed_out_once() {
    let dir = world();
    let site = site(&dir);
    let url = r#"{"url": "file:///src/mine", "dir_info": {"editable": true}}"#;
    package(&site, "mine-1.dist-info", &[("METADATA", "Name: mine\nVersion: 1\n"), ("direct_url.json", url)]);
    let copied = r#"{"url": "file:///src/copied", "dir_info": {}}"#;
    package(&site, "copied-1.dist-info", &[("direct_url.json", copied)]);
    fs::write(site.join("__editable__.mine-1.pth"), "/src/mine\n").unwrap();
    fs::write(site.join("old.egg-link"), "/src/ol\u{1b}d\n.").unwrap();
    let inside = format!("import os; os.system('false')\n# x\n/usr/lib/x\n{}\n", site.join("sub").display());
    fs::write(site.join("inside.pth"), inside).unwrap();
    let outside = capture(&dir.path().join("env")).unwrap().outside;
    let remark = "is installed from outside the environment, and the run does not see it there";
    assert_eq!(outside, [format!("`/src/mine` {remark}"), format!("`/src/ol\\x1bd` {remark}")]);
}

#[test]
fn what_python_itself_makes() {
    let dir = tempfile::tempdir().unwrap();
    let env = dir.path().join("env");
    let made = Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(&env).status().unwrap();
    assert!(made.success());
    let captured = capture(&env).unwrap();
    let ask = "import sys, platform; print(sys.prefix, sys.base_prefix, platform.python_version())";
    let said = Command::new(env.join("bin/python")).args(["-c", ask]).output().unwrap();
    let python = &captured.python;
    assert_eq!(
        String::from_utf8(said.stdout).unwrap().trim_end(),
        format!("{} {} {}", python.prefix, python.base_prefix, python.version)
    );
    assert_eq!(python.packages, []);
    let base = Path::new(&python.base_prefix);
    assert!(captured.mounts.contains(&env));
    assert!(is_system(base) || captured.mounts.iter().any(|mount| base.starts_with(mount)));
}
