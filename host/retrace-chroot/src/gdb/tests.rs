//! gdb, bubblewrap and a real crash.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::ExitStatus, sync::OnceLock, time::Duration};

use tempfile::TempDir;

use super::*;
use crate::SysrootModule;

/// Types that both debug files know, enough for dwz to move them out.
const COMMON: &str = r#"
struct pair { int a; const char *name; double d[3]; };
struct shared_one { int first_member[7]; struct pair *second_member; char third_member[99]; struct shared_one *fourth_member; };
struct shared_two { struct shared_one fifth_member; unsigned long sixth_member[3]; struct shared_two *seventh_member; };
static struct shared_two shared_list __attribute__((used));
"#;

const LIBRARY: &str = r#"
#include <string.h>
#include "common.h"
static inline __attribute__((always_inline)) int inner(const struct pair *p)
{
    volatile const char *s = p->name;
    return s[0] + p->a; /* line 7: name is NULL */
}
static inline __attribute__((always_inline)) int outer(const struct pair *p) { return inner(p) * 2; }
int lib_crash(struct pair *p, int depth)
{
    volatile char pad[8] = { (char)depth };
    if (depth)
        return lib_crash(p, depth - 1) + pad[0];
    return outer(p) + pad[0];
}
"#;

const PROGRAM: &str = r#"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common.h"
int lib_crash(struct pair *p, int depth);
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static void *blocked(void *arg) { pthread_mutex_lock(&mutex); return arg; }
static void *sleeper(void *arg) { for (;;) sleep(1000); return arg; }
static void on_signal(int number) { (void)number; abort(); }
int main(int count, char **args)
{
    struct pair p = { 7, NULL, { 1, 2, 3 } };
    pthread_t thread;
    if (count > 2)
        signal(SIGSEGV, on_signal);
    pthread_mutex_lock(&mutex);
    pthread_create(&thread, NULL, sleeper, NULL);
    pthread_create(&thread, NULL, blocked, NULL);
    usleep(200000);
    return lib_crash(&p, atoi(args[1]));
}
"#;

/// The program, its library and their debug information, built once.
struct Built {
    dir: TempDir,
}

