//! Compares two backtraces of one core.
//!
//! Threads are matched by id and physical frames by the order of their program counters, so that one frame too many
//! does not put all others wrong. Below a physical frame its inline chain is compared, then each function, file and
//! line, then the names of arguments and locals and their values.

use std::collections::BTreeMap;
use std::fmt;

use retrace_types::{Frame, ThreadReport, Trust, Variable};

use crate::cases::{
    Case, Native, Referee, RefereeFrame, RefereeKind, RefereeState, RefereeThread, RefereeVariable, is_optimized_out,
};
use crate::{names, values};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    /// Physical frames: the same program counter in the same place.
    Addresses,
    /// Frames with a line in either backtrace: function, file's base name and line.
    Frames,
    /// Frames without a line in both: the function.
    Symbols,
    /// Physical frames with inlined functions in either: all of the chain.
    InlineChains,
    /// Files of equal base name: the whole path.
    Paths,
    /// Names of arguments and locals.
    Names,
    /// Scalar values that gdb shows.
    Scalars,
    /// All values that gdb shows: the exact text.
    Texts,
}

/// How many of how many agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) agreed: u64,
    pub(crate) total: u64,
}

impl Tally {
    fn count(&mut self, agreed: bool) {
        self.total += 1;
        self.agreed += u64::from(agreed);
    }
}

/// Tallies by metric and language of the frame's source.
pub(crate) type Counts = BTreeMap<(Metric, &'static str), Tally>;

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// A thread that only one of both has.
    Thread,
    /// A physical frame that only gdb has.
    FrameMissing,
    /// A physical frame that only the engine has.
    FrameExtra,
    /// The inlined functions of a physical frame.
    InlineChain,
    /// A function's name.
    Function,
    /// A file's base name.
    File,
    /// A line.
    Line,
    /// An argument or local that only gdb has.
    NameMissing,
    /// An argument or local that only the engine has.
    NameExtra,
    /// A scalar value that gdb shows.
    Value,
}

/// One disagreement, with how often it occurs in its case.
#[derive(Clone, Debug)]
pub(crate) struct Disagreement {
    pub(crate) case: String,
    pub(crate) kind: Kind,
    /// Function of gdb's frame, else of the engine's.
    pub(crate) function: String,
    pub(crate) gdb: String,
    pub(crate) native: String,
    /// True if the engine claims to know the frame: from registers or call frame information.
    pub(crate) claimed: bool,
    /// Where it occurs first.
    pub(crate) tid: u32,
    pub(crate) frame: usize,
    pub(crate) count: u64,
    /// Index of the explanation.
    pub(crate) explanation: Option<usize>,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, kind, function, gdb, native, claimed, tid, frame, count, .. } = self;
        let claimed = if *claimed { "" } else { " (labelled a guess)" };
        write!(
            out,
            "{case} {kind:?} in {function} ({count}, first: thread {tid}, frame {frame}){claimed}: gdb `{gdb}`, native `{native}`"
        )
    }
}

/// Counts and disagreements of a case.
pub(crate) struct Comparison {
    pub(crate) counts: Counts,
    pub(crate) disagreements: Vec<Disagreement>,
}

/// Compares the backtraces of a case.
pub(crate) fn compare(case: &Case, referee: &Referee, native: &Native) -> Comparison {
    let mut judge = Judge { case, tid: 0, counts: Counts::new(), found: BTreeMap::new() };
    for thread in &referee.threads {
        judge.tid = thread.tid;
        match native.threads.iter().find(|other| other.tid == thread.tid) {
            Some(other) => judge.thread(thread, other),
            None => {
                judge.count(Metric::Addresses, "", false);
                judge.report(Kind::Thread, 0, "", "a thread", "", true);
            }
        }
    }
    for thread in &native.threads {
        if !referee.threads.iter().any(|other| other.tid == thread.tid) {
            judge.tid = thread.tid;
            judge.report(Kind::Thread, 0, "", "", "a thread", true);
        }
    }
    Comparison { counts: judge.counts, disagreements: judge.found.into_values().collect() }
}

/// Kind, function and both texts: what makes two disagreements of a case the same.
type Key = (Kind, String, String, String);

struct Judge<'a> {
    case: &'a Case,
    tid: u32,
    counts: Counts,
    found: BTreeMap<Key, Disagreement>,
}

