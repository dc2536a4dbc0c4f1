//! A run of integers as differences from a prediction.
//!
//! All arithmetic wraps, so every `i64` comes back. The run is taken relative to its first number, divided by what all differences have in
//! common (memory in pages of 4096 bytes), and coded by the cheapest of three predictions: the middle, the one before, or the line
//! through the two before. Optionally a reference run of the same length is subtracted first: buckets of one histogram rise together.

use super::RUN;
use super::bytes::{Input, put_signed, put_varint, unzigzag, zigzag};
use super::rice::{self, Lengths};
use crate::{Error, Result};

// Header bits.
const ORDER: u8 = 0b11;
/// In place of an order: all numbers are equal.
const CONSTANT: u8 = 3;
const DIVIDED: u8 = 0b100;
/// Residuals count up from the smallest; otherwise they lie on both sides of the middle.
const ABOVE: u8 = 0b1000;
/// Most residuals are zero: distances between the others, then the others.
const SPARSE: u8 = 0b1_0000;
const KNOWN: u8 = 0b1_1111;

/// How a run will be coded, and what that is estimated to cost.
#[derive(Debug, Clone, Copy)]
struct Choice {
    bits: u64,
    order: u8,
    above: bool,
    sparse: bool,
    center: i64,
}

/// Scratch memory for encoding.
#[derive(Debug, Default)]
pub struct IntEncoder {
    plain: Plan,
    against: Plan,
    sorted: Vec<i64>,
    residuals: Vec<u64>,
    distances: Vec<u64>,
}

/// A run relative to its first number, divided, with its differences.
#[derive(Debug, Default)]
struct Plan {
    first: i64,
    divisor: i64,
    /// Of order 0, 1 and 2.
    orders: [Vec<i64>; 3],
}

impl Plan {
    fn fill(&mut self, numbers: impl Iterator<Item = i64> + Clone) {
        self.first = numbers.clone().next().unwrap_or(0);
        let first = self.first;
        let relative = numbers.map(|n| n.wrapping_sub(first));
        let mut common = 0;
        for number in relative.clone() {
            common = gcd(common, number.unsigned_abs());
            if common == 1 {
                break;
            }
        }
        self.divisor = i64::try_from(common).unwrap_or(1).max(1);
        let [zero, one, two] = &mut self.orders;
        zero.clear();
        if self.divisor == 1 {
            zero.extend(relative);
        } else {
            let divisor = self.divisor;
            zero.extend(relative.map(|n| n / divisor));
        }
        for (from, to) in [(&*zero, &mut *one), (&*zero, &mut *two)] {
            to.clear();
            to.extend(from.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])));
        }
        let mut before = 0;
        for difference in two.iter_mut() {
            let now = *difference;
            *difference = now.wrapping_sub(before);
            before = now;
        }
    }

    fn is_constant(&self) -> bool {
        self.orders[0].iter().all(|&n| n == 0)
    }

    /// Numbers coded as residuals: the first of the run is in the header.
    fn series(&self, order: u8) -> &[i64] {
        match order {
            0 => &self.orders[0][1..],
            1 => &self.orders[1],
            _ => &self.orders[2],
        }
    }

    fn choose(&self, sorted: &mut Vec<i64>) -> Choice {
        let mut best = Choice {
            bits: u64::MAX,
            order: 0,
            above: false,
            sparse: false,
            center: 0,
        };
        for order in [1, 0, 2] {
            let series = self.series(order);
            sorted.clear();
            sorted.extend_from_slice(series);
            let middle = if order == 2 {
                0
            } else {
                *sorted.select_nth_unstable(series.len() / 2).1
            };
            let smallest = sorted.iter().copied().min().unwrap_or(0);
            for (above, center) in [(false, middle), (true, smallest)] {
                let lengths = if above {
                    Lengths::of(series.iter().map(|n| n.wrapping_sub(center) as u64))
                } else {
                    Lengths::of(series.iter().map(|n| zigzag(n.wrapping_sub(center))))
                };
                let extra = u64::from(64 - zigzag(center).leading_zeros()) + 8;
                let (bits, _) = lengths.best();
                let choice = Choice {
                    bits: bits + extra,
                    order,
                    above,
                    sparse: false,
                    center,
                };
                let sparse = sparse_bits(&lengths, series.len());
                for choice in [
                    choice,
                    Choice {
                        bits: sparse + extra,
                        sparse: true,
                        ..choice
                    },
                ] {
                    if choice.bits < best.bits {
                        best = choice;
                    }
                }
            }
        }
        best
    }
}