impl Built {
    fn get() -> &'static Self {
        static BUILT: OnceLock<Built> = OnceLock::new();
        BUILT.get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            // Other users of the tests read it, too.
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
            fs::write(dir.path().join("lib.c"), LIBRARY).unwrap();
            fs::write(dir.path().join("main.c"), PROGRAM).unwrap();
            fs::write(dir.path().join("common.h"), COMMON).unwrap();
            shell(
                dir.path(),
                "gcc -O1 -g -fPIC -shared -Wl,-soname,libcrash.so.1 -Wl,--build-id -o libcrash.so.1 lib.c && \
                 gcc -O1 -g -Wl,--build-id -o prog main.c ./libcrash.so.1 -Wl,-rpath,'$ORIGIN' -lpthread && \
                 for f in prog libcrash.so.1; do objcopy --only-keep-debug $f $f.debug && cp $f $f.full && strip $f; done && \
                 sed 's/static inline/\\n\\nstatic inline/' lib.c > lib2.c && \
                 gcc -O1 -g -fPIC -shared -Wl,-soname,libcrash.so.1 -Wl,--build-id -o other.so.1 lib2.c",
            );
            Self { dir }
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    /// The modules as the core names them, all files present.
    fn modules(&self) -> Vec<SysrootModule> {
        let module = |path: PathBuf, debuginfo: Option<PathBuf>| SysrootModule {
            build_id: retrace_package::elf_build_id(&path).unwrap().unwrap(),
            path: path.to_str().unwrap().to_owned(),
            aliases: Vec::new(),
            executable: Some(path),
            debuginfo,
            supplementary: None,
        };
        let mut modules = vec![
            module(self.path("prog"), Some(self.path("prog.debug"))),
            module(self.path("libcrash.so.1"), Some(self.path("libcrash.so.1.debug"))),
        ];
        for library in ["libc.so.6", "ld-linux-x86-64.so.2"] {
            let path = Path::new("/lib/x86_64-linux-gnu").join(library).canonicalize().unwrap();
            let mut module = module(path, None);
            let (first, rest) = module.build_id.split();
            let debuginfo = PathBuf::from(format!("/usr/lib/debug/.build-id/{first}/{rest}.debug"));
            module.debuginfo = Some(debuginfo).filter(|path| path.exists());
            module.aliases = vec![format!("/lib/x86_64-linux-gnu/{library}"), format!("/lib64/{library}")];
            modules.push(module);
        }
        modules
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(future)
}

fn shell_status(dir: &Path, script: &str) -> ExitStatus {
    let call = Invocation::new("/bin/sh").args(["-c", script]).working_dir(dir).env("PATH", "/usr/bin:/bin");
    let output = std::thread::scope(|scope| scope.spawn(|| block_on(capture(&call))).join()).unwrap().unwrap();
    let Ending::Exited(status) = output.ending else { panic!("{script} did not end") };
    status
}

fn shell(dir: &Path, script: &str) {
    assert!(shell_status(dir, script).success(), "{script}");
}

/// False, after saying so, if a tool is missing; fails where tools are required.
fn has_tools() -> bool {
    let missing: Vec<_> = ["gdb", "bwrap", "prlimit", "gcc", "strip", "objcopy"]
        .into_iter()
        .filter(|tool| block_on_anywhere(tool).is_none())
        .collect();
    let has_core_pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").is_ok_and(|text| text.trim() == "core");
    if missing.is_empty() && has_core_pattern {
        return true;
    }
    let reason = format!("missing tools: {missing:?}; core_pattern is `core`: {has_core_pattern}");
    assert!(std::env::var_os("RETRACE_REQUIRE_TOOLS").is_none_or(|value| value != "1"), "{reason}");
    println!("skipped: {reason}");
    false
}

fn block_on_anywhere(tool: &str) -> Option<PathBuf> {
    std::thread::scope(|scope| scope.spawn(|| block_on(find_program(tool))).join()).unwrap()
}

/// A folder with a core of the program, called with these arguments.
fn crash(arguments: &str) -> TempDir {
    let built = Built::get();
    let dir = tempfile::tempdir().unwrap();
    let program = built.path("prog");
    shell_status(dir.path(), &format!("ulimit -c unlimited; exec {} {arguments}", program.display()));
    assert!(dir.path().join("core").is_file(), "no core");
    dir
}

fn request<'a>(core: &'a Path, sysroot: &'a Sysroot, work_dir: &'a Path, executable: &'a str) -> GdbRequest<'a> {
    let limits = SandboxLimits { wall_time: Duration::from_secs(60), ..SandboxLimits::default() };
    GdbRequest { core, executable: Some(executable), sysroot, work_dir, limits, gdb: Path::new("gdb") }
}

/// A crash, its sysroot and gdb's report on it.
async fn debug(arguments: &str, modules: &[SysrootModule], limits: SandboxLimits) -> Result<GdbReport, ChrootError> {
    let dir = crash(arguments);
    let sysroot = Sysroot::build(&dir.path().join("sysroot"), modules).unwrap();
    let (core, work_dir) = (dir.path().join("core"), dir.path().join("work"));
    let program = Built::get().path("prog");
    backtrace(&GdbRequest { limits, ..request(&core, &sysroot, &work_dir, program.to_str().unwrap()) }).await
}

fn functions(thread: &RawThread) -> Vec<&str> {
    thread.frames.iter().map(|frame| frame.function.as_deref().unwrap_or("??")).collect()
}

fn value<'v>(variables: &'v [Variable], name: &str) -> Option<&'v str> {
    variables.iter().find(|variable| variable.name == name).map(|variable| variable.value.as_str())
}

