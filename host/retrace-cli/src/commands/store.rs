//! `retrace store`: what an operator of several machines looks at before a new version is rolled out.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::Result;
use retrace_store::{SchemaStatus, Store};
use serde::Serialize;

use crate::{FAILED, args::Format, commands, config::Config, wiring};

/// Exit code: migrations are missing.
const PENDING: u8 = 3;

pub(crate) const STATUS_HELP: &str = "Examples:\n  retrace store status\n  retrace store status --format json\n\n\
    Exit codes: 0 both can be used, 1 one cannot, 2 wrong usage, 3 the database lacks migrations, which\n\
    `retrace store migrate` or the first server or worker of this version applies.";

pub(crate) const MIGRATE_HELP: &str = "Examples:\n  retrace store migrate --dry-run\n  retrace store migrate\n\n\
    Servers and workers of the version before go on with a database that is newer than they are, as long as they run.\n\n\
    Exit codes: 0 up to date, 1 failed: nothing of the migration that failed stays, 2 wrong usage.";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum StoreCommand {
    /// Tell whether database and artifacts can be used, and which migrations the database lacks
    #[command(after_help = STATUS_HELP)]
    Status {
        /// How to print the result
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },

    /// Bring the database up to date with this version
    #[command(after_help = MIGRATE_HELP)]
    Migrate {
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Serialize)]
struct Document {
    database: String,
    /// Number of the newest migration; none of a new database.
    schema: Option<i64>,
    /// `10 results`
    pending: Vec<String>,
    /// Set if a newer Retrace uses the database.
    newer_schema: Option<i64>,
    artifacts: Artifacts,
}

#[derive(Serialize)]
struct Artifacts {
    place: Option<String>,
    /// Why they cannot be used.
    error: Option<String>,
}

pub(crate) async fn run(config: &Config, command: &StoreCommand) -> Result<ExitCode> {
    let options = wiring::store_options(config);
    let schema = Store::schema_status(&config.state_dir, &options).await?;
    match command {
        StoreCommand::Status { format } => {
            let artifacts = match Store::try_artifacts(&config.state_dir, &options).await {
                Ok(place) => Artifacts { place: Some(place), error: None },
                Err(error) => Artifacts { place: None, error: Some(commands::chain(&error)) },
            };
            let document = Document {
                pending: names(&schema),
                database: schema.database,
                schema: schema.schema,
                newer_schema: schema.newer,
                artifacts,
            };
            match format {
                Format::Json => commands::print_json(&document)?,
                Format::Text => commands::print(&document.text())?,
            }
            Ok(document.exit_code())
        }
        StoreCommand::Migrate { dry_run } => {
            let pending = names(&schema);
            if !dry_run {
                // Also tells what is wrong with a newer one.
                wiring::store(config).await?.close().await;
            }
            let database = &schema.database;
            let text = match (pending.is_empty(), dry_run) {
                (true, _) => format!("{database} is up to date.\n"),
                (false, true) => format!("{database} lacks {}.\n", pending.join(", ")),
                (false, false) => format!("{database} is up to date now: applied {}.\n", pending.join(", ")),
            };
            commands::print(&text)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn names(schema: &SchemaStatus) -> Vec<String> {
    schema.pending.iter().map(|(number, name)| format!("{number} {name}")).collect()
}

impl Document {
    fn exit_code(&self) -> ExitCode {
        if self.artifacts.error.is_some() || self.newer_schema.is_some() {
            ExitCode::from(FAILED)
        } else if self.pending.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(PENDING)
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let state = match (self.newer_schema, self.schema, self.pending.is_empty()) {
            (Some(newer), ..) => format!("schema {newer} is of a newer Retrace: use that one"),
            (None, None, _) => "new; `retrace store migrate` makes its tables".to_owned(),
            (None, Some(schema), true) => format!("schema {schema}, up to date"),
            (None, Some(schema), false) => {
                format!("schema {schema}, lacks {}; run: retrace store migrate", self.pending.join(", "))
            }
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "Database   {}: {state}", self.database);
        let _ = match &self.artifacts {
            Artifacts { error: Some(error), .. } => writeln!(text, "Artifacts  {error}"),
            Artifacts { place, .. } => {
                writeln!(text, "Artifacts  {}: can be written and read", place.as_deref().unwrap_or_default())
            }
        };
        text
    }
}
