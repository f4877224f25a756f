//! Numbers as gdb writes them.

/// A binary floating-point format. Source: IEEE 754, and the 80-bit one of the x87.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    exponent_bits: u32,
    /// Without the leading bit where that is implied.
    fraction_bits: u32,
    /// The leading bit is stored (x87).
    explicit: bool,
}

impl Format {
    /// Of a type of this size in bytes; `x87` where 10, 12 and 16 bytes hold 80 bits.
    pub(crate) fn of_size(size: u64, x87: bool) -> Option<Self> {
        let (exponent_bits, fraction_bits, explicit) = match size {
            2 => (5, 10, false),
            4 => (8, 23, false),
            8 => (11, 52, false),
            10 | 12 | 16 if x87 => (15, 64, true),
            16 => (15, 112, false),
            _ => return None,
        };
        Some(Self { exponent_bits, fraction_bits, explicit })
    }

    /// Significant digits that gdb writes: 9 for 4 bytes, 17 for 8.
    fn digits(self) -> usize {
        let bits = self.fraction_bits + u32::from(!self.explicit);
        2 + (bits as usize * 30_103) / 100_000
    }
}

/// The number whose bits are given, as `%g` with all its digits.
pub(crate) fn float(bits: u128, format: Format) -> String {
    let Format { exponent_bits, fraction_bits, explicit } = format;
    let fraction = bits & ((1 << fraction_bits) - 1);
    let exponent = (bits >> fraction_bits) & ((1 << exponent_bits) - 1);
    let sign = if bits >> (fraction_bits + exponent_bits) & 1 == 1 { "-" } else { "" };
    let largest = (1_u128 << exponent_bits) - 1;
    let significant = if explicit { fraction & !(1 << 63) } else { fraction };
    if exponent == largest {
        // gdb shows the leading bit of the x87 with the others.
        return if significant == 0 { format!("{sign}inf") } else { format!("{sign}nan({fraction:#x})") };
    }
    let mantissa = if explicit || exponent == 0 { fraction } else { fraction | 1 << fraction_bits };
    if mantissa == 0 {
        return format!("{sign}0");
    }
    let bias = (1_i32 << (exponent_bits - 1)) - 1;
    let scale = i32::try_from(exponent.max(1)).unwrap_or(0) - bias;
    let fraction_bits = i32::try_from(fraction_bits).unwrap_or(0) - i32::from(explicit);
    format!("{sign}{}", general(mantissa, scale - fraction_bits, format.digits()))
}

/// `mantissa * 2^exponent` with at most `digits` significant digits, as C's `%g`.
fn general(mantissa: u128, exponent: i32, digits: usize) -> String {
    let (number, scale) = decimal(mantissa, exponent);
    let (rounded, carried) = rounded(&number, digits);
    let point = i32::try_from(number.len()).unwrap_or(i32::MAX).saturating_add(scale) - 1 + i32::from(carried);
    let significant = rounded.trim_end_matches('0');
    let (first, rest) = significant.split_at(significant.len().min(1));
    if point < -4 || point >= i32::try_from(digits).unwrap_or(i32::MAX) {
        let dot = if rest.is_empty() { "" } else { "." };
        let sign = if point < 0 { '-' } else { '+' };
        return format!("{first}{dot}{rest}e{sign}{:02}", point.unsigned_abs());
    }
    let Ok(before) = usize::try_from(point + 1) else {
        return format!("0.{}{significant}", "0".repeat(point.unsigned_abs() as usize - 1));
    };
    if before == 0 {
        return format!("0.{significant}");
    }
    if significant.len() <= before {
        return format!("{significant:0<before$}");
    }
    let (whole, fraction) = significant.split_at(before);
    format!("{whole}.{fraction}")
}

/// The exact decimal digits of `mantissa * 2^exponent`, and the power of ten they are multiplied with.
fn decimal(mantissa: u128, exponent: i32) -> (String, i32) {
    const BASE: u64 = 1_000_000_000;
    let mut limbs: Vec<u32> = Vec::new();
    let mut rest = mantissa;
    while rest > 0 {
        limbs.push(u32::try_from(rest % u128::from(BASE)).unwrap_or_default());
        rest /= u128::from(BASE);
    }
    // 2^e for e > 0; for e < 0, 5^-e and the decimal point -e places to the left.
    let (factor, step) = if exponent < 0 { (5_u64, 12) } else { (2_u64, 28) };
    let mut left = exponent.unsigned_abs();
    while left > 0 {
        let power = left.min(step);
        let multiplier = factor.pow(power);
        let mut carry = 0;
        for limb in &mut limbs {
            let product = u64::from(*limb) * multiplier + carry;
            *limb = u32::try_from(product % BASE).unwrap_or_default();
            carry = product / BASE;
        }
        while carry > 0 {
            limbs.push(u32::try_from(carry % BASE).unwrap_or_default());
            carry /= BASE;
        }
        left -= power;
    }
    let digits: String = limbs.iter().rev().map(|limb| format!("{limb:09}")).collect();
    (digits.trim_start_matches('0').to_owned(), exponent.min(0))
}

