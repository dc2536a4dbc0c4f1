//! Journal and packs on a simulated disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::fs::{FileLayer, Random, SimulatedFiles, SyncKind};
use crate::{Error, Result};

type Map = BTreeMap<String, Vec<u8>>;

fn journal(files: &SimulatedFiles, floor: u64) -> Result<Journal> {
    Journal::open_with_floor(Arc::new(files.clone()), Path::new("store/journal"), floor)
}

fn packs(files: &SimulatedFiles) -> Result<Packs> {
    Packs::open(Arc::new(files.clone()), Path::new("store/packs"))
}

fn put(key: &str, value: &[u8]) -> Transaction {
    Transaction {
        puts: vec![(key.to_owned(), value.to_owned())],
        ..Transaction::default()
    }
}

fn everything(journal: &Journal) -> Map {
    journal.scan("").into_iter().collect()
}

fn read(packs: &Packs, name: &str, span: Span) -> Result<Vec<u8>> {
    let mut value = vec![0; span.1 as usize];
    packs.pack(name)?.read(span.0, &mut value)?;
    Ok(value)
}

// ---- journal -------------------------------------------------------------------------------------------------------

#[test]
fn a_commit_happens_only_if_every_expectation_holds() {
    let journal = journal(&SimulatedFiles::new(1), 0).unwrap();
    let absent = ("a".to_owned(), None);
    assert!(
        journal
            .commit(put("a", b"1"), std::slice::from_ref(&absent))
            .unwrap()
    );
    assert!(!journal.commit(put("a", b"2"), &[absent]).unwrap());
    let (right, wrong) = (
        ("a".to_owned(), Some(b"1".to_vec())),
        ("b".to_owned(), Some(b"1".to_vec())),
    );
    assert!(!journal.commit(put("a", b"3"), &[right.clone(), wrong]).unwrap());
    assert_eq!(journal.get("a"), Some(b"1".to_vec()));
    let swap = Transaction {
        deletes: vec!["a".to_owned(), "absent".to_owned()],
        ..put("a/b", b"4")
    };
    assert!(journal.commit(swap, &[right]).unwrap());
    assert_eq!(
        (journal.get("a"), journal.get("a/b")),
        (None, Some(b"4".to_vec()))
    );
}

#[test]
fn a_scan_holds_exactly_the_prefix_in_order() {
    let journal = journal(&SimulatedFiles::new(1), 0).unwrap();
    for key in ["b/2", "a", "b/1", "b", "c", "b/"] {
        journal.commit(put(key, b""), &[]).unwrap();
    }
    let keys: Vec<_> = journal.scan("b/").into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["b/", "b/1", "b/2"]);
}

#[test]
fn the_file_stays_near_what_is_live() {
    let files = SimulatedFiles::new(1);
    let journal_of = || journal(&files, 4096).unwrap();
    let journal = journal_of();
    for round in 0..500_u32 {
        journal
            .commit(put(&format!("key{}", round % 10), &[round as u8; 300]), &[])
            .unwrap();
        let size = files.open(Path::new("store/journal")).unwrap().size().unwrap();
        assert!(
            size < 2 * 3200 + 4096 + 1000,
            "{size} bytes after {round} commits"
        );
    }
    assert_eq!(everything(&journal), everything(&journal_of()));
    assert_eq!(files.list(Path::new("store")).unwrap(), ["journal"]);
}

#[test]
fn a_large_journal_is_rewritten_in_parts() {
    let files = SimulatedFiles::new(1);
    let first = journal(&files, 0).unwrap();
    for round in 0..12_u8 {
        first
            .commit(put(&format!("key{}", round % 4), &vec![round; 700_000]), &[])
            .unwrap();
    }
    assert_eq!(everything(&first), everything(&journal(&files, 0).unwrap()));
    assert_eq!(everything(&first).len(), 4);
}

