//! Numbers as the exposition formats write them: Go's float syntax, and the canonical form of `le` and `quantile`.

use crate::engine::number::g_value;
use crate::model::Millis;

/// What every parser makes of a NaN, so that no exposition can write a stale marker.
pub const PLAIN_NAN: u64 = 0x7ff8_0000_0000_0001;

/// Digits of which every number is held exactly by a float.
const EXACT_DIGITS: usize = 15;

/// A decimal float, or `inf`, `infinity` or `nan` in any case, with a sign or without. `None`: it is none, or out of range.
pub fn float(token: &[u8]) -> Option<f64> {
    if (1..=EXACT_DIGITS).contains(&token.len()) && token.iter().all(u8::is_ascii_digit) {
        let number = token
            .iter()
            .fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
        return Some(number as f64);
    }
    let value: f64 = std::str::from_utf8(token).ok()?.parse().ok()?;
    if value.is_nan() {
        return Some(f64::from_bits(PLAIN_NAN));
    }
    // What is too large for a float is an error in Go, and infinity in Rust.
    let is_word = token.iter().any(|byte| matches!(byte, b'n' | b'N'));
    (value.is_finite() || is_word).then_some(value)
}

/// Whole milliseconds, of any sign.
pub fn millis(token: &[u8]) -> Option<Millis> {
    std::str::from_utf8(token).ok()?.parse().ok()
}

/// OpenMetrics' seconds as milliseconds, cut off towards zero. `None`: no number, or none that is a time.
pub fn seconds(token: &[u8]) -> Option<Millis> {
    let millis = float(token)? * 1000.0;
    (millis.abs() < 9.2e18).then_some(millis as Millis)
}

/// A value of `le` or `quantile` as every scraper stores it: `1` is `1.0`, `1000000` is `1e+06`.
pub fn canonical(value: f64) -> String {
    let mut text = g_value(value);
    if value.is_finite() && !text.contains(['.', 'e']) {
        text.push_str(".0");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_those_of_go() {
        for (token, value) in [
            ("1", 1.0),
            ("-1.5", -1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("1E+3", 1000.0),
            ("+Inf", f64::INFINITY),
            ("-infinity", f64::NEG_INFINITY),
            ("123456789012345678", 123_456_789_012_345_680.0),
        ] {
            assert_eq!(float(token.as_bytes()), Some(value), "{token}");
        }
        assert_eq!(float(b"nan").map(f64::to_bits), Some(PLAIN_NAN));
        assert_eq!(float(b"-NaN").map(f64::to_bits), Some(PLAIN_NAN));
        for token in [
            "", "0x1p3", "0x1F", "1_000", "1e400", "-1e400", "one", "1 ", "\u{0661}", "+",
        ] {
            assert_eq!(float(token.as_bytes()), None, "{token}");
        }
    }

    #[test]
    fn times_are_cut_off_towards_zero() {
        assert_eq!(seconds(b"1.5"), Some(1500));
        assert_eq!(seconds(b"-0.0015"), Some(-1));
        assert_eq!(seconds(b"1700000000.123"), Some(1_700_000_000_123));
        for token in ["NaN", "+Inf", "1e30", "x"] {
            assert_eq!(seconds(token.as_bytes()), None, "{token}");
        }
        assert_eq!(millis(b"-5"), Some(-5));
        assert_eq!(millis(b"2.5"), None);
    }

    #[test]
    fn boundaries_are_written_as_scrapers_do() {
        for (value, text) in [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (100_000.0, "100000.0"),
            (1e6, "1e+06"),
            (2.5e6, "2.5e+06"),
            (1e23, "1e+23"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(canonical(value), text);
        }
    }
}
