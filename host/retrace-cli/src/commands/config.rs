//! `retrace config`.

pub(crate) mod import;

use std::{fmt::Write as _, process::ExitCode};

use anyhow::Result;
use toml::{Table, Value};

use crate::{
    USAGE,
    args::ConfigCommand,
    config::{Config, variable_of},
};

pub(crate) fn run(config: &Config, command: &ConfigCommand) -> Result<ExitCode> {
    match command {
        ConfigCommand::Show => {
            super::print(&shown(config)?)?;
            Ok(ExitCode::SUCCESS)
        }
        ConfigCommand::Check => {
            let problems = config.problems();
            if problems.is_empty() {
                super::print("The configuration is good.\n")?;
                return Ok(ExitCode::SUCCESS);
            }
            for problem in problems {
                eprintln!("problem: {problem}");
            }
            Ok(ExitCode::from(USAGE))
        }
        ConfigCommand::Import(arguments) => import::run(arguments),
    }
}

/// TOML that can be saved as the configuration file; beside each key the variable that overrides it.
fn shown(config: &Config) -> Result<String> {
    let mut text = String::new();
    section(&mut text, "", Table::try_from(config)?)?;
    Ok(text)
}

/// The keys of a section, then the sections in it.
fn section(text: &mut String, prefix: &str, table: Table) -> Result<()> {
    let mut sections = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(inner) => sections.push((format!("{prefix}{name}"), inner)),
            value => {
                let variable = variable_of(&format!("{prefix}{name}"));
                writeln!(text, "{:<48} # {variable}", format!("{name} = {value}"))?;
            }
        }
    }
    for (name, inner) in sections {
        writeln!(text, "\n[{name}]")?;
        section(text, &format!("{name}."), inner)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_a_valid_configuration() {
        let config = Config::default();
        let table: Table = shown(&config).unwrap().parse().unwrap();
        assert_eq!(Value::Table(table).try_into::<Config>().unwrap(), config);
    }
}
