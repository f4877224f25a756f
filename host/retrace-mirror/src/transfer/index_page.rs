//! Index pages of http servers, as nginx, Apache, lighttpd and Python write them: links to what lies in the folder.

/// Most links that are taken from one page.
const MAX_LINKS: usize = 1_000_000;

/// Bytes behind a link that are looked at for what the server says of it.
const MAX_LINE_BYTES: usize = 4096;

/// A link to something right below the page's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) is_folder: bool,
    /// What stands behind the link in its line: time and size, in the server's own words.
    pub(super) stamp: String,
}

/// The links of a page. Those that lead anywhere else than right below its folder are left out.
pub(super) fn links(page: &str) -> Vec<Link> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some((href, behind)) = next_href(rest) {
        rest = behind;
        let Some((name, is_folder)) = name_of(&href) else { continue };
        found.push(Link { name, is_folder, stamp: stamp(behind) });
        if found.len() >= MAX_LINKS {
            break;
        }
    }
    found
}

/// The next link target, and what follows it.
fn next_href(text: &str) -> Option<(String, &str)> {
    let mut rest = text;
    loop {
        let (_, behind) = rest.split_once('<')?;
        let is_anchor = behind.starts_with(['a', 'A']) && behind.chars().nth(1).is_some_and(char::is_whitespace);
        if !is_anchor {
            rest = behind;
            continue;
        }
        let (tag, after) = behind.split_once('>')?;
        rest = after;
        let lower = tag.to_ascii_lowercase();
        let Some(at) = lower.find("href=") else { continue };
        let Some((_, value)) = tag.split_at_checked(at + 5) else { continue };
        let quoted = |mark| value.strip_prefix(mark).and_then(|value: &str| value.split_once(mark));
        let value = match quoted('"').or_else(|| quoted('\'')) {
            Some((value, _)) => value,
            None => value.split_ascii_whitespace().next().unwrap_or_default(),
        };
        return Some((value.replace("&amp;", "&"), after));
    }
}

/// The plain name of a target right below the folder, and whether it is a folder.
fn name_of(href: &str) -> Option<(String, bool)> {
    let href = href.strip_prefix("./").unwrap_or(href);
    if href.contains(['?', '#', ':', '\\']) {
        return None;
    }
    let (name, is_folder) = href.strip_suffix('/').map_or((href, false), |name| (name, true));
    let name = percent_encoding::percent_decode_str(name).decode_utf8().ok()?;
    let is_plain = !name.is_empty() && name != ".." && name != "." && !name.contains(['/', '\\']);
    (is_plain && !name.chars().any(char::is_control)).then(|| (name.into_owned(), is_folder))
}

/// The rest of the line behind a link, without tags.
fn stamp(behind: &str) -> String {
    // What ends the link comes soon. Each link of a page that has no such end would else be followed to the page's.
    let near = behind.get(..behind.floor_char_boundary(MAX_LINE_BYTES)).unwrap_or_default();
    let (_, line) = near.split_once("</").unwrap_or_default();
    let mut text = String::new();
    let mut in_tag = true;
    for c in line.chars().take_while(|c| *c != '\n').take(400) {
        match c {
            '<' => in_tag = true,
            '>' => in_tag = false,
            _ if !in_tag => text.push(c),
            _ => {}
        }
    }
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pages_of_the_usual_servers_are_read() {
        let nginx = "<html><body><h1>Index of /x/</h1><hr><pre><a href=\"../\">../</a>\n\
                     <a href=\"d/\">d/</a>                              01-Nov-2026 10:00                   -\n\
                     <a href=\"a%2Bb-1.rpm\">a+b-1.rpm</a>              01-Nov-2026 10:00                1234\n</pre>";
        let apache = "<table><tr><th><a href=\"?C=N;O=D\">Name</a></th></tr>\n\
                      <tr><td><a href=\"/\">Parent</a></td></tr>\n\
                      <tr><td><img src=\"x\"></td><td><a href=\"c.deb\">c.deb</a></td><td align=\"right\">2026-11-01 10:00  </td><td>1.2K</td></tr>";
        let python = "<ul>\n<li><a href=\"e_1%3a2.deb\">e_1:2.deb</a></li>\n</ul>";
        let link = |name: &str, is_folder, stamp: &str| Link { name: name.into(), is_folder, stamp: stamp.into() };
        assert_eq!(
            links(nginx),
            [link("d", true, "01-Nov-2026 10:00 -"), link("a+b-1.rpm", false, "01-Nov-2026 10:00 1234")]
        );
        assert_eq!(links(apache), [link("c.deb", false, "2026-11-01 10:00 1.2K")]);
        assert_eq!(links(python), [link("e_1:2.deb", false, "")]);
    }

    #[test]
    fn links_that_lead_elsewhere_are_left_out() {
        for href in [
            "../x.rpm",
            "/x.rpm",
            "//h/x.rpm",
            "http://h/x.rpm",
            "a/b.rpm",
            "..%2fx.rpm",
            "%2e%2e/",
            "x.rpm?y",
            "#x",
            "javascript:x",
            "a%00.rpm",
            "..\\x.rpm",
            "",
            "/",
        ] {
            assert_eq!(links(&format!("<a href=\"{href}\">x</a>")), [], "{href}");
        }
    }

    proptest! {
        #[test]
        fn any_page_is_read(page in "(<a href=[\"']?)?\\PC*(</?a>)?\\PC*") {
            for link in links(&page) {
                prop_assert!(!link.name.contains('/'));
            }
        }
    }
}
