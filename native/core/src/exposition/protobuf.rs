//! `io.prometheus.client.MetricFamily` messages, one behind the other with their lengths: read from a push, and written into the log.

use hashbrown::HashMap;

use super::family::{Exemplar, Family, Kind, Label, Metric, Value};
use super::native::Native;
use crate::model::Millis;
use crate::wire::encode::{put_bytes, put_varint};
use crate::wire::proto::{BYTES, FIXED64, Reader, VARINT, expect_wire};
use crate::{Error, Result};

/// Reads families; of two with one name the later stands. BadData for damage.
pub fn read(body: &[u8]) -> Result<Vec<Family>> {
    let mut families: Vec<Family> = Vec::new();
    let mut by_name: HashMap<String, usize> = HashMap::new();
    for family in messages(body)? {
        if let Some(&number) = by_name.get(&family.name) {
            families[number] = family;
        } else {
            by_name.insert(family.name.clone(), families.len());
            families.push(family);
        }
    }
    families.retain(|family| !family.metrics.is_empty());
    Ok(families)
}

/// Likewise every family that is there.
pub fn messages(body: &[u8]) -> Result<Vec<Family>> {
    let mut reader = Reader::new(body);
    let mut families = Vec::new();
    while !reader.is_empty() {
        let extent = reader.extent()?;
        families.push(family(Reader::over(body, extent))?);
    }
    Ok(families)
}

fn family(mut reader: Reader<'_>) -> Result<Family> {
    let mut family = Family {
        name: String::new(),
        help: String::new(),
        kind: Kind::Counter,
        metrics: Vec::new(),
    };
    let mut messages = Vec::new();
    while !reader.is_empty() {
        let (field, wire) = reader.tag()?;
        match field {
            1 | 2 => {
                let text = text(&mut reader, wire, "a family's name or help")?;
                *(if field == 1 {
                    &mut family.name
                } else {
                    &mut family.help
                }) = text;
            }
            3 => {
                expect_wire(wire, VARINT, "a metric type", reader.position())?;
                let number = reader.varint()?;
                family.kind = Kind::of_number(number)
                    .ok_or_else(|| Error::BadData(format!("unknown metric type number {number}")))?;
            }
            4 => {
                expect_wire(wire, BYTES, "a metric", reader.position())?;
                messages.push(reader.bytes()?);
            }
            _ => reader.skip(wire)?,
        }
    }
    for message in messages {
        let metric = metric(Reader::new(message), &family)?;
        family.metrics.push(metric);
    }
    Ok(family)
}

fn metric(mut reader: Reader<'_>, family: &Family) -> Result<Metric> {
    let mut metric = Metric {
        labels: Vec::new(),
        value: Value::Plain(0.0),
        exemplars: Vec::new(),
        has_time: false,
    };
    let mut is_valued = false;
    while !reader.is_empty() {
        let (field, wire) = reader.tag()?;
        match field {
            1 => {
                expect_wire(wire, BYTES, "a label", reader.position())?;
                metric.labels.push(label(Reader::new(reader.bytes()?))?);
            }
            2 | 3 | 4 | 5 | 7 => {
                expect_wire(wire, BYTES, "a metric's value", reader.position())?;
                let message = reader.bytes()?;
                if !fits(field, family.kind) {
                    continue;
                }
                is_valued = true;
                metric.exemplars.clear();
                metric.value = match field {
                    4 => summary(Reader::new(message))?,
                    7 => histogram(message, family.kind, &mut metric.exemplars)?,
                    3 => Value::Plain(counter(Reader::new(message), &mut metric.exemplars)?),
                    _ => Value::Plain(plain(Reader::new(message))?),
                };
            }
            6 => {
                expect_wire(wire, VARINT, "a timestamp", reader.position())?;
                metric.has_time |= reader.varint()? != 0;
            }
            _ => reader.skip(wire)?,
        }
    }
    if !is_valued {
        let (name, kind) = (&family.name, family.kind.name());
        return Err(Error::BadData(format!(
            "a metric of family {name:?} has no value of its type {kind}"
        )));
    }
    metric.labels.sort_unstable();
    Ok(metric)
}