#[tokio::test]
async fn a_crash_gives_all_threads_with_inline_frames_lines_and_values() {
    if !has_tools() {
        return;
    }
    let report = debug("2", &Built::get().modules(), SandboxLimits::default()).await.unwrap();
    assert!(report.version.starts_with("gdb 1"), "{}", report.version);
    assert_eq!(report.warnings, []);
    assert!(!report.truncated);
    assert_eq!(report.threads.len(), 3);

    let crashed = &report.threads[0];
    assert_eq!(
        functions(crashed),
        ["inner", "outer", "lib_crash", "lib_crash", "lib_crash", "main"],
        "{}",
        report.text
    );
    let shape: Vec<_> = crashed.frames.iter().map(|frame| (frame.inline, frame.line, frame.trust)).collect();
    assert_eq!(shape[0], (true, Some(7), Trust::Context));
    assert!(shape[1].0);
    assert_eq!(shape[2], (false, Some(15), Trust::Context));
    assert_eq!(shape[3], (false, Some(14), Trust::Cfi));
    assert!(crashed.frames.iter().all(|frame| frame.file.as_deref().is_some_and(|file| file.ends_with(".c"))));
    assert_eq!(value(&crashed.frames[0].locals, "s"), Some("0x0"));
    assert_eq!(value(&crashed.frames[2].arguments, "depth"), Some("0"));
    assert_eq!(value(&crashed.frames[5].locals, "p"), Some("{a = 7, name = 0x0, d = {1, 2, 3}}"));

    let others: Vec<_> = report.threads[1..].iter().map(functions).collect();
    assert!(others.iter().any(|functions| functions.contains(&"blocked")), "{others:?}");
    assert!(others.iter().any(|functions| functions.contains(&"sleeper")), "{others:?}");

    for part in
        ["Thread 1 (", "#0  inner (p=", "From  ", "libcrash.so.1", "rip  ", "=> 0x", "terminated with signal SIGSEGV"]
    {
        assert!(report.text.contains(part), "no {part:?} in {}", report.text);
    }
    assert!(!report.text.contains(".retrace"), "{}", report.text);
}

#[tokio::test]
async fn the_frame_of_a_signal_handler_is_marked() {
    if !has_tools() {
        return;
    }
    let report = debug("0 handler", &Built::get().modules(), SandboxLimits::default()).await.unwrap();
    let frames = &report.threads[0].frames;
    let at = frames.iter().position(|frame| frame.signal_handler).expect("a signal frame");
    assert_eq!(frames[at - 1].function.as_deref(), Some("on_signal"));
    assert_eq!((frames[at + 1].function.as_deref(), frames[at + 1].trust), (Some("inner"), Trust::Context));
}

#[tokio::test]
async fn without_the_program_the_other_modules_still_speak() {
    if !has_tools() {
        return;
    }
    let mut modules = Built::get().modules();
    (modules[0].executable, modules[0].debuginfo) = (None, None);
    let report = debug("2", &modules, SandboxLimits::default()).await.unwrap();
    let functions = functions(&report.threads[0]);
    assert_eq!(functions[..5], ["inner", "outer", "lib_crash", "lib_crash", "lib_crash"], "{}", report.text);
    assert!(
        report.warnings.iter().any(|warning| warning.path() == Some(modules[0].path.as_str())),
        "{:?}",
        report.warnings
    );
}

#[tokio::test]
async fn a_missing_library_is_named_and_costs_only_its_frames() {
    if !has_tools() {
        return;
    }
    let mut modules = Built::get().modules();
    (modules[1].executable, modules[1].debuginfo) = (None, None);
    let report = debug("0", &modules, SandboxLimits::default()).await.unwrap();
    assert_eq!(report.threads.len(), 3);
    let missing = GdbWarning::MissingFile(modules[1].path.clone());
    assert!(report.warnings.contains(&missing), "{:?}", report.warnings);
    assert_eq!(report.threads[0].frames[0].function, None);
    // Nothing tells gdb how to get out of code without a file.
    assert_eq!(report.threads[0].frames[1].trust, Trust::Scan, "{}", report.text);
}

