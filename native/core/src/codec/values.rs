//! One run of values: at most [`super::RUN`] float64, bit-exact.
//!
//! Values become integers, [`super::ints`] codes those. There are three ways:
//!
//! * **Decimals.** Most of what is measured has few: `value * 10^e`, accepted where dividing gives the same bits back.
//! * **Nudged decimals.** Sums of decimals, and decimals that were multiplied into place, are off by a few units in the last place:
//!   the nearest decimal, and how many floats lie between.
//! * **Bits.** The bits themselves, as integers that ascend as the floats do.
//!
//! What decimals cannot say (NaN payloads, stale markers, infinities, -0.0) is listed beside them.
//!
//! ```text
//! [tag]  [exceptions: count, then (distance, 8 bytes of bits, or none for a stale marker) each]  [integers]  [nudges: integers]
//! tag: bits 0-3 decimals, 15: bits of the float; 0x10 there are exceptions; 0x20 differences from the row above; 0x40 there are nudges
//! ```

use super::RUN;
use super::bytes::{Input, put_varint};
use super::ints::{self, IntEncoder};
use crate::model::STALE_BITS;
use crate::{Error, Result};

const DECIMALS: u8 = 0x0f;
const BITS: u8 = 15;
const EXCEPTIONS: u8 = 0x10;
const AGAINST: u8 = 0x20;
const NUDGED: u8 = 0x40;
const KNOWN: u8 = 0x7f;

/// Powers of ten by which values are scaled; all exact.
const POWERS: [f64; 15] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14,
];
/// Every integer up to here is a float.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// Adding 1.5 · 2^52 leaves an integer of up to 51 bits in the mantissa: rounding and conversion without a branch.
const SHIFT: f64 = 6_755_399_441_055_744.0;
const SHIFT_BITS: i64 = SHIFT.to_bits() as i64;
/// Integers up to here are told so.
const SHIFTED: f64 = 1_125_899_906_842_624.0; // 2^50
/// More exceptions than one in this many values, and decimals are given up.
const RARE: usize = 8;
/// Nanoseconds have this many decimals. Exact decimals up to here are taken without a look at the other ways.
const USUAL: u8 = 9;
/// The most floats between a value and its decimal. With more, any value would pass for a decimal too soon.
const NUDGE: u64 = 512;

/// The integers of one run, as a reference for the next row's.
#[derive(Debug, Default, Clone)]
pub struct RunInts {
    /// How values became integers: a number of decimals, or 15 for their bits.
    scale: u8,
    numbers: Vec<i64>,
    /// Runs to decode before this one can be.
    depth: u8,
}

/// Each reference costs a reader that wants a single row one more run to decode.
const DEEPEST: u8 = 15;

/// A run as integers.
#[derive(Debug, Default)]
struct Form {
    scale: u8,
    numbers: Vec<i64>,
    /// Empty where the decimals are exact.
    nudges: Vec<i64>,
    exceptions: Vec<(usize, u64)>,
    /// Encoded, and whether that leans on the reference.
    bytes: Vec<u8>,
    against: bool,
}

/// Encodes runs. Holds scratch memory.
#[derive(Debug, Default)]
pub struct RunEncoder {
    ints: IntEncoder,
    forms: [Form; 3],
}

impl RunEncoder {
    /// Appends one run of 1 to [`RUN`] values. `above` holds the run of the row above, on which this one may lean if it is `comparable`
    /// (has the same times), and is replaced by this run.
    pub fn encode(&mut self, values: &[f64], above: &mut RunInts, comparable: bool, out: &mut Vec<u8>) {
        debug_assert!((1..=RUN).contains(&values.len()));
        let above_run = if comparable { &*above } else { &RunInts::default() };
        let [exact, nudged, bits] = &mut self.forms;
        let is_exact = exact.decimals(values);
        let mut best = exact;
        if is_exact {
            best.write(&mut self.ints, above_run);
        }
        if !is_exact || best.scale > USUAL {
            if nudged.nudged_decimals(values) {
                nudged.write(&mut self.ints, above_run);
                if best.bytes.is_empty() || nudged.bytes.len() < best.bytes.len() {
                    best = nudged;
                }
            }
            bits.bits(values);
            bits.write(&mut self.ints, above_run);
            if best.bytes.is_empty() || bits.bytes.len() < best.bytes.len() {
                best = bits;
            }
        }
        out.extend_from_slice(&best.bytes);
        above.depth = if best.against { above.depth + 1 } else { 0 };
        above.scale = best.scale;
        std::mem::swap(&mut above.numbers, &mut best.numbers);
    }
}

impl Form {
    fn clear(&mut self) {
        self.numbers.clear();
        self.nudges.clear();
        self.exceptions.clear();
        self.bytes.clear();
    }

