//! The line table of a unit (DWARF 5 section 6.2), by gdb's rule for what counts at an address.

use gimli::{AttributeValue, Dwarf, Unit};

use crate::image::Reader;

/// Most rows of one unit; the largest known have some hundred thousand.
const MAX_ROWS: usize = 1 << 23;
/// Longest path that is shown.
const MAX_PATH_BYTES: usize = 4096;

#[derive(Clone, Copy, Debug)]
struct Row {
    address: u64,
    file: u64,
    line: u32,
    is_statement: bool,
}

/// Rows of consecutive code, by address.
#[derive(Debug)]
struct Sequence {
    start: u64,
    end: u64,
    rows: Vec<Row>,
}

/// All sequences, by address.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<Sequence>);

impl Lines {
    pub(super) fn read(unit: &Unit<Reader<'_>>) -> Self {
        let Some(program) = unit.line_program.clone() else { return Self::default() };
        let mut rows = program.rows();
        let (mut sequences, mut current) = (Vec::new(), Vec::new());
        for _ in 0..MAX_ROWS {
            let Ok(Some((_, row))) = rows.next_row() else { break };
            if row.end_sequence() {
                let rows: Vec<Row> = std::mem::take(&mut current);
                if let Some(first) = rows.first().filter(|first| first.address != 0 && first.address < row.address()) {
                    sequences.push(Sequence { start: first.address, end: row.address(), rows });
                }
                continue;
            }
            let line = row.line().map_or(0, |line| u32::try_from(line.get()).unwrap_or(0));
            current.push(Row { address: row.address(), file: row.file_index(), line, is_statement: row.is_stmt() });
        }
        sequences.sort_by_key(|sequence| sequence.start);
        Self(sequences)
    }

    /// File and line of an address: of the rows at the nearest address before it the last that begins a statement, else the
    /// last.
    pub(super) fn find(&self, address: u64) -> Option<(u64, u32)> {
        let behind = self.0.partition_point(|sequence| sequence.start <= address);
        let sequence = self.0.get(..behind)?.iter().rev().take(16).find(|sequence| address < sequence.end)?;
        let behind = sequence.rows.partition_point(|row| row.address <= address);
        let before = || sequence.rows.get(..behind).unwrap_or_default().iter().rev().filter(|row| row.line != 0);
        let last = before().next()?;
        let best = before().take_while(|row| row.address == last.address).find(|row| row.is_statement).unwrap_or(last);
        Some((best.file, best.line))
    }

    /// The path of a file of the unit as gdb names it: with its folder, where that is not the one of the compilation.
    pub(super) fn path<'i>(&self, dwarf: &Dwarf<Reader<'i>>, unit: &Unit<Reader<'i>>, file: u64) -> Option<String> {
        let header = unit.line_program.as_ref()?.header();
        let file = header.file(file)?;
        let text = |value: AttributeValue<Reader<'i>>| {
            let text = dwarf.attr_string(unit, value).ok()?.to_string_lossy().into_owned();
            (text.len() <= MAX_PATH_BYTES).then_some(text)
        };
        let name = text(file.path_name())?;
        if name.starts_with('/') {
            return Some(name);
        }
        // The first folder is that of the compilation, which is left out unless it is one of a build with relative paths.
        let is_first = file.directory_index() == 0;
        let folder = if is_first && header.version() < 5 { None } else { file.directory(header).and_then(text) };
        let folder = folder.filter(|folder| !(folder.is_empty() || is_first && folder.starts_with('/')));
        Some(folder.map_or_else(|| name.clone(), |folder| format!("{}/{name}", folder.trim_end_matches('/'))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(address: u64, line: u32, is_statement: bool) -> Row {
        Row { address, file: 1, line, is_statement }
    }

    #[test]
    fn the_last_statement_at_the_nearest_address_counts() {
        let rows = vec![row(10, 1, true), row(20, 2, true), row(20, 3, false), row(30, 0, true), row(40, 5, false)];
        let lines = Lines(vec![Sequence { start: 10, end: 50, rows }]);
        let line = |address| lines.find(address).map(|(_, line)| line);
        assert_eq!(
            [line(9), line(10), line(25), line(35), line(45), line(50)],
            [None, Some(1), Some(2), Some(2), Some(5), None]
        );
    }
}
