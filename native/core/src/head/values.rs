//! A light value codec for what the head holds: blocks of [`BLOCK`] values, each decodable by itself, always bit-exact.
//!
//! The blocks of the store use heavier codecs that look at hundreds of values. Here a value costs a few nanoseconds each way,
//! and a reader that wants the last five minutes of two hours decodes only the blocks it needs.
//!
//! ```text
//! block    = kind·16 + exponent (1 byte), then by kind; at the end the length of all that (1 byte), to find the block from behind
//! constant   bits (8 bytes)
//! offsets    width (1), least (varint), BLOCK × width bits
//! deltas     width (1), first (varint), least difference (varint), (BLOCK - 1) × width bits
//! xor        width (1), trailing zeros (1), first (8), (BLOCK - 1) × width bits
//! raw        BLOCK × 8 bytes
//! ```
//! `offsets` and `deltas` hold value × 10^exponent as integers; varints are zigzag.

/// Values per block.
pub const BLOCK: usize = 16;

const CONSTANT: u8 = 0;
const OFFSETS: u8 = 1;
const DELTAS: u8 = 2;
const XOR: u8 = 3;
const RAW: u8 = 4;

const POWERS: [f64; 13] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12];

/// Adding 1.5 · 2^52 leaves an integer of up to 51 bits in the mantissa: rounding and conversion without a branch.
const SHIFT: f64 = 6_755_399_441_055_744.0;
const SHIFT_BITS: i64 = SHIFT.to_bits() as i64;
const INTEGER_LIMIT: f64 = 1_125_899_906_842_624.0; // 2^50

/// Widths above this may not be read by one 8-byte load at any bit position.
const WIDEST: u32 = 56;

/// Room for the packed bits of one block, plus the slack of 8-byte loads and stores.
const PACKED: usize = BLOCK * 7 + 8;

/// Appends one block. `exponent` is a hint that follows the series: the last number of decimal places that worked.
pub fn encode(values: &[f64; BLOCK], exponent: &mut u8, out: &mut Vec<u8>) {
    let start = out.len();
    let first = values[0].to_bits();
    if values.iter().all(|v| v.to_bits() == first) {
        encode_constant(values[0], exponent, out);
    } else {
        match to_integers(values, exponent) {
            Some(integers) => encode_integers(&integers, *exponent, out),
            None => encode_xor(values, out),
        }
    }
    out.push((out.len() - start) as u8);
}

fn encode_constant(value: f64, exponent: &mut u8, out: &mut Vec<u8>) {
    match to_integers(&[value; BLOCK], exponent) {
        Some(integers) if integers[0].unsigned_abs() < 1 << 40 => {
            out.extend([OFFSETS << 4 | *exponent, 0]);
            put_varint(integers[0], out);
        }
        _ => {
            out.push(CONSTANT << 4);
            out.extend(value.to_bits().to_le_bytes());
        }
    }
}

fn encode_integers(integers: &[i64; BLOCK], exponent: u8, out: &mut Vec<u8>) {
    let (mut least, mut most) = (integers[0], integers[0]);
    let (mut least_step, mut most_step) = (i64::MAX, i64::MIN);
    for pair in integers.windows(2) {
        least = least.min(pair[1]);
        most = most.max(pair[1]);
        let step = pair[1] - pair[0];
        least_step = least_step.min(step);
        most_step = most_step.max(step);
    }
    let width = bits(most.abs_diff(least));
    let step_width = bits(most_step.abs_diff(least_step));
    // A second varint and fifteen values against sixteen: deltas must save two bytes to be worth it.
    if step_width * (BLOCK as u32 - 1) + 16 < width * BLOCK as u32 {
        out.extend([DELTAS << 4 | exponent, step_width as u8]);
        put_varint(integers[0], out);
        put_varint(least_step, out);
        let steps: [u64; BLOCK - 1] =
            std::array::from_fn(|i| (integers[i + 1] - integers[i]).abs_diff(least_step));
        pack(&steps, step_width, out);
    } else {
        out.extend([OFFSETS << 4 | exponent, width as u8]);
        put_varint(least, out);
        let offsets: [u64; BLOCK] = std::array::from_fn(|i| integers[i].abs_diff(least));
        pack(&offsets, width, out);
    }
}

fn encode_xor(values: &[f64; BLOCK], out: &mut Vec<u8>) {
    let xors: [u64; BLOCK - 1] = std::array::from_fn(|i| values[i + 1].to_bits() ^ values[i].to_bits());
    let all = xors.iter().fold(0, |all, x| all | x);
    let trailing = all.trailing_zeros();
    let width = bits(all >> trailing.min(63));
    if width > WIDEST {
        out.push(RAW << 4);
        for value in values {
            out.extend(value.to_bits().to_le_bytes());
        }
        return;
    }
    out.extend([XOR << 4, width as u8, trailing as u8]);
    out.extend(values[0].to_bits().to_le_bytes());
    pack(&xors.map(|x| x >> trailing), width, out);
}