#[test]
fn a_journal_on_a_full_disk_goes_on_once_there_is_room() {
    let files = SimulatedFiles::new(1);
    let held = journal(&files, 1000).unwrap();
    for round in 0..40_u8 {
        // Appends and rewrites alike.
        files.set_room(Some(usize::from(round) * 37));
        let refused = held.commit(put("a", &[round; 2000]), &[]);
        assert!(refused.unwrap_err().to_string().contains("os error 28"));
        files.set_room(None);
        assert_eq!(
            held.get("a").map(|value| value[0]),
            round.checked_sub(1),
            "what failed is not there"
        );
        assert!(held.commit(put("a", &[round; 2000]), &[]).unwrap());
    }
    assert_eq!(everything(&held), everything(&journal(&files, 0).unwrap()));
}

#[test]
fn a_journal_stops_after_a_failed_sync_and_says_why() {
    let files = SimulatedFiles::new(1);
    let stopped = journal(&files, 1000).unwrap();
    files.fail_sync(SyncKind::Data, 1);
    assert!(stopped.commit(put("a", b"1"), &[]).is_err());
    let message = stopped.commit(put("a", b"1"), &[]).unwrap_err().to_string();
    assert!(
        message.contains("cannot be written") && message.contains("simulated failure"),
        "{message}"
    );
    assert_eq!(stopped.get("a"), None);
    let closed = journal(&files, 1000).unwrap();
    closed.close();
    assert!(
        closed
            .commit(put("a", b"1"), &[])
            .unwrap_err()
            .to_string()
            .contains("was closed")
    );
}

#[test]
fn a_flipped_bit_in_a_journal_is_refused() {
    let files = SimulatedFiles::new(1);
    let damaged = journal(&files, 1 << 20).unwrap();
    damaged.commit(put("a", b"1"), &[]).unwrap();
    let file = files.open(Path::new("store/journal")).unwrap();
    let size = file.size().unwrap();
    damaged.commit(put("b", b"1"), &[]).unwrap();
    file.write_at(size - 1, b"2").unwrap();
    let message = journal(&files, 1 << 20).unwrap_err().to_string();
    assert!(
        message.contains("store/journal") && message.contains("at byte 40"),
        "{message}"
    );
}

/// Several lives of one journal. After each the map is that of the last acknowledged commit, or of the one under way.
fn journal_lives(seed: u64, lie: Option<SyncKind>) -> Result<(), String> {
    let mut random = Random::new(seed ^ 0x5eed);
    let mut files = SimulatedFiles::new(seed);
    let mut possible: Vec<Map> = vec![Map::new()];
    for _ in 0..5 {
        if let Some(kind) = lie {
            files.ignore_sync(kind, None);
        }
        if random.below(3) > 0 {
            files.fail_power_after(random.below(80) as u64);
        }
        match journal(&files, 500) {
            Ok(journal) => {
                let found = everything(&journal);
                if !possible.contains(&found) {
                    return Err(format!("{found:?} is none of {possible:?}"));
                }
                possible = vec![found];
                commit_some(&journal, &mut random, &mut possible);
            }
            Err(Error::Io { .. }) if !files.has_power() => {}
            Err(error) => return Err(error.to_string()),
        }
        if random.below(4) > 0 || !files.has_power() {
            files = files.power_cut();
        }
    }
    Ok(())
}

fn commit_some(journal: &Journal, random: &mut Random, possible: &mut Vec<Map>) {
    for _ in 0..random.below(30) {
        let mut transaction = Transaction::default();
        for _ in 0..=random.below(3) {
            let key = format!("key{}", random.below(6));
            if random.below(4) == 0 {
                transaction.deletes.push(key);
            } else {
                transaction
                    .puts
                    .push((key, vec![random.next() as u8; random.below(600)]));
            }
        }
        let mut after = possible[0].clone();
        transaction.clone().apply(&mut after, &mut u64::MAX.div_euclid(2));
        if let Ok(done) = journal.commit(transaction, &[]) {
            assert!(done);
            *possible = vec![after];
        } else {
            possible.push(after);
            return;
        }
    }
}

