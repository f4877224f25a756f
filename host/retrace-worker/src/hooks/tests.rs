use std::time::Instant;

use tempfile::TempDir;

use super::*;
use crate::event::tests::failed_task;

/// None where there is no sandbox and none is required.
fn folder() -> Option<TempDir> {
    if !Path::new("/usr/bin/bwrap").exists() {
        assert!(std::env::var_os("RETRACE_REQUIRE_TOOLS").is_none(), "there is no bwrap: run `make setup`");
        println!("skipped: there is no bwrap");
        return None;
    }
    Some(tempfile::tempdir().unwrap())
}

fn script(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn hook(program: &Path, required: bool) -> Hook {
    let options = HookOptions { required, time_limit: Duration::from_secs(60), ..HookOptions::default() };
    Hook {
        event: HookEvent::Success,
        program: program.to_owned(),
        args: vec!["one".into(), "two words".into()],
        options,
    }
}

async fn run(dir: &TempDir, configured: Vec<Hook>, files: &HookFiles) -> HookReport {
    let hooks = Hooks::new(configured, Some(dir.path().join("hooks")), dir.path().join("work"));
    let report = hooks.run(HookEvent::Success, EventDocument::new("success", &failed_task(1_700_000_000)), files).await;
    assert_eq!(fs::read_dir(dir.path().join("work")).map_or(0, Iterator::count), 0, "a work folder is left");
    report
}

fn said(report: &HookReport) -> Vec<String> {
    let text = |line: &Line| match line {
        Line::Said(text) => text.clone(),
        Line::Wrong(text) => format!("! {text}"),
    };
    report.lines.iter().map(text).collect()
}

#[tokio::test]
async fn a_hook_sees_the_task_and_its_files_and_can_change_nothing() {
    let Some(dir) = folder() else { return };
    let (crash, results) = (dir.path().join("crash"), dir.path().join("results"));
    for (folder, name) in [(&crash, "coredump"), (&results, "backtrace")] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join(name), name).unwrap();
    }
    let program = dir.path().join("bin/look");
    script(
        &program,
        r#"
        echo "$# $1 $2 $RETRACE_EVENT $RETRACE_TASK_ID"
        cat | tr ',' '\n' | grep -e schema -e '"id"' -e results
        ls /retrace/crash /retrace/results
        for place in / /etc /usr /retrace/crash /retrace/results "$0"; do
            ( : > "$place/mark" || : >> "$place" ) 2>/dev/null && echo "wrote to $place"
        done
        echo fine > /tmp/note && cat /tmp/note
        tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '
        test -e /etc/hosts || echo "no hosts"
        "#,
    );
    let files = HookFiles { crash: Some(crash), results: Some(results) };
    let report = run(&dir, vec![hook(&program, true)], &files).await;
    let want = [
        "look: 2 one two words success 123456789",
        "look: {\"schema\":\"retrace-event/1\"",
        "look: \"task\":{\"id\":\"123456789\"",
        "look: \"results\":\"/retrace/results\"}}",
        "look: /retrace/crash:",
        "look: coredump",
        "look: ",
        "look: /retrace/results:",
        "look: backtrace",
        "look: fine",
        "look: lo",
        "look: no hosts",
    ];
    assert_eq!(said(&report), want);
    assert_eq!(report.failure, None);
}

#[tokio::test]
async fn hooks_run_one_after_the_other_by_name_and_a_required_one_ends_the_row() {
    let Some(dir) = folder() else { return };
    let hooks = dir.path().join("hooks/success");
    script(&hooks.join("20-second"), "echo from the folder");
    script(&hooks.join("40-never"), "echo never");
    script(&hooks.join(".hidden"), "echo hidden");
    fs::write(hooks.join("README"), "no hook").unwrap();
    let (first, third) = (dir.path().join("z/10-first"), dir.path().join("a/30-third"));
    script(&first, "echo begun; exit 3");
    script(&third, "echo sorry >&2; exit 4");
    let report = run(&dir, vec![hook(&third, true), hook(&first, false)], &HookFiles::default()).await;
    let (first, third) = (first.display(), third.display());
    let want = [
        "10-first: begun".to_owned(),
        format!("! Hook {first} of success failed: exit status: 3"),
        "20-second: from the folder".to_owned(),
        "! 30-third: sorry".to_owned(),
        format!("! Hook {third} of success failed: exit status: 4"),
    ];
    assert_eq!(said(&report), want);
    assert_eq!(report.failure, Some(format!("the required hook {third} of success failed: exit status: 4")));
}

#[tokio::test]
async fn a_hook_that_hangs_is_ended_with_all_its_children() {
    let Some(dir) = folder() else { return };
    let program = dir.path().join("hang");
    // The number tells these from all other sleeps of the machine.
    let number = 100_000 + std::process::id();
    script(&program, &format!("setsid sleep {number} & (sleep {number} &) ; sleep {number} & echo begun; wait"));
    let mut hook = hook(&program, true);
    hook.options.time_limit = Duration::from_secs(1);
    let start = Instant::now();
    let report = run(&dir, vec![hook], &HookFiles::default()).await;
    assert!(report.failure.unwrap().contains("did not end within 1 s"));
    let alive = || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter(|process| {
                fs::read(process.path().join("cmdline"))
                    .is_ok_and(|line| line == format!("sleep\0{number}\0").as_bytes())
            })
            .count()
    };
    while alive() > 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "{} children are alive", alive());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn output_is_bounded() {
    let Some(dir) = folder() else { return };
    let program = dir.path().join("talk");
    script(&program, "yes word | head -n 100000; head -c 1000000 /dev/zero | tr '\\0' x >&2");
    let report = run(&dir, vec![hook(&program, true)], &HookFiles::default()).await;
    assert_eq!(report.failure, None);
    assert_eq!(report.lines.len(), MAX_OUTPUT_LINES + 2);
    assert!(said(&report).iter().all(|line| line.len() < MAX_LINE_CHARS + 20));
}

#[tokio::test]
async fn a_program_that_others_may_write_is_not_run() {
    let Some(dir) = folder() else { return };
    let program = dir.path().join("open");
    script(&program, "echo run");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o777)).unwrap();
    for (program, why) in
        [(program, "others may write it"), (dir.path().join("absent"), "no such file"), ("x".into(), "absolute")]
    {
        let report = run(&dir, vec![hook(&program, true)], &HookFiles::default()).await;
        assert!(said(&report).len() == 1 && said(&report)[0].contains(why), "{report:?}");
        assert!(report.failure.unwrap().contains("cannot be run"));
        let hooks = Hooks::new(vec![hook(&program, false)], None, dir.path().to_owned());
        assert_eq!(hooks.problems().len(), 1);
    }
}

#[test]
fn a_folder_that_is_no_event_is_told() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["success", "sucess"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    let hooks = Hooks::new(Vec::new(), Some(dir.path().to_owned()), dir.path().to_owned());
    assert!(hooks.problems().len() == 1 && hooks.problems()[0].contains("sucess"), "{:?}", hooks.problems());
}

#[test]
fn names_are_the_same_in_configuration_and_folders() {
    for event in HookEvent::ALL {
        assert_eq!(serde_json::to_value(event).unwrap(), event.as_str());
    }
}
