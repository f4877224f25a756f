//! `retrace token`: who may use the API, and for what.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use retrace_store::{MAX_TOKEN_NAME_BYTES, Role, Token};
use serde_json::json;

use crate::{args::Format, config::Config, wiring};

/// `retrace token`
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and print it, once: it is stored as a digest
    #[command(after_help = "Examples:\n  retrace token create build-farm --role submit\n  \
                            retrace token create dashboard --role read --expires-in 90d")]
    Create(Create),

    /// List the tokens, also those that are not valid any more
    List {
        /// How to print the result
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },

    /// End a token, at once and for ever
    Revoke {
        /// Its id, as `retrace token list` shows it
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// What the token is for
    pub(crate) name: String,

    /// What it allows; each role may do what those before it may
    #[arg(long, value_enum, default_value_t = RoleName::Submit)]
    pub(crate) role: RoleName,

    /// How long it is valid: 12h, 90d, 2w [default: for ever]
    #[arg(long, value_name = "TIME")]
    pub(crate) expires_in: Option<String>,

    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleName {
    /// Send crashes
    Submit,
    /// Read all tasks
    Read,
    /// Cancel, restart and delete all tasks, and set priorities
    Operate,
    /// Manage tokens
    Admin,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Submit => Self::Submit,
            RoleName::Read => Self::Read,
            RoleName::Operate => Self::Operate,
            RoleName::Admin => Self::Admin,
        }
    }
}

pub(crate) async fn run(config: &Config, command: &TokenCommand) -> Result<ExitCode> {
    let store = wiring::store(config).await?;
    match command {
        TokenCommand::Create(new) => {
            let name = new.name.trim();
            if name.is_empty() || name.len() > MAX_TOKEN_NAME_BYTES || name.chars().any(char::is_control) {
                bail!("the name of a token has 1 to {MAX_TOKEN_NAME_BYTES} bytes of printable text");
            }
            let expires_at = new.expires_in.as_deref().map(expiry).transpose()?;
            let (token, secret) = store.create_token(name, new.role.into(), expires_at).await?;
            match new.format {
                Format::Text => super::print(&format!("{secret}\n"))?,
                Format::Json => {
                    let mut shown = shown(&token);
                    if let Some(fields) = shown.as_object_mut() {
                        fields.insert("secret".to_owned(), secret.into());
                    }
                    super::print_json(&shown)?;
                }
            }
            eprintln!("Token {} ({}) may {}. It cannot be shown again.", token.id, token.name, token.role.as_str());
        }
        TokenCommand::List { format } => {
            let tokens = store.tokens().await?;
            match format {
                Format::Json => super::print_json(&tokens.iter().map(shown).collect::<Vec<_>>())?,
                Format::Text => super::print(&table(&tokens))?,
            }
        }
        TokenCommand::Revoke { id } => {
            if !store.revoke_token(id).await? {
                bail!("there is no token {id}; `retrace token list` shows those there are");
            }
            super::print(&format!("Token {id} is not valid any more.\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// From now: `12h`, `90d`, `2w`.
fn expiry(text: &str) -> Result<Timestamp> {
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).unwrap_or_default();
    let hours: i64 = match unit {
        "h" => 1,
        "d" => 24,
        "w" => 7 * 24,
        _ => bail!("{text:?} is no time: want a number and h, d or w, as in 90d"),
    };
    let number: i64 = number
        .parse()
        .ok()
        .filter(|number| *number > 0)
        .with_context(|| format!("{text:?} is no time: want a number and h, d or w, as in 90d"))?;
    let ms = number.checked_mul(hours).and_then(|hours| hours.checked_mul(3_600_000));
    let end = ms.and_then(|ms| ms.checked_add(Timestamp::now().as_millisecond()));
    end.and_then(|end| Timestamp::from_millisecond(end).ok()).with_context(|| format!("{text} is too long"))
}

fn state(token: &Token) -> &'static str {
    if token.revoked_at.is_some() {
        "revoked"
    } else if token.expires_at.is_some_and(|end| end <= Timestamp::now()) {
        "expired"
    } else {
        "valid"
    }
}

fn shown(token: &Token) -> serde_json::Value {
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    json!({
        "id": token.id,
        "name": token.name,
        "role": token.role,
        "state": state(token),
        "created_at": token.created_at.to_string(),
        "expires_at": time(token.expires_at),
        "last_used_at": time(token.last_used_at),
        "revoked_at": time(token.revoked_at),
    })
}

fn table(tokens: &[Token]) -> String {
    let day =
        |time: Option<Timestamp>| time.map_or_else(|| "never".to_owned(), |time| time.strftime("%Y-%m-%d").to_string());
    let mut text = format!("{:<13} {:<8} {:<8} {:<11} {:<11} NAME\n", "ID", "ROLE", "STATE", "EXPIRES", "LAST USED");
    for token in tokens {
        let (expires, used) = (day(token.expires_at), day(token.last_used_at));
        let line = format!(
            "{:<13} {:<8} {:<8} {expires:<11} {used:<11} {}",
            token.id,
            token.role.as_str(),
            state(token),
            token.name
        );
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_number_and_a_unit() {
        let hours = |text: &str| {
            expiry(text).map(|end| (end.as_millisecond() - Timestamp::now().as_millisecond() + 1000) / 3_600_000)
        };
        assert_eq!((hours("12h").unwrap(), hours("90d").unwrap(), hours("2w").unwrap()), (12, 90 * 24, 14 * 24));
        for wrong in ["", "d", "-1d", "0d", "90", "90m", "9999999999999w", "ü"] {
            assert!(expiry(wrong).is_err(), "{wrong}");
        }
    }
}