/// Estimated bits of the sparse form.
fn sparse_bits(lengths: &Lengths, len: usize) -> u64 {
    let zeros = lengths.zeros();
    if zeros * 8 < len {
        return u64::MAX >> 1;
    }
    let others = (len - zeros) as u64;
    let distances = (0..8)
        .map(|k| others * (k + 1) + (zeros as u64 >> k))
        .min()
        .unwrap_or(0);
    24 + distances + lengths.without_zeros().best().0
}

impl IntEncoder {
    /// Appends `numbers` (1 to [`RUN`]). With a reference of the same length, takes the differences from it if that is worth while, and says so.
    pub fn encode(&mut self, numbers: &[i64], reference: Option<&[i64]>, out: &mut Vec<u8>) -> bool {
        self.plain.fill(numbers.iter().copied());
        if self.plain.is_constant() {
            out.push(CONSTANT);
            put_signed(out, self.plain.first);
            return false;
        }
        let choice = self.plain.choose(&mut self.sorted);
        if let Some(reference) = reference {
            let differences = numbers.iter().zip(reference).map(|(n, r)| n.wrapping_sub(*r));
            self.against.fill(differences);
            if self.against.is_constant() {
                out.push(CONSTANT);
                put_signed(out, self.against.first);
                return true;
            }
            let other = self.against.choose(&mut self.sorted);
            // A reference has to be decoded too, so it must pay.
            if other.bits + choice.bits / 16 + 16 < choice.bits {
                self.put(true, other, out);
                return true;
            }
        }
        self.put(false, choice, out);
        false
    }

    fn put(&mut self, against: bool, choice: Choice, out: &mut Vec<u8>) {
        let plan = if against { &self.against } else { &self.plain };
        let mut header = choice.order;
        header |= if choice.above { ABOVE } else { 0 };
        header |= if choice.sparse { SPARSE } else { 0 };
        header |= if plan.divisor > 1 { DIVIDED } else { 0 };
        out.push(header);
        put_signed(out, plan.first);
        put_signed(out, choice.center);
        if plan.divisor > 1 {
            put_varint(out, plan.divisor as u64);
        }
        let centered = plan
            .series(choice.order)
            .iter()
            .map(|n| n.wrapping_sub(choice.center));
        self.residuals.clear();
        if choice.above {
            self.residuals.extend(centered.map(|n| n as u64));
        } else {
            self.residuals.extend(centered.map(zigzag));
        }
        if !choice.sparse {
            rice::encode(&self.residuals, out);
            return;
        }
        self.distances.clear();
        let mut zeros = 0;
        self.residuals.retain_mut(|residual| {
            if *residual == 0 {
                zeros += 1;
                return false;
            }
            self.distances.push(zeros);
            zeros = 0;
            *residual -= 1;
            true
        });
        put_varint(out, self.residuals.len() as u64);
        rice::encode(&self.distances, out);
        rice::encode(&self.residuals, out);
    }
}

/// The first number of a run that has no reference.
pub fn first(run: &[u8]) -> Result<i64> {
    let mut input = Input::new(run);
    input.u8()?;
    input.signed()
}

/// Decodes a run into all of `out` (1 to [`RUN`] numbers).
pub fn decode(input: &mut Input<'_>, reference: Option<&[i64]>, out: &mut [i64]) -> Result<()> {
    let header = input.u8()?;
    let len = out.len();
    if header & !KNOWN != 0 || len == 0 || len > RUN {
        return Err(Error::Corrupt(format!("{len} integers with header {header:#x}")));
    }
    let first = input.signed()?;
    if header & ORDER == CONSTANT {
        out.fill(first);
    } else {
        let center = input.signed()?;
        let divisor = if header & DIVIDED == 0 {
            1
        } else {
            input.varint()? as i64
        };
        let mut residuals = [0u64; RUN];
        let residuals = &mut residuals[..len - 1];
        if header & SPARSE == 0 {
            rice::decode(input, residuals)?;
        } else {
            decode_sparse(input, residuals)?;
        }
        let above = header & ABOVE != 0;
        let value = |residual: u64| {
            if above {
                residual as i64
            } else {
                unzigzag(residual)
            }
            .wrapping_add(center)
        };
        out[0] = 0;
        let rest = out[1..].iter_mut().zip(residuals.iter());
        let (mut number, mut slope) = (0i64, 0i64);
        match header & ORDER {
            0 => {
                for (to, &residual) in rest {
                    *to = value(residual);
                }
            }
            1 => {
                for (to, &residual) in rest {
                    number = number.wrapping_add(value(residual));
                    *to = number;
                }
            }
            _ => {
                for (to, &residual) in rest {
                    slope = slope.wrapping_add(value(residual));
                    number = number.wrapping_add(slope);
                    *to = number;
                }
            }
        }
        for number in out.iter_mut() {
            *number = number.wrapping_mul(divisor).wrapping_add(first);
        }
    }
    if let Some(reference) = reference {
        if reference.len() != len {
            return Err(Error::Corrupt(format!(
                "{len} integers against a reference of {}",
                reference.len()
            )));
        }
        for (number, above) in out.iter_mut().zip(reference) {
            *number = number.wrapping_add(*above);
        }
    }
    Ok(())
}

