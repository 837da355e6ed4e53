//! The interpreter, from its own files.

use std::path::Path;

use aseptic_model::{Digest, Interpreter, Python};

use super::super::python::{INTERPRETER_BYTES_MAX, Installed, Longer, above, entries, read};

/// Longest name of a compiler.
const COMPILER_BYTES_MAX: usize = 100;

pub(super) fn of(python: &Python, installed: &Installed) -> Interpreter {
    let bytes = read(&installed.interpreter, INTERPRETER_BYTES_MAX, Longer::Refuse).unwrap_or_default();
    let library = library(&installed.interpreter);
    let build = compiler(&bytes).or_else(|| compiler(library.as_deref()?));
    Interpreter {
        prefix: python.prefix.clone(),
        base_prefix: python.base_prefix.clone(),
        version: python.version.clone(),
        digest: python.interpreter,
        implementation: implementation(python, installed),
        build,
        library: library.map(|bytes| Digest::of(&bytes)),
    }
}

/// As `pyvenv.cfg` says, else by the name of the file.
fn implementation(python: &Python, installed: &Installed) -> Option<String> {
    if let Some(said) = installed.implementation.as_ref().filter(|said| said.len() <= COMPILER_BYTES_MAX) {
        return Some(said.clone());
    }
    let names =
        [Path::new(&python.base_prefix), installed.interpreter.as_path()].map(|path| path.to_string_lossy());
    let pypy = names.iter().any(|name| name.contains("pypy"));
    Some(if pypy { "PyPy" } else { "CPython" }.to_owned())
}

/// The shared library beside an interpreter that most of it may be in.
fn library(interpreter: &Path) -> Option<Vec<u8>> {
    let name = interpreter.file_name()?.to_str()?;
    let wanted = format!("lib{name}.so.");
    let lib = above(interpreter).join("lib");
    let file = entries(&lib).into_iter().find(|path| {
        path.file_name().is_some_and(|file| file.as_encoded_bytes().starts_with(wanted.as_bytes()))
    })?;
    read(&file, INTERPRETER_BYTES_MAX, Longer::Refuse).ok()
}

/// What `sys.version` says in brackets: `GCC 12.2.0`.
fn compiler(bytes: &[u8]) -> Option<String> {
    let found = |start: &[u8]| {
        let at = memchr::memmem::find(bytes, start)? + 1;
        let rest = bytes.get(at..bytes.len().min(at + COMPILER_BYTES_MAX))?;
        let end = rest.iter().position(|byte| *byte == b']')?;
        let text = std::str::from_utf8(rest.get(..end)?).ok()?;
        text.bytes().all(|byte| (b' '..0x7f).contains(&byte)).then(|| text.to_owned())
    };
    found(b"[GCC ").or_else(|| found(b"[Clang "))
}

#[cfg(test)]
mod tests {
    use super::compiler;

    #[test]
    fn a_compiler_in_the_text_of_an_interpreter() {
        assert_eq!(compiler(b"\0\n[GCC 12.2.0]\0").as_deref(), Some("GCC 12.2.0"));
        assert_eq!(compiler(b"x[Clang 17.0.6 ]").as_deref(), Some("Clang 17.0.6 "));
        for none in [&b"[GCC "[..], b"", b"[GCC \xff]", b"GCC 12"] {
            assert_eq!(compiler(none), None, "{none:?}");
        }
    }
}
