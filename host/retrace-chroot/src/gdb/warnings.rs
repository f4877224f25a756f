//! gdb goes on with junk where a file is missing or wrong, and says so only in passing. What it says, as types.

use std::{collections::HashSet, fmt};

/// Most warnings kept.
const MAX_WARNINGS: usize = 200;
/// Most characters of each.
const MAX_CHARS: usize = 400;

/// Something that gdb complained about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GdbWarning {
    /// A file that the process had mapped is not in the sysroot.
    MissingFile(String),
    /// A file that gdb takes for another than the one the process had mapped.
    Mismatch(String),
    /// The supplementary debug information (dwz) of this file is missing or another one.
    MissingSupplementary(String),
    /// The core is shorter than its headers say.
    TruncatedCore(String),
    /// The threading library cannot be inspected: thread-local variables are not shown.
    ThreadLibrary,
    /// Anything else, in gdb's words.
    Other(String),
}

impl GdbWarning {
    /// The file that the warning is about.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::MissingFile(path) | Self::Mismatch(path) | Self::MissingSupplementary(path) => Some(path),
            Self::TruncatedCore(_) | Self::ThreadLibrary | Self::Other(_) => None,
        }
    }
}

impl fmt::Display for GdbWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingFile(path) => write!(f, "gdb did not find {path}"),
            Self::Mismatch(path) => write!(f, "gdb takes {path} for another file than the process had mapped"),
            Self::MissingSupplementary(path) => {
                write!(f, "gdb did not find the supplementary debug information (dwz) of {path}")
            }
            Self::TruncatedCore(text) | Self::Other(text) => f.write_str(text),
            Self::ThreadLibrary => {
                f.write_str("gdb cannot inspect the threading library: thread-local variables are not shown")
            }
        }
    }
}

/// The warnings in gdb's error output, each once.
pub(crate) fn read(errors: &str) -> Vec<GdbWarning> {
    let mut seen = HashSet::new();
    let warnings = errors.lines().map(str::trim).filter_map(warning);
    warnings.filter(|warning| seen.insert(warning.clone())).take(MAX_WARNINGS).collect()
}

/// A path in a message of gdb: what stands before and behind it.
type Pattern = (&'static str, &'static str, fn(String) -> GdbWarning);

/// Messages about one file. Source: the sources of gdb 8 to 16 and of BFD, functions named behind each.
const ABOUT_A_FILE: [Pattern; 9] = [
    // core_target::build_file_mappings
    ("Can't open file ", " during file-backed mapping note processing", GdbWarning::MissingFile),
    // svr4_solib: update_solib_list
    ("Could not load shared library symbols for ", ".", GdbWarning::MissingFile),
    // svr4_relocate_main_executable, lm_addr_check
    (".dynamic section for \"", "\" is not at the expected address", GdbWarning::Mismatch),
    // separate_debug_file_exists
    ("the debug information found in \"", "\" does not match", GdbWarning::Mismatch),
    // core_target, validate_exec_file
    ("Build ID mismatch between current exec-file ", "", GdbWarning::Mismatch),
    ("Build-id mismatch for ", "", GdbWarning::Mismatch),
    // build_id_to_bfd_suffix
    ("File \"", "\" doesn't match build-id from core-file", GdbWarning::Mismatch),
    // dwarf2_get_dwz_file
    ("could not find '.gnu_debugaltlink' file for ", "", GdbWarning::MissingSupplementary),
    ("could not find supplementary DWARF file (", ")", GdbWarning::MissingSupplementary),
];

/// What says nothing about the result.
const HARMLESS: [&str; 10] = [
    // linux_core_thread: cores of newer processors than gdb knows
    ".reg-xstate",
    // the second half of a message on libraries
    "Use the \"info sharedlibrary\" command to see the complete listing.",
    "Do you need \"set solib-search-path\" or \"set sysroot\"?",
    // links in a cache are newer than the crash
    "exec file is newer than core file",
    "Source file is more recent than executable",
    // auto-load is confined on purpose
    "auto-loading has been declined by your `auto-load safe-path'",
    "To enable execution of this file add",
    "For more information about this security protection see the",
    "If you wish to disable this security protection",
    // no symbol of this name: our script only asks
    "No symbol \"",
];

