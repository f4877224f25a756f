//! Build-ids of packages: packed while they are collected, written in the order of their table.

use retrace_types::{BuildId, MemberBuildId, Role};
use sqlx::{Any, AssertSqlSafe, Transaction};

use crate::{StoreError, database::Dialect, rows};

/// The files with build-ids of one package, in few bytes: a distribution has a million of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// For each: flags, length of the build-id, the build-id; with [`EXPLICIT`] the length of the path, the path.
    packed: Vec<u8>,
    count: usize,
}

const DEBUGINFO: u8 = 1;
const DERIVED: u8 = 2;
const EXPLICIT: u8 = 4;

/// A row of `build_ids` on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MemberRow<'m> {
    build_id: &'m [u8],
    owner: i64,
    path: &'m str,
}

impl Members {
    /// Adds a file.
    pub fn push(&mut self, member: &MemberBuildId) {
        let bytes = member.build_id.to_bytes();
        let explicit = member.path.as_deref().filter(|path| !is_derived(path, &member.build_id, member.role));
        let role = if member.role == Role::Debuginfo { DEBUGINFO } else { 0 };
        let form = match (&member.path, explicit) {
            (None, _) => 0,
            (Some(_), None) => DERIVED,
            (Some(_), Some(_)) => EXPLICIT,
        };
        // A build-id has at most 64 bytes.
        self.packed.extend([role | form, u8::try_from(bytes.len()).unwrap_or(u8::MAX)]);
        self.packed.extend(bytes);
        if let Some(path) = explicit {
            self.packed.extend((path.len() as u64).to_le_bytes());
            self.packed.extend_from_slice(path.as_bytes());
        }
        self.count += 1;
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The files, unpacked one by one.
    pub fn iter(&self) -> impl Iterator<Item = MemberBuildId> {
        self.packed().filter_map(|member| {
            let build_id = BuildId::from_bytes(member.build_id).ok()?;
            let role = if member.flags & DEBUGINFO == 0 { Role::Executable } else { Role::Debuginfo };
            let path = read_path(&build_id, role, member.flags & DERIVED != 0, member.path);
            Some(MemberBuildId { build_id, role, path })
        })
    }

    fn packed(&self) -> impl Iterator<Item = Packed<'_>> {
        let mut rest = self.packed.as_slice();
        std::iter::from_fn(move || {
            let (&[flags, length], after) = rest.split_first_chunk()?;
            let (build_id, after) = after.split_at_checked(length.into())?;
            let (path, after) = if flags & EXPLICIT == 0 {
                ("", after)
            } else {
                let (length, after) = after.split_first_chunk()?;
                let (path, after) = after.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
                (std::str::from_utf8(path).ok()?, after)
            };
            rest = after;
            Some(Packed { flags, build_id, path })
        })
    }
}

struct Packed<'m> {
    flags: u8,
    build_id: &'m [u8],
    path: &'m str,
}

impl<'m> FromIterator<&'m MemberBuildId> for Members {
    fn from_iter<I: IntoIterator<Item = &'m MemberBuildId>>(members: I) -> Self {
        let mut packed = Self::default();
        members.into_iter().for_each(|member| packed.push(member));
        packed
    }
}

impl FromIterator<MemberBuildId> for Members {
    fn from_iter<I: IntoIterator<Item = MemberBuildId>>(members: I) -> Self {
        let mut packed = Self::default();
        members.into_iter().for_each(|member| packed.push(&member));
        packed
    }
}

impl From<Vec<MemberBuildId>> for Members {
    fn from(members: Vec<MemberBuildId>) -> Self {
        members.iter().collect()
    }
}

/// Rows of a package's files.
pub(super) fn rows_of(package: i64, members: &Members) -> impl Iterator<Item = MemberRow<'_>> {
    members.packed().map(move |member| MemberRow {
        build_id: member.build_id,
        owner: package << OWNER_SHIFT | i64::from(member.flags & (DEBUGINFO | DERIVED)),
        path: member.path,
    })
}

/// The id of a package stands above role and form in the column `owner`.
pub(super) const OWNER_SHIFT: u32 = 2;

/// What the columns `owner` and `path` say: the role and the path.
pub(crate) fn read_owner(owner: i64, path: &str, build_id: &BuildId) -> (Role, Option<String>) {
    let role = if owner & i64::from(DEBUGINFO) == 0 { Role::Executable } else { Role::Debuginfo };
    (role, read_path(build_id, role, owner & i64::from(DERIVED) != 0, path))
}

fn read_path(build_id: &BuildId, role: Role, is_derived: bool, path: &str) -> Option<String> {
    if is_derived { Some(derived_path(build_id, role)) } else { Some(path.to_owned()).filter(|path| !path.is_empty()) }
}

const EXECUTABLE_LINKS: &str = "/usr/lib/.build-id/";
const DEBUGINFO_LINKS: &str = "/usr/lib/debug/.build-id/";

/// The link that rpm makes for a file with this build-id, and the file that debhelper makes.
fn derived_path(build_id: &BuildId, role: Role) -> String {
    let (first, rest) = build_id.split();
    match role {
        Role::Executable => format!("{EXECUTABLE_LINKS}{first}/{rest}"),
        Role::Debuginfo => format!("{DEBUGINFO_LINKS}{first}/{rest}.debug"),
    }
}