impl Judge<'_> {
    fn count(&mut self, metric: Metric, language: &'static str, agreed: bool) {
        self.counts.entry((metric, language)).or_default().count(agreed);
    }

    fn report(&mut self, kind: Kind, frame: usize, function: &str, gdb: &str, native: &str, claimed: bool) {
        let key = (kind, function.to_owned(), gdb.to_owned(), native.to_owned());
        let entry = self.found.entry(key).or_insert_with(|| Disagreement {
            case: self.case.name.clone(),
            kind,
            function: function.to_owned(),
            gdb: gdb.to_owned(),
            native: native.to_owned(),
            claimed,
            tid: self.tid,
            frame,
            count: 0,
            explanation: None,
        });
        entry.count += 1;
        entry.claimed |= claimed;
    }

    fn thread(&mut self, gdb: &RefereeThread, native: &ThreadReport) {
        let ours = groups(&native.frames, |frame| frame.inline);
        let theirs = groups(&gdb.frames, |frame| frame.kind == RefereeKind::Inline);
        let our_pcs: Vec<u64> = ours.iter().map(|group| group.first().map_or(0, |frame| frame.pc)).collect();
        let their_pcs: Vec<u64> = theirs.iter().map(|group| group.first().map_or(0, |frame| frame.pc)).collect();
        let mut pairs = align(&their_pcs, &our_pcs);
        if gdb.frames.len() >= self.case.limit {
            // gdb was stopped: what follows its last frame is not compared, nor is that one, which may be cut.
            pairs.truncate(pairs.iter().rposition(|(their, _)| their.is_some()).unwrap_or(0));
        }
        let mut number = 0;
        for (their, our) in pairs {
            let their = their.and_then(|index| theirs.get(index)).copied();
            let our = our.and_then(|index| ours.get(index)).copied();
            match (their, our) {
                (Some(their), Some(our)) => self.group(number, their, our),
                (Some(their), None) => self.missing(number, their),
                (None, Some(our)) => self.extra(number, our),
                (None, None) => {}
            }
            number += their.map_or(0, <[_]>::len);
        }
    }

    fn missing(&mut self, number: usize, group: &[RefereeFrame]) {
        let Some(outer) = group.last() else { return };
        self.count(Metric::Addresses, "", false);
        for frame in group {
            let metric = if frame.line.is_some() { Metric::Frames } else { Metric::Symbols };
            self.count(metric, language(frame.file.as_deref()), false);
        }
        if group.len() > 1 {
            self.count(Metric::InlineChains, language(outer.file.as_deref()), false);
        }
        let function = outer.function.as_deref().unwrap_or("??");
        let text =
            format!("{} at {}", chain(group.iter().map(|frame| frame.function.as_deref())), kind_text(outer.kind));
        self.report(Kind::FrameMissing, number, function, &text, "", true);
    }

    fn extra(&mut self, number: usize, group: &[Frame]) {
        let Some(outer) = group.last() else { return };
        self.count(Metric::Addresses, "", false);
        for frame in group {
            let metric = if frame.line.is_some() { Metric::Frames } else { Metric::Symbols };
            self.count(metric, language(frame.file.as_deref()), false);
        }
        let function = outer.function.as_deref().unwrap_or("??");
        let text = chain(group.iter().map(|frame| frame.function.as_deref()));
        self.report(Kind::FrameExtra, number, function, "", &text, is_claimed(outer));
    }

    fn group(&mut self, number: usize, gdb: &[RefereeFrame], native: &[Frame]) {
        self.count(Metric::Addresses, "", true);
        // gdb shows only the innermost function of a frame that left by a tail call.
        let is_tail_call = gdb.len() == 1 && gdb.iter().all(|frame| frame.kind == RefereeKind::TailCall);
        let native = if is_tail_call { native.get(..1).unwrap_or_default() } else { native };
        let theirs: Vec<_> = gdb.iter().map(|frame| frame.function.as_deref().map(names::function)).collect();
        let ours: Vec<_> = native.iter().map(|frame| frame.function.as_deref().map(names::function)).collect();
        if gdb.len() > 1 || native.len() > 1 {
            let file = gdb.last().and_then(|frame| frame.file.as_deref());
            self.count(Metric::InlineChains, language(file), theirs == ours);
            if gdb.len() != native.len() {
                let function = gdb.last().and_then(|frame| frame.function.as_deref()).unwrap_or("??");
                let their_text = chain(gdb.iter().map(|frame| frame.function.as_deref()));
                let our_text = chain(native.iter().map(|frame| frame.function.as_deref()));
                self.report(
                    Kind::InlineChain,
                    number,
                    function,
                    &their_text,
                    &our_text,
                    native.last().is_some_and(is_claimed),
                );
            }
        }
        // Chains of different lengths are compared from the function that has the frame.
        let skip = gdb.len().saturating_sub(native.len());
        for frame in gdb.iter().take(skip) {
            self.count(Metric::Frames, language(frame.file.as_deref()), false);
        }
        let pairs = gdb.iter().rev().zip(native.iter().rev());
        for (index, (their, our)) in pairs.enumerate() {
            self.frame(number + gdb.len() - 1 - index, their, our);
        }
    }

    fn frame(&mut self, number: usize, gdb: &RefereeFrame, native: &Frame) {
        let language = language(gdb.file.as_deref().or(native.file.as_deref()));
        let claimed = is_claimed(native);
        let their_name = gdb.function.as_deref().map(names::function);
        let our_name = native.function.as_deref().map(names::function);
        // gdb names the frame that calls a handler after the symbol there; that it is one is what matters.
        let both_signal = gdb.kind == RefereeKind::Signal && native.signal_handler;
        let same_function = their_name == our_name || both_signal;
        let function = gdb.function.as_deref().or(native.function.as_deref()).unwrap_or("??").to_owned();
        if !same_function {
            let (theirs, ours) = (gdb.function.as_deref().unwrap_or("??"), native.function.as_deref().unwrap_or("??"));
            self.report(Kind::Function, number, &function, theirs, ours, claimed);
        }
        let their_file = gdb.file.as_deref().filter(|_| gdb.line.is_some());
        let our_file = native.file.as_deref().filter(|_| native.line.is_some());
        if their_file.is_none() && our_file.is_none() || both_signal {
            self.count(Metric::Symbols, language, same_function);
        } else {
            let same_file = their_file.map(names::base_name) == our_file.map(names::base_name);
            let same_line = gdb.line == native.line;
            self.count(Metric::Frames, language, same_function && same_file && same_line);
            if !same_file {
                let (theirs, ours) = (their_file.unwrap_or("-"), our_file.unwrap_or("-"));
                self.report(Kind::File, number, &function, theirs, ours, claimed);
            } else if !same_line {
                self.report(Kind::Line, number, &function, &line_text(gdb.line), &line_text(native.line), claimed);
            }
            if let (true, Some(theirs), Some(ours)) = (same_file, their_file, our_file) {
                let full = gdb.fullname.as_deref().is_some_and(|full| names::same_path(full, ours));
                self.count(Metric::Paths, language, full || names::same_path(theirs, ours));
            }
        }
        if same_function {
            self.variables(number, language, &function, &gdb.arguments, &native.arguments, claimed);
            self.variables(number, language, &function, &gdb.locals, &native.locals, claimed);
        }
    }

    /// Variables of one name are matched in their order, the innermost block first.
    fn variables(
        &mut self,
        number: usize,
        language: &'static str,
        function: &str,
        gdb: &[RefereeVariable],
        native: &[Variable],
        claimed: bool,
    ) {
        let mut left: Vec<&Variable> = native.iter().collect();
        for their in gdb {
            let found = left.iter().position(|our| our.name == their.name);
            let our = found.map(|index| left.remove(index));
            self.count(Metric::Names, language, our.is_some());
            if our.is_none() {
                self.report(Kind::NameMissing, number, function, &their.name, "", claimed);
            }
            if their.state == RefereeState::Value {
                let ours = our.map_or("", |our| our.value.as_str());
                self.value(number, language, function, their, ours, claimed);
            }
        }
        for our in left {
            self.count(Metric::Names, language, false);
            let text = if is_optimized_out(our) { format!("{} (optimized out)", our.name) } else { our.name.clone() };
            self.report(Kind::NameExtra, number, function, "", &text, claimed);
        }
    }

    fn value(
        &mut self,
        number: usize,
        language: &'static str,
        function: &str,
        gdb: &RefereeVariable,
        native: &str,
        claimed: bool,
    ) {
        self.count(Metric::Texts, language, gdb.value == native);
        if !gdb.scalar {
            return;
        }
        let same = values::same_scalar(&gdb.value, native);
        self.count(Metric::Scalars, language, same);
        if !same {
            let (theirs, ours) = (short(&gdb.value), short(native));
            self.report(
                Kind::Value,
                number,
                function,
                &format!("{} = {theirs}", gdb.name),
                &format!("{} = {ours}", gdb.name),
                claimed,
            );
        }
    }
}

