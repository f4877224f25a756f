//! Which files the debugger gets, and whether these were enough.
//!
//! Of the files of a large program, its stacks refer to a handful; unpacking the others is most of the time of a first
//! retrace. So only modules that a register or a stack points into are unpacked. That is a guess, and the debugger's
//! result is the check: where it names an address in a module that was left out, everything is unpacked and it runs
//! again. What is reported is thus never poorer for a file that was to be had.

use retrace_chroot::{GdbReport, RawFrame};
use retrace_coredump::Module;

use crate::assemble::ModuleState;

/// True if the debugger will want this module's file, as far as the core tells.
pub(crate) fn is_wanted(module: &Module, executable: Option<&str>) -> bool {
    module.referenced || executable == Some(module.path.as_str())
}

/// The first module that was left out although the debugger came upon an address in it.
pub(crate) fn overlooked<'m>(gdb: &GdbReport, modules: &'m [ModuleState<'_>]) -> Option<&'m str> {
    let left_out: Vec<&Module> = modules.iter().filter(|state| state.left_out).map(|state| state.module).collect();
    if left_out.is_empty() {
        return None;
    }
    let mentioned = gdb.threads.iter().flat_map(|thread| &thread.frames).flat_map(addresses);
    let mut holders = mentioned.filter_map(|address| {
        left_out.iter().find(|module| (module.start..module.end).contains(&address)).map(|module| module.path.as_str())
    });
    holders.next()
}

/// The program counter, and the addresses that gdb printed in values: `0x7f84e2488691`.
fn addresses(frame: &RawFrame) -> impl Iterator<Item = u64> {
    let values = frame.arguments.iter().chain(&frame.locals).map(|variable| variable.value.as_str());
    let printed = values.flat_map(|value| value.split("0x").skip(1)).filter_map(|rest| {
        let digits = rest.find(|c: char| !c.is_ascii_hexdigit()).map_or(rest, |end| rest.get(..end).unwrap_or(rest));
        u64::from_str_radix(digits, 16).ok()
    });
    std::iter::once(frame.pc).chain(printed)
}

#[cfg(test)]
mod tests {
    use retrace_chroot::RawThread;
    use retrace_coredump::{ModuleKind, NoBuildId};
    use retrace_types::{Trust, Variable};

    use super::*;

    fn module(path: &str, start: u64, referenced: bool) -> Module {
        Module {
            path: path.to_owned(),
            start,
            end: start + 0x1000,
            kind: ModuleKind::File,
            build_id: Err(NoBuildId::NoNote),
            load_bias: None,
            referenced,
        }
    }

    fn overlooked_with(pc: u64, value: &str) -> Option<String> {
        let modules = [module("/used", 0x1000, true), module("/left-out", 0x5000, false)];
        let states: Vec<_> = modules
            .iter()
            .map(|module| ModuleState {
                module,
                package: None,
                debug_package: None,
                left_out: !is_wanted(module, None),
                has_file: module.referenced,
                has_debuginfo: false,
                gaps: Vec::new(),
            })
            .collect();
        let frame = RawFrame {
            pc,
            function: None,
            file: None,
            line: None,
            inline: false,
            signal_handler: false,
            trust: Trust::Cfi,
            arguments: Vec::new(),
            locals: vec![Variable { name: "p".to_owned(), value: value.to_owned(), note: None }],
        };
        let gdb = GdbReport {
            version: "gdb 13.1".to_owned(),
            text: String::new(),
            threads: vec![RawThread { tid: 1, frames: vec![frame], ..RawThread::default() }],
            warnings: Vec::new(),
            truncated: false,
        };
        overlooked(&gdb, &states).map(ToOwned::to_owned)
    }

    #[test]
    fn the_program_is_wanted_whatever_the_stacks_say() {
        let program = module("/usr/bin/x", 0x1000, false);
        assert!(is_wanted(&program, Some("/usr/bin/x")));
        assert!(!is_wanted(&program, Some("/usr/bin/y")) && !is_wanted(&program, None));
    }

    #[test]
    fn a_module_that_the_debugger_comes_upon_was_overlooked() {
        let left_out = Some("/left-out".to_owned());
        assert_eq!(overlooked_with(0x1004, "{next = 0x1010, n = 5}"), None);
        assert_eq!(overlooked_with(0x5004, "3"), left_out, "a frame in it");
        assert_eq!(overlooked_with(0x1004, "{f = 0x5010, n = 5}"), left_out, "a value that points into it");
        assert_eq!(overlooked_with(0x1004, "{f = 0x4fff, g = 0x6000}"), None, "its neighbours");
        assert_eq!(overlooked_with(0x1004, "0xffffffffffffffffffff 0x"), None, "no addresses");
    }
}
