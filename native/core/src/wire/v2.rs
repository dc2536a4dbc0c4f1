//! The pass over a decoded remote-write 2.0 request. Each series is turned into the form of 1.0: label bytes and columns.

use std::ops::Range;

use super::batch::BatchSeries;
use super::description::{Description, Latest};
use super::keys::InstanceKeys;
use super::label_bytes::LabelBytes;
use super::metadata::Raw;
use super::proto::{BYTES, Reader, VARINT, expect_wire};
use super::refusal::{Reason, Refusal, refuse};
use super::scan::{Found, Scan};
use super::symbols::{Symbols, read_pair, read_refs, to_ref};
use crate::Result;
use crate::model::Millis;

/// Fields 4 and 5 with length-delimited content: a symbol and a `TimeSeries` inside a `Request`.
const SYMBOL_TAG: u8 = 0x22;
const SERIES_TAG: u8 = 0x2a;

/// Fields 1 and 2 with length-delimited content: packed label references and a `Sample` inside a `TimeSeries`.
const REFS_TAG: u8 = 0x0a;
const SAMPLE_TAG: u8 = 0x12;

/// Field 5, a `Metadata` message.
const METADATA_TAG: u8 = 0x2a;

/// Of a `Sample`.
const START_FIELD: u32 = 3;

/// What the label bytes of a recorded scrape take per series.
const LABEL_BYTES_PER_SERIES: usize = 192;

/// References that the message about a refused series shows.
const SHOWN_REFS: usize = 32;

/// What a pass found. Label bytes and histograms lie in [`FoundV2::labels`], which nothing precedes.
#[derive(Debug)]
pub struct FoundV2<'a> {
    pub found: Found,
    pub labels: Vec<u8>,
    /// Each metric's description, once for each that the request gives it.
    pub metadata: Vec<Raw<'a>>,
    /// Series that cannot be told or that hold nothing.
    pub refused: Vec<Refusal>,
}

/// Walks a `Request`. Samples outside of `bounds` (both ends belong to them) are left out; the labels and histograms of all
/// series may come to `max_label_bytes`.
pub fn scan_v2<'a>(
    decoded: &'a [u8],
    keys: &'a InstanceKeys,
    bounds: (Millis, Millis),
    max_label_bytes: usize,
) -> Result<FoundV2<'a>> {
    let mut symbols = Symbols::new(decoded);
    let mut extents: Vec<(u32, u32)> = Vec::with_capacity(decoded.len() / 64);
    let mut request = Reader::new(decoded);
    while !request.is_empty() {
        if let Some(series) = request.short_field(SERIES_TAG) {
            extents.push((series.start as u32, series.end as u32));
            continue;
        }
        if let Some(symbol) = request.short_field(SYMBOL_TAG) {
            symbols.push(symbol);
            continue;
        }
        let (field, wire) = request.tag()?;
        match field {
            4 => {
                expect_wire(wire, BYTES, "a symbol", request.position())?;
                symbols.push(request.extent()?);
            }
            5 => {
                expect_wire(wire, BYTES, "a time series", request.position())?;
                let extent = request.extent()?;
                extents.push((extent.start as u32, extent.end as u32));
            }
            _ => request.skip(wire)?,
        }
    }
    symbols.check()?;
    let expected = (extents.len() * LABEL_BYTES_PER_SERIES).min(max_label_bytes);
    let mut pass = Pass {
        scan: Scan::new(decoded, keys, bounds, extents.len()),
        labels: LabelBytes::new(symbols.len(), expected, max_label_bytes),
        latest: Latest::new(symbols.len()),
        symbols,
        metadata: Vec::new(),
        refused: Vec::new(),
        packed: 0..0,
        refs: Vec::new(),
    };
    pass.scan.start_field = START_FIELD;
    for (start, end) in extents {
        pass.series(start as usize..end as usize)?;
    }
    Ok(FoundV2 {
        found: pass.scan.finish(),
        labels: pass.labels.finish(),
        metadata: pass.metadata,
        refused: pass.refused,
    })
}

struct Pass<'a> {
    scan: Scan<'a>,
    symbols: Symbols<'a>,
    labels: LabelBytes,
    metadata: Vec<Raw<'a>>,
    /// What was said of metrics last.
    latest: Latest,
    refused: Vec<Refusal>,
    /// Where the references of the series that is being read lie, if they are in one piece; else they are in `refs`.
    packed: Range<usize>,
    refs: Vec<u32>,
}

impl<'a> Pass<'a> {
    fn series(&mut self, extent: Range<usize>) -> Result<()> {
        let decoded = self.scan.decoded;
        let mut reader = Reader::over(decoded, extent);
        let first = self.scan.position();
        self.refs.clear();
        self.packed = reader.short_field(REFS_TAG).unwrap_or_default();
        let mut description = Description::default();
        while !reader.is_empty() {
            match reader.short_field(SAMPLE_TAG) {
                Some(sample) => self.scan.sample(sample)?,
                None => match reader.short_field(METADATA_TAG) {
                    Some(message) => description.read(decoded, message)?,
                    None => self.other_field(&mut reader, &mut description)?,
                },
            }
        }
        self.finish_series(first, description)
    }

