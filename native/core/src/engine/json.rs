//! Results as the query API writes them.

use std::cmp::Ordering;
use std::sync::Arc;

use super::cells::{ABSENT, Element, FLOAT, HISTOGRAM, RowView};
use super::context::{Charge, QueryContext};
use super::frame::{Frame, Grid};
use super::labels::Pairs;
use super::number::{write_plain, write_u64, write_value};
use super::parallel::fold_chunks;
use crate::kernel::{Pinned, Split};
use crate::model::{Histogram, Millis, SeriesTable, Symbols};
use crate::select::SeriesSet;
use crate::{Error, Result};

/// The text and whether `limit` cut it.
pub type Written = (Vec<u8>, bool);

/// How often an answer's text is held in the end: here, as an object of Python, and in the whole answer.
const COPIES: usize = 3;

/// Makes a charge that of a text.
fn pay(charge: &mut Charge, capacity: usize) -> Result<()> {
    charge.resize(capacity.saturating_mul(COPIES))
}

/// The `result` of an instant vector: the first step of each row that is present there.
pub fn vector(context: &Arc<QueryContext>, frame: &Frame, grid: Grid, limit: usize) -> Result<Written> {
    let mut charge = context.charge(0, 0)?;
    let symbols = context.symbols();
    let mut rows: Vec<u32> = (0..frame.rows())
        .filter(|&row| frame.row(row).0[0] != ABSENT)
        .map(|row| row as u32)
        .collect();
    if !frame.ordered {
        sort_by_labels(&symbols, &frame.table, &mut rows);
    }
    let cut = cut_to(&mut rows, limit);
    let mut out = Vec::with_capacity(rows.len() * 128 + 2);
    let point = point_prefix(grid.start);
    out.push(b'[');
    for (i, &row) in rows.iter().enumerate() {
        separate(i, &mut out);
        metric(&symbols, frame.table.row(row as usize), &mut out);
        match frame.get(row as usize, 0) {
            Some(Element::Float(value)) => {
                out.extend_from_slice(b",\"value\":[");
                out.extend_from_slice(&point);
                write_quoted(value, &mut out);
            }
            Some(Element::Histogram(histogram)) => {
                out.extend_from_slice(b",\"histogram\":[");
                out.extend_from_slice(&point);
                write_histogram(histogram, &mut out);
            }
            None => {}
        }
        out.extend_from_slice(b"]}");
        if i % 1024 == 0 {
            context.check()?;
            pay(&mut charge, out.capacity())?;
        }
    }
    out.push(b']');
    pay(&mut charge, out.capacity())?;
    Ok((out, cut))
}

/// The `result` of a range query. A frame of one step is the same at every step of the grid.
pub fn matrix(context: &Arc<QueryContext>, frame: &Frame, grid: Grid, limit: usize) -> Result<Written> {
    let guard = context.symbols();
    let symbols: &Symbols = &guard;
    let mut rows: Vec<u32> = (0..frame.rows())
        .filter(|&row| frame.row(row).0.iter().any(|&kind| kind != ABSENT))
        .map(|row| row as u32)
        .collect();
    sort_by_labels(symbols, &frame.table, &mut rows);
    let cut = cut_to(&mut rows, limit);
    let points = Points::new(grid.times());
    // A point costs about as much as ten cells of a kernel.
    let cost = rows.len().saturating_mul(grid.steps).saturating_mul(10);
    let (mut out, _charge) = fold_chunks(
        rows.len(),
        cost,
        (vec![b'['], context.charge(0, 0)?),
        |chunk| {
            let room = chunk.len() * (64 + grid.steps * 28);
            let charge = context.charge(0, room)?;
            let mut text = Vec::with_capacity(room);
            for row in chunk {
                context.check()?;
                separate(row, &mut text);
                let row = rows[row] as usize;
                metric(symbols, frame.table.row(row), &mut text);
                write_points(frame.view(row), &points, &mut text);
            }
            Ok((text, charge))
        },
        |(out, charge), (text, _)| {
            out.extend_from_slice(&text);
            pay(charge, out.capacity())
        },
    )?;
    out.push(b']');
    Ok((out, cut))
}

/// `,"values":[…],"histograms":[…]}` with what is present of a row; what is empty is left out.
fn write_points(row: RowView<'_>, points: &Points, out: &mut Vec<u8>) {
    let cell_of = |step: usize| if row.kind.len() == 1 { 0 } else { step };
    let mut list = List::new("values");
    if row.kind.contains(&FLOAT) {
        for step in 0..points.len() {
            let cell = cell_of(step);
            if row.kind[cell] == FLOAT {
                list.begin(points.prefix(step), out);
                write_quoted(row.value[cell], out);
                out.push(b']');
            }
        }
    }
    list.end(out);
    let mut list = List::new("histograms");
    if row.has_histograms() && row.kind.contains(&HISTOGRAM) {
        for step in 0..points.len() {
            if let Some(Element::Histogram(histogram)) = row.get(cell_of(step)) {
                list.begin(points.prefix(step), out);
                write_histogram(histogram, out);
                out.push(b']');
            }
        }
    }
    list.end(out);
    out.push(b'}');
}

