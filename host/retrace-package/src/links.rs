//! Paths inside a package and the links between them. No file system is involved: all of it is text.

use std::collections::HashMap;

use crate::{Limits, error::Fault};

/// Most links followed for one path, as in the Linux kernel (path_resolution(7)).
pub(crate) const MAX_LINKS: usize = 40;

/// The absolute path of the member with this name: `./usr/bin/x` is `/usr/bin/x`.
///
/// A name that is absolute, climbs with `..` or holds a NUL is refused: no honest tool writes one.
pub(crate) fn member_path(name: &[u8], limits: &Limits) -> Result<String, Fault> {
    if name.starts_with(b"/") {
        return Err(Fault::unsafe_name(name, "it is absolute"));
    }
    absolute_path(name, limits)
}

/// The same for a name that may begin with a slash, as the header of an RPM package and hard links have it.
pub(crate) fn absolute_path(name: &[u8], limits: &Limits) -> Result<String, Fault> {
    if name.len() > limits.path_bytes {
        return Err(Fault::Limit { what: "a path with bytes", limit: limits.path_bytes as u64 });
    }
    if name.contains(&0) {
        return Err(Fault::unsafe_name(name, "it holds a NUL byte"));
    }
    let text = String::from_utf8_lossy(name);
    let mut path = String::with_capacity(text.len() + 1);
    for part in text.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            return Err(Fault::unsafe_name(name, "it climbs out of its folder with \"..\""));
        }
        path.push('/');
        path.push_str(part);
    }
    if path.is_empty() {
        path.push('/');
    }
    Ok(path)
}

/// One name for the paths that are the same file on a system with merged /usr: `/lib64/x` is `/usr/lib64/x`.
pub(crate) fn canonical(path: &str) -> String {
    let first = path.strip_prefix('/').unwrap_or(path).split('/').next().unwrap_or_default();
    let merged = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"].contains(&first);
    match (merged, path.starts_with('/')) {
        (true, true) => format!("/usr{path}"),
        (true, false) => format!("/usr/{path}"),
        (false, true) => path.to_owned(),
        (false, false) => format!("/{path}"),
    }
}

/// The symbolic links of a package, by [`canonical`] path.
#[derive(Debug, Default)]
pub(crate) struct Links(HashMap<String, String>);

impl Links {
    pub(crate) fn insert(&mut self, path: &str, target: &str) {
        self.0.insert(canonical(path), target.to_owned());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where `path` leads with all the links known, as a [`canonical`] path. The file there need not exist.
    ///
    /// A link that is followed must stay inside the tree: `..` above the root is refused, not clamped.
    pub(crate) fn resolve(&self, path: &str) -> Result<String, Fault> {
        let mut todo: Vec<String> = parts(&canonical(path)).rev().collect();
        let mut done: Vec<String> = Vec::new();
        let mut followed = 0;
        while let Some(part) = todo.pop() {
            if part == ".." {
                if done.pop().is_none() {
                    return Err(Fault::unsafe_name(
                        path.as_bytes(),
                        "a link on its way leads out of the package's tree",
                    ));
                }
                continue;
            }
            done.push(part);
            let here = canonical(&format!("/{}", done.join("/")));
            let Some(target) = self.0.get(&here) else { continue };
            followed += 1;
            if followed > MAX_LINKS {
                return Err(Fault::LinkLoop { link: path.chars().take(200).collect(), limit: MAX_LINKS });
            }
            if target.starts_with('/') {
                done.clear();
            } else {
                done.pop();
            }
            todo.extend(parts(target).rev());
        }
        Ok(canonical(&format!("/{}", done.join("/"))))
    }
}

fn parts(path: &str) -> impl DoubleEndedIterator<Item = String> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_made_absolute_or_refused() {
        let cases: [(&[u8], Option<&str>); 10] = [
            (b"./usr/bin/x", Some("/usr/bin/x")),
            (b"usr//bin/./x", Some("/usr/bin/x")),
            (b"./", Some("/")),
            (b"a..b/...", Some("/a..b/...")),
            (b"../etc/passwd", None),
            (b"./usr/../../etc/passwd", None),
            (b"usr/..", None),
            (b"/etc/passwd", None),
            (b"usr/bin/x\0y", None),
            (&[b'a'; 5000], None),
        ];
        for (name, want) in cases {
            let got = member_path(name, &Limits::default()).ok();
            assert_eq!(got.as_deref(), want, "name: {:?}", String::from_utf8_lossy(name));
        }
    }

    #[test]
    fn aliases_of_a_merged_usr_are_one_path() {
        for (path, want) in [
            ("/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libc.so.6"),
            ("/usr/lib/x", "/usr/lib/x"),
            ("/lib64", "/usr/lib64"),
            ("/libexec/x", "/libexec/x"),
            ("/opt/lib/x", "/opt/lib/x"),
            ("sbin/x", "/usr/sbin/x"),
        ] {
            assert_eq!(canonical(path), want);
        }
    }

    #[test]
    fn links_are_followed_inside_the_tree_only() {
        let mut links = Links::default();
        for (path, target) in [
            ("/usr/lib64/libx.so", "libx.so.1"),
            ("/usr/lib64/libx.so.1", "../lib/libx.so.1.2"),
            ("/usr/lib/.build-id/ab/cd", "../../../../usr/bin/tool"),
            ("/usr/lib/debug/.dwz", "/usr/share/dwz"),
            ("/lib/dir", "/usr/lib64"),
            ("/a", "b"),
            ("/b", "/a"),
            ("/evil", "../../etc/passwd"),
            ("/self", "."),
        ] {
            links.insert(path, target);
        }
        for (path, want) in [
            ("/usr/lib64/libx.so", Some("/usr/lib/libx.so.1.2")),
            ("/lib64/libx.so", Some("/usr/lib/libx.so.1.2")),
            ("/usr/lib/.build-id/ab/cd", Some("/usr/bin/tool")),
            ("/usr/lib/debug/.dwz/x", Some("/usr/share/dwz/x")),
            ("/usr/lib/dir/libx.so", Some("/usr/lib/libx.so.1.2")),
            ("/not/there", Some("/not/there")),
            ("/self/self/x", Some("/x")),
            ("/a", None),
            ("/evil", None),
        ] {
            assert_eq!(links.resolve(path).ok().as_deref(), want, "path: {path}");
        }
    }

    proptest! {
        #[test]
        fn a_safe_name_never_climbs(name in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(path) = member_path(&name, &Limits::default()) {
                prop_assert!(path.starts_with('/'));
                prop_assert!(path.split('/').all(|part| part != ".."));
            }
        }
    }
}