/// Whether a value of this field is one of the type.
fn fits(field: u32, kind: Kind) -> bool {
    match kind {
        Kind::Gauge => field == 2,
        Kind::Counter => field == 3,
        Kind::Summary => field == 4,
        Kind::Untyped => field == 5,
        Kind::Histogram | Kind::GaugeHistogram => field == 7,
    }
}

fn label(mut reader: Reader<'_>) -> Result<Label> {
    let mut label = Label::default();
    while !reader.is_empty() {
        let (field, wire) = reader.tag()?;
        match field {
            1 => label.0 = text(&mut reader, wire, "a label's name")?,
            2 => label.1 = text(&mut reader, wire, "a label's value")?,
            _ => reader.skip(wire)?,
        }
    }
    Ok(label)
}

fn plain(mut reader: Reader<'_>) -> Result<f64> {
    let mut value = 0.0;
    while !reader.is_empty() {
        let (field, wire) = reader.tag()?;
        match field {
            1 => value = double(&mut reader, wire)?,
            _ => reader.skip(wire)?,
        }
    }
    Ok(value)
}

fn counter(mut reader: Reader<'_>, exemplars: &mut Vec<Exemplar>) -> Result<f64> {
    let mut value = 0.0;
    while !reader.is_empty() {
        let (field, wire) = reader.tag()?;
        match field {
            1 => value = double(&mut reader, wire)?,
            2 => {
                expect_wire(wire, BYTES, "an exemplar", reader.position())?;
                exemplars.push(exemplar(Reader::new(reader.bytes()?))?);
            }
            _ => reader.skip(wire)?,
        }
    }
    Ok(value)
}

fn exemplar(mut reader: Reader<'_>) -> Result<Exemplar> {
    let mut exemplar = Exemplar {
        suffix: "",
        boundary: None,
        labels: Vec::new(),
        value: 0.0,
        time: None,
    };
    while !reader.is_empty() {
        let (field, wire) = reader.tag()?;
        match field {
            1 => {
                expect_wire(wire, BYTES, "a label of an exemplar", reader.position())?;
                exemplar.labels.push(label(Reader::new(reader.bytes()?))?);
            }
            2 => exemplar.value = double(&mut reader, wire)?,
            3 => {
                expect_wire(wire, BYTES, "an exemplar's timestamp", reader.position())?;
                exemplar.time = Some(timestamp(Reader::new(reader.bytes()?))?);
            }
            _ => reader.skip(wire)?,
        }
    }
    Ok(exemplar)
}

/// A `google.protobuf.Timestamp`.
fn timestamp(mut reader: Reader<'_>) -> Result<Millis> {
    let (mut seconds, mut nanos) = (0, 0);
    while !reader.is_empty() {
        let (field, wire) = reader.tag()?;
        match field {
            1 | 2 => {
                expect_wire(wire, VARINT, "a timestamp", reader.position())?;
                let number = reader.varint()? as i64;
                *(if field == 1 { &mut seconds } else { &mut nanos }) = number;
            }
            _ => reader.skip(wire)?,
        }
    }
    Ok(seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000))
}

fn summary(mut reader: Reader<'_>) -> Result<Value> {
    let (mut count, mut sum, mut quantiles) = (0.0, 0.0, Vec::new());
    while !reader.is_empty() {
        let (field, wire) = reader.tag()?;
        match field {
            1 => count = integer(&mut reader, wire)?,
            2 => sum = double(&mut reader, wire)?,
            3 => {
                expect_wire(wire, BYTES, "a quantile", reader.position())?;
                quantiles.push(pair(Reader::new(reader.bytes()?))?);
            }
            _ => reader.skip(wire)?,
        }
    }
    Ok(Value::Summary {
        count,
        sum,
        quantiles,
    })
}

