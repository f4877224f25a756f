use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Searched after the folders of `PATH`: a service may be started without one.
const DEFAULT_PATH: [&str; 6] = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Where a program lies: a name is looked up in the absolute folders of our `PATH` and in the usual folders, anything
/// with a slash is a path and only checked. None unless it is a file that somebody may execute.
pub async fn find_program(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    locate(name.as_ref())
}

/// As [`find_program`]; a handful of `stat` calls is not worth a detour over a thread pool.
pub(crate) fn locate(name: &OsStr) -> Option<PathBuf> {
    let path = Path::new(name);
    if path.components().count() > 1 || path.is_absolute() {
        return is_program(path).then(|| path.to_owned());
    }
    let own = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&own).chain(DEFAULT_PATH.map(PathBuf::from));
    folders.filter(|folder| folder.is_absolute()).map(|folder| folder.join(path)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_is_found_by_name_and_by_path() {
        let sh = find_program("sh").await.unwrap();
        assert!(sh.is_absolute());
        assert_eq!(find_program(&sh).await, Some(sh));
        for absent in ["no-such-program-anywhere", "/etc/passwd", "/usr", "", "."] {
            assert_eq!(find_program(absent).await, None, "input: {absent:?}");
        }
    }
}
