//! Blocks as a whole: what goes in comes out, whatever the values, the times and the order of merging.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{BlockCursor, BlockParts, BlockReader, BlockWriter, Digest, PageSet, merge, series_key};
use crate::model::{Millis, STALE_BITS, Samples, Uid};
use crate::{Error, Result};

const UID: Uid = Uid([3; 16]);
const ALL: (Millis, Millis) = (Millis::MIN, Millis::MAX);

/// Samples by series; a series is (metric name, one label's value), which sorts as blocks do.
type Model = BTreeMap<(String, String), BTreeMap<Millis, u64>>;

fn build(model: &Model) -> BlockParts {
    let mut writer = BlockWriter::new(UID).unwrap();
    for ((name, value), samples) in model {
        let times: Vec<Millis> = samples.keys().copied().collect();
        let values: Vec<f64> = samples.values().map(|&bits| f64::from_bits(bits)).collect();
        let mut labels = vec![("__name__", name.as_str()), ("job", "test")];
        if !value.is_empty() {
            labels.push(("l", value));
        }
        writer.add(&labels, Samples::floats(&times, &values, 0)).unwrap();
    }
    writer.finish().unwrap()
}

/// With those of its pages that are wanted; the root may hold all of them.
pub fn open_with(parts: &BlockParts, wanted: impl Fn(&BlockReader) -> Vec<u32>) -> (BlockReader, PageSet) {
    let reader = BlockReader::open(&parts.root).unwrap();
    let wanted = if parts.pages.is_empty() {
        Vec::new()
    } else {
        wanted(&reader)
    };
    let supplied = wanted
        .iter()
        .map(|&page| (page, parts.pages[page as usize].clone()));
    let pages = PageSet::new(&reader, supplied).unwrap();
    (reader, pages)
}

pub fn all_pages(reader: &BlockReader) -> Vec<u32> {
    (0..reader.pages() as u32).collect()
}

fn open(parts: &BlockParts) -> Result<(BlockReader, PageSet)> {
    let reader = BlockReader::open(&parts.root)?;
    let pages = PageSet::new(&reader, (0..).zip(parts.pages.iter().cloned()))?;
    Ok((reader, pages))
}

fn read(parts: &BlockParts, (min, max): (Millis, Millis)) -> Result<Model> {
    let reader = BlockReader::open(&parts.root)?;
    let rows: Vec<u32> = (0..reader.series() as u32).collect();
    // Only what the reader asks for, as a query does it.
    let wanted = reader.pages_for(&rows, (min, max), true);
    let pages = PageSet::new(
        &reader,
        wanted.iter().map(|&n| (n, parts.pages[n as usize].clone())),
    )?;
    let mut cursor = BlockCursor::new(&reader, &pages)?;
    let mut model = Model::new();
    let mut times_of_key: BTreeMap<u64, Vec<Millis>> = BTreeMap::new();
    for row in rows {
        let text = |wanted: &str| {
            let found = reader
                .labels(row)
                .find(|&(name, _)| reader.symbol(name) == wanted);
            found.map_or(String::new(), |(_, value)| reader.symbol(value).to_owned())
        };
        let key = (text("__name__"), text("l"));
        let samples = cursor.read(row, min, max)?;
        let known = times_of_key
            .entry(samples.times_key)
            .or_insert_with(|| samples.times.to_vec());
        assert_eq!(known, samples.times, "one key, one list of times");
        if let (Some(&first), Some(&last)) = (samples.times.first(), samples.times.last()) {
            assert!(reader.span(row).0 <= first && last <= reader.span(row).1);
        }
        let bits = samples.values.iter().map(|value| value.to_bits());
        model.insert(key, samples.times.iter().copied().zip(bits).collect());
    }
    Ok(model)
}

fn wild_value() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => (-1000i64..1000).prop_map(|v| (v as f64).to_bits()),
        2 => (-100_000i64..100_000).prop_map(|v| (v as f64 / 100.0).to_bits()),
        1 => any::<u64>(),
        1 => prop::sample::select(vec![
            STALE_BITS,
            f64::NAN.to_bits(),
            f64::INFINITY.to_bits(),
            f64::NEG_INFINITY.to_bits(),
            (-0.0f64).to_bits(),
            1,
            f64::MAX.to_bits(),
            9_007_199_254_740_992.0f64.to_bits(),
            9_007_199_254_740_993.0f64.to_bits(),
        ]),
    ]
}