fn pair(mut reader: Reader<'_>) -> Result<(f64, f64)> {
    let mut pair = (0.0, 0.0);
    while !reader.is_empty() {
        let (field, wire) = reader.tag()?;
        match field {
            1 => pair.0 = double(&mut reader, wire)?,
            2 => pair.1 = double(&mut reader, wire)?,
            _ => reader.skip(wire)?,
        }
    }
    Ok(pair)
}

/// A histogram in any of its forms; of exemplars those that a scraper finds.
fn histogram(message: &[u8], kind: Kind, exemplars: &mut Vec<Exemplar>) -> Result<Value> {
    let (mut count, mut float_count, mut sum, mut buckets) = (0.0, 0.0, 0.0, Vec::new());
    let mut of_native = Vec::new();
    let mut reader = Reader::new(message);
    while !reader.is_empty() {
        let (field, wire) = reader.tag()?;
        match field {
            1 => count = integer(&mut reader, wire)?,
            2 => sum = double(&mut reader, wire)?,
            3 => {
                expect_wire(wire, BYTES, "a bucket", reader.position())?;
                let (bucket, exemplar) = bucket(Reader::new(reader.bytes()?))?;
                exemplars.extend(exemplar.map(|exemplar| Exemplar {
                    suffix: "_bucket",
                    boundary: Some(bucket.0),
                    ..exemplar
                }));
                buckets.push(bucket);
            }
            4 => float_count = double(&mut reader, wire)?,
            16 => {
                expect_wire(wire, BYTES, "an exemplar", reader.position())?;
                of_native.push(exemplar(Reader::new(reader.bytes()?))?);
            }
            _ => reader.skip(wire)?,
        }
    }
    if float_count > 0.0 {
        count = float_count;
    }
    let native = Native::of(message, kind == Kind::GaugeHistogram)?;
    if native.is_some() {
        if of_native.is_empty() {
            of_native.extend(exemplars.iter().map(|exemplar| Exemplar {
                suffix: "",
                boundary: None,
                ..exemplar.clone()
            }));
        }
        exemplars.extend(of_native.into_iter().filter(|exemplar| exemplar.time.is_some()));
    }
    Ok(Value::Histogram {
        count,
        sum,
        buckets,
        native: native.map(Box::new),
    })
}

/// Upper bound and cumulative count.
fn bucket(mut reader: Reader<'_>) -> Result<((f64, f64), Option<Exemplar>)> {
    let (mut bound, mut count, mut float_count, mut found) = (0.0, 0.0, 0.0, None);
    while !reader.is_empty() {
        let (field, wire) = reader.tag()?;
        match field {
            1 => count = integer(&mut reader, wire)?,
            2 => bound = double(&mut reader, wire)?,
            3 => {
                expect_wire(wire, BYTES, "an exemplar", reader.position())?;
                found = Some(exemplar(Reader::new(reader.bytes()?))?);
            }
            4 => float_count = double(&mut reader, wire)?,
            _ => reader.skip(wire)?,
        }
    }
    let count = if float_count > 0.0 { float_count } else { count };
    Ok(((bound, count), found))
}

fn integer(reader: &mut Reader<'_>, wire: u8) -> Result<f64> {
    expect_wire(wire, VARINT, "a count", reader.position())?;
    Ok(reader.varint()? as f64)
}

fn double(reader: &mut Reader<'_>, wire: u8) -> Result<f64> {
    expect_wire(wire, FIXED64, "a number", reader.position())?;
    reader.fixed64().map(f64::from_bits)
}

fn text(reader: &mut Reader<'_>, wire: u8, what: &str) -> Result<String> {
    expect_wire(wire, BYTES, what, reader.position())?;
    let bytes = reader.bytes()?;
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| {
        let bytes = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]);
        Error::BadData(format!("{what} is not valid UTF-8: {bytes:?}"))
    })
}

/// Appends a family with its length, as [`read`] takes it, without its exemplars. Counts of classic histograms are written as floats,
/// which hold what came.
pub fn put(out: &mut Vec<u8>, family: &Family) {
    let mut message = Vec::new();
    put_bytes(&mut message, 0x0a, family.name.as_bytes());
    if !family.help.is_empty() {
        put_bytes(&mut message, 0x12, family.help.as_bytes());
    }
    message.extend_from_slice(&[0x18, family.kind as u8]);
    for metric in &family.metrics {
        put_bytes(&mut message, 0x22, &encoded(metric, family.kind));
    }
    put_varint(out, message.len() as u64);
    out.extend_from_slice(&message);
}

