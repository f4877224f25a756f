//! The log of a task: its story in plain words, for the person whose crash it is.

use std::fmt::Write as _;

use jiff::Timestamp;

/// Most lines kept; a hostile core must not fill the store with words.
const MAX_LINES: usize = 2_000;

/// Lines in the format of the predecessor, which old clients show: `[YYYY-MM-DD HH:MM:SS] [I] text`.
#[derive(Debug, Default)]
pub(crate) struct Story {
    text: String,
    lines: usize,
}

impl Story {
    /// Something that happened.
    pub(crate) fn tell(&mut self, line: &str) {
        self.push('I', line);
    }

    /// Something that is missing or wrong.
    pub(crate) fn warn(&mut self, line: &str) {
        self.push('W', line);
    }

    /// Why the job ended without a backtrace.
    pub(crate) fn fail(&mut self, line: &str) {
        self.push('E', line);
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }

    fn push(&mut self, level: char, line: &str) {
        self.lines += 1;
        if self.lines > MAX_LINES {
            return;
        }
        let now = Timestamp::now().strftime("%Y-%m-%d %H:%M:%S");
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "[{now}] [{level}] {line}");
        if self.lines == MAX_LINES {
            let _ = writeln!(self.text, "[{now}] [W] further lines are left out");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_never_reach_a_terminal() {
        let mut story = Story::default();
        story.tell("module \x1b[31m/tmp/x\nfake line");
        let text = story.into_text();
        assert_eq!(text.lines().count(), 1);
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn the_number_of_lines_is_bounded() {
        let mut story = Story::default();
        for _ in 0..MAX_LINES * 2 {
            story.warn("again");
        }
        assert_eq!(story.into_text().lines().count(), MAX_LINES + 1);
    }
}
