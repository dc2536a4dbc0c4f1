//! Exemplars: values of a series at a time, with labels of their own, such as the id of a trace.

use super::encode::{put_bytes, put_label, put_varint};
use super::labels::read_label;
use super::proto::{BYTES, FIXED64, Reader, VARINT, expect_wire};
use super::symbols::{Symbols, read_refs, to_ref};
use crate::Result;
use crate::model::Millis;

/// Characters of all label names and values, as in Prometheus.
pub const MAX_CHARS: usize = 128;

/// The field of a remote-write 1.0 `TimeSeries` that holds one.
const FIELD_TAG: u8 = 0x1a;

/// One that was accepted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchExemplar {
    pub partition: u16,
    /// The key of its series, which may have no samples in the batch.
    pub key: u128,
    /// Where the label bytes of its series, and its own, lie in [`super::SplitBatch::labels`], start and length.
    pub series: (u32, u32),
    pub labels: (u32, u32),
    pub time: Millis,
    pub value: f64,
}

/// One that a pass found, with its label bytes in plain form.
#[derive(Debug)]
pub struct FoundExemplar {
    /// The number of its series.
    pub series: usize,
    pub labels: Vec<u8>,
    pub time: Millis,
    pub value: f64,
}

/// Those of a request.
#[derive(Debug, Default)]
pub struct Exemplars {
    pub found: Vec<FoundExemplar>,
    pub refused: u64,
    /// Of the first one refused the series, and the rule that it breaks.
    pub fault: Option<(usize, String)>,
    /// The last series that has one, refused ones included.
    latest: Option<usize>,
}

/// As it came: name and value of each label.
#[derive(Debug, Default)]
struct Sent<'a> {
    labels: Vec<(&'a [u8], &'a [u8])>,
    bits: u64,
    time: Option<Millis>,
}

impl Exemplars {
    /// Whether the series with this number has any; it is the last one.
    #[inline]
    pub fn concern(&self, series: usize) -> bool {
        self.latest == Some(series)
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty() && self.refused == 0
    }

    /// An `Exemplar` of remote write 1.0.
    pub fn add(&mut self, series: usize, message: Reader<'_>, bounds: (Millis, Millis)) -> Result<()> {
        let mut sent = Sent::default();
        let mut message = message;
        while !message.is_empty() {
            let (field, wire) = message.tag()?;
            if field == 1 {
                expect_wire(wire, BYTES, "a label of an exemplar", message.position())?;
                sent.labels.push(read_label(Reader::new(message.bytes()?))?);
            } else {
                sent.other_field(field, wire, &mut message)?;
            }
        }
        // What is missing is zero there.
        sent.time.get_or_insert(0);
        self.note(series, &sent, Ok(()), bounds);
        Ok(())
    }

    /// An `Exemplar` of remote write 2.0.
    pub fn add_v2<'a>(
        &mut self,
        series: usize,
        mut message: Reader<'a>,
        symbols: &Symbols<'a>,
        bounds: (Millis, Millis),
    ) -> Result<()> {
        let mut sent = Sent::default();
        let mut refs = Vec::new();
        while !message.is_empty() {
            let (field, wire) = message.tag()?;
            if field != 1 {
                sent.other_field(field, wire, &mut message)?;
            } else if wire == VARINT {
                refs.push(to_ref(message.varint()?));
            } else {
                expect_wire(wire, BYTES, "label references of an exemplar", message.position())?;
                read_refs(Reader::new(message.bytes()?), &mut refs)?;
            }
        }
        let (pairs, rest) = refs.as_chunks::<2>();
        let found = pairs
            .iter()
            .map(|&[name, value]| Some((symbols.get(name)?, symbols.get(value)?)));
        let told = match found.collect::<Option<Vec<_>>>() {
            Some(labels) if rest.is_empty() => {
                sent.labels = labels;
                Ok(())
            }
            _ => Err(format!("parsing exemplar: {}", symbols.fault(&refs))),
        };
        self.note(series, &sent, told, bounds);
        Ok(())
    }

    fn note(&mut self, series: usize, sent: &Sent<'_>, told: Result<(), String>, bounds: (Millis, Millis)) {
        self.latest = Some(series);
        match told.and_then(|()| sent.check(bounds)) {
            Ok((labels, time)) => self.found.push(FoundExemplar {
                series,
                labels,
                time,
                value: f64::from_bits(sent.bits),
            }),
            Err(why) => {
                self.refused += 1;
                self.fault.get_or_insert((series, why));
            }
        }
    }

    /// Takes back those of a series that is refused as a whole, and is the last; how many.
    pub fn take_back(&mut self, series: usize) -> u64 {
        if !self.concern(series) {
            return 0;
        }
        self.latest = None;
        let kept = self.found.iter().rposition(|found| found.series != series);
        let kept = kept.map_or(0, |last| last + 1);
        let taken = (self.found.len() - kept) as u64;
        self.found.truncate(kept);
        if self.fault.as_ref().is_some_and(|(number, _)| *number == series) {
            // Its reason is that of its series.
            self.fault = None;
            let refused = std::mem::take(&mut self.refused);
            return taken + refused;
        }
        taken
    }
}

