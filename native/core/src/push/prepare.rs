//! From the families of a push to what goes into the log: samples of now, and the operation on the group.

use super::check::{STAMPS, check, sanitise};
use super::operation::{Kind, Operation, key};
use crate::Result;
use crate::exposition::families;
use crate::exposition::family::{Family, Kind as Type, Label, Metric, Value};
use crate::exposition::line::Dialect;
use crate::exposition::native::put_time;
use crate::exposition::protobuf;
use crate::model::{Millis, Uid};
use crate::wire::encode::{Rows, put_metadata, put_rows, put_series};
use crate::wire::exemplar::put_exemplar;
use crate::wire::{BatchHistogram, Splitter};

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    OpenMetrics,
    Protobuf,
}

/// Where and when, and for how long.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The grouping labels, by name.
    pub group: Vec<Label>,
    pub now: Millis,
    /// 0: until the group is deleted.
    pub ttl: Millis,
    pub interval: Millis,
}

/// A push, or another change of a group, ready to be split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// A remote-write message with the samples of now, not compressed.
    pub plain: Vec<u8>,
    /// Without its partition.
    pub operation: Vec<u8>,
    /// By which the partition is chosen; `None`: it is for all of them.
    pub key: Option<Vec<u8>>,
}

impl Prepared {
    /// Those that keep something that the operation changes.
    pub fn partitions(&self, splitter: &Splitter, uid: Uid) -> Vec<u16> {
        match &self.key {
            Some(key) => vec![splitter.group_partition(uid, key)],
            None => (0..splitter.partitions()).collect(),
        }
    }
}

/// The families of a body. BadData, worded as by the Pushgateway, for what is none.
pub fn parse(body: &[u8], format: Format) -> Result<Vec<Family>> {
    match format {
        Format::Text => families::of_text(body, Dialect::Library),
        Format::OpenMetrics => families::of_text(body, Dialect::OpenMetrics),
        Format::Protobuf => protobuf::read(body),
    }
}

/// A push. `Err` in the result: the push is inconsistent, for which its group gets a stamp.
pub fn push(mut families: Vec<Family>, kind: Kind, terms: &Terms) -> Result<Result<Prepared, String>> {
    sanitise(&mut families, &terms.group);
    if let Err(why) = check(&families) {
        return Ok(Err(why));
    }
    let mut plain = Vec::new();
    for family in &families {
        family.each_series(|labels, value| put_series(&mut plain, labels, &[terms.now], &[value]));
        put_rarities(&mut plain, family, terms.now);
        put_metadata(
            &mut plain,
            family.kind.of_metadata(),
            &family.name,
            &family.help,
            "",
        );
    }
    put_stamp(&mut plain, 0, terms);
    let mut encoded = Vec::new();
    for family in &families {
        protobuf::put(&mut encoded, family);
    }
    prepared(plain, kind, encoded, terms).map(Ok)
}

/// Native histograms, and exemplars; these without a time of their own have that of the push.
fn put_rarities(plain: &mut Vec<u8>, family: &Family, now: Millis) {
    family.each_native(|labels, native| {
        let mut bytes = native.message().to_vec();
        put_time(&mut bytes, now);
        let histogram = BatchHistogram {
            time: now,
            bytes: (0, bytes.len() as u32),
        };
        let rows = Rows {
            histograms: &[histogram],
            bytes: &bytes,
            ..Rows::default()
        };
        put_rows(plain, labels, &rows);
    });
    family.each_exemplar(|labels, exemplar| {
        let time = exemplar.time.unwrap_or(now);
        put_exemplar(plain, labels, &exemplar.label_bytes(), time, exemplar.value);
    });
}

/// What has no families: a deletion, a failure, or the end of all groups.
pub fn change(kind: Kind, terms: &Terms) -> Result<Prepared> {
    let mut plain = Vec::new();
    if kind == Kind::Fail {
        put_stamp(&mut plain, 1, terms);
    }
    prepared(plain, kind, Vec::new(), terms)
}

fn prepared(plain: Vec<u8>, kind: Kind, families: Vec<u8>, terms: &Terms) -> Result<Prepared> {
    let operation = Operation {
        ttl: terms.ttl,
        interval: terms.interval,
        families,
        ..Operation::new(kind, &terms.group, terms.now)
    };
    Ok(Prepared {
        plain,
        operation: operation.encode()?,
        key: (kind != Kind::Wipe).then(|| key(&terms.group)),
    })
}

fn put_stamp(plain: &mut Vec<u8>, which: usize, terms: &Terms) {
    let family = stamp(which, &terms.group, terms.now);
    family.each_series(|labels, value| put_series(plain, labels, &[terms.now], &[value]));
    put_metadata(plain, family.kind.of_metadata(), &family.name, &family.help, "");
}

/// The family that says when a group was last changed (0), or failed to be (1).
pub fn stamp(which: usize, group: &[Label], time: Millis) -> Family {
    let (name, help) = STAMPS[which];
    Family {
        name: name.to_owned(),
        help: help.to_owned(),
        kind: Type::Gauge,
        metrics: vec![Metric {
            labels: group.to_vec(),
            value: Value::Plain(time as f64 / 1000.0),
            exemplars: Vec::new(),
            has_time: false,
        }],
    }
}
