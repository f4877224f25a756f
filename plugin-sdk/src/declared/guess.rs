//! The release that a package's name points at.

use alloc::format;

use super::data::{Data, Format, Guess, OtherVendors, ReleaseData};
use crate::{CallError, Confidence, PackageRef, ReleaseGuess};

/// Most bytes of a name that is looked at.
const MAX_NAME_BYTES: usize = 512;

/// What a tag points at.
struct Found<'a> {
    release: Target<'a>,
    minor: Option<&'a str>,
    /// The tag as the name has it.
    text: &'a str,
}

#[derive(Clone, Copy)]
enum Target<'a> {
    Served(&'static ReleaseData),
    /// A version that is not served.
    Unknown(&'a str),
}

impl Data {
    /// The release that a package was built for, from its name; `None`: nothing points at this distribution.
    ///
    /// # Errors
    /// A sign that is more than weak points at a release that is not served.
    pub fn guess_release(&self, subject: &PackageRef) -> Result<Option<ReleaseGuess>, CallError> {
        let fits = subject.format.as_ref().is_none_or(|format| *format == self.package_format());
        if !fits || subject.raw.len() > MAX_NAME_BYTES {
            return Ok(None);
        }
        let text = self.tagged_part(&subject.raw);
        let mut best: Option<(&Guess, Found<'_>, Confidence)> = None;
        for guess in self.guesses {
            let Some(confidence) = confidence(guess, subject.vendor.as_deref()) else { continue };
            let Some(found) = self.find(guess, text) else { continue };
            if matches!(found.release, Target::Unknown(_)) && confidence == Confidence::Weak {
                continue;
            }
            let rank = |guess: &Guess, found: &Found<'_>, confidence| {
                (matches!(found.release, Target::Served(_)), strength(confidence), guess.tag.len())
            };
            let better = best.as_ref().is_none_or(|(other, other_found, other_confidence)| {
                rank(guess, &found, confidence) > rank(other, other_found, *other_confidence)
            });
            if better {
                best = Some((guess, found, confidence));
            }
        }
        let Some((guess, found, confidence)) = best else { return Ok(None) };
        let release = match found.release {
            Target::Served(release) => release,
            Target::Unknown(version) => return Err(self.unsupported(version)),
        };
        let what = match self.format {
            Format::Rpm => "release tag",
            Format::Deb => "version tag",
        };
        let vendor = subject.vendor.as_deref().filter(|vendor| guess.vendors.contains(vendor));
        Ok(Some(ReleaseGuess {
            release: release.record(found.minor.filter(|_| release.minors)),
            confidence,
            reason: match vendor {
                Some(vendor) => format!("{what} {}, vendor {vendor}", found.text),
                None => format!("{what} {}", found.text),
            },
        }))
    }

    /// The release part of an RPM name, the version part of a Debian name.
    fn tagged_part<'a>(&self, raw: &'a str) -> &'a str {
        match self.format {
            Format::Rpm => {
                let name = raw.strip_suffix(".rpm").unwrap_or(raw);
                name.rsplit_once('-').map_or(name, |(_, release)| release)
            }
            Format::Deb => match raw.split_once('_') {
                Some((_, rest)) => rest.rsplit_once('_').map_or(rest, |(version, _)| version),
                None => raw,
            },
        }
    }

    /// The last place where the tag stands.
    fn find<'a>(&self, guess: &Guess, text: &'a str) -> Option<Found<'a>> {
        let head_end = guess.tag.find('$').unwrap_or(guess.tag.len());
        let (head, rest) = guess.tag.split_at_checked(head_end)?;
        // A word must not begin within a word, nor a number within a number: `el9` is not in `parallel9`, but `ubuntu0` is in
        // `3.1ubuntu0.22.04.1`.
        let first = head.chars().next()?;
        let goes_on = |before: char| {
            (first.is_ascii_alphabetic() && before.is_ascii_alphabetic())
                || (first.is_ascii_digit() && before.is_ascii_digit())
        };
        let closed_right = guess.tag.ends_with(|c: char| c.is_ascii_digit() || c.is_ascii_uppercase());
        text.rmatch_indices(head).find_map(|(start, _)| {
            let before = text.get(..start)?;
            if before.ends_with(goes_on) {
                return None;
            }
            let behind = text.get(start..)?.strip_prefix(head)?;
            let fixed = guess.release.and_then(|index| self.release(index)).map(Target::Served);
            let (release, minor, behind) = self.variables(guess, rest, behind, fixed, closed_right)?;
            let end = text.len().checked_sub(behind.len())?;
            Some(Found { release: release?, minor, text: text.get(start..end)? })
        })
    }

    /// Matches what follows the head of a tag: variables and fixed texts in turn. The answer holds what is left of the text.
    fn variables<'a>(
        &self,
        guess: &Guess,
        tag: &str,
        text: &'a str,
        release: Option<Target<'a>>,
        closed_right: bool,
    ) -> Option<(Option<Target<'a>>, Option<&'a str>, &'a str)> {
        let Some(after_sign) = tag.strip_prefix('$') else {
            let ends = !closed_right || !text.starts_with(|c: char| c.is_ascii_alphanumeric());
            return (tag.is_empty() && ends).then_some((release, None, text));
        };
        let name_end = after_sign.find(|c: char| !c.is_ascii_uppercase()).unwrap_or(after_sign.len());
        let (name, rest) = after_sign.split_at_checked(name_end)?;
        let literal_end = rest.find('$').unwrap_or(rest.len());
        let (literal, rest) = rest.split_at_checked(literal_end)?;
        // What follows the variable, with the rest of the text.
        let go_on = |value_bytes: usize, release| {
            let behind = text.get(value_bytes..)?.strip_prefix(literal)?;
            self.variables(guess, rest, behind, release, closed_right)
        };
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        if name == "MINOR" {
            if !(1..=4).contains(&digits) {
                return None;
            }
            let (release, _, behind) = go_on(digits, release)?;
            return Some((release, text.get(..digits), behind));
        }
        let allowed = |index: u16| guess.releases.is_none_or(|releases| releases.contains(&index));
        let served = (0_u16..).zip(self.releases).filter(|(index, _)| allowed(*index)).filter_map(|(_, release)| {
            let value = if name == "VER" { Some(release.version) } else { release.codename }?;
            let start = text.get(..value.len())?;
            if !start.eq_ignore_ascii_case(value) {
                return None;
            }
            go_on(value.len(), Some(Target::Served(release))).map(|found| (value.len(), found))
        });
        // "2023" before "2", where both could be meant.
        if let Some((_, found)) = served.max_by_key(|(length, _)| *length) {
            return Some(found);
        }
        let is_number = name == "VER" && (1..=4).contains(&digits);
        is_number.then(|| go_on(digits, text.get(..digits).map(Target::Unknown))).flatten()
    }
}

/// How sure a guess is, given the vendor; none: not ours.
fn confidence(guess: &Guess, vendor: Option<&str>) -> Option<Confidence> {
    match (vendor, guess.other_vendors) {
        (Some(vendor), _) if guess.vendors.contains(&vendor) => Some(Confidence::Certain),
        (None, _) | (Some(_), OtherVendors::Keep) => Some(guess.confidence),
        (Some(_), OtherVendors::Weak) => Some(Confidence::Weak),
        (Some(_), OtherVendors::None) => None,
    }
}

fn strength(confidence: Confidence) -> u8 {
    match confidence {
        Confidence::Weak => 0,
        Confidence::Likely => 1,
        Confidence::Certain => 2,
    }
}