#[test]
fn commits_survive_any_power_cut_whole() {
    for seed in 0..1500 {
        if let Err(why) = journal_lives(seed, None) {
            panic!("seed {seed}: {why}");
        }
    }
}

#[test]
fn lying_syncs_under_a_journal_are_noticed() {
    for kind in [SyncKind::Data, SyncKind::Directory] {
        assert!(
            (0..100).any(|seed| journal_lives(seed, Some(kind)).is_err()),
            "{kind:?}"
        );
    }
}

// ---- packs ---------------------------------------------------------------------------------------------------------

#[test]
fn values_come_back_by_their_spans() {
    let files = SimulatedFiles::new(1);
    let store = packs(&files).unwrap();
    let values: Vec<Vec<u8>> = [0, 1, 70_000, 2 << 20, 5]
        .iter()
        .map(|&n| vec![n as u8; n])
        .collect();
    let spans = store.write("a-1_x.y", &values).unwrap();
    for store in [&store, &packs(&files).unwrap()] {
        for (value, span) in values.iter().zip(&spans) {
            assert_eq!(&read(store, "a-1_x.y", *span).unwrap(), value);
        }
        assert_eq!(store.names().unwrap(), ["a-1_x.y"]);
    }
    assert!(store.size("a-1_x.y").unwrap() > 2 << 20);
    assert!(store.write("a-1_x.y", &values).is_err(), "a name is used once");
    assert_eq!(
        read(&store, "a-1_x.y", spans[4]).unwrap(),
        [5; 5],
        "and the pack is as it was"
    );
    store.remove("a-1_x.y").unwrap();
    assert!(store.names().unwrap().is_empty());
    let gone = read(&store, "a-1_x.y", spans[0]).unwrap_err();
    assert!(
        matches!(&gone, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound),
        "{gone}"
    );
}

#[test]
fn names_cannot_leave_the_folder() {
    let store = packs(&SimulatedFiles::new(1)).unwrap();
    for name in ["", "..", "../x", "a/b", ".hidden", "a b", "ü"] {
        assert!(
            matches!(store.write(name, &[b"x"]), Err(Error::BadData(_))),
            "{name:?}"
        );
    }
}

#[test]
fn every_flipped_bit_and_every_wrong_span_is_refused() {
    let files = SimulatedFiles::new(1);
    let store = packs(&files).unwrap();
    let spans = store.write("p", &[[1_u8; 20], [1_u8; 20]]).unwrap();
    let wrong = [
        (0, 5),
        (8, 19),
        (9, 20),
        (8, 21),
        (32, 21),
        (u64::MAX, 1),
        (8, u64::MAX),
        (1 << 40, 1 << 40),
    ];
    for span in wrong {
        assert!(matches!(
            store
                .pack("p")
                .unwrap()
                .check(span)
                .and_then(|()| read(&store, "p", span)),
            Err(Error::Corrupt(_))
        ));
    }
    let file = files.open(Path::new("store/packs/p.pack")).unwrap();
    for position in 0..file.size().unwrap() {
        let mut byte = [0];
        file.read_at(position, &mut byte).unwrap();
        file.write_at(position, &[byte[0] ^ 0x10]).unwrap();
        let reopened = packs(&files).unwrap();
        let is_padding = (5..8).contains(&position);
        let is_refused = spans.iter().any(|&span| read(&reopened, "p", span).is_err());
        assert_eq!(is_refused, !is_padding, "byte {position}");
        file.write_at(position, &byte).unwrap();
    }
}

#[test]
fn a_newer_pack_is_unsupported_and_a_short_one_refused() {
    let files = SimulatedFiles::new(1);
    let store = packs(&files).unwrap();
    for (name, bytes) in [("newer", b"HRPK\x02\0\0\0".as_slice()), ("short", b"HRP")] {
        files
            .create(&Path::new("store/packs").join(format!("{name}.pack")))
            .unwrap()
            .write_at(0, bytes)
            .unwrap();
    }
    assert!(matches!(store.pack("newer"), Err(Error::Unsupported(_))));
    assert!(matches!(store.pack("short"), Err(Error::Corrupt(_))));
}

