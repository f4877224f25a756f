//! Repositories without constant base URLs: below each mirror lies a file that names them (`mirror-list` of the
//! repository's settings, as Amazon Linux has it).

use std::borrow::Cow;

use retrace_types::RepositorySpec;

use crate::{
    MirrorError,
    location::{Base, Location},
    transfer::Source,
};

/// The setting; its value is the path of the file below a mirror.
pub(crate) const SETTING: &str = "mirror-list";
/// Most bytes of such a file.
const MAX_BYTES: u64 = 64 << 10;
/// Most base URLs taken from one.
const MAX_MIRRORS: usize = 16;

/// The repository with the mirrors that the files name in place of the folders that hold them. A mirror without the file
/// stays as it is: an operator's own copy has none.
///
/// # Errors
/// That of the last mirror, if none could be asked.
pub(crate) async fn expand<'s>(
    source: &Source,
    spec: &'s RepositorySpec,
) -> Result<Cow<'s, RepositorySpec>, MirrorError> {
    let Some((_, file)) = spec.config.iter().find(|(key, _)| key == SETTING) else { return Ok(Cow::Borrowed(spec)) };
    let location = Location::parse(file)?;
    let mut mirrors = Vec::new();
    let mut failure = None;
    for mirror in &spec.mirrors {
        let base = Base::parse(mirror)?;
        match source.small(&base.at(&location), MAX_BYTES).await {
            Ok(Some(list)) => mirrors.extend(named(&base, &list)),
            Ok(None) => mirrors.push(mirror.clone()),
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) if mirrors.is_empty() => Err(error),
        _ => Ok(Cow::Owned(RepositorySpec { mirrors, ..spec.clone() })),
    }
}

/// The base URLs of a list, one a line. A list from a server cannot lead to a folder of this machine.
pub(crate) fn named(list_of: &Base, list: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(list);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let allowed = |line: &&str| match (list_of, Base::parse(line)) {
        (_, Err(_)) => false,
        (list_of, Ok(base)) => list_of.is_local() || !base.is_local(),
    };
    lines.filter(allowed).take(MAX_MIRRORS).map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use retrace_types::{RepositoryContent, RepositoryLayout, SignaturePolicy};

    use super::*;
    use crate::{MirrorOptions, transfer::Transfer};

    fn spec(mirrors: Vec<String>) -> RepositorySpec {
        RepositorySpec {
            id: "core".to_owned(),
            title: "Core".to_owned(),
            layout: RepositoryLayout::RpmMd,
            content: RepositoryContent::Packages,
            mirrors,
            signatures: SignaturePolicy { metadata: false, packages: false },
            keys: vec![],
            config: vec![(SETTING.to_owned(), "x/mirror.list".to_owned())],
        }
    }

    #[tokio::test]
    async fn the_file_below_a_mirror_names_the_mirrors_and_one_without_it_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (listed, own) = (dir.path().join("listed"), dir.path().join("own"));
        fs::create_dir_all(listed.join("x")).unwrap();
        fs::create_dir(&own).unwrap();
        fs::write(listed.join("x/mirror.list"), "# state\nhttps://mirror.example.org/guid/\r\n\n/srv/copy\nnonsense\n")
            .unwrap();
        let options = MirrorOptions { download_dir: dir.path().join("downloads"), ..MirrorOptions::default() };
        let transfer = Transfer::new(options).unwrap();
        let source = transfer.source(&"amzn".parse().unwrap(), "core").unwrap();
        let path = |path: &std::path::Path| path.display().to_string();
        let spec = spec(vec![path(&listed), path(&own)]);
        let expanded = expand(&source, &spec).await.unwrap();
        assert_eq!(
            expanded.mirrors,
            ["https://mirror.example.org/guid/".to_owned(), "/srv/copy".to_owned(), path(&own)]
        );

        let without = RepositorySpec { config: vec![], ..spec.clone() };
        assert_eq!(expand(&source, &without).await.unwrap().mirrors, spec.mirrors);
    }

    #[test]
    fn a_list_from_a_server_leads_to_servers_only_and_is_bounded() {
        let server = Base::parse("https://mirror.example.org/").unwrap();
        let list = "/etc\nfile:///etc\nhttp://a.example.org/\n".to_owned() + &"https://b.example.org/\n".repeat(100);
        let named = named(&server, list.as_bytes());
        assert_eq!(named.first().map(String::as_str), Some("http://a.example.org/"));
        assert_eq!(named.len(), MAX_MIRRORS);
        assert!(named.iter().all(|mirror| mirror.starts_with("http")), "{named:?}");
    }
}
