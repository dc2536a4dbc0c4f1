//! Measures blocks on recorded or synthetic remote-write bodies: bytes per sample by part, CPU time to encode, decode and open.
//!
//! `cargo run --release -p headrace-core --example block_size -- FILE [partitions] [--together]`
//!
//! FILE holds `[u32 little-endian length][snappy remote-write 1.0 body]…`, as `bench/dataset.py` writes it. Blocks are cut as the product
//! cuts them: by two-hour window, and by a hash of the labels into 4 partitions. `--together` leaves `le` out of that hash, so that
//! the buckets of a histogram meet in one block.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;

use headrace_core::block::{BlockCursor, BlockParts, BlockReader, BlockWriter, PageSet};
use headrace_core::codec::bytes::Input;
use headrace_core::model::{Millis, Samples, Uid, window_of};
use xxhash_rust::xxh3::xxh3_64;

type Any<T> = Result<T, Box<dyn Error>>;
type Labels = Vec<(String, String)>;

const WINDOW: Millis = 2 * 3_600_000;

#[derive(Default)]
struct Series {
    labels: Labels,
    times: Vec<Millis>,
    values: Vec<f64>,
}

/// Nanoseconds this thread has spent on a CPU: what other processes do does not count.
fn cpu_ns() -> Any<f64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(stat.split(' ').next().unwrap_or_default().parse()?)
}

/// The length-delimited and scalar fields of one protobuf message: (field, bytes, number).
fn fields(message: &[u8], mut each: impl FnMut(u64, &[u8], u64) -> Any<()>) -> Any<()> {
    let mut input = Input::new(message);
    while input.remaining() > 0 {
        let tag = input.varint()?;
        match tag & 7 {
            0 => each(tag >> 3, &[], input.varint()?)?,
            1 => each(tag >> 3, &[], input.u64()?)?,
            2 => {
                let len = input.bounded(message.len(), "field length")?;
                each(tag >> 3, input.take(len)?, 0)?;
            }
            _ => return Err("unknown wire type".into()),
        }
    }
    Ok(())
}

fn label(bytes: &[u8]) -> Any<(String, String)> {
    let mut pair = (String::new(), String::new());
    fields(bytes, |field, text, _| {
        let to = if field == 1 { &mut pair.0 } else { &mut pair.1 };
        std::str::from_utf8(text)?.clone_into(to);
        Ok(())
    })?;
    Ok(pair)
}

/// All series of the file, each with its samples in the order of their arrival.
fn load(path: &str) -> Any<Vec<Series>> {
    let file = std::fs::read(path)?;
    let mut input = Input::new(&file);
    let mut ids: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut all: Vec<Series> = Vec::new();
    let mut decoder = snap::raw::Decoder::new();
    let mut key = Vec::new();
    while input.remaining() > 0 {
        let len = input.u32()? as usize;
        let body = decoder.decompress_vec(input.take(len)?)?;
        fields(&body, |field, series, _| {
            if field != 1 {
                return Ok(());
            }
            key.clear();
            let mut samples = Vec::new();
            fields(series, |field, bytes, _| {
                match field {
                    1 => {
                        key.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                        key.extend_from_slice(bytes);
                    }
                    2 => {
                        let mut sample = (0, 0.0);
                        fields(bytes, |field, _, number| {
                            match field {
                                1 => sample.1 = f64::from_bits(number),
                                _ => sample.0 = number as i64,
                            }
                            Ok(())
                        })?;
                        samples.push(sample);
                    }
                    _ => {}
                }
                Ok(())
            })?;
            let id = if let Some(&id) = ids.get(&key) {
                id
            } else {
                let mut labels = Labels::new();
                fields(series, |field, bytes, _| {
                    if field == 1 {
                        labels.push(label(bytes)?);
                    }
                    Ok(())
                })?;
                labels.sort();
                ids.insert(key.clone(), all.len());
                all.push(Series {
                    labels,
                    ..Series::default()
                });
                all.len() - 1
            };
            for (time, value) in samples {
                if all[id].times.last().is_none_or(|&last| last < time) {
                    all[id].times.push(time);
                    all[id].values.push(value);
                }
            }
            Ok(())
        })?;
    }
    Ok(all)
}

fn order(labels: &Labels) -> (&str, &Labels) {
    (
        labels
            .iter()
            .find(|l| l.0 == "__name__")
            .map_or("", |l| l.1.as_str()),
        labels,
    )
}

fn partition(labels: &Labels, partitions: u64, together: bool) -> u64 {
    let text: Vec<String> = labels
        .iter()
        .filter(|label| !together || label.0 != "le")
        .map(|(name, value)| format!("{name}\0{value}\0"))
        .collect();
    xxh3_64(text.concat().as_bytes()) % partitions
}

