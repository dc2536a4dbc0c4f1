//! What a split costs: `cargo run --release --example split_bench -- <file> [<rounds>] [2]`, the file holding recorded remote-write
//! bodies, of 2.0 where that is said, as repeated `[length, 4 bytes little-endian][snappy body]`.

use std::time::{Duration, Instant};

use headrace_core::model::Uid;
use headrace_core::wire::{Form, Splitter, WriteLimits};

const ROUNDS: usize = 3;

const USAGE: &str = "usage: split_bench <file of length-prefixed bodies> [<rounds>] [2]";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or(USAGE)?;
    let rounds = arguments.next().map_or(Ok(ROUNDS), |rounds| rounds.parse())?;
    let form = match arguments.next().as_deref() {
        None | Some("1") => Form::V1,
        Some("2") => Form::V2,
        Some(_) => return Err(USAGE.into()),
    };
    let file = std::fs::read(path)?;
    let mut bodies = Vec::new();
    let mut rest = file.as_slice();
    while let Some((len, after)) = rest.split_first_chunk() {
        let (body, after) = after
            .split_at_checked(u32::from_le_bytes(*len) as usize)
            .ok_or("the file is cut")?;
        bodies.push(body);
        rest = after;
    }
    let splitter = Splitter::new(b"a secret of the bench", 4, 64 << 20)?;
    let uid = Uid([1; 16]);
    println!("{} bodies, {} bytes", bodies.len(), file.len());
    for round in 0..rounds {
        let (mut snappy, mut split) = (Duration::ZERO, Duration::ZERO);
        let (mut samples, mut series) = (0, 0);
        for body in &bodies {
            let start = Instant::now();
            let decoded = snap::raw::Decoder::new().decompress_vec(body)?;
            snappy += start.elapsed();
            std::hint::black_box(decoded);
            let start = Instant::now();
            let batch = splitter.split(body, form, uid, 4, &WriteLimits::default(), i64::MAX)?;
            split += start.elapsed();
            samples += batch.times.len();
            series += batch.series.len();
        }
        let per_sample = |time: Duration| time.as_nanos() as f64 / samples.max(1) as f64;
        println!(
            "round {round}: {series} series, {samples} samples; split {:.1} ns/sample, of which snappy {:.1}",
            per_sample(split),
            per_sample(snappy)
        );
    }
    Ok(())
}
