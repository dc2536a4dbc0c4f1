//! The same laws for requests of remote write 2.0.

use super::*;

/// A table of strings in the making.
#[derive(Debug)]
struct Table(Vec<Vec<u8>>);

impl Table {
    fn new() -> Self {
        Self(vec![Vec::new()])
    }

    fn reference(&mut self, text: &[u8]) -> u64 {
        let at = self.0.iter().position(|held| held == text).unwrap_or_else(|| {
            self.0.push(text.to_vec());
            self.0.len() - 1
        });
        at as u64
    }
}

/// A series, its metadata (type, help, unit) with it.
fn series(sent: &Sent, metadata: Option<&(u8, String, String)>, table: &mut Table) -> Vec<u8> {
    let mut refs = Vec::new();
    for (name, value) in &sent.labels {
        refs.push(table.reference(name.as_bytes()));
        refs.push(table.reference(value.as_bytes()));
    }
    let mut labels = Vec::new();
    if sent.shape == Shape::Verbose {
        for reference in refs {
            labels.push(0x08);
            put_varint(&mut labels, reference);
        }
    } else {
        let mut packed = Vec::new();
        for reference in refs {
            put_varint(&mut packed, reference);
        }
        put_bytes(&mut labels, 0x0a, &packed);
    }
    let mut rest = Vec::new();
    for &sample in &sent.samples {
        rest.extend(Sent::sample(sample, sent.shape));
    }
    for _ in 0..sent.histograms {
        let mut histogram = vec![0x78];
        put_varint(&mut histogram, NOW as u64);
        put_bytes(&mut rest, 0x1a, &histogram);
    }
    if let Some((kind, help, unit)) = metadata {
        let mut message = vec![0x08, *kind, 0x18];
        put_varint(&mut message, table.reference(help.as_bytes()));
        message.push(0x20);
        put_varint(&mut message, table.reference(unit.as_bytes()));
        put_bytes(&mut rest, 0x2a, &message);
    }
    if sent.shape == Shape::Interleaved {
        [rest, labels].concat()
    } else {
        [labels, rest].concat()
    }
}

fn request_v2(sent: &[Sent], symbols_first: bool) -> Vec<u8> {
    let mut table = Table::new();
    let mut all = Vec::new();
    for sent in sent {
        put_bytes(&mut all, 0x2a, &series(sent, None, &mut table));
    }
    let mut symbols = Vec::new();
    for text in &table.0 {
        put_bytes(&mut symbols, 0x22, text);
    }
    if symbols_first {
        [symbols, all].concat()
    } else {
        [all, symbols].concat()
    }
}

