//! Floats as Prometheus prints them: the shortest digits that read back as the same float.

/// A sample value in an answer: plain decimal, exponent form below 1e-6 and from 1e21 on.
pub fn write_value(value: f64, out: &mut Vec<u8>) {
    if write_special(value, out) || write_integer(value, out) || write_thousandths(value, out) {
        return;
    }
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value);
    let magnitude = value.abs();
    if (1e-5..1e16).contains(&magnitude) {
        // Here ryu writes no exponent, and a point even where nothing follows it.
        out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
    } else if (1e-6..1e21).contains(&magnitude) {
        Digits::of(text).write_plain(out);
    } else {
        Digits::of(text).write_exponent(out);
    }
}

/// A scalar result or a `count_values` label: always plain decimal.
pub fn write_plain(value: f64, out: &mut Vec<u8>) {
    if write_special(value, out) || write_integer(value, out) {
        return;
    }
    let mut buffer = ryu::Buffer::new();
    Digits::of(buffer.format_finite(value)).write_plain(out);
}

/// As [`write_value`].
pub fn api_value(value: f64) -> String {
    text(|out| write_value(value, out))
}

/// As [`write_plain`].
pub fn plain_value(value: f64) -> String {
    text(|out| write_plain(value, out))
}

/// As Go's `%g`, in texts of annotations and errors: exponent form below 1e-4 and from 1e6 on.
pub fn g_value(value: f64) -> String {
    text(|out| {
        if write_special(value, out) || value == 0.0 && write_integer(value, out) {
            return;
        }
        let mut buffer = ryu::Buffer::new();
        Digits::of(buffer.format_finite(value)).write_general(6, out);
    })
}

/// As Go's `%.2g`.
pub fn g2_value(value: f64) -> String {
    text(|out| {
        if write_special(value, out) || value == 0.0 && write_integer(value, out) {
            return;
        }
        Digits::of(&format!("{value:.1e}")).write_general(2, out);
    })
}

/// All that is written here is ASCII.
fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::with_capacity(24);
    write(&mut out);
    String::from_utf8(out).unwrap_or_default()
}

fn write_special(value: f64, out: &mut Vec<u8>) -> bool {
    if value.is_finite() {
        return false;
    }
    let text = if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "+Inf"
    } else {
        "-Inf"
    };
    out.extend_from_slice(text.as_bytes());
    true
}

/// Integers that a float holds exactly, which are most of what counters hold.
#[inline]
fn write_integer(value: f64, out: &mut Vec<u8>) -> bool {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    // A conversion there and back is one instruction each; `trunc` is a call on processors of the oldest kind.
    if value.abs() >= EXACT || (value as i64) as f64 != value {
        return false;
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    write_u64(value.abs() as u64, out);
    true
}

/// Values with at most three decimals and fifteen digits. No two such decimals are the same float, so what reads back is
/// also the shortest.
#[inline]
fn write_thousandths(value: f64, out: &mut Vec<u8>) -> bool {
    let scaled = value.abs() * 1000.0 + 0.5;
    if scaled >= 1e15 || (scaled as u64) as f64 / 1000.0 != value.abs() {
        return false;
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let scaled = scaled as u64;
    write_u64(scaled / 1000, out);
    let thousandths = scaled % 1000;
    let decimals = [thousandths / 100, thousandths / 10 % 10, thousandths % 10].map(|d| b'0' + d as u8);
    let shown = 3 - decimals.iter().rev().take_while(|&&d| d == b'0').count();
    out.push(b'.');
    out.extend_from_slice(&decimals[..shown]);
    true
}

/// Two digits at a time.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut i = 0;
    while i < 100 {
        pairs[i] = [b'0' + (i / 10) as u8, b'0' + (i % 10) as u8];
        i += 1;
    }
    pairs
};

pub fn write_u64(value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value;
    while rest >= 100 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[(rest % 100) as usize]);
        rest /= 100;
    }
    if rest >= 10 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[rest as usize]);
    } else {
        at -= 1;
        digits[at] = b'0' + rest as u8;
    }
    out.extend_from_slice(&digits[at..]);
}

/// The digits of a float without leading or trailing zeros, and where its point stands.
struct Digits {
    negative: bool,
    buffer: [u8; 24],
    len: usize,
    /// Digits before the point; negative or beyond `len` means zeros between.
    point: i32,
}