#[tokio::test]
async fn debug_information_of_another_build_is_not_used() {
    if !has_tools() {
        return;
    }
    let mut modules = Built::get().modules();
    // What the cache never gives: debug information under a build-id that is not its own.
    modules[1].debuginfo = Some(Built::get().path("other.so.1"));
    let report = debug("0", &modules, SandboxLimits::default()).await.unwrap();
    assert_eq!(report.threads[0].frames[0].line, None, "{}", report.text);
}

#[tokio::test]
async fn supplementary_debug_information_is_found() {
    if !has_tools() || block_on_anywhere("dwz").is_none() {
        println!("skipped: dwz is missing");
        return;
    }
    let built = Built::get();
    let dir = tempfile::tempdir().unwrap();
    for name in ["prog.debug", "libcrash.so.1.debug"] {
        fs::copy(built.path(name), dir.path().join(name)).unwrap();
    }
    shell(dir.path(), "dwz -m common -M /nowhere/common prog.debug libcrash.so.1.debug");
    let mut modules = built.modules();
    for (module, name) in modules.iter_mut().zip(["prog.debug", "libcrash.so.1.debug"]) {
        module.debuginfo = Some(dir.path().join(name));
    }
    let without = debug("0", &modules, SandboxLimits::default()).await.unwrap();
    let is_missing = |warning: &GdbWarning| matches!(warning, GdbWarning::MissingSupplementary(_));
    assert!(without.warnings.iter().any(is_missing), "{:?}", without.warnings);
    modules[0].supplementary = Some(dir.path().join("common"));
    let with = debug("0", &modules, SandboxLimits::default()).await.unwrap();
    assert_eq!(with.warnings, []);
    assert_eq!(with.threads[0].frames[0].line, Some(7), "{}", with.text);
    assert_eq!(value(&with.threads[0].frames[0].locals, "s"), Some("0x0"));
}

#[tokio::test]
async fn random_bytes_are_no_core() {
    if !has_tools() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let sysroot = Sysroot::build(&dir.path().join("sysroot"), &[]).unwrap();
    let core = dir.path().join("core");
    let elf_like = [b"\x7fELF\x02\x01\x01".to_vec(), vec![0xff; 5000]].concat();
    for bytes in [b"random".to_vec(), Vec::new(), elf_like] {
        fs::write(&core, &bytes).unwrap();
        let error = backtrace(&request(&core, &sysroot, dir.path(), "/usr/bin/x")).await.unwrap_err();
        assert!(matches!(error, ChrootError::Unreadable { .. }), "{error:?}");
        assert!(!error.to_string().contains(".retrace"), "{error}");
    }
}

#[tokio::test]
async fn a_truncated_core_gives_what_is_left_or_a_clear_error() {
    if !has_tools() {
        return;
    }
    let dir = crash("0");
    let sysroot = Sysroot::build(&dir.path().join("sysroot"), &Built::get().modules()).unwrap();
    let whole = dir.path().join("core");
    let size = fs::metadata(&whole).unwrap().len();
    let cut = dir.path().join("cut");
    fs::copy(&whole, &cut).unwrap();
    for eighths in (0..8).rev() {
        fs::File::options().write(true).open(&cut).unwrap().set_len(size / 8 * eighths + 700).unwrap();
        match backtrace(&request(&cut, &sysroot, dir.path(), "/usr/bin/x")).await {
            Ok(report) => assert!(
                report.warnings.iter().any(|warning| matches!(warning, GdbWarning::TruncatedCore(_))),
                "{eighths}/8: {:?}",
                report.warnings
            ),
            Err(error) => assert!(matches!(error, ChrootError::Unreadable { .. }), "{eighths}/8: {error:?}"),
        }
    }
}

