use super::*;
use crate::config::Config;

/// Every option of the predecessor, with values of a site.
const FULL: &str = include_str!("tests/full.conf");
const HOOKS: &str = include_str!("tests/hooks.conf");

fn converted(text: &str) -> Converted {
    convert(&ini::parse(text).unwrap())
}

fn config(text: &str) -> Config {
    Config::parse(text, &BTreeMap::new()).unwrap_or_else(|error| panic!("{error:#}\n{text}"))
}

#[test]
fn a_full_configuration_is_converted_and_the_rest_is_told() {
    let converted = converted(&format!("{FULL}\n{HOOKS}"));
    insta::assert_snapshot!("full_toml", converted.text);
    insta::assert_snapshot!("full_remarks", converted.remarks.join("\n"));
    let config = config(&converted.text);
    assert_eq!((config.server.max_parallel_tasks, config.gc.delete_task_after), (12, 240));
    assert_eq!(config.hooks.len(), 2);
}

#[test]
fn each_option_is_either_a_key_that_exists_or_told_with_a_reason() {
    for option in OPTIONS.iter().filter(|option| !option.name.starts_with('[')) {
        let value = match option.becomes {
            Becomes::Key(_, Value::Switch) => "on",
            Becomes::Key(_, Value::Sender) => "retrace@example.org",
            _ => "7",
        };
        let converted = converted(&format!("[retrace]\n{} = {value}", option.name.to_ascii_uppercase()));
        match option.becomes {
            Becomes::Key(key, _) => {
                assert_eq!(converted.remarks, Vec::<String>::new());
                assert!(
                    converted.text.contains(&format!("{} = ", key.rsplit('.').next().unwrap())),
                    "{}",
                    converted.text
                );
                config(&converted.text);
            }
            Becomes::Nothing => {
                assert!(converted.remarks.len() == 1 && !option.note.is_empty(), "{}", option.name);
                assert!(converted.remarks[0].starts_with("no counterpart"), "{:?}", converted.remarks);
            }
        }
    }
}

#[test]
fn values_are_read_as_the_predecessor_reads_them() {
    let text = "[retrace]\nDeleteTaskAfter = -5\nRequireHTTPS = Yes\nMaxPackedSize = 9\nmaxpackedsize = 50\nDropDir = /srv/\"a b\"";
    let config = config(&converted(text).text);
    assert_eq!((config.gc.delete_task_after, config.server.require_https), (0, true));
    assert_eq!((config.server.max_packed_size_mib, config.gc.archive_dir), (50, PathBuf::from("/srv/\"a b\"")));

    let wrong = converted("[retrace]\nMaxPackedSize = many\nRequireHTTPS = maybe\nNoSuchThing = 1");
    assert_eq!(wrong.remarks.len(), 3, "{:?}", wrong.remarks);
    assert!(wrong.remarks[2].starts_with("unknown option: NoSuchThing"), "{:?}", wrong.remarks);
    assert!(!wrong.text.contains("max_packed"));
}

#[test]
fn a_password_is_not_shown() {
    assert!(!converted("[retrace]\nFTPPass = geheim").remarks[0].contains("geheim"));
}