/// A list of points under a name, which is only there if it has any.
struct List {
    name: &'static str,
    is_open: bool,
}

impl List {
    const fn new(name: &'static str) -> Self {
        Self { name, is_open: false }
    }

    /// Begins a point with its time.
    fn begin(&mut self, time: &[u8], out: &mut Vec<u8>) {
        if self.is_open {
            out.extend_from_slice(b",[");
        } else {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(self.name.as_bytes());
            out.extend_from_slice(b"\":[[");
            self.is_open = true;
        }
        out.extend_from_slice(time);
    }

    fn end(&self, out: &mut Vec<u8>) {
        if self.is_open {
            out.push(b']');
        }
    }
}

fn write_quoted(value: f64, out: &mut Vec<u8>) {
    out.push(b'"');
    write_value(value, out);
    out.push(b'"');
}

/// `{"count":"…","sum":"…","buckets":[[…],…]}` with the filled buckets: which bounds belong to it, the bounds, the count.
fn write_histogram(histogram: &Histogram, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"count\":");
    write_quoted(histogram.count, out);
    out.extend_from_slice(b",\"sum\":");
    write_quoted(histogram.sum, out);
    let mut is_open = false;
    for bucket in histogram.all_buckets().filter(|bucket| bucket.count != 0.0) {
        let start: &[u8] = if is_open { b",[" } else { b",\"buckets\":[[" };
        is_open = true;
        out.extend_from_slice(start);
        out.push(b'0' + bucket.rule());
        for number in [bucket.lower, bucket.upper, bucket.count] {
            out.push(b',');
            write_quoted(number, out);
        }
        out.push(b']');
    }
    if is_open {
        out.push(b']');
    }
    out.push(b'}');
}

/// Raw samples with their own times, stale markers left out: an instant query for a range selector.
pub fn samples(
    context: &Arc<QueryContext>,
    series: &SeriesSet,
    bounds: (Millis, Millis),
    limit: usize,
) -> Result<Written> {
    write_samples(context, series, bounds, limit, |_| Ok(()))
}

/// The same of an extended range selector. Prometheus has no form of it for histograms.
pub fn pinned_samples(
    context: &Arc<QueryContext>,
    series: &SeriesSet,
    pinned: Pinned,
    limit: usize,
) -> Result<Written> {
    write_samples(context, series, pinned.bounds(), limit, |split| {
        if !split.histograms.is_empty() {
            return Err(Error::Execution(format!(
                "{} modifier is not supported with histograms",
                pinned.edges.name()
            )));
        }
        pinned.pin(&mut split.float_times, &mut split.floats);
        Ok(())
    })
}

/// `change` may change what is shown of a row.
fn write_samples(
    context: &Arc<QueryContext>,
    series: &SeriesSet,
    (min, max): (Millis, Millis),
    limit: usize,
    change: impl Fn(&mut Split) -> Result<()>,
) -> Result<Written> {
    let mut rows: Vec<u32> = (0..series.len() as u32).collect();
    sort_by_labels(&context.symbols(), &series.table, &mut rows);
    let mut reader = series.source.reader();
    let mut charge = context.charge(0, 0)?;
    let mut split = Split::default();
    let mut out = vec![b'['];
    let mut written = 0;
    for &row in &rows {
        context.check()?;
        let samples = reader.read(row as usize, min, max)?;
        context.add_samples_read(samples.times.len() as u64);
        split.fill(samples);
        charge.grow(samples.times.len(), 0)?;
        pay(&mut charge, out.capacity())?;
        change(&mut split)?;
        if split.floats.is_empty() && split.histograms.is_empty() {
            continue;
        }
        if limit > 0 && written == limit {
            out.push(b']');
            return Ok((out, true));
        }
        separate(written, &mut out);
        written += 1;
        metric(&context.symbols(), series.table.row(row as usize), &mut out);
        let mut list = List::new("values");
        for (&time, &value) in split.float_times.iter().zip(&split.floats) {
            list.begin(&point_prefix(time), &mut out);
            write_quoted(value, &mut out);
            out.push(b']');
        }
        list.end(&mut out);
        let mut list = List::new("histograms");
        for (&time, histogram) in split.times.iter().zip(&split.histograms) {
            list.begin(&point_prefix(time), &mut out);
            write_histogram(histogram, &mut out);
            out.push(b']');
        }
        list.end(&mut out);
        out.push(b'}');
    }
    out.push(b']');
    pay(&mut charge, out.capacity())?;
    Ok((out, false))
}