#[test]
fn few_packs_stay_open() {
    let store = packs(&SimulatedFiles::new(1)).unwrap();
    let names: Vec<String> = (0..600).map(|i| format!("p{i:03}")).collect();
    let spans: Vec<_> = names
        .iter()
        .map(|name| store.write(name, &[name]).unwrap()[0])
        .collect();
    for (name, span) in names.iter().zip(&spans) {
        assert_eq!(read(&store, name, *span).unwrap(), name.as_bytes());
    }
    assert_eq!(store.open_packs(), 256);
}

#[test]
fn a_write_that_fails_leaves_no_pack() {
    let files = SimulatedFiles::new(1);
    let store = packs(&files).unwrap();
    files.fail_sync(SyncKind::Directory, 1);
    assert!(store.write("p", &[b"x"]).is_err());
    assert!(store.names().unwrap().is_empty());
}

fn pack_lives(seed: u64, lie: Option<SyncKind>) -> Result<(), String> {
    let mut random = Random::new(seed ^ 0x5eed);
    let mut files = SimulatedFiles::new(seed);
    let mut written: BTreeMap<String, Vec<(Span, Vec<u8>)>> = BTreeMap::new();
    for life in 0..4 {
        if let Some(kind) = lie {
            files.ignore_sync(kind, None);
        }
        if random.below(3) > 0 {
            files.fail_power_after(random.below(60) as u64);
        }
        let store = packs(&files);
        if let Ok(store) = &store {
            for (name, values) in &written {
                for (span, value) in values {
                    match read(store, name, *span) {
                        Ok(found) if &found == value => {}
                        Err(_) if !files.has_power() => {}
                        other => return Err(format!("{name} at {span:?}: {other:?}")),
                    }
                }
            }
            for number in 0..random.below(8) {
                let name = format!("{life}-{number}");
                let values: Vec<_> = (0..random.below(4))
                    .map(|_| vec![random.next() as u8; random.below(3000)])
                    .collect();
                if let Ok(spans) = store.write(&name, &values) {
                    written.insert(name, spans.into_iter().zip(values).collect());
                }
                if random.below(6) == 0
                    && let Some((name, _)) = written.pop_first()
                {
                    // Gone, or an orphan if the power is.
                    let _ = store.remove(&name);
                }
            }
        }
        files = files.power_cut();
    }
    Ok(())
}

#[test]
fn written_packs_survive_any_power_cut() {
    for seed in 0..600 {
        if let Err(why) = pack_lives(seed, None) {
            panic!("seed {seed}: {why}");
        }
    }
}

#[test]
fn lying_syncs_under_packs_are_noticed() {
    for kind in [SyncKind::Data, SyncKind::Directory] {
        assert!(
            (0..100).any(|seed| pack_lives(seed, Some(kind)).is_err()),
            "{kind:?}"
        );
    }
}

// ---- bytes from outside --------------------------------------------------------------------------------------------

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn transactions_round_trip(
        deletes in prop::collection::vec(".{0,9}", 0..4),
        puts in prop::collection::vec((".{0,9}", prop::collection::vec(any::<u8>(), 0..40)), 0..4),
    ) {
        let transaction = Transaction { deletes, puts };
        let mut bytes = Vec::new();
        transaction.encode(&mut bytes);
        prop_assert_eq!(bytes.len() as u64, transaction.bytes());
        prop_assert_eq!(Transaction::decode(&bytes).unwrap(), transaction);
        for end in 0..bytes.len() {
            prop_assert!(Transaction::decode(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn arbitrary_transactions_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(transaction) = Transaction::decode(&bytes) {
            let mut again = Vec::new();
            transaction.encode(&mut again);
            prop_assert_eq!(again, bytes);
        }
    }
}
