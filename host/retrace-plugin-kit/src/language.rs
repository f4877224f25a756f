use std::{fmt, path::Path};

use crate::KitError;

/// What a plugin is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// A crate that uses the SDK.
    Rust,
    /// `distribution.c` and the other `*.c` files beside it.
    C,
    /// `distribution.js`, and what it imports.
    JavaScript,
    /// `distribution.py`, and what it imports.
    Python,
}

impl Language {
    /// All of them, in the order in which a folder is searched.
    pub const ALL: [Self; 4] = [Self::Rust, Self::C, Self::JavaScript, Self::Python];

    /// The file that a folder with a plugin in this language has.
    #[must_use]
    pub fn main_file(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::C => "distribution.c",
            Self::JavaScript => "distribution.js",
            Self::Python => "distribution.py",
        }
    }

    /// The language of the plugin in a folder, by its main file.
    ///
    /// # Errors
    /// [`KitError::NoProject`] if there is none.
    pub fn of(dir: &Path) -> Result<Self, KitError> {
        let found = Self::ALL.into_iter().find(|language| dir.join(language.main_file()).is_file());
        found.ok_or_else(|| KitError::NoProject { path: dir.to_owned() })
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "Rust",
            Self::C => "C",
            Self::JavaScript => "JavaScript",
            Self::Python => "Python",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_file_tells_the_language() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Language::of(dir.path()), Err(KitError::NoProject { .. })));
        for language in Language::ALL.into_iter().rev() {
            std::fs::write(dir.path().join(language.main_file()), "").unwrap();
            assert_eq!(Language::of(dir.path()).unwrap(), language);
        }
    }
}
