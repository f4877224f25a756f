use retrace_types::{BuildId, MemberBuildId, Role};

const EXECUTABLE_LINKS: [&str; 2] = ["/usr/lib/.build-id/", "/lib/.build-id/"];
const DEBUGINFO_LINKS: &str = "/usr/lib/debug/.build-id/";

/// The build-id that the path of a package's file names.
///
/// `/usr/lib/.build-id/xx/yyyy` (a link of rpm to a program or library) and `/usr/lib/debug/.build-id/xx/yyyy.debug`
/// (rpm: a link to the debug file; Debian: the file itself). The path given is that of the name, which [`extract`]
/// follows. Not counted: `/usr/lib/debug/.build-id/xx/yyyy` without suffix, which is rpm's link into another package,
/// and names with a number (`yyyy.1.debug`), which are further files with the same build-id.
///
/// Names are hints: whoever takes a file out checks the build-id in its notes.
///
/// Source: macro `_build_id_links` of rpm, option `--build-id` of debhelper's dh_strip, manual of gdb ("Separate Debug
/// Files").
///
/// [`extract`]: crate::extract
pub fn build_id_of_path(path: &str) -> Option<MemberBuildId> {
    let (name, role) = match path.strip_prefix(DEBUGINFO_LINKS) {
        Some(name) => (name.strip_suffix(".debug")?, Role::Debuginfo),
        None => (EXECUTABLE_LINKS.iter().find_map(|prefix| path.strip_prefix(prefix))?, Role::Executable),
    };
    let (first, rest) = name.split_once('/')?;
    if first.len() != 2 {
        return None;
    }
    let build_id: BuildId = format!("{first}{rest}").parse().ok()?;
    Some(MemberBuildId { build_id, role, path: Some(path.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_build_id_and_role() {
        let cases = [
            ("/usr/lib/.build-id/ab/cdef0123", Some(("abcdef0123", Role::Executable))),
            ("/lib/.build-id/ab/cdef0123", Some(("abcdef0123", Role::Executable))),
            ("/usr/lib/debug/.build-id/ab/cdef0123.debug", Some(("abcdef0123", Role::Debuginfo))),
            ("/usr/lib/debug/.build-id/ab/cdef0123", None),
            ("/usr/lib/debug/.build-id/ab/cdef0123.1.debug", None),
            ("/usr/lib/.build-id/ab/cdef0123.1", None),
            ("/usr/lib/.build-id/ab", None),
            ("/usr/lib/.build-id/abc/def012", None),
            ("/usr/lib/.build-id/ab/cd/ef01", None),
            ("/usr/bin/tool", None),
            ("/usr/lib/debug/.dwz/x.debug", None),
        ];
        for (path, want) in cases {
            let want = want.map(|(id, role)| MemberBuildId {
                build_id: id.parse().unwrap(),
                role,
                path: Some(path.to_owned()),
            });
            assert_eq!(build_id_of_path(path), want, "path: {path}");
        }
    }
}
