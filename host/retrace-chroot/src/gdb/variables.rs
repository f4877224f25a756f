//! Takes the values of arguments and locals out of the text of `backtrace full`.
//!
//! A frame starts with `#N  `, its locals follow as lines of eight blanks, a name, ` = ` and a value. Which function the
//! frame is of is known from the record, so the list of arguments is found behind its name.

use retrace_types::Variable;

use super::RawFrame;

/// Most characters of a value that are kept; the text has it in full.
const MAX_VALUE_CHARS: usize = 1000;
/// Most variables of each kind of one frame.
const MAX_VARIABLES: usize = 256;

const INDENT: &str = "        ";

/// Gives each frame the variables that `text` shows for it.
pub(crate) fn attach(frames: &mut [RawFrame], text: &str) {
    let mut following = (0..).zip(frames).peekable();
    let mut current: Option<&mut RawFrame> = None;
    for line in text.lines() {
        // Numbers go up by one; whatever else looks like a frame is part of a value.
        let frame_line =
            frame_line(line).filter(|(number, _)| following.peek().is_some_and(|(next, _)| next == number));
        if let Some((_, rest)) = frame_line {
            current = following.next().map(|(_, frame)| {
                frame.arguments = arguments(rest, frame.function.as_deref().unwrap_or_default());
                frame
            });
        } else if let Some(frame) = current.as_deref_mut()
            && frame.locals.len() < MAX_VARIABLES
            && let Some((name, value)) = line.strip_prefix(INDENT).and_then(|line| line.split_once(" = "))
            && !name.is_empty()
            && !name.starts_with(' ')
        {
            frame.locals.push(variable(name, value));
        }
    }
}

/// Number and rest of `#12 0x0000 in f (a=1) at f.c:3`.
fn frame_line(line: &str) -> Option<(u32, &str)> {
    let (number, rest) = line.strip_prefix('#')?.split_once(' ')?;
    Some((number.parse().ok()?, rest.trim_start()))
}

/// The arguments in `0x0000 in f (a=1, b=...) at f.c:3`.
fn arguments(line: &str, function: &str) -> Vec<Variable> {
    let after_pc = match line.strip_prefix("0x").and_then(|rest| rest.split_once(" in ")) {
        Some((digits, rest)) if digits.bytes().all(|b| b.is_ascii_hexdigit()) => rest,
        _ => line,
    };
    let list = after_pc.strip_prefix(function).and_then(|rest| rest.strip_prefix(" ("));
    let Some(list) = list.filter(|_| !function.is_empty()) else { return Vec::new() };
    // gdb shows the value at entry where it knows no other, as `name@entry=value`, and both as `name=1, name@entry=2`.
    let pieces = split_list(list).into_iter().take(MAX_VARIABLES);
    pieces.filter_map(|piece| piece.split_once('=')).map(|(name, value)| variable(name, value)).collect()
}

/// Cuts `a=1, b={2, 3}, c=")"...) at f.c` at the commas between arguments, up to the bracket that closes the list.
fn split_list(list: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut depth = 0_u32;
    let mut quote: Option<char> = None;
    let mut previous = ' ';
    let mut chars = list.char_indices();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (Some(_), '\\') => {
                chars.next();
            }
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"') => quote = Some(c),
            // A lifetime of Rust, `&'a T`, is no quote.
            (None, '\'') if matches!(previous, ' ' | '=' | '(' | '{' | 'b' | 'L' | 'u' | 'U') => quote = Some(c),
            (None, '(' | '{' | '[') => depth = depth.saturating_add(1),
            (None, ')') if depth == 0 => {
                pieces.extend(list.get(start..at).filter(|piece| !piece.is_empty()));
                return pieces;
            }
            (None, ')' | '}' | ']') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 && list.get(at + 1..).is_some_and(starts_argument) => {
                pieces.extend(list.get(start..at));
                start = at + 2;
            }
            (None, _) => {}
        }
        previous = c;
    }
    // The list does not close: its last piece is not to be trusted.
    pieces
}

/// True for ` name=`.
fn starts_argument(text: &str) -> bool {
    let Some((name, _)) = text.strip_prefix(' ').and_then(|text| text.split_once('=')) else { return false };
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '@' | '#' | '.');
    !name.is_empty() && name.chars().all(is_name)
}

