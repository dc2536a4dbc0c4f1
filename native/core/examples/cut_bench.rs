//! What cutting a head into blocks costs, the comparison that another zone makes instead, and letting go.
//!
//! `cargo run --release -p headrace-core --example cut_bench -- FILE [PARTITIONS] [BODIES]`
//!
//! FILE holds `[u32 little-endian length][snappy remote-write 1.0 body]…`, as `bench/dataset.py` writes it; BODIES of them are taken.

use std::error::Error;
use std::sync::Arc;

use headrace_core::head::Head;
use headrace_core::log::{LogRecord, RecordKind};
use headrace_core::model::{Millis, Uid};
use headrace_core::wire::{Form, Splitter, WriteLimits};

const USAGE: &str = "usage: cut_bench <file of length-prefixed bodies> [<partitions>] [<bodies>]";
const WINDOW: Millis = 2 * 3_600_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or(USAGE)?;
    let partitions: u16 = arguments.next().map_or(Ok(4), |text| text.parse())?;
    let bodies: usize = arguments.next().map_or(Ok(usize::MAX), |text| text.parse())?;
    let heads = filled(&path, partitions, bodies)?;
    let (mut totals, mut samples, mut series, mut bytes) = ([0.0; 3], 0, 0, 0);
    for head in &heads {
        for held in head.windows() {
            let marker = held.sealed.ok_or("a window that is not sealed")?;
            let start = cpu_ns()?;
            let summaries = head.summary(held.window, marker)?;
            totals[0] += cpu_ns()? - start;
            let start = cpu_ns()?;
            let blocks = head.cut(held.window, marker)?;
            totals[1] += cpu_ns()? - start;
            for (summary, block) in summaries.iter().zip(&blocks) {
                if (summary.digest, summary.samples) != (block.digest, block.samples) {
                    return Err("the comparison has other samples than the cut".into());
                }
                samples += block.samples;
                series += block.series;
                bytes += block.root.len() + block.pages.iter().map(Vec::len).sum::<usize>();
            }
            let start = cpu_ns()?;
            head.release(held.window, marker);
            totals[2] += cpu_ns()? - start;
        }
    }
    println!(
        "{series} series in blocks, {samples} samples, {:.4} bytes a sample",
        bytes as f64 / samples as f64
    );
    for (what, ns) in ["compare", "cut", "release"].into_iter().zip(totals) {
        println!(
            "{what}: {:.3} s, {:.2} us a series, {:.1} ns a sample",
            ns / 1e9,
            ns / 1e3 / series as f64,
            ns / samples as f64
        );
    }
    Ok(())
}

/// Heads of all partitions with everything sealed.
fn filled(path: &str, partitions: u16, bodies: usize) -> Result<Vec<Head>, Box<dyn Error>> {
    let file = std::fs::read(path)?;
    let splitter = Splitter::new(b"a secret of the bench", partitions, 64 << 20)?;
    let heads: Vec<Head> = (0..partitions)
        .map(|partition| Head::new(partition, WINDOW))
        .collect::<Result<_, _>>()?;
    let all: Vec<&Head> = heads.iter().collect();
    let mut rest = file.as_slice();
    let mut offset = 0;
    let mut apply = |kind| {
        let record = LogRecord {
            offset,
            now_ms: 0,
            kind,
        };
        offset += 1;
        Head::apply(&all, [&record]);
    };
    for _ in 0..bodies {
        let Some((len, after)) = rest.split_first_chunk() else {
            break;
        };
        let (body, after) = after
            .split_at_checked(u32::from_le_bytes(*len) as usize)
            .ok_or("the file is cut")?;
        rest = after;
        let batch = splitter.split(
            body,
            Form::V1,
            Uid([1; 16]),
            partitions,
            &WriteLimits::default(),
            i64::MAX,
        )?;
        apply(RecordKind::write(Arc::new(batch)));
    }
    for head in &heads {
        let windows = head.windows().iter().map(|held| held.window).collect();
        apply(RecordKind::Seal {
            partition: head.partition(),
            windows,
        });
    }
    Ok(heads)
}

/// Nanoseconds this thread has spent on a CPU: what other processes do does not count.
fn cpu_ns() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(stat.split(' ').next().unwrap_or_default().parse()?)
}