    /// The fewest decimals that say all values but a few exceptions; false if none do.
    fn decimals(&mut self, values: &[f64]) -> bool {
        self.clear();
        self.whole_decimals(values) || self.decimals_with_exceptions(values)
    }

    /// The fewest decimals that say all values, if they are found without going back: most runs are such, and are looked at without
    /// a branch. Otherwise false, and nothing is changed.
    fn whole_decimals(&mut self, values: &[f64]) -> bool {
        let (mut decimals, mut fitting) = (0, 0);
        loop {
            if shift_all(values, POWERS[decimals], &mut self.numbers) {
                self.scale = decimals as u8;
                return true;
            }
            let stubborn = values.iter().position(|&value| exact(value, decimals).is_none());
            let more = stubborn.filter(|&place| place >= fitting).and_then(|place| {
                fitting = place;
                (decimals + 1..POWERS.len()).find(|&more| exact(values[place], more).is_some())
            });
            let Some(more) = more else {
                self.numbers.clear();
                return false;
            };
            decimals = more;
        }
    }

    fn decimals_with_exceptions(&mut self, values: &[f64]) -> bool {
        let mut decimals = 0;
        let mut misfits = 0;
        for &value in values {
            if !value.is_finite() {
                misfits += 1;
            } else if exact(value, decimals).is_none() {
                match (decimals + 1..POWERS.len()).find(|&more| exact(value, more).is_some()) {
                    Some(more) => decimals = more,
                    None => misfits += 1,
                }
            }
            if misfits > values.len() / RARE {
                return false;
            }
        }
        self.scale = decimals as u8;
        // A value that fitted with fewer decimals may be too large for this many: then it is one more exception.
        self.fill(values, |value| exact(value, decimals).map(|number| (number, 0)))
    }

    /// The fewest decimals that come near all values but a few exceptions; false if none do.
    fn nudged_decimals(&mut self, values: &[f64]) -> bool {
        self.clear();
        let near_all = |&decimals: &usize| {
            values
                .iter()
                .filter(|value| value.is_finite())
                .all(|&value| near(value, decimals).is_some())
        };
        let Some(decimals) = (0..POWERS.len()).find(near_all) else {
            return false;
        };
        self.scale = decimals as u8;
        self.fill(values, |value| near(value, decimals))
    }

    /// Lists what `integers` cannot say as exceptions, which take the integers before them; false if there are too many.
    fn fill(&mut self, values: &[f64], integers: impl Fn(f64) -> Option<(i64, i64)>) -> bool {
        let mut before = values.iter().find_map(|&value| integers(value)).unwrap_or((0, 0));
        for (place, &value) in values.iter().enumerate() {
            if let Some(found) = integers(value) {
                before = found;
            } else {
                self.exceptions.push((place, value.to_bits()));
            }
            self.numbers.push(before.0);
            self.nudges.push(before.1);
        }
        if self.nudges.iter().all(|&nudge| nudge == 0) {
            self.nudges.clear();
        }
        self.exceptions.len() <= values.len() / RARE
    }

    fn bits(&mut self, values: &[f64]) {
        self.clear();
        self.scale = BITS;
        self.numbers
            .extend(values.iter().map(|value| ordered(value.to_bits())));
    }

    fn write(&mut self, ints: &mut IntEncoder, above: &RunInts) {
        let out = &mut self.bytes;
        out.push(self.scale);
        if !self.exceptions.is_empty() {
            out[0] |= EXCEPTIONS;
            put_varint(out, self.exceptions.len() as u64);
            let mut last = 0;
            for &(place, bits) in &self.exceptions {
                let is_stale = u64::from(bits == STALE_BITS);
                put_varint(out, ((place - last) as u64) << 1 | is_stale);
                if is_stale == 0 {
                    out.extend_from_slice(&bits.to_le_bytes());
                }
                last = place;
            }
        }
        let usable =
            above.scale == self.scale && above.depth < DEEPEST && above.numbers.len() == self.numbers.len();
        self.against = ints.encode(&self.numbers, usable.then_some(&above.numbers), out);
        out[0] |= if self.against { AGAINST } else { 0 };
        if !self.nudges.is_empty() {
            out[0] |= NUDGED;
            ints.encode(&self.nudges, None, out);
        }
    }
}

/// All `value * power` as integers of up to 50 bits; false if one is not an integer from which the same bits come back.
fn shift_all(values: &[f64], power: f64, numbers: &mut Vec<i64>) -> bool {
    let mut whole = true;
    numbers.clear();
    numbers.extend(values.iter().map(|&value| {
        let scaled = value * power;
        let shifted = scaled + SHIFT;
        // Also false for NaN.
        let fits = scaled.abs() < SHIFTED;
        whole &= fits & (((shifted - SHIFT) / power).to_bits() == value.to_bits());
        (shifted.to_bits() as i64).wrapping_sub(SHIFT_BITS)
    }));
    whole
}