/// The values as integers after a decimal shift that gives every value back exactly.
fn to_integers(values: &[f64; BLOCK], exponent: &mut u8) -> Option<[i64; BLOCK]> {
    let mut places = usize::from(*exponent);
    while let Some(&power) = POWERS.get(places) {
        let mut integers = [0_i64; BLOCK];
        let mut wrong = false;
        for (integer, &value) in integers.iter_mut().zip(values) {
            let scaled = value * power;
            let shifted = scaled + SHIFT;
            *integer = (shifted.to_bits() as i64).wrapping_sub(SHIFT_BITS);
            let back = (shifted - SHIFT) / power;
            // A NaN fails the bit comparison or the range check, and so does a negative zero.
            let fits = scaled.abs() < INTEGER_LIMIT;
            wrong |= back.to_bits() != value.to_bits() || !fits;
        }
        if !wrong {
            *exponent = places as u8;
            return Some(integers);
        }
        // Let the first value that fails say how many places it needs, instead of trying all sixteen each time.
        let stubborn = values.iter().find(|&&v| !is_exact(v, power))?;
        places = (places + 1..POWERS.len()).find(|&p| is_exact(*stubborn, POWERS[p]))?;
    }
    None
}

fn is_exact(value: f64, power: f64) -> bool {
    let scaled = value * power;
    let back = ((scaled + SHIFT) - SHIFT) / power;
    back.to_bits() == value.to_bits() && scaled.abs() < INTEGER_LIMIT
}

/// Decodes the block at the start of `bytes` into `out` and returns its length; `None` if it is cut short.
pub fn decode(bytes: &[u8], out: &mut [f64; BLOCK]) -> Option<usize> {
    let (&head, rest) = bytes.split_first()?;
    let power = *POWERS.get(usize::from(head & 15))?;
    let mut reader = Reader { bytes: rest };
    match head >> 4 {
        CONSTANT => {
            out.fill(f64::from_bits(reader.word()?));
        }
        OFFSETS => {
            let width = reader.width()?;
            let least = reader.varint()?;
            let mut offsets = [0; BLOCK];
            reader.unpack(width, &mut offsets)?;
            for (value, offset) in out.iter_mut().zip(offsets) {
                *value = to_float(least.wrapping_add(offset as i64)) / power;
            }
        }
        DELTAS => {
            let width = reader.width()?;
            let mut integer = reader.varint()?;
            let least = reader.varint()?;
            let mut steps = [0; BLOCK - 1];
            reader.unpack(width, &mut steps)?;
            let mut integers = [integer; BLOCK];
            for (slot, step) in integers[1..].iter_mut().zip(steps) {
                integer = integer.wrapping_add(least).wrapping_add(step as i64);
                *slot = integer;
            }
            for (value, integer) in out.iter_mut().zip(integers) {
                *value = to_float(integer) / power;
            }
        }
        XOR => {
            let width = reader.width()?;
            let trailing = u32::from(reader.byte()?).min(63);
            let mut word = reader.word()?;
            let mut xors = [0; BLOCK - 1];
            reader.unpack(width, &mut xors)?;
            out[0] = f64::from_bits(word);
            for (value, xor) in out[1..].iter_mut().zip(xors) {
                word ^= xor << trailing;
                *value = f64::from_bits(word);
            }
        }
        RAW => {
            for value in out.iter_mut() {
                *value = f64::from_bits(reader.word()?);
            }
        }
        _ => return None,
    }
    reader.byte()?;
    Some(bytes.len() - reader.bytes.len())
}

/// The length of the block at the start of `bytes`, without decoding it.
pub fn skip(bytes: &[u8]) -> Option<usize> {
    let (&head, rest) = bytes.split_first()?;
    let mut reader = Reader { bytes: rest };
    let packed = |width: u32, count: usize| (width as usize * count).div_ceil(8);
    let tail = match head >> 4 {
        CONSTANT => 8,
        OFFSETS => {
            let width = reader.width()?;
            reader.varint()?;
            packed(width, BLOCK)
        }
        DELTAS => {
            let width = reader.width()?;
            reader.varint()?;
            reader.varint()?;
            packed(width, BLOCK - 1)
        }
        XOR => packed(reader.width()?, BLOCK - 1) + 9,
        RAW => BLOCK * 8,
        _ => return None,
    };
    let used = bytes.len() - reader.bytes.len() + tail + 1;
    (used <= bytes.len()).then_some(used)
}