/// The first `digits` digits, rounded to nearest, ties to even; and whether that made the number one digit longer.
fn rounded(number: &str, digits: usize) -> (String, bool) {
    let (kept, rest) = number.split_at(number.len().min(digits));
    let half = format!("5{}", "0".repeat(rest.len().saturating_sub(1)));
    let is_odd = kept.bytes().last().is_some_and(|digit| digit % 2 == 1);
    let up = !rest.is_empty() && (rest > half.as_str() || (rest == half && is_odd));
    if !up {
        return (kept.to_owned(), false);
    }
    let mut bytes = kept.as_bytes().to_vec();
    for digit in bytes.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return (String::from_utf8(bytes).unwrap_or_default(), false);
        }
        *digit = b'0';
    }
    bytes.insert(0, b'1');
    (String::from_utf8(bytes).unwrap_or_default(), true)
}

/// At most 16 bytes as an integer.
pub(crate) fn integer(bytes: &[u8], signed: bool, big_endian: bool) -> String {
    let fold = |number: u128, byte: &u8| number << 8 | u128::from(*byte);
    let value = if big_endian { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) };
    if !signed {
        return value.to_string();
    }
    let shift = 128_usize.saturating_sub(bytes.len() * 8).min(127);
    ((value << shift).cast_signed() >> shift).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(value: f64) -> String {
        float(value.to_bits().into(), Format::of_size(8, true).unwrap())
    }

    #[test]
    fn floats_have_the_digits_that_gdb_writes() {
        let cases = [
            (1.1, "1.1000000000000001"),
            (2.7, "2.7000000000000002"),
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (100.0, "100"),
            (1e300, "1.0000000000000001e+300"),
            (1e-5, "1.0000000000000001e-05"),
            (0.0001, "0.0001"),
            (0.5, "0.5"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (f64::INFINITY, "inf"),
            (f64::NAN, "nan(0x8000000000000)"),
            (f64::MIN_POSITIVE / 4503599627370496.0, "4.9406564584124654e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (0.99999999999999999, "1"),
            (123456.789, "123456.789"),
        ];
        for (value, want) in cases {
            assert_eq!(double(value), want, "{value:e}");
        }
        let single = |value: f32| float(value.to_bits().into(), Format::of_size(4, true).unwrap());
        assert_eq!(single(1.1), "1.10000002");
        assert_eq!(single(1e10), "1e+10");
        assert_eq!(single(-f32::NAN), "-nan(0x400000)");
        assert_eq!(single(4.2e-45), "4.20389539e-45");
        // 1.1L: sign and exponent 0x3fff, mantissa 0x8ccccccccccccccd.
        let extended = Format::of_size(16, true).unwrap();
        assert_eq!(float(0x3fff_8ccc_cccc_cccc_cccd, extended), "1.10000000000000000002");
        assert_eq!(float(0x7fff_8000_0000_0000_0000, extended), "inf");
    }

    #[test]
    fn any_bits_are_a_number() {
        for size in [2, 4, 8, 10, 16] {
            for x87 in [true, false] {
                let Some(format) = Format::of_size(size, x87) else { continue };
                for bits in [0, 1, u128::MAX, u128::MAX >> 1, 1 << 127, 0x5555 << 60] {
                    assert!(!float(bits, format).is_empty());
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn a_double_can_be_read_back(bits: u64) {
            let value = f64::from_bits(bits);
            let text = double(value);
            if value.is_finite() {
                proptest::prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits);
            }
        }
    }

    #[test]
    fn integers_have_up_to_16_bytes() {
        assert_eq!(integer(&[0xff], true, false), "-1");
        assert_eq!(integer(&[0xff], false, false), "255");
        assert_eq!(integer(&[1, 0], false, true), "256");
        assert_eq!(integer(&[0xff; 16], true, false), "-1");
        assert_eq!(integer(&[0xff; 16], false, false), u128::MAX.to_string());
        assert_eq!(integer(&[], true, false), "0");
    }
}