fn main() -> Any<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let together = args.iter().any(|arg| arg == "--together");
    let plain: Vec<&String> = args.iter().filter(|arg| !arg.starts_with("--")).collect();
    let path = plain.first().ok_or("give a file of remote-write bodies")?;
    let partitions = plain.get(1).map_or(Ok(4), |text| text.parse())?;
    let mut all = load(path)?;
    all.sort_by(|a, b| order(&a.labels).cmp(&order(&b.labels)));
    let mut blocks: BTreeMap<(Millis, u64), Vec<usize>> = BTreeMap::new();
    for (id, series) in all.iter().enumerate() {
        let (Some(&first), Some(&last)) = (series.times.first(), series.times.last()) else {
            continue;
        };
        let mut window = window_of(first, WINDOW);
        while window <= last {
            blocks
                .entry((window, partition(&series.labels, partitions, together)))
                .or_default()
                .push(id);
            window += WINDOW;
        }
    }
    let mut total = Tally::default();
    for ((window, _), ids) in &blocks {
        let start = cpu_ns()?;
        let mut writer = BlockWriter::new(Uid([1; 16]))?;
        for &id in ids {
            let Series {
                labels,
                times,
                values,
            } = &all[id];
            let from = times.partition_point(|t| t < window);
            let to = times.partition_point(|t| *t < window + WINDOW);
            if from < to {
                let labels: Vec<(&str, &str)> = labels.iter().map(|l| (l.0.as_str(), l.1.as_str())).collect();
                writer.add(&labels, Samples::floats(&times[from..to], &values[from..to], 0))?;
            }
        }
        let parts = writer.finish()?;
        total.encode_ns += cpu_ns()? - start;
        total.read(&parts)?;
    }
    total.print(blocks.len());
    Ok(())
}

#[derive(Default)]
struct Tally {
    samples: f64,
    series: f64,
    /// Bytes of symbols, label rows, timestamps (directory and pages), values (directory and pages), all.
    symbols: f64,
    rows: f64,
    times: f64,
    values: f64,
    all: f64,
    pages: usize,
    encode_ns: f64,
    decode_ns: f64,
    last_run_ns: f64,
    open_ns: f64,
    memory: usize,
}

impl Tally {
    fn read(&mut self, parts: &BlockParts) -> Any<()> {
        // The clock ticks every few milliseconds: small blocks are read often enough to be seen.
        let passes = (10_000_000 / parts.samples).max(1);
        let start = cpu_ns()?;
        for _ in 1..passes {
            BlockReader::open(&parts.root)?;
        }
        let reader = BlockReader::open(&parts.root)?;
        self.open_ns += (cpu_ns()? - start) / passes as f64;
        let sizes = reader.sizes();
        self.symbols += sizes.symbols as f64;
        self.rows += sizes.rows as f64;
        self.times += sizes.times as f64;
        self.values += sizes.values as f64;
        self.all += (parts.root.len() + parts.pages.iter().map(Vec::len).sum::<usize>()) as f64;
        self.pages += parts.pages.len();
        self.samples += parts.samples as f64;
        self.series += parts.series as f64;
        self.memory += reader.memory_bytes();
        let rows: Vec<u32> = (0..reader.series() as u32).collect();
        for (ns, min) in [
            (&mut self.decode_ns, Millis::MIN),
            (&mut self.last_run_ns, parts.max_time - 15_000),
        ] {
            let start = cpu_ns()?;
            for _ in 0..passes {
                let pages = PageSet::new(&reader, (0..).zip(parts.pages.iter().cloned()))?;
                let mut cursor = BlockCursor::new(&reader, &pages)?;
                let mut sum = 0.0;
                for &row in &rows {
                    let samples = cursor.read(row, min, Millis::MAX)?;
                    sum += samples.values.last().copied().unwrap_or(0.0);
                }
                std::hint::black_box(sum);
            }
            *ns += (cpu_ns()? - start) / passes as f64;
        }
        let pages = PageSet::new(&reader, (0..).zip(parts.pages.iter().cloned()))?;
        if BlockCursor::new(&reader, &pages)?.verify()? != parts.digest {
            return Err("the block does not give back what went in".into());
        }
        Ok(())
    }

    fn print(&self, blocks: usize) {
        let per_sample = |bytes: f64| bytes / self.samples;
        println!(
            "{blocks} blocks, {} series, {} samples, {} pages; {:.1} index bytes per series",
            self.series,
            self.samples,
            self.pages,
            (self.symbols + self.rows) / self.series
        );
        println!(
            "bytes per sample: all {:.4} = symbols {:.4} + label rows {:.4} + times {:.4} + values {:.4} + rest",
            per_sample(self.all),
            per_sample(self.symbols),
            per_sample(self.rows),
            per_sample(self.times),
            per_sample(self.values)
        );
        println!(
            "encode {:.1} ns, decode {:.2} ns per sample; last 15 s {:.0} ns per series; open {:.1} ms, {} KiB in memory",
            self.encode_ns / self.samples,
            self.decode_ns / self.samples,
            self.last_run_ns / self.series,
            self.open_ns / 1e6,
            self.memory >> 10
        );
    }
}