fn warning(line: &str) -> Option<GdbWarning> {
    let text = line.strip_prefix("warning: ");
    let body = text.unwrap_or(line);
    if HARMLESS.iter().any(|harmless| body.contains(harmless)) {
        return None;
    }
    let about = ABOUT_A_FILE.iter().find_map(|(before, behind, make)| Some(make(between(body, before, behind)?)));
    if about.is_some() {
        return about;
    }
    if body.contains("core file may not match specified executable file") {
        return Some(GdbWarning::Mismatch("the program".to_owned()));
    }
    // BFD: elf_core_file_p, elf_object_p; older and newer words for the same thing
    if body.contains("is truncated: expected core file size") || body.contains("core has a segment extending past") {
        return Some(GdbWarning::TruncatedCore(shortened(body)));
    }
    if body.contains("Unable to find libthread_db") || body.contains("thread debugging will not be available") {
        return Some(GdbWarning::ThreadLibrary);
    }
    // Other lines are the answers to single commands, or second halves of warnings.
    text.map(|text| GdbWarning::Other(shortened(text)))
}

/// What stands between the two; up to the end of the line where nothing must stand behind.
fn between(text: &str, before: &str, behind: &str) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    let path = if behind.is_empty() { rest.trim_end_matches('.') } else { rest.rsplit_once(behind)?.0 };
    // More than one library: `Could not load shared library symbols for 3 libraries, e.g. /usr/lib/x`.
    let path = path.split_once(" libraries, e.g. ").map_or(path, |(_, path)| path);
    Some(shortened(path))
}

fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_gdb_become_types() {
        use GdbWarning::{Mismatch, MissingFile, MissingSupplementary, Other, ThreadLibrary, TruncatedCore};
        let cases = [
            (
                "warning: Can't open file /usr/lib/x (deleted) during file-backed mapping note processing",
                Some(MissingFile("/usr/lib/x (deleted)".into())),
            ),
            (
                "warning: Could not load shared library symbols for /lib64/libx.so.1.",
                Some(MissingFile("/lib64/libx.so.1".into())),
            ),
            (
                "warning: Could not load shared library symbols for 3 libraries, e.g. /lib/liby.so.2.",
                Some(MissingFile("/lib/liby.so.2".into())),
            ),
            (
                "warning: .dynamic section for \"/lib/libz.so\" is not at the expected address (wrong library or version mismatch?)",
                Some(Mismatch("/lib/libz.so".into())),
            ),
            (
                "warning: the debug information found in \"/d/a.debug\" does not match \"/bin/a\" (CRC mismatch).",
                Some(Mismatch("/d/a.debug".into())),
            ),
            ("warning: core file may not match specified executable file.", Some(Mismatch("the program".into()))),
            (
                "warning: could not find '.gnu_debugaltlink' file for /d/a.debug",
                Some(MissingSupplementary("/d/a.debug".into())),
            ),
            (
                "BFD: warning: core is truncated: expected core file size >= 9, found: 3",
                Some(TruncatedCore("BFD: warning: core is truncated: expected core file size >= 9, found: 3".into())),
            ),
            (
                "warning: Unable to find libthread_db matching inferior's thread library, so cannot inspect TLS data.",
                Some(ThreadLibrary),
            ),
            ("warning: Section `.reg-xstate/28375' in core file too small.", None),
            ("warning: Unexpected size of section `.reg-xstate/28375' in core file.", None),
            (
                "warning: Couldn't find general-purpose registers in core file.",
                Some(Other("Couldn't find general-purpose registers in core file.".into())),
            ),
            ("No symbol \"__abort_msg\" in current context.", None),
            ("", None),
        ];
        for (line, want) in cases {
            assert_eq!(warning(line), want, "input: {line}");
        }
    }

    #[test]
    fn each_warning_comes_once_and_their_number_is_bounded() {
        let many: String = (0..1000).map(|n| format!("warning: strange thing {}\nwarning: again\n", n)).collect();
        let warnings = read(&many);
        assert_eq!(warnings.len(), MAX_WARNINGS);
        assert_eq!(warnings.iter().filter(|warning| warning.to_string() == "again").count(), 1);
    }
}