impl Digits {
    /// Of a finite, non-zero number like `-12.5`, `0.001` or `1.25e-7`.
    fn of(text: &str) -> Self {
        let mut parsed = Self {
            negative: false,
            buffer: [0; 24],
            len: 0,
            point: 0,
        };
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let mut seen_point = false;
        for byte in mantissa.bytes() {
            match byte {
                b'-' => parsed.negative = true,
                b'.' => seen_point = true,
                b'0' if parsed.len == 0 => parsed.point -= i32::from(seen_point),
                digit => {
                    if parsed.len < parsed.buffer.len() {
                        parsed.buffer[parsed.len] = digit;
                        parsed.len += 1;
                    }
                    parsed.point += i32::from(!seen_point);
                }
            }
        }
        while parsed.len > 1 && parsed.buffer[parsed.len - 1] == b'0' {
            parsed.len -= 1;
        }
        parsed.point += exponent.parse::<i32>().unwrap_or(0);
        parsed
    }

    fn digits(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    fn write_sign(&self, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
    }

    fn write_plain(&self, out: &mut Vec<u8>) {
        self.write_sign(out);
        let digits = self.digits();
        if self.point <= 0 {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + self.point.unsigned_abs() as usize, b'0');
            out.extend_from_slice(digits);
        } else if self.point as usize >= digits.len() {
            out.extend_from_slice(digits);
            out.resize(out.len() + self.point as usize - digits.len(), b'0');
        } else {
            let (whole, part) = digits.split_at(self.point as usize);
            out.extend_from_slice(whole);
            out.push(b'.');
            out.extend_from_slice(part);
        }
    }

    fn write_exponent(&self, out: &mut Vec<u8>) {
        self.write_sign(out);
        let digits = self.digits();
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        let exponent = self.point - 1;
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.abs() < 10 {
            out.push(b'0');
        }
        write_u64(u64::from(exponent.unsigned_abs()), out);
    }

    /// Exponent form where the exponent is below -4 or not below `precision`.
    fn write_general(&self, precision: i32, out: &mut Vec<u8>) {
        let exponent = self.point - 1;
        if exponent < -4 || exponent >= precision {
            self.write_exponent(out);
        } else {
            self.write_plain(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_look_as_in_prometheus() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (0.05, "0.05"),
            (100.0, "100"),
            (123_456.789, "123456.789"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.25e21, "1.25e+21"),
            (1e-6, "0.000001"),
            (1.5e-6, "0.0000015"),
            (9.5e-7, "9.5e-07"),
            (1e-7, "1e-07"),
            (-1e-100, "-1e-100"),
            (1.0 / 3.0, "0.3333333333333333"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (1.234_567_890_123_456_8e16, "12345678901234568"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(api_value(value), expected);
        }
    }

    #[test]
    fn plain_never_has_an_exponent() {
        assert_eq!(plain_value(1e21), "1000000000000000000000");
        assert_eq!(plain_value(-2.5e-9), "-0.0000000025");
        assert_eq!(plain_value(0.5), "0.5");
    }

    #[test]
    fn general_form_switches_as_in_go() {
        for (value, expected) in [
            (2.0, "2"),
            (123_456.0, "123456"),
            (1e6, "1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-0.5, "-0.5"),
            (f64::INFINITY, "+Inf"),
            (0.0, "0"),
        ] {
            assert_eq!(g_value(value), expected);
        }
        for (value, expected) in [
            (5.0, "5"),
            (12.34, "12"),
            (123.0, "1.2e+02"),
            (0.256, "0.26"),
            (10.0, "10"),
        ] {
            assert_eq!(g2_value(value), expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn digits_read_back_and_are_no_longer_than_rusts(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let text = api_value(value);
            prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits);
            prop_assert_eq!(plain_value(value).parse::<f64>().unwrap().to_bits(), bits);
            let count = |text: &str| {
                let mantissa = text.split('e').next().unwrap_or("");
                let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
                digits.trim_matches('0').len()
            };
            prop_assert_eq!(count(&text), count(&format!("{value:e}")));
        }

        #[test]
        fn decimals_are_written_as_they_were_typed(whole in 0_u64..1_000_000_000, part in 0_u32..10_000) {
            let typed = format!("{whole}.{part:04}");
            let value: f64 = typed.parse().unwrap();
            let shown = if part == 0 { whole.to_string() } else { typed.trim_end_matches('0').to_owned() };
            prop_assert_eq!(api_value(value), shown);
        }
    }
}