/// True if the engine does not call the frame a guess.
fn is_claimed(frame: &Frame) -> bool {
    !matches!(frame.trust, Trust::FramePointer | Trust::Scan)
}

fn kind_text(kind: RefereeKind) -> &'static str {
    match kind {
        RefereeKind::Normal => "a frame",
        RefereeKind::Inline => "an inlined frame",
        RefereeKind::TailCall => "a tail call",
        RefereeKind::Signal => "a signal handler's frame",
        RefereeKind::Other => "another frame",
    }
}

fn line_text(line: Option<u32>) -> String {
    line.map_or_else(|| "-".to_owned(), |line| line.to_string())
}

/// Values in reports, cut at 120 characters.
fn short(value: &str) -> String {
    value.chars().take(120).collect()
}

fn chain<'a>(functions: impl Iterator<Item = Option<&'a str>>) -> String {
    functions.map(|function| function.unwrap_or("??")).collect::<Vec<_>>().join(" < ")
}

/// Physical frames: each with the functions that were inlined into it before it.
fn groups<T>(frames: &[T], is_inline: impl Fn(&T) -> bool) -> Vec<&[T]> {
    frames.split_inclusive(|frame| !is_inline(frame)).collect()
}

/// Pairs of indexes with equal values, as many as can be had in order, and those of each side that have no partner.
fn align(left: &[u64], right: &[u64]) -> Vec<(Option<usize>, Option<usize>)> {
    let head = left.iter().zip(right).take_while(|(one, other)| one == other).count();
    let (left_rest, right_rest) = (left.get(head..).unwrap_or_default(), right.get(head..).unwrap_or_default());
    let tail = left_rest.iter().rev().zip(right_rest.iter().rev()).take_while(|(one, other)| one == other).count();
    let left_middle = left_rest.get(..left_rest.len() - tail).unwrap_or_default();
    let right_middle = right_rest.get(..right_rest.len() - tail).unwrap_or_default();
    let mut pairs: Vec<_> = (0..head).map(|index| (Some(index), Some(index))).collect();
    let middle = longest_common(left_middle, right_middle);
    pairs.extend(
        middle.into_iter().map(|(one, other)| (one.map(|index| index + head), other.map(|index| index + head))),
    );
    let (left_tail, right_tail) = (left.len() - tail, right.len() - tail);
    pairs.extend((0..tail).map(|index| (Some(left_tail + index), Some(right_tail + index))));
    pairs
}