fn variable(name: &str, value: &str) -> Variable {
    let value = match value.char_indices().nth(MAX_VALUE_CHARS) {
        Some((end, _)) => format!("{}...", value.get(..end).unwrap_or_default()),
        None => value.to_owned(),
    };
    Variable { name: name.chars().take(MAX_VALUE_CHARS).collect(), value, note: None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use retrace_types::Trust;

    use super::*;

    fn frame(function: &str) -> RawFrame {
        RawFrame {
            pc: 0,
            function: Some(function.to_owned()),
            file: None,
            line: None,
            inline: false,
            signal_handler: false,
            trust: Trust::Cfi,
            arguments: Vec::new(),
            locals: Vec::new(),
        }
    }

    fn shown(variables: &[Variable]) -> Vec<String> {
        variables.iter().map(|variable| format!("{}={}", variable.name, variable.value)).collect()
    }

    #[test]
    fn arguments_are_found_behind_the_function() {
        let cases: [(&str, &str, &[&str]); 11] = [
            ("main (c=1, v=0x7ff) at main.c:13", "main", &["c=1", "v=0x7ff"]),
            (
                "0x00007f55 in f (p=p@entry=0x1 <mu>, depth=<optimized out>) at l.c:6",
                "f",
                &["p=p@entry=0x1 <mu>", "depth=<optimized out>"],
            ),
            ("clone3 () at clone3.S:81", "clone3", &[]),
            ("0x00 in ?? ()", "", &[]),
            ("<signal handler called>", "", &[]),
            (
                r#"f (s=0x1 "a, b=2) \" x", c=44 ',', d=39 '\'', e={a = 1, b = 2}) from /lib/x"#,
                "f",
                &[r#"s=0x1 "a, b=2) \" x""#, "c=44 ','", r"d=39 '\''", "e={a = 1, b = 2}"],
            ),
            (
                "std::function<void (int)>::operator()(int) const (this=0x1, x=2) at f.h:9",
                "std::function<void (int)>::operator()(int) const",
                &["this=0x1", "x=2"],
            ),
            ("g (f=0x55 <h(int, char)+4>, ...) at g.c:1", "g", &["f=0x55 <h(int, char)+4>, ..."]),
            (
                "r (x=core::Option<&'static str>::Some(1), y=2) at r.rs:1",
                "r",
                &["x=core::Option<&'static str>::Some(1)", "y=2"],
            ),
            ("broken (a=1, b=\"no end", "broken", &["a=1"]),
            ("other (a=1)", "f", &[]),
        ];
        for (line, function, want) in cases {
            assert_eq!(shown(&arguments(line, function)), want, "input: {line}");
        }
    }

    #[test]
    fn locals_belong_to_the_frame_above_them() {
        let text = "\nThread 1 (LWP 7):\n#0  f (a=1) at f.c:3\n        b = \"x = y\"\n        c = {d = 1}\n\
                    #1  0x00 in g () at f.c:9\nNo locals.\n#7  f (a=9) at f.c:3\n        late = 1\n#2  h () at f.c:1\n        e = 3\n";
        let mut frames = [frame("f"), frame("g"), frame("h")];
        attach(&mut frames, text);
        assert_eq!(shown(&frames[0].locals), ["b=\"x = y\"", "c={d = 1}"]);
        assert_eq!(shown(&frames[1].locals), ["late=1"]); // a jump in the numbers is no frame
        assert_eq!(shown(&frames[2].locals), ["e=3"]);
        assert_eq!(shown(&frames[0].arguments), ["a=1"]);
    }

    #[test]
    fn values_and_their_number_are_bounded() {
        let long = "é".repeat(MAX_VALUE_CHARS * 3);
        let text = format!("#0  f () at f.c:1\n{}", format!("        v = {long}\n").repeat(MAX_VARIABLES + 5));
        let mut frames = [frame("f")];
        attach(&mut frames, &text);
        assert_eq!(frames[0].locals.len(), MAX_VARIABLES);
        assert_eq!(frames[0].locals[0].value.chars().count(), MAX_VALUE_CHARS + 3);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(#[0-9] |        |f \\(|a=|, |[\"'(){}\\\\=é\n]){0,60}") {
            let mut frames = [frame("f"), frame("f")];
            attach(&mut frames, &text);
        }
    }
}