/// `[time, "value"]`, the value in plain decimal.
pub fn scalar(value: f64, time: Millis) -> Vec<u8> {
    let mut out = vec![b'['];
    out.extend_from_slice(&point_prefix(time));
    out.push(b'"');
    write_plain(value, &mut out);
    out.extend_from_slice(b"\"]");
    out
}

/// `[time, "text"]`.
pub fn string(text: &str, time: Millis) -> Vec<u8> {
    let mut out = vec![b'['];
    write_seconds(time, &mut out);
    out.push(b',');
    write_string(text, &mut out);
    out.push(b']');
    out
}

/// Sorts rows by label set: pairs in order, name before value, bytewise; of a prefix the shorter first.
pub fn sort_by_labels(symbols: &Symbols, table: &SeriesTable, rows: &mut [u32]) {
    let ranks = Ranks::new(symbols, table, rows);
    let order = |a: &u32, b: &u32| ranks.compare(table.row(*a as usize), table.row(*b as usize));
    if !rows.is_sorted_by(|a, b| order(a, b) != Ordering::Greater) {
        rows.sort_by(order);
    }
}

/// The place of each string that some rows use among all of them, so that comparing label sets compares integers.
#[derive(Debug)]
struct Ranks(Vec<u32>);

impl Ranks {
    fn new(symbols: &Symbols, table: &SeriesTable, rows: &[u32]) -> Self {
        let mut ranks = vec![0; symbols.len()];
        let mut used = Vec::new();
        for &row in rows {
            for id in table
                .row(row as usize)
                .iter()
                .flat_map(|&(name, value)| [name, value])
            {
                if ranks[id as usize] == 0 {
                    ranks[id as usize] = 1;
                    used.push(id);
                }
            }
        }
        used.sort_unstable_by_key(|&id| symbols.get(id));
        for (rank, id) in used.into_iter().enumerate() {
            ranks[id as usize] = rank as u32;
        }
        Self(ranks)
    }

    fn compare(&self, a: &Pairs, b: &Pairs) -> Ordering {
        let rank = |&(name, value): &(u32, u32)| (self.0[name as usize], self.0[value as usize]);
        a.iter().map(rank).cmp(b.iter().map(rank))
    }
}

/// `seconds,` for each step, rendered once for all rows.
struct Points {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Points {
    fn new(times: impl Iterator<Item = Millis>) -> Self {
        let mut points = Self {
            text: Vec::new(),
            ends: vec![0],
        };
        for time in times {
            points.text.extend_from_slice(&point_prefix(time));
            points.ends.push(points.text.len());
        }
        points
    }

    fn len(&self) -> usize {
        self.ends.len() - 1
    }

    fn prefix(&self, step: usize) -> &[u8] {
        &self.text[self.ends[step]..self.ends[step + 1]]
    }
}

fn point_prefix(time: Millis) -> Vec<u8> {
    let mut out = Vec::new();
    write_seconds(time, &mut out);
    out.push(b',');
    out
}

/// Seconds, with three decimals only where the milliseconds are not zero.
pub fn write_seconds(time: Millis, out: &mut Vec<u8>) {
    if time < 0 {
        out.push(b'-');
    }
    let magnitude = time.unsigned_abs();
    write_u64(magnitude / 1000, out);
    let millis = (magnitude % 1000) as u16;
    if millis > 0 {
        out.push(b'.');
        out.extend([millis / 100, millis / 10 % 10, millis % 10].map(|digit| b'0' + digit as u8));
    }
}

fn separate(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
}

/// Keeps the first `limit` rows (0: all); whether that cut any.
fn cut_to(rows: &mut Vec<u32>, limit: usize) -> bool {
    let cut = limit > 0 && rows.len() > limit;
    if cut {
        rows.truncate(limit);
    }
    cut
}

/// `{"metric":{…}`, to be continued and closed.
fn metric(symbols: &Symbols, row: &Pairs, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"metric\":");
    write_labels(
        row.iter()
            .map(|&(name, value)| (symbols.get(name), symbols.get(value))),
        out,
    );
}

/// An object of label names and values.
pub fn write_labels<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (i, (name, value)) in labels.enumerate() {
        separate(i, out);
        write_string(name, out);
        out.push(b':');
        write_string(value, out);
    }
    out.push(b'}');
}

/// A JSON string; what is not ASCII stays UTF-8.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain = 0;
    for (i, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[plain..i]);
        plain = i + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.extend([
                b'\\',
                b'u',
                b'0',
                b'0',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]),
        }
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}