/// The length of the block at the end of `bytes`.
pub fn skip_back(bytes: &[u8]) -> Option<usize> {
    let length = usize::from(*bytes.last()?) + 1;
    (length <= bytes.len()).then_some(length)
}

#[inline]
fn bits(value: u64) -> u32 {
    64 - value.leading_zeros()
}

#[inline]
fn to_float(integer: i64) -> f64 {
    f64::from_bits(integer.wrapping_add(SHIFT_BITS) as u64) - SHIFT
}

fn put_varint(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn pack(values: &[u64], width: u32, out: &mut Vec<u8>) {
    let mut buffer = [0_u8; PACKED];
    for (i, value) in values.iter().enumerate() {
        let at = i * width as usize;
        if let Some(slot) = buffer[at / 8..].first_chunk_mut::<8>() {
            *slot = (u64::from_le_bytes(*slot) | value << (at % 8)).to_le_bytes();
        }
    }
    out.extend_from_slice(&buffer[..(values.len() * width as usize).div_ceil(8)]);
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(byte)
    }

    fn width(&mut self) -> Option<u32> {
        self.byte().map(u32::from).filter(|&w| w <= WIDEST)
    }

    fn word(&mut self) -> Option<u64> {
        let (word, rest) = self.bytes.split_first_chunk::<8>()?;
        self.bytes = rest;
        Some(u64::from_le_bytes(*word))
    }

    fn varint(&mut self) -> Option<i64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        None
    }

    fn unpack(&mut self, width: u32, out: &mut [u64]) -> Option<()> {
        let length = (out.len() * width as usize).div_ceil(8);
        let (packed, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        let mut buffer = [0_u8; PACKED];
        buffer[..length].copy_from_slice(packed);
        let mask = (1_u64 << width) - 1;
        for (i, value) in out.iter_mut().enumerate() {
            let at = i * width as usize;
            let word = buffer[at / 8..].first_chunk::<8>()?;
            *value = u64::from_le_bytes(*word) >> (at % 8) & mask;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(values: &[f64; BLOCK]) -> usize {
        let mut bytes = Vec::new();
        encode(values, &mut 0, &mut bytes);
        assert_eq!(skip(&bytes), Some(bytes.len()));
        assert_eq!(skip_back(&bytes), Some(bytes.len()));
        let mut back = [0.0; BLOCK];
        assert_eq!(decode(&bytes, &mut back), Some(bytes.len()));
        assert_eq!(back.map(f64::to_bits), values.map(f64::to_bits));
        bytes.len()
    }

    #[test]
    fn constants_counters_and_gauges_are_small() {
        assert_eq!(round_trip(&[0.0; BLOCK]), 4);
        assert!(round_trip(&std::array::from_fn(|i| 1_000_000.0 + 15.0 * i as f64)) <= 8);
        assert!(round_trip(&std::array::from_fn(|i| 20.0 + (i * 7 % 16) as f64 / 100.0)) <= 14);
    }

    #[test]
    fn nan_infinity_and_negative_zero_keep_their_bits() {
        let stale = f64::from_bits(crate::model::STALE_BITS);
        let mut values = [1.5; BLOCK];
        values[3] = stale;
        values[5] = f64::INFINITY;
        values[6] = -0.0;
        values[7] = f64::from_bits(0x7ff8_0000_0000_0001);
        round_trip(&values);
        round_trip(&[-0.0; BLOCK]);
        round_trip(&[stale; BLOCK]);
        round_trip(&std::array::from_fn(|i| if i % 2 == 0 { 0.0 } else { -0.0 }));
    }

    proptest! {
        #[test]
        fn any_bits_come_back(bits in prop::array::uniform16(any::<u64>())) {
            round_trip(&bits.map(f64::from_bits));
        }

        #[test]
        fn decimals_come_back(base in -1e9_f64..1e9, places in 0_i32..8, steps in prop::array::uniform16(-5000_i64..5000)) {
            let scale = 10_f64.powi(places);
            round_trip(&steps.map(|s| ((base * scale).round() + s as f64) / scale));
        }

        #[test]
        fn neighbours_come_back(start in any::<u64>(), steps in prop::array::uniform16(0_u64..1 << 40), shift in 0_u32..24) {
            round_trip(&steps.map(|s| f64::from_bits(start ^ s << shift)));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..160)) {
            let mut out = [0.0; BLOCK];
            let decoded = decode(&bytes, &mut out);
            if let (Some(a), Some(b)) = (decoded, skip(&bytes)) {
                prop_assert_eq!(a, b);
            }
        }
    }
}