fn wild_model() -> impl Strategy<Value = Model> {
    let times = (
        0i64..3,
        0usize..700,
        0i64..4,
        prop::collection::vec(0usize..700, 0..4),
    );
    let series = (
        ("[ab]{1,2}", "[xyz]{0,2}"),
        times,
        prop::collection::vec(wild_value(), 1..30),
    );
    prop::collection::vec(series, 1..12).prop_map(|all| {
        let mut model = Model::new();
        for (key, (start, len, jitter, gaps), values) in all {
            let samples = (0..=len).filter(|row| !gaps.contains(row)).map(|row| {
                let wobble = if jitter == 0 {
                    0
                } else {
                    row as i64 * row as i64 * 7 % (jitter + 1)
                };
                (
                    start * 150_000 + row as i64 * 15_000 + wobble,
                    values[row * row % values.len()],
                )
            });
            let samples: BTreeMap<Millis, u64> = samples.collect();
            if !samples.is_empty() {
                model.insert(key, samples);
            }
        }
        model
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_goes_in_comes_out(model in wild_model(), from in 0i64..9_000_000, width in 0i64..9_000_000) {
        let parts = build(&model);
        prop_assert_eq!(&read(&parts, ALL).unwrap(), &model);
        let (reader, pages) = open(&parts).unwrap();
        prop_assert_eq!(BlockCursor::new(&reader, &pages).unwrap().verify().unwrap(), parts.digest);
        let (min, max) = (from, from + width);
        let cut: Model = model
            .iter()
            .map(|(key, samples)| (key.clone(), samples.range(min..=max).map(|(&t, &v)| (t, v)).collect()))
            .collect();
        prop_assert_eq!(read(&parts, (min, max)).unwrap(), cut);

        let mut digest = Digest::default();
        for ((name, value), samples) in &model {
            let mut labels = vec![("__name__", name.as_str()), ("job", "test")];
            if !value.is_empty() {
                labels.push(("l", value));
            }
            for (&time, &bits) in samples {
                digest.add(series_key(UID, labels.iter().copied()), Samples::floats(&[time], &[f64::from_bits(bits)], 0));
            }
        }
        prop_assert_eq!(parts.digest, digest.value());
        prop_assert_eq!(parts.samples, model.values().map(|s| s.len() as u64).sum::<u64>());
    }

    #[test]
    fn merging_keeps_the_earlier_sample(models in prop::collection::vec(wild_model(), 1..4)) {
        let parts: Vec<BlockParts> = models.iter().map(build).collect();
        let opened: Vec<(BlockReader, PageSet)> = parts.iter().map(|p| open(p).unwrap()).collect();
        let blocks: Vec<(&BlockReader, &PageSet)> = opened.iter().map(|(r, p)| (r, p)).collect();
        let merged = merge(UID, &blocks).unwrap();
        let mut expected = Model::new();
        for model in &models {
            for (key, samples) in model {
                let into = expected.entry(key.clone()).or_default();
                for (&time, &bits) in samples {
                    into.entry(time).or_insert(bits);
                }
            }
        }
        prop_assert_eq!(read(&merged, ALL).unwrap(), expected);
    }

    #[test]
    fn a_flipped_bit_is_found(model in wild_model(), place: prop::sample::Index, bit in 0u8..8) {
        let mut parts = build(&model);
        let total = parts.root.len() + parts.pages.iter().map(Vec::len).sum::<usize>();
        let mut at = place.index(total);
        let target = std::iter::once(&mut parts.root).chain(&mut parts.pages).find(|part| {
            let here = at < part.len();
            at -= if here { 0 } else { part.len() };
            here
        });
        target.unwrap()[at] ^= 1 << bit;
        prop_assert!(matches!(open(&parts), Err(Error::Corrupt(_) | Error::Unsupported(_))));
    }

    /// Checksums made to fit, so that the bytes behind them are reached.
    #[test]
    fn forged_bytes_are_safe(model in wild_model(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut parts = build(&model);
        let len = parts.root.len();
        for (place, byte) in &changes {
            parts.root[8 + place.index(len - 8)] = *byte;
        }
        let crc = crc32c::crc32c(&parts.root[8..]);
        parts.root[4..8].copy_from_slice(&crc.to_le_bytes());
        let _ = read_any(&parts);
    }

    /// A page whose bytes are wrong though its checksums are right, as if a writer had been.
    #[test]
    fn forged_pages_are_safe(model in wild_model(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let parts = build(&model);
        let mut reader = BlockReader::open(&parts.root).unwrap();
        let mut pages = if parts.pages.is_empty() { reader.inline_pages().to_vec() } else { parts.pages };
        for (place, byte) in &changes {
            let number = place.index(pages.len());
            let page = &mut pages[number];
            let at = 6 + place.index(page.len() - 6);
            page[at] = *byte;
            let crc = crc32c::crc32c(&page[4..]);
            page[..4].copy_from_slice(&crc.to_le_bytes());
            reader.trust(number, crc);
        }
        let supplied = (0..).zip(pages);
        if let Ok(pages) = PageSet::new(&reader, supplied) {
            read_rows(&reader, &pages);
        }
    }

    #[test]
    fn any_bytes_are_no_root(bytes: Vec<u8>) {
        prop_assert!(BlockReader::open(&bytes).is_err());
    }
}

/// Reads all rows, with every error allowed.
fn read_any(parts: &BlockParts) -> Result<()> {
    let (reader, pages) = open(parts)?;
    read_rows(&reader, &pages);
    Ok(())
}

fn read_rows(reader: &BlockReader, pages: &PageSet) {
    let mut cursor = BlockCursor::new(reader, pages).unwrap();
    for row in 0..reader.series() as u32 {
        let _ = cursor.read(row, 1_000_000, 5_000_000);
        let _ = cursor.read(row, Millis::MIN, Millis::MAX);
    }
}

#[test]
fn a_block_of_nothing_opens() {
    let parts = BlockWriter::new(UID).unwrap().finish().unwrap();
    assert_eq!(
        (parts.series, parts.samples, parts.min_time, parts.max_time),
        (0, 0, 0, -1)
    );
    assert_eq!(read(&parts, ALL).unwrap(), Model::new());
}

#[test]
fn large_blocks_have_pages_of_a_size_that_redis_likes() {
    let mut model = Model::new();
    let mut state = 1u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state
    };
    for series in 0..200 {
        let jitter = noise() % 7;
        let samples = (0..500i64).map(|row| (row * 15_000 + (noise() % (jitter + 1)) as i64, noise() >> 2));
        model.insert(("m".into(), format!("{series:03}")), samples.collect());
    }
    let parts = build(&model);
    assert!(parts.pages.len() > 8);
    assert!(parts.pages.iter().all(|page| page.len() <= 131_000));
    assert_eq!(read(&parts, ALL).unwrap(), model);

    let reader = BlockReader::open(&parts.root).unwrap();
    assert_eq!(reader.pages(), parts.pages.len());
    let one = reader.pages_for(&[100], (0, 1_000_000), true);
    assert!(one.len() <= 2, "values and timestamps of one row: {one:?}");
    assert!(
        reader
            .pages_for(&[100], (10_000_000, 20_000_000), true)
            .is_empty()
    );
    let unsupplied = PageSet::new::<Vec<u8>>(&reader, []).unwrap();
    let read = BlockCursor::new(&reader, &unsupplied)
        .unwrap()
        .read(0, 0, 1_000_000)
        .map(|_| ());
    assert!(matches!(read, Err(Error::Corrupt(_))));
    // One page in the place of another.
    assert!(matches!(
        PageSet::new(&reader, [(0, parts.pages[1].clone())]),
        Err(Error::Corrupt(_))
    ));
}

#[test]
fn unsorted_input_is_refused() {
    let mut writer = BlockWriter::new(UID).unwrap();
    writer
        .add(&[("__name__", "b")], Samples::floats(&[1, 2], &[0.0, 0.0], 0))
        .unwrap();
    for (labels, times, values) in [
        (vec![("__name__", "b")], vec![1], vec![0.0]),
        (vec![("__name__", "a"), ("z", "1")], vec![1], vec![0.0]),
        (vec![("z", "1"), ("__name__", "c")], vec![1], vec![0.0]),
        (vec![("__name__", "c")], vec![], vec![]),
        (vec![("__name__", "c")], vec![2, 2], vec![0.0, 0.0]),
        (vec![("__name__", "c")], vec![1, 2], vec![0.0]),
    ] {
        assert!(
            matches!(
                writer.add(&labels, Samples::floats(&times, &values, 0)),
                Err(Error::BadData(_))
            ),
            "{labels:?} {times:?}"
        );
    }
    writer
        .add(&[("__name__", "c"), ("a", "1")], Samples::floats(&[1], &[0.0], 0))
        .unwrap();
}