fn split(splitter: &Splitter, plain: &[u8]) -> crate::Result<SplitBatch> {
    let body = snappy::compress(plain).unwrap();
    splitter.split(&body, Form::V2, UID, SHARDS, &LIMITS, NOW)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn version_2_keeps_what_version_1_keeps(sent in sent(), symbols_first: bool) {
        let splitter = splitter();
        let two = split(&splitter, &request_v2(&sent, symbols_first)).unwrap();
        let (expected, mut expected_refused) = naive(&sent);
        let empty = sent.iter().filter(|s| s.samples.is_empty() && s.histograms == 0).count() as u64;
        if empty > 0 {
            expected_refused.insert("empty_series", empty);
        }
        prop_assert_eq!(kept(&two), expected);
        let refused: BTreeMap<_, _> = two.refused.iter().map(|r| (r.reason.name(), r.samples)).collect();
        prop_assert_eq!(refused, expected_refused);
        let plain: Vec<_> = sent.into_iter().map(|sent| Sent { shape: Shape::Plain, ..sent }).collect();
        let body = snappy::compress(&request(&plain, &vec![])).unwrap();
        let one = splitter.split(&body, Form::V1, UID, SHARDS, &LIMITS, NOW).unwrap();
        prop_assert_eq!(columns(&two), columns(&one));
        let replayed = super::splitter().replay(&two.body, two.form, UID, SHARDS).unwrap();
        prop_assert_eq!(columns(&replayed), columns(&two));
    }

    #[test]
    fn damaged_requests_of_version_2_never_panic(
        sent in sent(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut plain = request_v2(&sent, true);
        let exemplar = b"\x0a\x02\x01\x02\x22\x0d\x0a\x02\x01\x02\x11\x00\x00\x00\x00\x00\x00\xf0\x3f\x22\x04\x08\x01\x18\x05";
        put_bytes(&mut plain, 0x2a, exemplar);
        for (at, byte) in damage {
            let at = at.index(plain.len());
            plain[at] = byte;
        }
        if let Some(cut) = cut {
            plain.truncate(cut.index(plain.len()));
        }
        match split(&splitter(), &plain) {
            Ok(batch) => {
                prop_assert!(batch.times.capacity() <= plain.len().max(8));
                prop_assert!(batch.labels.len() <= 2 * LIMITS.max_decoded_bytes);
                let replayed = splitter().replay(&batch.body, batch.form, UID, SHARDS).unwrap();
                prop_assert_eq!(columns(&replayed), columns(&batch));
                prop_assert_eq!(exemplars(&replayed), exemplars(&batch));
            }
            Err(error) => prop_assert!(matches!(error, Error::BadData(_) | Error::TooLarge(_)), "{error}"),
        }
    }
}

fn one_series(metadata: (u8, &str, &str), name: &str) -> Vec<u8> {
    let mut table = Table::new();
    let sent = Sent {
        labels: vec![("__name__".to_owned(), name.to_owned())],
        samples: vec![(NOW, 1)],
        histograms: 0,
        shape: Shape::Plain,
    };
    let (kind, help, unit) = metadata;
    let series = series(&sent, Some(&(kind, help.to_owned(), unit.to_owned())), &mut table);
    let mut plain = Vec::new();
    for text in &table.0 {
        put_bytes(&mut plain, 0x22, text);
    }
    for _ in 0..2 {
        put_bytes(&mut plain, 0x2a, &series);
    }
    plain
}

#[test]
fn metadata_goes_by_family_once_and_again_after_a_while() {
    let splitter = splitter();
    let found = |plain: &[u8], now: Millis| {
        let body = snappy::compress(plain).unwrap();
        let batch = splitter.split(&body, Form::V2, UID, SHARDS, &WriteLimits::default(), now);
        let entries = batch.unwrap().metadata.into_iter();
        entries
            .map(|entry| (entry.family, entry.kind, entry.help, entry.unit))
            .collect::<Vec<_>>()
    };
    let entry = |family: &str, kind: u8| (family.to_owned(), kind, "help".to_owned(), "s".to_owned());
    for (kind, name, family) in [
        (3, "lat_bucket", "lat"),
        (5, "rpc_sum", "rpc"),
        (5, "rpc_bucket", "rpc_bucket"),
        (1, "x_total", "x_total"),
        (2, "temp_sum", "temp_sum"),
        (3, "_sum", "_sum"),
        (4, "g_gcount", "g"),
    ] {
        assert_eq!(
            found(&one_series((kind, "help", "s"), name), NOW),
            [entry(family, kind)]
        );
    }
    let again = one_series((1, "help", "s"), "x_total");
    assert_eq!(found(&again, NOW), []);
    assert_eq!(
        found(&one_series((1, "other help", "s"), "x_total"), NOW).len(),
        1
    );
    assert_eq!(found(&again, NOW + 600_000), [entry("x_total", 1)]);
    assert_eq!(found(&one_series((0, "", ""), "plain"), NOW), []);
}

/// Partition, label bytes of its series and its own, time and value bits.
type Told = (u16, Vec<u8>, Vec<u8>, Millis, u64);

fn exemplars(batch: &SplitBatch) -> Vec<Told> {
    let told = batch.exemplars.iter().map(|exemplar| {
        let (series, labels) = batch.exemplar_labels(exemplar);
        let bits = exemplar.value.to_bits();
        (
            exemplar.partition,
            series.to_vec(),
            labels.to_vec(),
            exemplar.time,
            bits,
        )
    });
    told.collect()
}

#[test]
fn exemplars_are_those_of_version_1_and_go_with_their_series() {
    let mut table = Table::new();
    let mut v2 = Vec::new();
    let mut v1 = Vec::new();
    for (name, with_sample) in [("up", true), ("alone", false), ("up", false)] {
        let (mut one, mut labels, mut own) = (Vec::new(), Vec::new(), Vec::new());
        put_label(&mut one, b"__name__", name.as_bytes());
        for text in ["__name__", name] {
            put_varint(&mut labels, table.reference(text.as_bytes()));
        }
        for text in ["trace", "abc"] {
            put_varint(&mut own, table.reference(text.as_bytes()));
        }
        let mut rest = vec![0x11, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x18];
        put_varint(&mut rest, NOW as u64);
        let mut two = Vec::new();
        put_bytes(&mut two, 0x0a, &labels);
        if with_sample {
            one.extend(Sent::sample((NOW, 1), Shape::Plain));
            two.extend(Sent::sample((NOW, 1), Shape::Plain));
        }
        let mut exemplar = Vec::new();
        put_label(&mut exemplar, b"trace", b"abc");
        exemplar.extend_from_slice(&rest);
        put_bytes(&mut one, 0x1a, &exemplar);
        let mut exemplar = Vec::new();
        put_bytes(&mut exemplar, 0x0a, &own);
        exemplar.extend_from_slice(&rest);
        put_bytes(&mut two, 0x22, &exemplar);
        put_bytes(&mut v1, 0x0a, &one);
        put_bytes(&mut v2, 0x2a, &two);
    }
    let mut request = Vec::new();
    for text in &table.0 {
        put_bytes(&mut request, 0x22, text);
    }
    request.extend(v2);
    let two = split(&splitter(), &request).unwrap();
    assert!(two.refused.is_empty(), "{:?}", two.refused);
    assert_eq!((two.series.len(), two.exemplars.len()), (1, 3));
    let body = snappy::compress(&v1).unwrap();
    let one = splitter()
        .split(&body, Form::V1, UID, SHARDS, &LIMITS, NOW)
        .unwrap();
    assert_eq!(exemplars(&one), exemplars(&two));
    assert_eq!(columns(&one), columns(&two));
    let again = splitter()
        .replay(&two.encode().unwrap(), Form::V1, UID, SHARDS)
        .unwrap();
    let sorted = |batch: &SplitBatch| {
        let mut all = exemplars(batch);
        all.sort();
        all
    };
    assert_eq!(sorted(&again), sorted(&two));
    assert_eq!(columns(&again), columns(&two));
    let surplus = Surplus::Series { limit: 1, active: 1 };
    let rest = two.retain(|at| (at == 0).then_some(surplus)).unwrap();
    assert_eq!((rest.series.len(), rest.exemplars.len()), (0, 1));
}

/// In a body that was accepted.
#[test]
fn histograms_and_start_timestamps_are_those_of_version_1() {
    let mut histogram = vec![0x78];
    put_varint(&mut histogram, NOW as u64);
    let sample = |start_tag: &[u8]| {
        let mut sample = vec![0x10];
        put_varint(&mut sample, NOW as u64);
        sample.extend_from_slice(start_tag);
        put_varint(&mut sample, NOW as u64 - 5);
        sample
    };
    let (mut one, mut two) = (Vec::new(), Vec::new());
    put_label(&mut one, b"__name__", b"up");
    put_bytes(&mut two, 0x0a, &[1, 2]);
    put_bytes(&mut one, 0x12, &sample(&[0xa0, 0x06]));
    put_bytes(&mut two, 0x12, &sample(&[0x18]));
    put_bytes(&mut one, 0x22, &histogram);
    put_bytes(&mut two, 0x1a, &histogram);
    let (mut v1, mut v2) = (Vec::new(), b"\x22\x00\x22\x08__name__\x22\x02up".to_vec());
    for _ in 0..2 {
        put_bytes(&mut v1, 0x0a, &one);
        put_bytes(&mut v2, 0x2a, &two);
    }
    let replayed = |plain: &[u8], form: Form| {
        let body = snappy::compress(plain).unwrap();
        splitter().replay(&body, form, UID, SHARDS).unwrap()
    };
    let (one, two) = (replayed(&v1, Form::V1), replayed(&v2, Form::V2));
    assert_eq!(columns(&one), columns(&two));
    assert_eq!(two.starts, [NOW - 5; 2]);
    assert_eq!(two.histograms.len(), 2);
    for (one_of, two_of) in one.histograms.iter().zip(&two.histograms) {
        assert_eq!(one_of.message(&one.labels), two_of.message(&two.labels));
        assert_eq!(two_of.message(&two.labels), histogram);
    }
    assert_eq!(one.encode().unwrap(), two.encode().unwrap());
}

#[test]
fn the_first_symbol_is_empty_and_other_faults_cost_their_series_alone() {
    let damaged = split(&splitter(), b"\x22\x01x").unwrap_err();
    assert!(damaged.to_string().contains("symbols[0]"), "{damaged}");
    assert!(split(&splitter(), b"").unwrap().refused.is_empty());
    let mut plain = one_series((1, "h", "u"), "good");
    // A name without a value, a value that is nowhere, and metadata that is nowhere; one sample each.
    put_bytes(&mut plain, 0x2a, b"\x0a\x03\x01\x02\x01\x12\x00");
    put_bytes(&mut plain, 0x2a, b"\x0a\x02\x01\x63\x12\x00");
    put_bytes(
        &mut plain,
        0x2a,
        b"\x0a\x02\x01\x02\x12\x02\x10\x00\x2a\x02\x20\x63",
    );
    let batch = split(&splitter(), &plain).unwrap();
    assert_eq!((batch.series.len(), batch.times.len()), (2, 2));
    let [refused] = batch.refused.as_slice() else {
        panic!("{:?}", batch.refused)
    };
    assert_eq!((refused.reason, refused.samples), (Reason::InvalidSymbols, 3));
    assert_eq!(
        refused.message,
        "parsing labels for series [1 2 1]: invalid labelRefs length 3"
    );
}
