//! Which paths of a package can be mapped by a process.

/// True if a process may map the file as code, judged by its absolute path alone: programs, libraries, helpers.
/// Everything else of a distribution's file lists is left out of the index.
pub(crate) fn is_mappable(path: &str) -> bool {
    let mut folders = path.split('/').filter(|part| !part.is_empty());
    let Some(name) = folders.next_back() else { return false };
    let mut folders = folders.peekable();
    folders.next_if_eq(&"usr");
    folders.next_if_eq(&"local");
    let Some(first) = folders.next() else { return false };
    let second = folders.next();
    if matches!(second, Some("debug" | ".build-id" | "modules")) && first.starts_with("lib") {
        return false;
    }
    match first {
        "bin" | "sbin" | "games" => true,
        "libexec" | "opt" => is_library(name) || may_be_program(name),
        _ if first.starts_with("lib") => is_library(name) || may_be_program(name),
        "share" | "src" | "include" => false,
        _ => is_library(name),
    }
}

/// `libx.so`, `libx.so.1.2`, `module.so`.
fn is_library(name: &str) -> bool {
    name.ends_with(".so") || name.contains(".so.")
}

/// Programs have no extension; what looks like one is a version (`at-spi2-2.0`).
fn may_be_program(name: &str) -> bool {
    name.rsplit_once('.').is_none_or(|(_, extension)| extension.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_libraries_are_mappable() {
        for (path, want) in [
            ("/usr/bin/python3.11", true),
            ("/sbin/ldconfig", true),
            ("/usr/lib/x86_64-linux-gnu/libc.so.6", true),
            ("/lib64/ld-linux-x86-64.so.2", true),
            ("/usr/lib/gcc/x86_64-linux-gnu/12/cc1", true),
            ("/usr/libexec/at-spi2-registryd-2.0", true),
            ("/opt/app/bin/app", true),
            ("/srv/app/libx.so", true),
            ("/usr/games/sl", true),
            ("/usr/lib/python3/dist-packages/x.py", false),
            ("/usr/lib/debug/.build-id/ab/cd.debug", false),
            ("/usr/lib/.build-id/ab/cd", false),
            ("/usr/lib/modules/6.1/kernel/x.ko", false),
            ("/usr/share/doc/x/README", false),
            ("/etc/passwd", false),
            ("/x", false),
            ("", false),
        ] {
            assert_eq!(is_mappable(path), want, "path: {path}");
        }
    }
}
