use std::io;

use quick_xml::{
    Writer,
    events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event},
};

use super::report::{CheckResult, Level, Report, Status};

/// The report as JUnit XML, as CI systems read it: one test case for each check. A check below `must` that does not hold
/// is a skipped case with its message, for most readers stop at any failure.
///
/// # Errors
/// The writer's; memory has none.
pub(super) fn junit(report: &Report) -> io::Result<String> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let summary = &report.summary;
    let name = format!("retrace plugin {}", report.plugin.id.as_deref().unwrap_or("(unknown)"));
    let skipped = summary.skipped.saturating_add(summary.should.fail).saturating_add(summary.info.fail);
    let mut suite = BytesStart::new("testsuite");
    suite.push_attribute(("name", text(&name).as_str()));
    suite.push_attribute(("tests", report.checks.len().to_string().as_str()));
    suite.push_attribute(("failures", summary.must.fail.to_string().as_str()));
    suite.push_attribute(("errors", "0"));
    suite.push_attribute(("skipped", skipped.to_string().as_str()));
    let total = report.checks.iter().map(|check| check.duration_us).fold(0, u64::saturating_add);
    suite.push_attribute(("time", seconds(total).as_str()));
    writer.write_event(Event::Start(suite))?;
    for check in &report.checks {
        case(&mut writer, report, check)?;
    }
    writer.write_event(Event::End(BytesEnd::new("testsuite")))?;
    let mut xml = String::from_utf8(writer.into_inner()).map_err(io::Error::other)?;
    xml.push('\n');
    Ok(xml)
}

fn case(writer: &mut Writer<Vec<u8>>, report: &Report, check: &CheckResult) -> io::Result<()> {
    let mut case = BytesStart::new("testcase");
    let class = format!("retrace.{}", report.plugin.id.as_deref().unwrap_or("unknown"));
    case.push_attribute(("classname", text(&class).as_str()));
    case.push_attribute(("name", text(&format!("{} {}", check.id, check.title)).as_str()));
    case.push_attribute(("time", seconds(check.duration_us).as_str()));
    let message = text(check.message.as_deref().unwrap_or_default());
    let kind = match (check.status, check.level) {
        (Status::Pass, _) => return writer.write_event(Event::Empty(case)),
        (Status::Fail, Level::Must) => "failure",
        (Status::Fail, Level::Should | Level::Info) | (Status::Skip, _) => "skipped",
    };
    writer.write_event(Event::Start(case))?;
    let mut outcome = BytesStart::new(kind);
    outcome.push_attribute(("message", message.as_str()));
    writer.write_event(Event::Start(outcome))?;
    let details: Vec<String> = [("input", &check.input), ("rerun", &check.rerun)]
        .into_iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}: {value}")))
        .collect();
    writer.write_event(Event::Text(BytesText::new(&text(&details.join("\n")))))?;
    writer.write_event(Event::End(BytesEnd::new(kind)))?;
    writer.write_event(Event::End(BytesEnd::new("testcase")))
}

/// Without the characters that XML 1.0 cannot hold, not even escaped.
fn text(value: &str) -> String {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..) && !matches!(c, '\u{fffe}' | '\u{ffff}');
    value.chars().map(|c| if allowed(c) { c } else { '\u{fffd}' }).collect()
}

fn seconds(duration_us: u64) -> String {
    format!("{}.{:06}", duration_us / 1_000_000, duration_us % 1_000_000)
}
