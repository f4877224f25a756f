//! Names and builds: each is in the database once, and a number stands for it.

use std::collections::{BTreeSet, HashMap};

use retrace_types::PackageId;
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction};

use crate::{StoreError, database::Dialect, rows};

/// Names in one statement.
const CHUNK: usize = 20_000;

/// Numbers of names.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<String, i64>);

impl Names {
    /// Adds the names that are new, in their order, and reads the numbers of all.
    pub(super) async fn intern(
        transaction: &mut Transaction<'_, Any>,
        dialect: Dialect,
        wanted: &BTreeSet<&str>,
    ) -> Result<Self, StoreError> {
        let failed = StoreError::database;
        let texts = dialect.texts("$1");
        let add = format!("INSERT INTO names (name) SELECT value FROM {texts} t WHERE true ON CONFLICT DO NOTHING");
        let read = format!("SELECT name, id FROM names WHERE name IN {texts}");
        let wanted: Vec<_> = wanted.iter().collect();
        let mut numbers = HashMap::with_capacity(wanted.len());
        for chunk in wanted.chunks(CHUNK) {
            let list = rows::to_json(&chunk);
            sqlx::query(AssertSqlSafe(add.clone()))
                .bind(&list)
                .execute(&mut **transaction)
                .await
                .map_err(failed("add names"))?;
            let found = sqlx::query(AssertSqlSafe(read.clone()))
                .bind(&list)
                .fetch_all(&mut **transaction)
                .await
                .map_err(failed("read names"))?;
            numbers.extend(found.iter().map(|row| (row.get::<String, _>(0), row.get::<i64, _>(1))));
        }
        Ok(Self(numbers))
    }

    /// The number of a name that was interned.
    pub(super) fn get(&self, name: &str) -> Result<i64, StoreError> {
        self.0.get(name).copied().ok_or_else(|| StoreError::invalid("name", name))
    }
}

/// How a source package is written; the numbers stand in the column `source_form`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source<'p> {
    /// The metadata names none. The package's own name takes the place.
    None(&'p str),
    /// As it is.
    Plain(&'p str),
    /// `<name>-<version>-<release>.src.rpm`, of the same version and release as the package.
    Rpm(&'p str),
}

impl<'p> Source<'p> {
    pub(super) fn of(package: &'p PackageId, source: Option<&'p str>) -> Self {
        let Some(source) = source else { return Self::None(&package.name) };
        match split_source_rpm(source) {
            Some((name, version, release))
                if package.version == version && package.release.as_deref() == Some(release) =>
            {
                Self::Rpm(name)
            }
            _ => Self::Plain(source),
        }
    }

    pub(super) fn name(self) -> &'p str {
        match self {
            Self::None(name) | Self::Plain(name) | Self::Rpm(name) => name,
        }
    }

    pub(super) fn form(self) -> i64 {
        match self {
            Self::None(_) => 0,
            Self::Plain(_) => 1,
            Self::Rpm(_) => 2,
        }
    }
}

/// The source package that a row means.
pub(crate) fn read_source(form: i64, name: String, id: &PackageId) -> Result<Option<String>, StoreError> {
    match form {
        0 => Ok(None),
        1 => Ok(Some(name)),
        2 => Ok(Some(format!("{name}-{}-{}.src.rpm", id.version, id.release.as_deref().unwrap_or_default()))),
        _ => Err(StoreError::invalid("form of a source", form)),
    }
}

/// Name, version and release of `<name>-<version>-<release>.src.rpm`.
pub(crate) fn split_source_rpm(text: &str) -> Option<(&str, &str, &str)> {
    let (rest, release) = text.strip_suffix(".src.rpm")?.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    Some((name, version, release))
}

/// What the packages of one build have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Build {
    source: i64,
    form: i64,
    epoch: Option<i64>,
    version: String,
    release: Option<String>,
}

/// Numbers of builds; new ones are given out here and written at the end.
pub(super) struct Builds {
    known: HashMap<Build, i64>,
    new: Vec<(i64, Build)>,
    next: i64,
}

impl Builds {
    /// Reads the builds of sources.
    pub(super) async fn read(
        transaction: &mut Transaction<'_, Any>,
        dialect: Dialect,
        sources: &BTreeSet<i64>,
    ) -> Result<Self, StoreError> {
        const ACTION: &str = "read builds";
        let failed = StoreError::database;
        let next = sqlx::query_scalar("SELECT coalesce(max(id), 0) + 1 FROM builds")
            .fetch_one(&mut **transaction)
            .await
            .map_err(failed(ACTION))?;
        let statement = format!(
            "SELECT id, source_id, source_form, epoch, version, release FROM builds WHERE source_id IN {}",
            dialect.numbers("$1")
        );
        let found = sqlx::query(AssertSqlSafe(statement))
            .bind(rows::to_json(sources))
            .fetch_all(&mut **transaction)
            .await
            .map_err(failed(ACTION))?;
        let known = found.iter().map(|row| {
            let build = Build {
                source: row.get(1),
                form: row.get(2),
                epoch: row.get(3),
                version: row.get(4),
                release: row.get(5),
            };
            (build, row.get(0))
        });
        Ok(Self { known: known.collect(), new: Vec::new(), next })
    }

    pub(super) fn intern(&mut self, source: i64, form: i64, id: &PackageId) -> i64 {
        let (epoch, version, release) = (id.epoch.map(i64::from), id.version.clone(), id.release.clone());
        let build = Build { source, form, epoch, version, release };
        if let Some(number) = self.known.get(&build) {
            return *number;
        }
        let number = self.next;
        self.next += 1;
        self.new.push((number, build.clone()));
        self.known.insert(build, number);
        number
    }

    pub(super) async fn write(
        self,
        transaction: &mut Transaction<'_, Any>,
        dialect: Dialect,
    ) -> Result<(), StoreError> {
        const COLUMNS: usize = 6;
        for chunk in self.new.chunks(rows::MAX_PARAMETERS / COLUMNS) {
            let values = dialect.values(chunk.len(), COLUMNS);
            let statement =
                format!("INSERT INTO builds (id, source_id, source_form, epoch, version, release) VALUES {values}");
            let mut query = sqlx::query(AssertSqlSafe(statement));
            for (id, build) in chunk {
                query = query.bind(*id).bind(build.source).bind(build.form).bind(build.epoch);
                query = query.bind(&build.version).bind(build.release.as_deref());
            }
            query.execute(&mut **transaction).await.map_err(StoreError::database("add builds"))?;
        }
        Ok(())
    }
}
