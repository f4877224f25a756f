//! D5: whether cost grows with the size of the input, and not with its square. Fuel counts the same on every machine.

use super::{
    options::Options,
    question::Question,
    report::Profile,
    subject::{Checked, Subject},
    survey::Known,
};
use crate::FailureKind;

/// Sizes of texts in bytes; each four times the one before.
const SIZES: [usize; 4] = [1 << 10, 4 << 10, 16 << 10, 64 << 10];
/// Growth that is allowed over sixteen times the input: a sort is, a square is not.
const ALLOWED_OVER_16: u64 = 24;

/// Pieces that a text is made of by repetition; each is what a naive parser looks for.
const PIECES: &[&str] = &[
    "A=\"b\"\n",
    "a",
    "\"",
    "'",
    "\\",
    "=",
    "\n",
    " ",
    "#",
    "$",
    "K=v ",
    "ID=x\n",
    "VERSION_ID=\"1\"\n",
    "é",
    "(",
    "-",
];

/// Pieces of package names.
const NAME_PIECES: &[&str] = &["a", "-", ".", "_", "-1", ".fc4", "+deb1", "1:"];

pub(super) fn d5(subject: &Subject, known: &Known, options: &Options) -> Checked {
    let trial = subject.trial();
    let pieces = match options.profile {
        Profile::Quick => PIECES.get(..3).unwrap_or(PIECES),
        Profile::Full => PIECES,
    };
    let head = format!("ID={}\n", known.id);
    let mut families: Vec<Box<dyn Fn(usize) -> Question>> = Vec::new();
    for piece in pieces {
        let head = head.clone();
        families.push(Box::new(move |size| Question::os_release(filled(&head, piece, size))));
        families.push(Box::new(|size| Question::release_line(filled("", piece, size))));
    }
    // Names of packages have at most 4 KiB.
    for piece in NAME_PIECES {
        families.push(Box::new(|size| Question::guess(filled("bash-1-1", piece, size / 16))));
        families.push(Box::new(|size| Question::ParseFileNames(vec![filled("", piece, size / 16)])));
    }
    let name = if known.is_rpm { "bash-5.2.26-3.x86_64.rpm" } else { "bash_5.2.15-2_amd64.deb" };
    families.push(Box::new(move |size| Question::ParseFileNames(vec![name.to_owned(); size / 66])));

    for family in families {
        let mut fuel = Vec::new();
        for size in SIZES {
            let asked = trial.ask(&family(size))?;
            match (asked.answer, asked.stats.fuel) {
                (Ok(_), Some(used)) => fuel.push(used),
                // It would have cost more.
                (Err(FailureKind::Deadline), Some(used)) => {
                    fuel.push(used);
                    break;
                }
                // Another check's business.
                _ => break,
            }
        }
        for (i, pair) in fuel.windows(3).enumerate() {
            let [small, _, large] = pair else { continue };
            if *large > small.saturating_mul(ALLOWED_OVER_16) {
                let factor = large / small.max(&1);
                let message = format!(
                    "cost grows faster than input: x16 input, x{factor} fuel ({small} for {} bytes, {large} for {})",
                    SIZES.get(i).unwrap_or(&0),
                    SIZES.get(i.saturating_add(2)).unwrap_or(&0)
                );
                // The smaller one shows it as well, and can be read.
                return Ok(trial.fail(message, &family(SIZES.get(i.saturating_add(2)).copied().unwrap_or(0))));
            }
        }
    }
    Ok(trial.pass())
}

fn filled(head: &str, piece: &str, size: usize) -> String {
    let times = size.saturating_sub(head.len()) / piece.len().max(1);
    format!("{head}{}", piece.repeat(times))
}