fn decode_sparse(input: &mut Input<'_>, residuals: &mut [u64]) -> Result<()> {
    let others = input.bounded(residuals.len(), "count of residuals")?;
    let (mut distances, mut numbers) = ([0u64; RUN], [0u64; RUN]);
    rice::decode(input, &mut distances[..others])?;
    rice::decode(input, &mut numbers[..others])?;
    let mut place = 0usize;
    for (&zeros, &number) in distances[..others].iter().zip(&numbers[..others]) {
        place = place.saturating_add(zeros as usize);
        match residuals.get_mut(place) {
            Some(residual) => *residual = number.wrapping_add(1),
            None => {
                return Err(Error::Corrupt(format!(
                    "a residual at {place} of {}",
                    residuals.len()
                )));
            }
        }
        place += 1;
    }
    Ok(())
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run() -> impl Strategy<Value = Vec<i64>> {
        let any_run = prop::collection::vec(any::<i64>(), 1..=RUN);
        let walk = (
            any::<i64>(),
            0u32..63,
            1i64..5000,
            prop::collection::vec((any::<i64>(), 0u8..4), 1..=RUN),
        )
            .prop_map(|(start, shift, unit, steps)| {
                let mut at = start;
                let step = |(step, still): (i64, u8)| {
                    at = at.wrapping_add(if still == 0 {
                        0
                    } else {
                        (step >> shift).wrapping_mul(unit)
                    });
                    at
                };
                steps.into_iter().map(step).collect()
            });
        let still = (any::<i64>(), 1..=RUN, 0usize..RUN).prop_map(|(n, len, odd)| {
            (0..len)
                .map(|place| if place == odd { n.wrapping_add(7) } else { n })
                .collect()
        });
        prop_oneof![any_run, walk, still]
    }

    proptest! {
        #[test]
        fn numbers_come_back(numbers in run(), reference in run()) {
            let mut encoder = IntEncoder::default();
            let against = (reference.len() >= numbers.len()).then(|| &reference[..numbers.len()]);
            let mut bytes = Vec::new();
            let used = encoder.encode(&numbers, against, &mut bytes);
            let mut out = vec![0; numbers.len()];
            let mut input = Input::new(&bytes);
            decode(&mut input, if used { against } else { None }, &mut out).unwrap();
            prop_assert_eq!(out, numbers);
            prop_assert!(input.end("run").is_ok());
        }

        #[test]
        fn any_bytes_are_safe(bytes: Vec<u8>, len in 0usize..300, reference: Vec<i64>) {
            let _ = decode(&mut Input::new(&bytes), Some(&reference), &mut vec![0; len]);
        }
    }

    fn size(numbers: &[i64], reference: Option<&[i64]>) -> usize {
        let mut bytes = Vec::new();
        IntEncoder::default().encode(numbers, reference, &mut bytes);
        bytes.len()
    }

    #[test]
    fn what_is_regular_takes_few_bytes() {
        let noise = |i: i64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64) >> 58;
        let idle: Vec<i64> = (0..240).map(|i| 5 + i64::from(i > 100)).collect();
        let line: Vec<i64> = (0..240).map(|i| 1_000_000 + i * 17).collect();
        let pages: Vec<i64> = (0..240).map(|i| (1 << 30) + noise(i) * 4096).collect();
        let busy: Vec<i64> = (0..240)
            .map(|i| i * 1000 + noise(i) * 10 + noise(i * 7))
            .collect();
        assert!(size(&[7; 240], None) <= 3);
        assert!(size(&idle, None) <= 9, "{}", size(&idle, None));
        assert!(size(&line, None) <= 12, "{}", size(&line, None));
        assert!(size(&pages, None) <= 240, "{}", size(&pages, None));
        let shifted: Vec<i64> = busy.iter().map(|n| n + 3).collect();
        assert!(size(&busy, Some(&shifted)) <= 4);
    }
}
