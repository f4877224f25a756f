//! `Contents-<arch>`: which package owns which path.

use std::{collections::HashSet, io::BufRead, sync::Arc};

use retrace_store::PathKey;

use crate::{MetadataError, budget::Budget, mappable::is_mappable, unpack::read_line};

/// Longest line, in bytes.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Collects (absolute path, package) for the paths that a process can map.
pub(crate) fn read_contents(
    input: &mut dyn BufRead,
    budget: &mut Budget,
    paths: &mut Vec<(PathKey, Arc<str>)>,
) -> Result<(), MetadataError> {
    let mut line = Vec::new();
    let mut names: HashSet<Arc<str>> = HashSet::new();
    while read_line(input, &mut line, MAX_LINE_BYTES)? {
        // Names of files need not be UTF-8; those are of no use here.
        let Ok(line) = std::str::from_utf8(&line) else { continue };
        // The path may hold blanks, the list of packages does not.
        let Some((path, owners)) = line.trim_end().rsplit_once([' ', '\t']) else { continue };
        let path = format!("/{}", path.trim_end().trim_start_matches("./").trim_start_matches('/'));
        if !is_mappable(&path) {
            continue;
        }
        // `section/package`, `area/section/package`.
        for name in owners.split(',').filter_map(|owner| owner.rsplit('/').next()).filter(|name| !name.is_empty()) {
            budget.path()?;
            let name = match names.get(name) {
                Some(name) => name.clone(),
                None => {
                    budget.text(name)?;
                    let name: Arc<str> = name.into();
                    names.insert(name.clone());
                    name
                }
            };
            paths.push((PathKey::of(&path), name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Limits;

    fn read(bytes: &[u8]) -> Result<Vec<(PathKey, Arc<str>)>, MetadataError> {
        let mut paths = Vec::new();
        read_contents(&mut &*bytes, &mut Budget::new(&Limits::default()), &mut paths)?;
        Ok(paths)
    }

    #[test]
    fn owners_of_mappable_paths_are_kept() {
        let text = b"FILE  LOCATION\nbin/dash   shells/dash\nusr/bin/a b\tnet/x,non-free/utils/y\n\
            usr/share/doc/x  doc/x\n\xff/bin/x y\nnoblank\n";
        let want = [("/bin/dash", "dash"), ("/usr/bin/a b", "x"), ("/usr/bin/a b", "y")];
        let want = want.map(|(path, name)| (PathKey::of(path), name.into()));
        assert_eq!(read(text).unwrap(), want);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(read(&bytes).is_ok());
        }
    }
}
