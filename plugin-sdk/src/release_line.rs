/// One line as `/etc/redhat-release` and abrt's element `os_release` hold it: `Fedora release 40 (Forty)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleaseLine<'a> {
    /// Before the word `release`: `Fedora`, `CentOS Linux`.
    pub name: &'a str,
    /// After it: `40`, `7.9.2009`.
    pub version: &'a str,
    /// In brackets behind it: `Forty`, `Core`.
    pub codename: Option<&'a str>,
}

impl<'a> ReleaseLine<'a> {
    /// Reads the first line of the text; none if it has no such form.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let line = text.trim_start().split(['\n', '\r']).next()?.trim();
        let (name, rest) = line.split_once(" release ")?;
        let (version, rest) = rest.trim_start().split_once(char::is_whitespace).unwrap_or((rest.trim_start(), ""));
        let codename =
            rest.trim().strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(inner, _)| inner.trim());
        let name = name.trim();
        let found = !name.is_empty() && !version.is_empty();
        found.then_some(Self { name, version, codename: codename.filter(|inner| !inner.is_empty()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart() {
        let line = |name, version, codename| Some(ReleaseLine { name, version, codename });
        let cases = [
            ("Fedora release 40 (Forty)", line("Fedora", "40", Some("Forty"))),
            ("Fedora release 40 (Forty)\n", line("Fedora", "40", Some("Forty"))),
            ("Fedora release 44 (Rawhide)", line("Fedora", "44", Some("Rawhide"))),
            ("CentOS Linux release 7.9.2009 (Core)", line("CentOS Linux", "7.9.2009", Some("Core"))),
            ("Red Hat Enterprise Linux release 9.4 (Plow)", line("Red Hat Enterprise Linux", "9.4", Some("Plow"))),
            ("AlmaLinux release 9.4", line("AlmaLinux", "9.4", None)),
            ("Fedora release 40 (", line("Fedora", "40", None)),
            ("Debian GNU/Linux 12 (bookworm)", None),
            ("Fedora release ", None),
            (" release 40", None),
            ("", None),
        ];
        for (text, want) in cases {
            assert_eq!(ReleaseLine::parse(text), want, "text: {text:?}");
        }
    }
}