fn encoded(metric: &Metric, kind: Kind) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in &metric.labels {
        let mut label = Vec::with_capacity(name.len() + value.len() + 8);
        put_bytes(&mut label, 0x0a, name.as_bytes());
        put_bytes(&mut label, 0x12, value.as_bytes());
        put_bytes(&mut out, 0x0a, &label);
    }
    let mut value = Vec::new();
    let tag = match &metric.value {
        Value::Plain(number) => {
            put_double(&mut value, 0x09, *number);
            match kind {
                Kind::Gauge => 0x12,
                Kind::Counter => 0x1a,
                _ => 0x2a,
            }
        }
        Value::Summary {
            count,
            sum,
            quantiles,
        } => {
            value.push(0x08);
            put_varint(&mut value, *count as u64);
            put_double(&mut value, 0x11, *sum);
            for (quantile, number) in quantiles {
                let mut pair = Vec::with_capacity(18);
                put_double(&mut pair, 0x09, *quantile);
                put_double(&mut pair, 0x11, *number);
                put_bytes(&mut value, 0x1a, &pair);
            }
            0x22
        }
        Value::Histogram {
            count,
            sum,
            buckets,
            native,
        } => {
            if let Some(native) = native {
                value.extend_from_slice(native.fields());
            } else {
                put_double(&mut value, 0x21, *count);
                put_double(&mut value, 0x11, *sum);
            }
            for (bound, cumulative) in buckets {
                let mut bucket = Vec::with_capacity(18);
                put_double(&mut bucket, 0x11, *bound);
                put_double(&mut bucket, 0x21, *cumulative);
                put_bytes(&mut value, 0x1a, &bucket);
            }
            0x3a
        }
    };
    put_bytes(&mut out, tag, &value);
    out
}