#[tokio::test]
async fn a_deep_recursion_is_cut_at_the_limit() {
    if !has_tools() {
        return;
    }
    let limits = SandboxLimits { max_frames_per_thread: 100, max_frames: 103, ..SandboxLimits::default() };
    let report = debug("20000", &Built::get().modules(), limits).await.unwrap();
    assert!(report.truncated && report.threads[0].truncated);
    assert_eq!(report.threads[0].frames.len(), 100);
    assert_eq!(report.threads.iter().map(|thread| thread.frames.len()).sum::<usize>(), 103);
    assert_eq!(report.threads[0].stop_reason, None);
}

#[tokio::test]
async fn a_debugger_that_cannot_do_it_is_named() {
    if !has_tools() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let sysroot = Sysroot::build(&dir.path().join("sysroot"), &[]).unwrap();
    let core = dir.path().join("core");
    fs::write(&core, "x").unwrap();
    let fake = dir.path().join("bin/gdb");
    fs::create_dir(dir.path().join("bin")).unwrap();
    fs::write(&fake, "#!/bin/sh\necho 'Python scripting is not supported in this copy of GDB.' >&2\n").unwrap();
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
    let with_gdb = |gdb| GdbRequest { gdb, ..request(&core, &sysroot, dir.path(), "/usr/bin/x") };
    let error = backtrace(&with_gdb(&fake)).await.unwrap_err();
    assert!(matches!(error, ChrootError::NoPython { .. }), "{error:?}");
    let error = backtrace(&with_gdb(Path::new("no-such-gdb"))).await.unwrap_err();
    assert!(matches!(error, ChrootError::NoGdb { .. }), "{error:?}");
}

/// Runs a program in the sandbox of the debugger.
async fn in_sandbox(script: &str, limits: SandboxLimits) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let shown = dir.path().join("shown");
    fs::create_dir(&shown).unwrap();
    fs::set_permissions(&shown, fs::Permissions::from_mode(0o777)).unwrap();
    let sandbox = Sandbox {
        program: Path::new("/bin/sh"),
        args: ["-c".into(), script.into()].to_vec(),
        variables: Vec::new(),
        shown: vec![(shown.clone(), "/.retrace/shown".into())],
        network: false,
        limits: &limits,
    };
    let output = capture(&sandbox.invocation().await.unwrap()).await.unwrap();
    assert_eq!(fs::read_dir(&shown).unwrap().count(), 0, "the sandbox wrote to the host");
    output
}

#[tokio::test]
async fn the_sandbox_has_no_network_and_writes_nothing_outside() {
    if !has_tools() {
        return;
    }
    let script = r#"
        cat /proc/net/dev | tail -n +3 | cut -d: -f1
        for place in / /usr /usr/bin /etc /dev /dev/shm /usr/lib/debug /proc /sys /.retrace /.retrace/shown /home /var /root; do
            touch $place/mark 2>/dev/null && echo "wrote to $place"
        done
        ls /home /root /var /etc/shadow /run 2>/dev/null
        ls /proc | grep -c '^[0-9]'
        env | grep -v -e ^PATH -e ^LC_ALL -e ^HOME -e ^MALLOC -e ^PWD -e ^OLDPWD
        touch /tmp/fine && echo fine
        grep -h -e CapEff -e NoNewPrivs /proc/self/status
    "#;
    let output = in_sandbox(script, SandboxLimits::default()).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(lines[0], "lo", "{text}");
    assert!(lines[1].parse::<u32>().unwrap() < 8, "processes of the host are visible: {text}");
    assert_eq!(lines[2..4], ["fine", "CapEff:\t0000000000000000"], "{text}");
    let connect = "exec 3<>/dev/tcp/127.0.0.1/22 || exec bash -c 'exec 3<>/dev/udp/8.8.8.8/53 && echo hi >&3'";
    let output = in_sandbox(&format!("bash -c \"{connect}\""), SandboxLimits::default()).await;
    assert!(!output.is_success(), "{output:?}");
}