/// The longest common subsequence by dynamic programming; stacks are bounded by the case's limit.
fn longest_common(left: &[u64], right: &[u64]) -> Vec<(Option<usize>, Option<usize>)> {
    // lengths[i][j]: of the longest common subsequence of left[i..] and right[j..].
    let mut lengths = vec![vec![0_u32; right.len() + 1]; left.len() + 1];
    let at = |lengths: &[Vec<u32>], i: usize, j: usize| lengths.get(i).and_then(|row| row.get(j)).copied().unwrap_or(0);
    for (i, one) in left.iter().enumerate().rev() {
        for (j, other) in right.iter().enumerate().rev() {
            let best = if one == other {
                at(&lengths, i + 1, j + 1) + 1
            } else {
                at(&lengths, i + 1, j).max(at(&lengths, i, j + 1))
            };
            if let Some(cell) = lengths.get_mut(i).and_then(|row| row.get_mut(j)) {
                *cell = best;
            }
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    loop {
        match (left.get(i), right.get(j)) {
            (Some(one), Some(other)) if one == other => {
                pairs.push((Some(i), Some(j)));
                (i, j) = (i + 1, j + 1);
            }
            (Some(_), Some(_)) if at(&lengths, i + 1, j) < at(&lengths, i, j + 1) => {
                pairs.push((None, Some(j)));
                j += 1;
            }
            (Some(_), _) => {
                pairs.push((Some(i), None));
                i += 1;
            }
            (None, Some(_)) => {
                pairs.push((None, Some(j)));
                j += 1;
            }
            (None, None) => return pairs,
        }
    }
}

/// The language of a source file, by its name.
fn language(file: Option<&str>) -> &'static str {
    let name = file.map(names::base_name).unwrap_or_default();
    match name.rsplit_once('.').map(|(_, suffix)| suffix) {
        Some("c" | "h") => "C",
        Some("rs") => "Rust",
        Some("go") => "Go",
        Some("f90" | "f" | "f95" | "F90") => "Fortran",
        Some("S" | "s" | "asm") => "assembler",
        Some("cc" | "cpp" | "cxx" | "C" | "hpp" | "hh" | "hxx" | "tcc" | "ipp") => "C++",
        // Headers of C++'s library have no suffix.
        None if !name.is_empty() => "C++",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_frame_too_many_puts_no_other_wrong() {
        assert_eq!(
            align(&[1, 2, 3], &[1, 9, 2, 3]),
            [(Some(0), Some(0)), (None, Some(1)), (Some(1), Some(2)), (Some(2), Some(3))]
        );
        assert_eq!(align(&[1, 2, 3], &[1, 3]), [(Some(0), Some(0)), (Some(1), None), (Some(2), Some(1))]);
        assert_eq!(align(&[1], &[2]), [(Some(0), None), (None, Some(0))]);
        assert_eq!(align(&[], &[]), []);
    }

    fn case() -> Case {
        serde_json::from_str(
            r#"{"name":"c","class":"dwarf","language":"C","tier":"own","gdb":"x.gdb.json","limit":100}"#,
        )
        .unwrap()
    }

    fn referee(line: u32, value: &str) -> Referee {
        let inner = format!(
            r#"{{"pc":16,"kind":"inline","function":"f(int)","file":"./a.c","fullname":"/x/a.c","line":{line},
                "arguments":[{{"name":"n","value":"{value}","scalar":true,"state":"value"}}],"locals":[]}}"#
        );
        let outer = r#"{"pc":16,"kind":"normal","function":"main","file":"a.c","fullname":"/x/a.c","line":9,"arguments":[],"locals":[]}"#;
        serde_json::from_str(&format!(r#"{{"threads":[{{"tid":7,"frames":[{inner},{outer}]}}]}}"#)).unwrap()
    }

    fn native(inline: bool) -> Native {
        let frame = |function: &str, line: u32, inline: bool, arguments: &str| {
            format!(
                r#"{{"number":0,"pc":16,"function":"{function}","file":"a.c","line":{line},"inline":{inline},"signal_handler":false,
                    "trust":"cfi","module":null,"build_id":null,"offset":null,"arguments":[{arguments}],"locals":[],"gap":null}}"#
            )
        };
        let inner = frame("f", 3, true, r#"{"name":"n","value":"5"}"#);
        let outer = frame("main", 9, false, "");
        let frames = if inline { format!("{inner},{outer}") } else { outer };
        serde_json::from_str(&format!(r#"{{"threads":[{{"tid":7,"crashed":true,"frames":[{frames}]}}]}}"#)).unwrap()
    }

    #[test]
    fn equal_backtraces_agree_in_all() {
        let result = compare(&case(), &referee(3, "5"), &native(true));
        assert!(result.disagreements.is_empty(), "{:?}", result.disagreements);
        for (metric, tally) in &result.counts {
            assert_eq!(tally.agreed, tally.total, "{metric:?}");
        }
        assert_eq!(result.counts.get(&(Metric::Frames, "C")), Some(&Tally { agreed: 2, total: 2 }));
        assert_eq!(result.counts.get(&(Metric::Scalars, "C")), Some(&Tally { agreed: 1, total: 1 }));
    }

    #[test]
    fn each_difference_is_found_and_counted() {
        let kinds = |referee: &Referee, native: &Native| -> Vec<Kind> {
            compare(&case(), referee, native).disagreements.iter().map(|found| found.kind).collect()
        };
        assert_eq!(kinds(&referee(4, "5"), &native(true)), [Kind::Line]);
        assert_eq!(kinds(&referee(3, "6"), &native(true)), [Kind::Value]);
        assert_eq!(kinds(&referee(3, "5"), &native(false)), [Kind::InlineChain]);
        let nothing = Native { threads: Vec::new() };
        assert_eq!(kinds(&referee(3, "5"), &nothing), [Kind::Thread]);
        let counts = compare(&case(), &referee(4, "6"), &native(true)).counts;
        assert_eq!(counts.get(&(Metric::Frames, "C")), Some(&Tally { agreed: 1, total: 2 }));
        assert_eq!(counts.get(&(Metric::Scalars, "C")), Some(&Tally { agreed: 0, total: 1 }));
    }
}