fn put_double(out: &mut Vec<u8>, tag: u8, value: f64) {
    out.push(tag);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn label() -> impl Strategy<Value = Label> {
        ("[a-z]{1,3}", "\\PC{0,4}")
    }

    fn value(kind: Kind) -> BoxedStrategy<Value> {
        let number = || prop_oneof![Just(f64::INFINITY), -1e9..1e9_f64];
        let pairs = || proptest::collection::vec((number(), 0.0..1e9_f64), 1..4);
        match kind {
            Kind::Summary => (0..1000_u32, number(), pairs())
                .prop_map(|(count, sum, quantiles)| Value::Summary {
                    count: count.into(),
                    sum,
                    quantiles,
                })
                .boxed(),
            Kind::Histogram | Kind::GaugeHistogram => (0.0..1e9_f64, number(), pairs())
                .prop_map(|(count, sum, buckets)| Value::Histogram {
                    count,
                    sum,
                    buckets,
                    native: None,
                })
                .boxed(),
            _ => number().prop_map(Value::Plain).boxed(),
        }
    }

    pub fn families() -> impl Strategy<Value = Vec<Family>> {
        let family = (0..6_usize).prop_flat_map(|kind| {
            let kind = Kind::ALL[kind];
            let metric =
                (proptest::collection::vec(label(), 0..3), value(kind)).prop_map(|(mut labels, value)| {
                    labels.sort_unstable();
                    Metric {
                        labels,
                        value,
                        exemplars: Vec::new(),
                        has_time: false,
                    }
                });
            ("[a-z]{1,6}", "\\PC{0,9}", proptest::collection::vec(metric, 1..4)).prop_map(
                move |(name, help, metrics)| Family {
                    name,
                    help,
                    kind,
                    metrics,
                },
            )
        });
        proptest::collection::vec(family, 0..5).prop_map(|mut families| {
            families.sort_by(|a, b| a.name.cmp(&b.name));
            families.dedup_by(|a, b| a.name == b.name);
            families
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(families in families()) {
            let mut out = Vec::new();
            for family in &families {
                put(&mut out, family);
            }
            prop_assert_eq!(read(&out).unwrap(), families);
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut families in families(), at: u16, byte: u8, bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut out = bytes.clone();
            let _ = read(&out);
            out.clear();
            families.truncate(2);
            for family in &families {
                put(&mut out, family);
            }
            if !out.is_empty() {
                let at = usize::from(at) % out.len();
                out[at] = byte;
                let _ = read(&out);
                let _ = read(&out[..at]);
            }
        }
    }

    #[test]
    fn the_later_family_of_a_name_stands_and_a_missing_type_is_a_counter() {
        let mut out = Vec::new();
        let mut family = Family {
            name: "x".into(),
            help: String::new(),
            kind: Kind::Counter,
            metrics: vec![Metric {
                labels: vec![],
                value: Value::Plain(1.0),
                exemplars: vec![],
                has_time: false,
            }],
        };
        put(&mut out, &family);
        family.metrics[0].value = Value::Plain(2.0);
        put(&mut out, &family);
        assert_eq!(read(&out).unwrap(), [family]);
        // name "x", one metric with counter 1, no type
        let message = [
            0x0a, 1, b'x', 0x22, 11, 0x1a, 9, 0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f,
        ];
        let body = [&[message.len() as u8][..], &message].concat();
        assert_eq!(read(&body).unwrap()[0].kind, Kind::Counter);
        // the same metric in a gauge has no value
        let message = [&message[..], &[0x18, 1]].concat();
        let body = [&[message.len() as u8][..], &message].concat();
        assert!(
            read(&body)
                .unwrap_err()
                .to_string()
                .contains("no value of its type GAUGE")
        );
    }

    #[test]
    fn exemplars_are_those_that_a_scraper_finds() {
        // {a="b"} with value 2, and at 3.5 s.
        let bare = [
            &[0x0a, 6, 0x0a, 1, b'a', 0x12, 1, b'b', 0x11][..],
            &2_f64.to_le_bytes(),
        ]
        .concat();
        let timed = [&bare[..], &[0x1a, 8, 0x08, 3, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01]].concat();
        let read = |fields: &[&[u8]]| {
            let mut exemplars = Vec::new();
            histogram(&fields.concat(), Kind::Histogram, &mut exemplars).unwrap();
            let found = exemplars.into_iter();
            found
                .map(|e| (e.suffix, e.boundary, e.labels.len(), e.value, e.time))
                .collect::<Vec<_>>()
        };
        let field = |tag, bytes: &[u8]| {
            let mut out = Vec::new();
            put_bytes(&mut out, tag, bytes);
            out
        };
        let mut bucket = field(0x1a, &bare);
        put_double(&mut bucket, 0x11, 1.0);
        let classic = field(0x1a, &bucket);
        assert_eq!(read(&[&classic]), [("_bucket", Some(1.0), 1, 2.0, None)]);
        let span = field(0x62, &[]);
        // Those of a native histogram need a time.
        assert_eq!(read(&[&span, &classic]).len(), 1);
        let own = |exemplar: &[u8]| [&[0x82, 0x01, exemplar.len() as u8][..], exemplar].concat();
        assert_eq!(read(&[&span, &own(&timed)]), [("", None, 1, 2.0, Some(3500))]);
        assert_eq!(read(&[&span, &own(&bare)]), []);
        let mut bucket = field(0x1a, &timed);
        put_double(&mut bucket, 0x11, 1.0);
        let classic = field(0x1a, &bucket);
        assert_eq!(
            read(&[&span, &classic]),
            [
                ("_bucket", Some(1.0), 1, 2.0, Some(3500)),
                ("", None, 1, 2.0, Some(3500))
            ]
        );
        let mut exemplars = Vec::new();
        assert_eq!(
            counter(Reader::new(&field(0x12, &timed)), &mut exemplars).unwrap(),
            0.0
        );
        assert_eq!(exemplars[0].time, Some(3500));
    }
}
