//! User names and passwords by server, from a file in the syntax of netrc(5).

use std::{fmt, io::Read as _, path::Path};

use crate::MirrorError;

/// Largest file, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// What a file holds. Nothing of it is ever shown.
#[derive(Default)]
pub(super) struct Credentials(Vec<Entry>);

#[derive(Default)]
struct Entry {
    /// None: for every host.
    host: Option<String>,
    login: Login,
}

/// A user name and a password.
#[derive(Clone, Default)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(..)")
    }
}

impl Credentials {
    /// Reads the file; without one there are none.
    pub(super) fn read(path: Option<&Path>) -> Result<Self, MirrorError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let failed = |reason: String| MirrorError::AccessFile { path: path.to_owned(), reason };
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
        file.take(MAX_BYTES).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
        Self::parse(&text).map_err(|reason| failed(reason.to_owned()))
    }

    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let mut words = lines.flat_map(str::split_ascii_whitespace);
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(word) = words.next() {
            match word {
                "machine" => {
                    let host = words.next().ok_or("a host is missing behind `machine`")?;
                    entries.push(Entry { host: Some(host.to_ascii_lowercase()), ..Entry::default() });
                    continue;
                }
                "default" => {
                    entries.push(Entry::default());
                    continue;
                }
                _ => {}
            }
            let entry = entries.last_mut().ok_or("it does not begin with `machine` or `default`")?;
            let value = words.next().ok_or("a value is missing at its end")?;
            match word {
                "login" => value.clone_into(&mut entry.login.user),
                "password" => value.clone_into(&mut entry.login.password),
                "account" => {}
                _ => return Err("it holds something else than machine, default, login, password and account"),
            }
        }
        Ok(Self(entries))
    }

    /// The first entry for a host, by its name and port or its name alone.
    pub(super) fn of(&self, host: &str, port: Option<u16>) -> Option<&Login> {
        let host = host.to_ascii_lowercase();
        let exact = port.map(|port| format!("{host}:{port}"));
        let is_it =
            |entry: &&Entry| entry.host.as_ref().is_none_or(|wanted| *wanted == host || Some(wanted) == exact.as_ref());
        self.0.iter().find(is_it).map(|entry| &entry.login)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_entry_for_a_host_counts() {
        let text = "# mirrors\nmachine cdn.example login me password s3cret\nmachine h:8080\n  login you\n  password #x\n\
                    default login anonymous password x@";
        let credentials = Credentials::parse(text).unwrap();
        let of = |host, port| credentials.of(host, port).map(|login| (login.user.as_str(), login.password.as_str()));
        assert_eq!(of("CDN.example", Some(443)), Some(("me", "s3cret")));
        assert_eq!(of("h", Some(8080)), Some(("you", "#x")));
        assert_eq!(of("h", Some(80)), Some(("anonymous", "x@")));
        assert!(Credentials::default().of("h", None).is_none());
    }

    #[test]
    fn a_broken_file_is_refused_without_showing_it() {
        for text in ["login me", "machine", "machine h login", "machine h secret x", "macdef x"] {
            assert!(Credentials::parse(text).is_err(), "{text}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("netrc");
        std::fs::write(&path, "machine h passwort geheim").unwrap();
        let error = Credentials::read(Some(&path)).err().unwrap().to_string();
        assert!(error.contains("netrc") && !error.contains("geheim"), "{error}");
        let login = Login { user: "me".into(), password: "s3cret".into() };
        assert!(!format!("{login:?}").contains("s3cret"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let _ = Credentials::parse(&text);
        }
    }
}