/// `value * 10^decimals` if that is an integer from which the same bits come back.
#[inline]
fn exact(value: f64, decimals: usize) -> Option<i64> {
    let scaled = (value * POWERS[decimals]).round_ties_even();
    // Also false for NaN.
    let fits = scaled.abs() < EXACT;
    let number = scaled as i64;
    (fits && (number as f64 / POWERS[decimals]).to_bits() == value.to_bits()).then_some(number)
}

/// The nearest `integer / 10^decimals`, and how many floats lie from it to the value, if both are small.
#[inline]
fn near(value: f64, decimals: usize) -> Option<(i64, i64)> {
    let scaled = (value * POWERS[decimals]).round_ties_even();
    let fits = scaled.abs() < EXACT;
    let number = scaled as i64;
    let decimal = number as f64 / POWERS[decimals];
    let nudge = ordered(value.to_bits()).wrapping_sub(ordered(decimal.to_bits()));
    (fits && nudge.unsigned_abs() <= NUDGE).then_some((number, nudge))
}

/// Maps bits to integers that ascend as the floats do; its own inverse.
#[inline]
fn ordered(bits: u64) -> i64 {
    let bits = bits as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

#[inline]
fn from_ordered(number: i64) -> f64 {
    f64::from_bits(ordered(number as u64) as u64)
}

/// Whether a run needs the one before it, in the row above.
pub fn needs_reference(run: &[u8]) -> bool {
    run.first().is_some_and(|tag| tag & AGAINST != 0)
}

/// Decodes the `len` values of a run into `out`, and its integers into `numbers`. `reference` holds the integers of the run before it, if
/// the run needs them.
pub fn decode(
    run: &[u8],
    len: usize,
    reference: Option<&[i64]>,
    numbers: &mut Vec<i64>,
    out: &mut Vec<f64>,
) -> Result<()> {
    let mut input = Input::new(run);
    let tag = input.u8()?;
    if tag & !KNOWN != 0 || len > RUN {
        return Err(Error::Corrupt(format!("a run of {len} values with tag {tag:#x}")));
    }
    let mut exceptions = [(0u8, 0u64); RUN];
    let exceptions = if tag & EXCEPTIONS == 0 {
        &[]
    } else {
        read_exceptions(&mut input, len, &mut exceptions)?
    };
    numbers.resize(len, 0);
    let reference = if tag & AGAINST == 0 {
        None
    } else {
        Some(reference.unwrap_or(&[]))
    };
    ints::decode(&mut input, reference, numbers)?;
    let start = out.len();
    match tag & DECIMALS {
        0 => out.extend(numbers.iter().map(|&n| n as f64)),
        BITS => out.extend(numbers.iter().map(|&n| from_ordered(n))),
        decimals => {
            let power = POWERS[usize::from(decimals)];
            out.extend(numbers.iter().map(|&n| n as f64 / power));
        }
    }
    if tag & NUDGED != 0 {
        let mut nudges = [0i64; RUN];
        ints::decode(&mut input, None, &mut nudges[..len])?;
        for (value, nudge) in out[start..].iter_mut().zip(nudges) {
            *value = from_ordered(ordered(value.to_bits()).wrapping_add(nudge));
        }
    }
    input.end("run")?;
    for &(place, bits) in exceptions {
        out[start + usize::from(place)] = f64::from_bits(bits);
    }
    Ok(())
}

fn read_exceptions<'a>(
    input: &mut Input<'_>,
    len: usize,
    exceptions: &'a mut [(u8, u64); RUN],
) -> Result<&'a [(u8, u64)]> {
    let count = input.bounded(len, "count of exceptions")?;
    let mut place = 0;
    for exception in &mut exceptions[..count] {
        let step = input.bounded(2 * RUN, "distance of an exception")?;
        place += step >> 1;
        if place >= len {
            return Err(Error::Corrupt(format!("an exception at {place} of {len} values")));
        }
        *exception = (place as u8, if step & 1 == 1 { STALE_BITS } else { input.u64()? });
    }
    Ok(&exceptions[..count])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            8 => (-100_000i64..100_000, 0usize..15).prop_map(|(n, d)| n as f64 / POWERS[d]),
            8 => any::<i64>().prop_map(|n| n as f64),
            4 => any::<f64>(),
            2 => any::<u64>().prop_map(f64::from_bits),
            1 => prop::sample::select(vec![
                f64::from_bits(STALE_BITS), f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MIN_POSITIVE / 2.0,
                f64::MAX, EXACT, EXACT + 2.0, EXACT - 1.0, 1e300, 0.1 + 0.2,
            ]),
        ]
    }

    fn run() -> impl Strategy<Value = Vec<f64>> {
        let mixed = prop::collection::vec(value(), 1..=RUN);
        let alike = (
            prop::collection::vec(value(), 1..4),
            prop::collection::vec(0usize..40, 1..=RUN),
        )
            .prop_map(|(of, picks)| {
                picks
                    .iter()
                    .map(|&p| of[if p < of.len() { p } else { 0 }])
                    .collect()
            });
        let decimal = (
            0usize..15,
            prop::collection::vec(-10_000i64..10_000, 1..=RUN),
            value(),
        )
            .prop_map(|(d, all, odd)| {
                all.iter()
                    .map(|&n| if n == 0 { odd } else { n as f64 / POWERS[d] })
                    .collect()
            });
        let sums = (0usize..15, prop::collection::vec(-10_000i64..10_000, 1..=RUN)).prop_map(|(d, all)| {
            let mut sum = 0.0;
            all.iter()
                .map(|&n| {
                    sum += n as f64 / POWERS[d];
                    sum
                })
                .collect()
        });
        prop_oneof![mixed, alike, decimal, sums]
    }

    proptest! {
        #[test]
        fn values_come_back(runs in prop::collection::vec(run(), 1..6), cut in 1usize..=RUN) {
            let mut encoder = RunEncoder::default();
            let mut above = RunInts::default();
            let mut numbers: Option<Vec<i64>> = None;
            for run in &runs {
                let run = &run[..run.len().min(cut)];
                let mut bytes = Vec::new();
                encoder.encode(run, &mut above, true, &mut bytes);
                let (mut decoded, mut out) = (Vec::new(), Vec::new());
                decode(&bytes, run.len(), numbers.as_deref(), &mut decoded, &mut out).unwrap();
                let bits = |all: &[f64]| all.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&out), bits(run));
                numbers = Some(decoded);
            }
        }

        #[test]
        fn any_bytes_are_safe(bytes: Vec<u8>, len in 0usize..300, reference: Vec<i64>) {
            let _ = decode(&bytes, len, Some(&reference), &mut Vec::new(), &mut Vec::new());
        }
    }

    proptest! {
        /// The short way is a short way: it finds what the long one does.
        #[test]
        fn whole_decimals_are_those_that_are_found_one_by_one(run in run()) {
            let (mut short, mut long) = (Form::default(), Form::default());
            if short.whole_decimals(&run) {
                prop_assert!(long.decimals_with_exceptions(&run));
                prop_assert_eq!((short.scale, &short.numbers), (long.scale, &long.numbers));
                prop_assert!(long.exceptions.is_empty() && long.nudges.is_empty());
            } else {
                prop_assert!(short.numbers.is_empty());
            }
        }
    }

    fn size(values: &[f64]) -> usize {
        let mut bytes = Vec::new();
        RunEncoder::default().encode(values, &mut RunInts::default(), false, &mut bytes);
        bytes.len()
    }

    #[test]
    fn constants_and_stale_ends_are_small() {
        assert!(size(&[1.0; 240]) <= 3);
        assert!(size(&[0.25; 240]) <= 4);
        let mut ended = vec![17.5; 100];
        ended.push(f64::from_bits(STALE_BITS));
        assert!(size(&ended) <= 8, "{}", size(&ended));
        assert!(size(&[f64::NAN; 240]) <= 12);
        assert!(size(&[-0.0; 240]) <= 12);
    }

    #[test]
    fn sums_of_decimals_are_nudged_not_raw() {
        let mut sum = 0.0;
        let sums: Vec<f64> = (0..240u32)
            .map(|i| {
                sum += f64::from(i * 7919 % 1000) / 1000.0;
                sum
            })
            .collect();
        assert!(sums.iter().any(|&v| exact(v, 3).is_none()));
        assert!(size(&sums) < 600, "{}", size(&sums));
    }

    #[test]
    fn a_neighbour_that_rises_alike_is_used() {
        let noise = |i: u64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as f64;
        let mut total = 0.0;
        let first: Vec<f64> = (0..240)
            .map(|i| {
                total += noise(i);
                total
            })
            .collect();
        let second: Vec<f64> = first.iter().map(|v| v + 5.0).collect();
        let (mut encoder, mut above, mut bytes) = (RunEncoder::default(), RunInts::default(), Vec::new());
        encoder.encode(&first, &mut above, true, &mut bytes);
        bytes.clear();
        encoder.encode(&second, &mut above, true, &mut bytes);
        assert!(needs_reference(&bytes) && bytes.len() < 8);
    }
}