    /// A field of a `TimeSeries` that is not a sample of the usual length.
    fn other_field(&mut self, reader: &mut Reader<'a>, description: &mut Description) -> Result<()> {
        let at = reader.position();
        let (field, wire) = reader.tag()?;
        match field {
            1 if wire == VARINT => {
                self.unpack()?;
                self.refs.push(to_ref(reader.varint()?));
                Ok(())
            }
            1 => {
                expect_wire(wire, BYTES, "label references", at)?;
                self.unpack()?;
                let refs = reader.extent()?;
                read_refs(Reader::over(self.scan.decoded, refs), &mut self.refs)
            }
            2 => {
                expect_wire(wire, BYTES, "a sample", at)?;
                let sample = reader.extent()?;
                self.scan.sample(sample)
            }
            3 => {
                expect_wire(wire, BYTES, "a histogram", at)?;
                let histogram = reader.extent()?;
                self.scan.histogram(histogram)
            }
            4 => {
                expect_wire(wire, BYTES, "an exemplar", at)?;
                let message = Reader::over(self.scan.decoded, reader.extent()?);
                let (found, bounds) = (&mut self.scan.found, self.scan.bounds);
                let series = found.series.len();
                found.exemplars.add_v2(series, message, &self.symbols, bounds)
            }
            5 => {
                expect_wire(wire, BYTES, "metadata", at)?;
                let message = reader.extent()?;
                description.read(self.scan.decoded, message)
            }
            _ => reader.skip(wire),
        }
    }

    #[inline]
    fn finish_series(&mut self, first: (usize, usize), description: Description) -> Result<()> {
        let end = self.scan.position();
        let (rows, histograms) = (end.0 - first.0, end.1 - first.1);
        if rows + histograms == 0 && !self.scan.is_excepted() {
            self.unpack()?;
            self.refuse_empty();
            return Ok(());
        }
        let Some(labels) = self.write_labels()? else {
            let fault = self.symbols.fault(&self.refs);
            self.refuse_series(first, "labels", &fault);
            return Ok(());
        };
        if description != Description::default()
            && let Err(fault) = self.describe_metric(description)?
        {
            self.unpack()?;
            self.refuse_series(first, "metadata", &fault);
            return Ok(());
        }
        for histogram in &mut self.scan.found.histograms[first.1..] {
            let (start, len) = (histogram.bytes.0 as usize, histogram.bytes.1 as usize);
            histogram.bytes = self.labels.put_bytes(&self.scan.decoded[start..start + len])?;
        }
        let key = self.scan.keys.hash(self.labels.get(labels));
        self.scan.found.series.push(BatchSeries {
            partition: 0,
            key,
            labels,
            samples: (first.0 as u32, rows as u32),
            histograms: (first.1 as u32, histograms as u32),
        });
        Ok(())
    }

    /// Puts the references of the series at hand into `refs`.
    #[cold]
    fn unpack(&mut self) -> Result<()> {
        let packed = std::mem::take(&mut self.packed);
        read_refs(Reader::over(self.scan.decoded, packed), &mut self.refs)
    }

    /// The label bytes of the series at hand. `None`: its references, which are in `refs` then, lead nowhere.
    #[inline]
    fn write_labels(&mut self) -> Result<Option<(u32, u32)>> {
        if !self.packed.is_empty() {
            let labels = self.labels.write_packed(&self.symbols, &self.packed)?;
            if labels.is_some() {
                return Ok(labels);
            }
            self.unpack()?;
        }
        self.labels.write(&self.symbols, &self.refs)
    }

    /// The string that names the metric of the series at hand.
    #[inline]
    fn metric(&mut self) -> Result<Option<u32>> {
        if let Some((first, _)) = read_pair(self.scan.decoded, self.packed.start)
            && !self.packed.is_empty()
            && let Some(name) = self.symbols.name_of(&first)
        {
            return Ok(Some(name));
        }
        self.unpack()?;
        Ok(self.symbols.name_of(&self.refs))
    }

    /// Notes the metadata of the metric at hand, or says which reference is wrong. A series without a name has none.
    #[inline]
    fn describe_metric(&mut self, description: Description) -> Result<Result<(), String>> {
        let metric = self.metric()?;
        if metric.is_some_and(|name| self.latest.is(name, description)) {
            return Ok(Ok(()));
        }
        Ok(self.describe_other(metric, description))
    }

    fn describe_other(&mut self, metric: Option<u32>, description: Description) -> Result<(), String> {
        let text = |reference: u32, what: &str| {
            self.symbols.get(reference).ok_or_else(|| {
                let size = self.symbols.len();
                format!("{what}_ref {reference} outside of symbols table (size {size})")
            })
        };
        let (unit, help) = (text(description.unit, "unit")?, text(description.help, "help")?);
        let Some(reference) = metric else {
            return Ok(());
        };
        self.latest.set(reference, description);
        let name = self.symbols.get(reference).unwrap_or_default();
        if !name.is_empty() {
            self.metadata.push(Raw {
                kind: description.kind,
                family: description.family_of(name),
                help,
                unit,
            });
        }
        Ok(())
    }

    /// Takes back the samples of the series at hand and counts it as refused.
    #[cold]
    fn refuse_series(&mut self, first: (usize, usize), what: &str, fault: &str) {
        let samples = self.scan.take_back(first);
        let refs = &self.refs;
        refuse(&mut self.refused, Reason::InvalidSymbols, samples, || {
            format!("parsing {what} for series {}: {fault}", shown(refs))
        });
    }

    /// The specification wants a sample in each series; Prometheus itself sends exemplars in series of their own.
    #[cold]
    fn refuse_empty(&mut self) {
        let refs = &self.refs;
        refuse(&mut self.refused, Reason::EmptySeries, 1, || {
            format!(
                "TimeSeries must contain at least one sample or histogram: series of label references {}",
                shown(refs)
            )
        });
    }
}

/// References as Prometheus prints them.
fn shown(refs: &[u32]) -> String {
    let numbers: Vec<String> = refs.iter().take(SHOWN_REFS).map(u32::to_string).collect();
    let more = if refs.len() > SHOWN_REFS { " …" } else { "" };
    format!("[{}{more}]", numbers.join(" "))
}