#[tokio::test]
async fn the_sandbox_bounds_memory_files_and_time() {
    if !has_tools() {
        return;
    }
    let limits = SandboxLimits {
        memory_bytes: 256 << 20,
        file_size_bytes: 1 << 20,
        cpu_seconds: 1,
        wall_time: Duration::from_secs(20),
        ..SandboxLimits::default()
    };
    let script = "head -c 3000000 /dev/zero > /tmp/a; head -c 900000 /dev/zero > /tmp/b; \
                  stat -c %s /tmp/a; python3 -c 'x = bytearray(400 << 20)' 2>&1 | tail -1; du -sm /tmp | cut -f1";
    let output = in_sandbox(script, limits.clone()).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].parse::<u64>().unwrap() <= 1 << 20, "{text}");
    assert!(text.contains("MemoryError"), "{text} {}", output.stderr_tail());
    let output = in_sandbox("while :; do :; done", limits.clone()).await;
    assert!(matches!(output.ending, Ending::Exited(status) if !status.success()), "{output:?}");
    let script = "id -u; n=0; while [ $n -lt 30 ]; do sleep 1 & n=$((n + 1)); done; wait";
    let output = in_sandbox(script, SandboxLimits { processes: 8, ..limits.clone() }).await;
    // The kernel never holds it against user 0.
    assert_eq!(output.stdout.starts_with(b"0\n"), output.is_success(), "{output:?}");
    let limits = SandboxLimits { wall_time: Duration::from_millis(500), ..limits };
    assert_eq!(in_sandbox("sleep 1000", limits).await.ending, Ending::TimedOut);
}

#[tokio::test]
async fn scripts_are_loaded_from_the_sysroot_only_and_stay_in_the_sandbox() {
    if !has_tools() {
        return;
    }
    let dir = crash("0");
    let built = Built::get();
    let sysroot = Sysroot::build(&dir.path().join("sysroot"), &built.modules()).unwrap();
    let hostile = format!(
        "import socket\nfor place in ('/tmp/..', {:?}, '/.retrace/files', '/usr'):\n    try:\n        open(place + '/mark', 'w')\n        print('WROTE', place)\n    except OSError:\n        print('refused')\ntry:\n    socket.create_connection(('127.0.0.1', 22), 1)\n    print('CONNECTED')\nexcept OSError:\n    print('no network')\n",
        dir.path()
    );
    let library = built.path("libcrash.so.1");
    let script = sysroot.root().join(library.strip_prefix("/").unwrap()).with_file_name("libcrash.so.1-gdb.py");
    fs::write(&script, hostile).unwrap();
    let program = built.path("prog");
    let core = dir.path().join("core");
    let report =
        backtrace(&request(&core, &sysroot, &dir.path().join("work"), program.to_str().unwrap())).await.unwrap();
    assert!(report.text.contains("no network") && report.text.contains("refused"), "{}", report.text);
    assert!(!report.text.contains("WROTE") && !report.text.contains("CONNECTED"), "{}", report.text);
    assert!(!dir.path().join("mark").exists());
}

#[tokio::test]
async fn the_time_limit_ends_gdb_and_says_so() {
    if !has_tools() {
        return;
    }
    let limits = SandboxLimits { wall_time: Duration::from_millis(30), ..SandboxLimits::default() };
    let error = debug("0", &Built::get().modules(), limits).await.unwrap_err();
    assert!(matches!(error, ChrootError::TimedOut { .. }), "{error:?}");
}

#[tokio::test]
async fn too_little_memory_is_a_clear_error() {
    if !has_tools() {
        return;
    }
    let limits = SandboxLimits { memory_bytes: 100 << 20, ..SandboxLimits::default() };
    match debug("0", &Built::get().modules(), limits).await {
        Ok(report) => assert!(report.truncated && !report.warnings.is_empty()),
        Err(error) => {
            assert!(matches!(error, ChrootError::GdbFailed { .. } | ChrootError::NoPython { .. }), "{error:?}")
        }
    }
}
