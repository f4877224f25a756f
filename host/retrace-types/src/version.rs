//! Which of two versions is newer, by the rules of the package's format.

use std::cmp::Ordering;

use crate::{PackageFormat, PackageId};

impl PackageId {
    /// Compares epoch, version and release as the package manager of this format does; names and architectures do not
    /// count. A missing epoch is 0. A missing release is older than any, but in the .deb format it is the same as `0`.
    ///
    /// Sources: rpm-version(7), deb-version(7). Formats that are not known are compared as rpm does.
    #[must_use]
    pub fn cmp_version(&self, other: &Self, format: &PackageFormat) -> Ordering {
        let epoch = self.epoch.unwrap_or(0).cmp(&other.epoch.unwrap_or(0));
        let part: fn(&str, &str) -> Ordering = match format {
            PackageFormat::Deb => compare_deb,
            PackageFormat::Rpm | PackageFormat::Other(_) => compare_rpm,
        };
        let release = |id: &Self| id.release.clone().unwrap_or_default();
        epoch.then_with(|| part(&self.version, &other.version)).then_with(|| part(&release(self), &release(other)))
    }
}

/// Compares two versions or two releases as rpm does: runs of digits by their number, runs of letters as text, digits
/// are newer than letters, `~` is older than the end, `^` is newer than the end and older than anything else. Other
/// characters only separate.
#[must_use]
pub fn compare_rpm(a: &str, b: &str) -> Ordering {
    let is_part = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'~' | b'^');
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    if a == b {
        return Ordering::Equal;
    }
    loop {
        (a, b) = (skip(a, |c| !is_part(c)), skip(b, |c| !is_part(c)));
        // What a mark is worth against the end and against a part: `~` < end < `^` < part.
        let rank = |rest: &[u8]| match rest.first() {
            Some(b'~') => 0,
            None => 1,
            Some(b'^') => 2,
            Some(_) => 3,
        };
        match (rank(a), rank(b)) {
            (1, 1) => return Ordering::Equal,
            (3, 3) => {}
            (x, y) if x == y => {
                (a, b) = (tail(a), tail(b));
                continue;
            }
            (x, y) => return x.cmp(&y),
        }
        let a_is_number = a.first().is_some_and(u8::is_ascii_digit);
        let b_is_number = b.first().is_some_and(u8::is_ascii_digit);
        if a_is_number != b_is_number {
            return a_is_number.cmp(&b_is_number);
        }
        let belongs: fn(&u8) -> bool = if a_is_number { u8::is_ascii_digit } else { u8::is_ascii_alphabetic };
        let (a_part, a_rest) = take(a, belongs);
        let (b_part, b_rest) = take(b, belongs);
        let order = if a_is_number { compare_numbers(a_part, b_part) } else { a_part.cmp(b_part) };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (a_rest, b_rest);
    }
}

/// Compares two upstream versions or two revisions as dpkg does: alternately runs of non-digits, where `~` is older than
/// the end, letters are older than other characters, and runs of digits by their number.
#[must_use]
pub fn compare_deb(a: &str, b: &str) -> Ordering {
    let weight = |c: Option<&u8>| match c {
        Some(b'~') => -1,
        None => 0,
        Some(c) if c.is_ascii_alphabetic() => i32::from(*c),
        Some(c) => i32::from(*c) + 256,
    };
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !(a.is_empty() && b.is_empty()) {
        let (a_text, a_rest) = take(a, |c| !c.is_ascii_digit());
        let (b_text, b_rest) = take(b, |c| !c.is_ascii_digit());
        for n in 0..a_text.len().max(b_text.len()) {
            match weight(a_text.get(n)).cmp(&weight(b_text.get(n))) {
                Ordering::Equal => {}
                order => return order,
            }
        }
        let (a_number, a_rest) = take(a_rest, u8::is_ascii_digit);
        let (b_number, b_rest) = take(b_rest, u8::is_ascii_digit);
        match compare_numbers(a_number, b_number) {
            Ordering::Equal => (a, b) = (a_rest, b_rest),
            order => return order,
        }
    }
    Ordering::Equal
}

