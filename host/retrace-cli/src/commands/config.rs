//! `retrace config`.

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
    }
}

/// TOML that can be saved as the configuration file; beside each key the variable that overrides it.
fn shown(config: &Config) -> Result<String> {
    let (mut top, mut sections) = (String::new(), String::new());
    for (name, value) in Table::try_from(config)? {
        match value {
            Value::Table(section) => {
                writeln!(sections, "\n[{name}]")?;
                for (key, value) in section {
                    let variable = variable_of(&format!("{name}.{key}"));
                    writeln!(sections, "{:<48} # {variable}", format!("{key} = {value}"))?;
                }
            }
            value => writeln!(top, "{:<48} # {}", format!("{name} = {value}"), variable_of(&name))?,
        }
    }
    Ok(top + &sections)
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
