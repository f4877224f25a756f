use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Processor architecture of a machine that crashed, named as uname(1) names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Architecture {
    /// AMD64, `EM_X86_64`.
    X86_64,
    /// ARM 64 bit, `EM_AARCH64`.
    Aarch64,
    /// Intel 32 bit, `EM_386`.
    I686,
    /// ARM 32 bit with hard float, `EM_ARM`.
    Armv7l,
    /// POWER 64 bit, big endian, `EM_PPC64`.
    Ppc64,
    /// POWER 64 bit, little endian, `EM_PPC64`.
    Ppc64le,
    /// IBM Z 64 bit, `EM_S390`.
    S390x,
    /// RISC-V 64 bit, `EM_RISCV`.
    Riscv64,
}

/// No architecture has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown architecture {0:?}: want a name as `uname -m` prints it, such as x86_64 or aarch64")]
pub struct UnknownArchitecture(String);

impl Architecture {
    /// Every architecture, the most usual first.
    pub const ALL: [Self; 8] =
        [Self::X86_64, Self::Aarch64, Self::I686, Self::Armv7l, Self::Ppc64, Self::Ppc64le, Self::S390x, Self::Riscv64];

    /// The name that uname(1) prints: `x86_64`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
            Self::I686 => "i686",
            Self::Armv7l => "armv7l",
            Self::Ppc64 => "ppc64",
            Self::Ppc64le => "ppc64le",
            Self::S390x => "s390x",
            Self::Riscv64 => "riscv64",
        }
    }

    /// The name in file names and fields of the .deb format: `amd64`. Source: dpkg's `cputable`.
    #[must_use]
    pub fn dpkg_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
            Self::I686 => "i386",
            Self::Armv7l => "armhf",
            Self::Ppc64 => "ppc64",
            Self::Ppc64le => "ppc64el",
            Self::S390x => "s390x",
            Self::Riscv64 => "riscv64",
        }
    }
}

impl FromStr for Architecture {
    type Err = UnknownArchitecture;

    /// Accepts the names of uname(1), of rpm and of dpkg.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Ok(match s {
            "x86_64" | "amd64" | "x86-64" => Self::X86_64,
            "aarch64" | "arm64" => Self::Aarch64,
            "i686" | "i386" | "i486" | "i586" => Self::I686,
            "armv7l" | "armv7hl" | "armv7hnl" | "armhf" | "armhfp" => Self::Armv7l,
            "ppc64" => Self::Ppc64,
            "ppc64le" | "ppc64el" => Self::Ppc64le,
            "s390x" => Self::S390x,
            "riscv64" => Self::Riscv64,
            _ => return Err(UnknownArchitecture(s.chars().take(64).collect())),
        })
    }
}

impl TryFrom<String> for Architecture {
    type Error = UnknownArchitecture;

    fn try_from(s: String) -> Result<Self, Self::Error> {
        s.parse()
    }
}

impl From<Architecture> for String {
    fn from(arch: Architecture) -> Self {
        arch.as_str().to_owned()
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_parsed_back() {
        for arch in Architecture::ALL {
            assert_eq!(arch.as_str().parse(), Ok(arch));
            assert_eq!(arch.dpkg_name().parse(), Ok(arch));
        }
        assert!("vax".parse::<Architecture>().is_err());
    }
}
