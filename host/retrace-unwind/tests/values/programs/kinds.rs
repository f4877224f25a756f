use std::collections::HashMap;
#[derive(Debug, Clone, Copy)]
struct Point { x: i32, y: f64 }
struct Tup(i32, u8);
struct Unit;
enum Shape { Circle(f64), Rect { w: u32, h: u32 }, Nothing }
#[derive(Clone, Copy)]
enum Color { Red, Green = 5 }
union U { a: u32, b: f32 }
#[inline(never)]
fn test(n: usize, s: &str, v: &[i32], p: &Point, o: Option<i32>, on: Option<i32>, ob: Option<&Point>, obn: Option<Box<Point>>) -> i32 {
    let string = String::from("owned"); let vec = vec![1u16, 2, 3]; let bx = Box::new(Point { x: 1, y: 2.5 });
    let tup = (1, 'c', true); let t2 = Tup(3, 65); let unit = (); let us = Unit; let c = 'é'; let arr = [1u8; 12]; let a2 = [[1, 2], [3, 4]];
    let shape = Shape::Circle(1.5); let rect = Shape::Rect { w: 2, h: 3 }; let no = Shape::Nothing; let col = Color::Green;
    let f = 1.5f32; let i: i128 = -1; let u8v = 200u8; let i8v = -3i8; let r: Result<i32, String> = Err("bad".to_string());
    let fnp: fn(i32) -> i32 = helper; let un = U { a: 7 }; let ptr = &string as *const String; let pm = p as *const Point; let rr = &bx;
    let d: Box<dyn std::fmt::Debug> = Box::new(5); let bs = b"bytes"; let bsl: &[u8] = b"slice"; let m: HashMap<i32,i32> = HashMap::new();
    let k = n + 1; let cl = |x: i32| x + n as i32; let st: &'static str = "static"; let ch = [ 'a', 'b' ]; let mutr = &mut { 5 };
    unsafe { std::ptr::write_volatile(8 as *mut i32, 5) };
    cl(k as i32) + fnp(1) + vec.len() as i32 + (tup.0) + t2.0 + arr[0] as i32 + i as i32 + *mutr
}
fn helper(x: i32) -> i32 { x }
fn main() { let p = Point { x: 3, y: 4.0 }; let v = vec![1, 2, 3]; std::process::exit(test(5, "hello", &v, &p, Some(4), None, Some(&p), None)); }
