//! Values of retrace-types: what is read is written as it was read, and read again as the same value.
#![no_main]

use std::{fmt::Display, str::FromStr};

use libfuzzer_sys::fuzz_target;
use retrace_types::{Architecture, BuildId, DistroId, ReleaseId, Sha256, TaskId, VersionId};
use serde::{Serialize, de::DeserializeOwned};

fn round_trip<T: FromStr + Display + Serialize + DeserializeOwned + PartialEq>(text: &str) {
    let Ok(value) = text.parse::<T>() else { return };
    let written = value.to_string();
    assert!(written.parse::<T>().is_ok_and(|again| again == value), "{text:?} is written as {written:?}");
    let json = serde_json::to_string(&value).expect("plain values");
    assert!(serde_json::from_str::<T>(&json).is_ok_and(|again| again == value), "{text:?} is {json} in JSON");
}

fuzz_target!(|text: &str| {
    round_trip::<Architecture>(text);
    round_trip::<BuildId>(text);
    round_trip::<DistroId>(text);
    round_trip::<ReleaseId>(text);
    round_trip::<Sha256>(text);
    round_trip::<TaskId>(text);
    round_trip::<VersionId>(text);
});
