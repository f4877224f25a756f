//! Which part of a file a client wants. RFC 9110, 14.

use std::ops::Range;

/// What a `Range` header means for a file of `size` bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Everything: there is no range, it is of an unknown unit, malformed, or one of several. A server may ignore those.
    All,
    /// These bytes: at least one.
    Some(Range<u64>),
    /// No byte of it is in the file.
    Unsatisfiable,
}

pub(super) fn part(header: &str, size: u64) -> Part {
    let Some((unit, set)) = header.split_once('=') else { return Part::All };
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return Part::All;
    }
    let Some((first, last)) = set.trim().split_once('-') else { return Part::All };
    match (number(first), number(last)) {
        (Some(Some(first)), Some(last)) => {
            if last.is_some_and(|last| last < first) {
                return Part::All;
            }
            let end = last.map_or(size, |last| last.saturating_add(1).min(size));
            if first < end { Part::Some(first..end) } else { Part::Unsatisfiable }
        }
        (Some(None), Some(Some(suffix))) => {
            let start = size.saturating_sub(suffix);
            if start < size { Part::Some(start..size) } else { Part::Unsatisfiable }
        }
        _ => Part::All,
    }
}

/// Nothing, or digits; a number that is too large for any file is as good as the largest.
fn number(text: &str) -> Option<Option<u64>> {
    let text = text.trim();
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((!text.is_empty()).then(|| text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let cases = [
            ("bytes=0-0", Part::Some(0..1)),
            ("bytes=2-5", Part::Some(2..6)),
            ("bytes=9-", Part::Some(9..10)),
            ("bytes=5-99", Part::Some(5..10)),
            ("Bytes = 5-99", Part::Some(5..10)),
            ("bytes=-3", Part::Some(7..10)),
            ("bytes=-99", Part::Some(0..10)),
            ("bytes=0-99999999999999999999999", Part::Some(0..10)),
            ("bytes=10-", Part::Unsatisfiable),
            ("bytes=10-20", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=99999999999999999999999-", Part::Unsatisfiable),
            ("bytes=5-2", Part::All),
            ("bytes=0-1,3-4", Part::All),
            ("bytes=-", Part::All),
            ("bytes=", Part::All),
            ("bytes=a-b", Part::All),
            ("bytes=+1-2", Part::All),
            ("lines=0-1", Part::All),
            ("", Part::All),
        ];
        for (header, want) in cases {
            assert_eq!(part(header, 10), want, "input: {header:?}");
        }
        assert_eq!(part("bytes=0-", 0), Part::Unsatisfiable);
        assert_eq!(part("bytes=-1", 0), Part::Unsatisfiable);
    }
}