impl Sent<'_> {
    fn other_field(&mut self, field: u32, wire: u8, message: &mut Reader<'_>) -> Result<()> {
        match field {
            2 => {
                expect_wire(wire, FIXED64, "an exemplar's value", message.position())?;
                self.bits = message.fixed64()?;
            }
            3 => {
                expect_wire(wire, VARINT, "an exemplar's timestamp", message.position())?;
                self.time = Some(message.varint()? as Millis);
            }
            _ => message.skip(wire)?,
        }
        Ok(())
    }

    /// Its label bytes and time, or the rule that it breaks.
    fn check(&self, (min, max): (Millis, Millis)) -> Result<(Vec<u8>, Millis), String> {
        let Some(time) = self.time else {
            return Err("it has no timestamp".to_owned());
        };
        let mut chars = 0;
        let mut labels: Vec<(&str, &str)> = Vec::with_capacity(self.labels.len());
        for (name, value) in &self.labels {
            let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
                return Err("its labels are not valid UTF-8".to_owned());
            };
            if name.is_empty() {
                return Err("one of its labels has no name".to_owned());
            }
            chars += name.chars().count() + value.chars().count();
            if !value.is_empty() {
                labels.push((name, value));
            }
        }
        if chars > MAX_CHARS {
            return Err(format!(
                "its label names and values have {chars} characters, at most {MAX_CHARS} are taken"
            ));
        }
        labels.sort_unstable();
        if let Some(twice) = labels.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(format!("its label {:?} occurs twice", twice[0].0));
        }
        if time < min || time > max {
            return Err(format!("its time {time} is not between {min} and {max}"));
        }
        let mut bytes = Vec::new();
        for (name, value) in labels {
            put_label(&mut bytes, name.as_bytes(), value.as_bytes());
        }
        Ok((bytes, time))
    }
}

/// One `TimeSeries` field of a remote-write 1.0 request that holds nothing but an exemplar.
pub fn put_exemplar(out: &mut Vec<u8>, series: &[u8], labels: &[u8], time: Millis, value: f64) {
    let mut exemplar = Vec::with_capacity(labels.len() + 20);
    exemplar.extend_from_slice(labels);
    exemplar.push(0x11);
    exemplar.extend_from_slice(&value.to_bits().to_le_bytes());
    exemplar.push(0x18);
    put_varint(&mut exemplar, time as u64);
    let mut message = Vec::with_capacity(series.len() + exemplar.len() + 8);
    message.extend_from_slice(series);
    put_bytes(&mut message, FIELD_TAG, &exemplar);
    put_bytes(out, 0x0a, &message);
}

/// The most that [`put_exemplar`] appends.
pub fn max_exemplar_len(series: &[u8], labels: &[u8]) -> usize {
    series.len() + labels.len() + 64
}

/// One of those that [`put_exemplar`] wrote.
#[derive(Debug)]
pub struct ReadExemplar {
    /// Label bytes, in plain form.
    pub series: Vec<u8>,
    pub labels: Vec<u8>,
    pub time: Millis,
    pub value: f64,
}

/// All of a request, not compressed, that holds nothing else.
pub fn read_exemplars(plain: &[u8]) -> Result<Vec<ReadExemplar>> {
    let mut all = Vec::new();
    let mut request = Reader::new(plain);
    while !request.is_empty() {
        let (field, wire) = request.tag()?;
        if field != 1 {
            request.skip(wire)?;
            continue;
        }
        expect_wire(wire, BYTES, "a time series", request.position())?;
        let mut message = Reader::new(request.bytes()?);
        let mut series = Vec::new();
        let mut exemplars = Exemplars::default();
        while !message.is_empty() {
            let (field, wire) = message.tag()?;
            match field {
                1 => {
                    expect_wire(wire, BYTES, "a label", message.position())?;
                    put_bytes(&mut series, 0x0a, message.bytes()?);
                }
                3 => {
                    expect_wire(wire, BYTES, "an exemplar", message.position())?;
                    exemplars.add(0, Reader::new(message.bytes()?), (Millis::MIN, Millis::MAX))?;
                }
                _ => message.skip(wire)?,
            }
        }
        all.extend(exemplars.found.into_iter().map(|found| ReadExemplar {
            series: series.clone(),
            labels: found.labels,
            time: found.time,
            value: found.value,
        }));
    }
    Ok(all)
}