/// Digits of any length.
fn compare_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let (a, b) = (skip(a, |c| *c == b'0'), skip(b, |c| *c == b'0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn take(text: &[u8], belongs: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    let length = text.iter().position(|c| !belongs(c)).unwrap_or(text.len());
    text.split_at_checked(length).unwrap_or((text, &[]))
}

fn skip(text: &[u8], belongs: impl Fn(&u8) -> bool) -> &[u8] {
    take(text, belongs).1
}

fn tail(text: &[u8]) -> &[u8] {
    text.get(1..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Facts from rpm's own test-suite of its documented order, and from rpm-version(7).
    #[test]
    fn rpm_versions_are_in_the_order_of_rpm() {
        for (a, order, b) in [
            ("1.0", '=', "1.0"),
            ("1.0", '<', "2.0"),
            ("2.0.1", '=', "2.0.1"),
            ("2.0.1a", '>', "2.0.1"),
            ("5.5p1", '<', "5.5p10"),
            ("10xyz", '<', "10.1xyz"),
            ("xyz10", '<', "xyz10.1"),
            ("xyz.4", '<', "8"),
            ("1.0010", '=', "1.10"),
            ("1.05", '=', "1.5"),
            ("4.999.9", '<', "5.0"),
            ("2_0", '=', "2.0"),
            ("1.0~rc1", '<', "1.0"),
            ("1.0~rc1", '<', "1.0~rc2"),
            ("1.0~rc1~git1", '<', "1.0~rc1"),
            ("1.0^", '>', "1.0"),
            ("1.0^git1", '<', "1.0.1"),
            ("1.0^git1", '<', "1.0^git2"),
            ("1.0~rc1^git1", '>', "1.0~rc1"),
            ("1.0^git1~pre", '<', "1.0^git1"),
            ("1.fc40", '<', "2.fc40"),
            ("", '<', "1"),
        ] {
            check(compare_rpm, a, order, b);
        }
    }

    /// Facts from deb-version(7) and `dpkg --compare-versions`.
    #[test]
    fn deb_versions_are_in_the_order_of_dpkg() {
        for (a, order, b) in [
            ("1.0", '=', "1.00"),
            ("1.2.3", '<', "1.2.10"),
            ("1.0~rc1", '<', "1.0"),
            ("1.0~~", '<', "1.0~"),
            ("1.0~~a", '<', "1.0~"),
            ("1.0+b1", '>', "1.0"),
            ("1.0a", '<', "1.0+"),
            ("1.0a", '>', "1.0"),
            ("5.2.15-2+b7", '>', "5.2.15-2"),
            ("", '=', "0"),
            ("12", '>', "12~~x1"),
        ] {
            check(compare_deb, a, order, b);
        }
    }

    fn check(compare: fn(&str, &str) -> Ordering, a: &str, order: char, b: &str) {
        let want = match order {
            '<' => Ordering::Less,
            '>' => Ordering::Greater,
            _ => Ordering::Equal,
        };
        assert_eq!(compare(a, b), want, "{a} {order} {b}");
        assert_eq!(compare(b, a), want.reverse(), "{b} against {a}");
    }

    #[test]
    fn epoch_comes_before_version_and_release_behind_it() {
        let id = |epoch, version: &str, release: Option<&str>| PackageId {
            name: "x".into(),
            epoch,
            version: version.into(),
            release: release.map(str::to_owned),
            arch: "noarch".into(),
        };
        let order = |a: &PackageId, b: &PackageId, format| a.cmp_version(b, &format);
        assert_eq!(
            order(&id(Some(1), "1", Some("1")), &id(None, "9", Some("9")), PackageFormat::Rpm),
            Ordering::Greater
        );
        assert_eq!(order(&id(Some(0), "1", Some("1")), &id(None, "1", Some("1")), PackageFormat::Rpm), Ordering::Equal);
        assert_eq!(order(&id(None, "1", Some("1")), &id(None, "1", Some("2")), PackageFormat::Rpm), Ordering::Less);
        assert_eq!(order(&id(None, "1", None), &id(None, "1", Some("0")), PackageFormat::Deb), Ordering::Equal);
    }

    proptest! {
        #[test]
        fn both_orders_are_total(
            a in "[0-9a-c.~^+-]{0,8}", b in "[0-9a-c.~^+-]{0,8}", c in "[0-9a-c.~^+-]{0,8}",
        ) {
            for compare in [compare_rpm, compare_deb] {
                prop_assert_eq!(compare(&a, &a), Ordering::Equal);
                prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
                if compare(&a, &b) != Ordering::Greater && compare(&b, &c) != Ordering::Greater {
                    prop_assert_ne!(compare(&a, &c), Ordering::Greater, "{} {} {}", a, b, c);
                }
            }
        }

        #[test]
        fn a_tilde_is_older_and_more_digits_are_newer(base in "[1-9][0-9]{0,3}(\\.[1-9][0-9]{0,3}){0,2}", extra in "[a-z]{1,3}") {
            for compare in [compare_rpm, compare_deb] {
                prop_assert_eq!(compare(&format!("{base}~{extra}"), &base), Ordering::Less);
                prop_assert_eq!(compare(&format!("{base}.1"), &base), Ordering::Greater);
            }
            prop_assert_eq!(compare_rpm(&format!("{base}^{extra}"), &base), Ordering::Greater);
            prop_assert_eq!(compare_rpm(&format!("{base}^{extra}"), &format!("{base}.1")), Ordering::Less);
        }
    }
}