fn is_derived(path: &str, build_id: &BuildId, role: Role) -> bool {
    let rest = match role {
        Role::Executable => path.strip_prefix(EXECUTABLE_LINKS),
        Role::Debuginfo => path.strip_prefix(DEBUGINFO_LINKS).and_then(|rest| rest.strip_suffix(".debug")),
    };
    rest.and_then(|rest| rest.split_once('/')) == Some(build_id.split())
}

/// Digits of `owner` in a record: enough for every 64-bit number.
const OWNER_DIGITS: usize = 19;

/// Inserts from one parameter with many records of one length, `$2` and [`OWNER_DIGITS`] bytes: to bind each value costs more
/// than the database needs to write it.
fn insert_records(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => {
            "INSERT INTO build_ids (build_id, owner, path)
             WITH RECURSIVE record(at) AS
                 (SELECT 1 UNION ALL SELECT at + $2 + 19 FROM record WHERE at + $2 + 19 <= length($1))
             SELECT substr($1, at, $2), CAST(CAST(substr($1, at + $2, 19) AS TEXT) AS INTEGER), '' FROM record
             WHERE true ON CONFLICT DO NOTHING"
        }
        Dialect::Postgres => {
            "INSERT INTO build_ids (build_id, owner, path)
             SELECT substr($1, at, $2::int), convert_from(substr($1, at + $2::int, 19), 'UTF8')::bigint, ''
             FROM generate_series(1, length($1), $2::int + 19) at ON CONFLICT DO NOTHING"
        }
    }
}

/// Writes rows, sorted: each page of the table is then written once, however large it is. What is there stays. Returns how
/// many were not there.
pub(super) async fn insert(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    mut members: Vec<MemberRow<'_>>,
) -> Result<u64, StoreError> {
    const CHUNK_BYTES: usize = 1 << 20;
    // By length first: each chunk has records of one length.
    members.sort_unstable_by_key(|member| (!member.path.is_empty(), member.build_id.len(), *member));
    let with_path = members.partition_point(|member| member.path.is_empty());
    let (plain, with_path) = members.split_at_checked(with_path).unwrap_or_default();
    let mut written = 0;
    for of_length in plain.chunk_by(|a, b| a.build_id.len() == b.build_id.len()) {
        let length = of_length.first().map_or(0, |member| member.build_id.len());
        for chunk in of_length.chunks(CHUNK_BYTES / (length + OWNER_DIGITS)) {
            let mut records = Vec::with_capacity(chunk.len() * (length + OWNER_DIGITS));
            for member in chunk {
                records.extend_from_slice(member.build_id);
                rows::push_decimal(&mut records, member.owner, OWNER_DIGITS);
            }
            let query = sqlx::query(insert_records(dialect)).bind(records).bind(rows::size_to_row(length as u64));
            let done = query.execute(&mut **transaction).await.map_err(StoreError::database("insert build-ids"))?;
            written += done.rows_affected();
        }
    }
    Ok(written + insert_with_path(transaction, dialect, with_path).await?)
}

async fn insert_with_path(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    members: &[MemberRow<'_>],
) -> Result<u64, StoreError> {
    const COLUMNS: usize = 3;
    let mut written = 0;
    for chunk in members.chunks(rows::MAX_PARAMETERS / COLUMNS) {
        let values = dialect.values(chunk.len(), COLUMNS);
        let statement = format!("INSERT INTO build_ids (build_id, owner, path) VALUES {values} ON CONFLICT DO NOTHING");
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for member in chunk {
            query = query.bind(member.build_id).bind(member.owner).bind(member.path);
        }
        let done = query.execute(&mut **transaction).await.map_err(StoreError::database("insert build-ids"))?;
        written += done.rows_affected();
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_derived_path_is_not_kept() {
        let build_id: BuildId = "abcdef0123".parse().unwrap();
        for (role, path, is_derived) in [
            (Role::Executable, "/usr/lib/.build-id/ab/cdef0123", true),
            (Role::Debuginfo, "/usr/lib/debug/.build-id/ab/cdef0123.debug", true),
            (Role::Executable, "/lib/.build-id/ab/cdef0123", false),
            (Role::Executable, "/usr/lib/.build-id/AB/cdef0123", false),
            (Role::Debuginfo, "/usr/lib/debug/.build-id/ab/cdef0123", false),
            (Role::Executable, "/usr/bin/x", false),
        ] {
            let member = MemberBuildId { build_id: build_id.clone(), role, path: Some(path.into()) };
            let members = Members::from(vec![member.clone()]);
            assert_eq!(members.packed().next().unwrap().path.is_empty(), is_derived, "path: {path}");
            assert_eq!(members.iter().collect::<Vec<_>>(), [member], "path: {path}");
        }
    }

    proptest! {
        #[test]
        fn packed_members_are_unpacked_as_they_were(
            raw in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 3..=64), any::<bool>(), prop::option::of("/[a-zé/.]{1,20}")), 0..20)
        ) {
            let members: Vec<_> = raw.into_iter().map(|(bytes, is_debug, path)| MemberBuildId {
                build_id: BuildId::from_bytes(&bytes).unwrap(),
                role: if is_debug { Role::Debuginfo } else { Role::Executable },
                path,
            }).collect();
            let packed = Members::from(members.clone());
            prop_assert_eq!(packed.len(), members.len());
            prop_assert_eq!(packed.iter().collect::<Vec<_>>(), members);
        }
    }
}
