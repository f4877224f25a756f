//! Ends in the way that its argument names.
use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::sync::{Arc, Barrier, Condvar, Mutex, mpsc};

#[derive(Clone, Debug)]
enum Shape {
    Circle { radius: f64 },
    Named(String, u32),
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
enum Level {
    Low = 1,
    High = 9,
}

trait Weigh {
    fn weigh(&self, scale: i64) -> i64;
}

struct Sack<T> {
    inner: Vec<T>,
    label: &'static str,
}

impl<T: Into<i64> + Copy> Weigh for Sack<T> {
    #[inline(never)]
    fn weigh(&self, scale: i64) -> i64 {
        let total: i64 = self.inner.iter().map(|&item| -> i64 { check(item.into(), scale) }).sum();
        total + self.label.len() as i64
    }
}

#[inline(always)]
fn check(item: i64, scale: i64) -> i64 {
    let product = item * scale;
    if product == 30 {
        crash_at(black_box(0), product);
    }
    product
}

#[inline(never)]
fn crash_at(address: usize, value: i64) {
    // The address is not mapped.
    unsafe { std::ptr::write_volatile(address as *mut i64, value) };
}

#[inline(never)]
fn by_segv(scale: i64) -> i64 {
    let sack = Sack { inner: vec![1i32, 2, 3], label: "numbers" };
    let weighed: &dyn Weigh = black_box(&sack);
    weighed.weigh(scale) + 1
}

#[inline(never)]
fn by_panic(index: usize, level: Level) -> u8 {
    let bytes = [1u8, 2, 3];
    let taken = black_box(&bytes[..])[index];
    taken + level as u8
}

#[inline(never)]
fn by_unwrap(shape: Shape, text: &str, wide: u128, character: char) -> i64 {
    let parsed: Result<i64, _> = text.parse::<i64>();
    black_box((&shape, wide, character));
    parsed.expect("a number")
}

#[inline(never)]
fn by_abort(maybe: Option<&u32>, pair: (i8, f32)) -> u32 {
    let map: BTreeMap<u32, &str> = [(1, "one"), (2, "two")].into();
    let mut hashed = HashMap::new();
    hashed.insert("key", 1u64);
    black_box((&map, &hashed, &pair));
    if maybe.is_some() {
        std::process::abort();
    }
    0
}

#[inline(never)]
fn by_overflow(depth: u64) -> u64 {
    let pad = black_box([depth; 64]);
    by_overflow(depth + 1) + pad[3]
}

#[inline(never)]
fn by_closure(limit: u32) -> u32 {
    let mut seen = Vec::new();
    let mut visit = |value: u32| {
        seen.push(value);
        if value == limit {
            crash_at(black_box(0), i64::from(value));
        }
        value * 2
    };
    let doubled: u32 = (0..10).map(&mut visit).filter(|value| value % 3 != 1).sum();
    doubled + seen.len() as u32
}

#[inline(never)]
fn by_generic<F: FnOnce(&str) -> usize, const N: usize>(act: F, words: [&str; N]) -> usize {
    act(words[N - 1]) + N
}

#[inline(never)]
fn by_threads(count: usize) -> usize {
    let state = Arc::new((Mutex::new(0usize), Condvar::new()));
    let barrier = Arc::new(Barrier::new(2));
    let (sender, receiver) = mpsc::channel::<String>();
    let mut threads = Vec::new();
    for id in 0..count {
        let state = Arc::clone(&state);
        threads.push(std::thread::Builder::new().name(format!("worker-{id}")).spawn(move || {
            let mut waiting = state.0.lock().unwrap();
            *waiting += 1;
            while *waiting > 0 {
                waiting = state.1.wait(waiting).unwrap();
            }
        }));
    }
    let other = Arc::clone(&barrier);
    std::thread::spawn(move || other.wait());
    std::thread::spawn(move || receiver.recv());
    while *state.0.lock().unwrap() < count {
        std::thread::yield_now();
    }
    std::thread::sleep(std::time::Duration::from_millis(200));
    let crashed = std::thread::spawn(|| by_segv(10)).join();
    drop(sender);
    usize::from(crashed.is_ok()) + threads.len()
}

fn main() {
    let how = std::env::args().nth(1).unwrap_or_default();
    let count = std::env::args().count() as i64;
    let shapes = [Shape::Circle { radius: 1.5 }, Shape::Named("long enough".to_owned(), 7), Shape::Nothing];
    let shape = shapes[count as usize % 3].clone();
    let sum = match how.as_str() {
        "segv" => by_segv(count * 5),
        "panic" => i64::from(by_panic(count as usize + 5, Level::High)),
        "unwrap" => by_unwrap(shape, "none", 1 << 100, 'ß'),
        "abort" => i64::from(by_abort(Some(&5), (-3, 0.5))),
        "overflow" => by_overflow(count as u64) as i64,
        "closure" => i64::from(by_closure(4)),
        "generic" => {
            let act = |word: &str| by_unwrap(Shape::Nothing, word, 3, 'x') as usize;
            by_generic(act, ["one", "two"]) as i64
        }
        "threads" => by_threads(4) as i64,
        _ => {
            eprintln!("not crashed: {how} {:?}", Level::Low);
            2
        }
    };
    std::process::exit(sum as i32);
}
