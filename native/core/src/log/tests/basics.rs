use super::*;
use crate::fs::FileLayer;

#[test]
fn records_come_back_from_memory_and_from_disk() {
    let files = SimulatedFiles::new(1);
    let log = open(&files, SMALL).unwrap();
    for number in 0..40 {
        assert_eq!(
            log.append(batch(number, 500), 1000 + number as i64).unwrap(),
            number
        );
        if number % 3 == 0 {
            log.commit();
        }
    }
    assert_eq!(log.append_seal(3, &[-7_200_000, 0]).unwrap(), 40);
    assert_eq!(log.committed(), 40);
    log.commit();
    assert_eq!(log.committed(), 41);

    let live = read_all(&log, 0).unwrap();
    let again = read_all(&log, 0).unwrap();
    drop(log);
    let reopened = open(&files, SMALL).unwrap();
    assert_eq!((reopened.first(), reopened.committed()), (0, 41));
    for records in [live, again, read_all(&reopened, 0).unwrap()] {
        assert!(records.iter().map(|r| r.offset).eq(0..41));
        assert!(
            records[..40]
                .iter()
                .all(|r| number_of(r) == Some(r.offset) && r.now_ms == 1000 + r.offset as i64)
        );
        let RecordKind::Seal { partition, windows } = &records[40].kind else {
            panic!("a seal")
        };
        assert_eq!((*partition, windows.as_slice()), (3, [-7_200_000, 0].as_slice()));
    }
    assert!(
        files.list(Path::new("log")).unwrap().len() > 4,
        "several segments"
    );
}

#[test]
fn a_body_comes_back_as_the_message_that_it_is() {
    let files = SimulatedFiles::new(1);
    let log = open(&files, SMALL).unwrap();
    for form in [Form::V2, Form::V1, Form::V2] {
        let mut batch = SplitBatch::clone(&batch(log.committed(), 100));
        batch.form = form;
        log.append(Arc::new(batch), 0).unwrap();
        log.commit();
    }
    drop(log);
    let records = read_all(&open(&files, SMALL).unwrap(), 0).unwrap();
    let forms = records.iter().map(|record| match &record.kind {
        RecordKind::Write { batches } => batches[0].form,
        RecordKind::Seal { .. } => panic!("a seal"),
    });
    assert!(forms.eq([Form::V2, Form::V1, Form::V2]));
}

#[test]
fn reading_may_start_anywhere() {
    let files = SimulatedFiles::new(1);
    let log = open(
        &files,
        LogOptions {
            segment_bytes: 8 << 20,
            ..SMALL
        },
    )
    .unwrap();
    for number in 0..60 {
        log.append(batch(number, 100_000), 0).unwrap();
        log.commit();
    }
    for start in [59, 0, 31, 32, 7] {
        let records = read_all(&log, start).unwrap();
        assert!(records.iter().map(|r| number_of(r).unwrap()).eq(start..60));
    }
    let reopened = open(&files, SMALL).unwrap();
    assert_eq!(
        number_of(&reopened.read(45, 1, Duration::ZERO).unwrap()[0]),
        Some(45)
    );
}

#[test]
fn nothing_is_visible_before_it_is_durable() {
    let log = open(&SimulatedFiles::new(1), SMALL).unwrap();
    log.append(batch(0, 10), 0).unwrap();
    assert_eq!(log.committed(), 0);
    assert!(log.read(0, 10, Duration::ZERO).unwrap().is_empty());
    log.commit();
    assert_eq!(log.read(0, 10, Duration::ZERO).unwrap().len(), 1);
}

#[test]
fn offsets_outside_the_log_are_errors() {
    let log = open(&SimulatedFiles::new(1), SMALL).unwrap();
    for number in 0..5 {
        log.append(batch(number, 10), 0).unwrap();
    }
    log.commit();
    log.trim(5).unwrap();
    let below = log.read(4, 1, Duration::ZERO).unwrap_err().to_string();
    assert!(below.contains("the log begins with 5"), "{below}");
    let above = log.read(6, 1, Duration::ZERO).unwrap_err().to_string();
    assert!(above.contains("the log ends before 5"), "{above}");
    assert!(log.read(5, 1, Duration::ZERO).unwrap().is_empty());
}

#[test]
fn a_full_queue_refuses_until_it_is_written() {
    let log = open(
        &SimulatedFiles::new(1),
        LogOptions {
            queue_bytes: 10_000,
            ..SMALL
        },
    )
    .unwrap();
    // An empty queue takes what is larger than its bound, or such a record could never be written.
    log.append(batch(0, 20_000), 0).unwrap();
    let error = log.append(batch(1, 10), 0).unwrap_err();
    assert!(
        matches!(&error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::WouldBlock),
        "{error}"
    );
    log.commit();
    log.append(batch(1, 10), 0).unwrap();
    log.commit();
    assert_eq!(read_all(&log, 0).unwrap().len(), 2);
}

#[test]
fn trim_unlinks_whole_segments_and_rolls_the_active_one() {
    let files = SimulatedFiles::new(1);
    let log = open(&files, SMALL).unwrap();
    for number in 0..40 {
        log.append(batch(number, 900), 0).unwrap();
        log.commit();
    }
    let before = log.bytes();
    log.trim(21).unwrap();
    assert!(log.first() > 10 && log.first() <= 21, "{}", log.first());
    assert!(log.bytes() < before);
    assert!(
        read_all(&log, log.first())
            .unwrap()
            .iter()
            .map(|r| number_of(r).unwrap())
            .eq(log.first()..40)
    );

    log.trim(40).unwrap();
    assert_eq!(log.first(), 40);
    assert_eq!(files.list(Path::new("log")).unwrap(), [format!("{:020}.log", 40)]);
    log.append(batch(40, 10), 0).unwrap();
    log.commit();
    let reopened = open(&files, SMALL).unwrap();
    assert_eq!((reopened.first(), reopened.committed()), (40, 41));
}

#[test]
fn a_missing_segment_is_refused() {
    let files = SimulatedFiles::new(1);
    let log = open(&files, SMALL).unwrap();
    for number in 0..20 {
        log.append(batch(number, 900), 0).unwrap();
        log.commit();
    }
    let names = files.list(Path::new("log")).unwrap();
    files.remove(&Path::new("log").join(&names[1])).unwrap();
    let message = open(&files, SMALL).unwrap_err().to_string();
    assert!(
        message.contains("are missing") && message.contains(&names[0]),
        "{message}"
    );
}

#[test]
fn a_renamed_segment_is_refused() {
    let files = SimulatedFiles::new(1);
    open(&files, SMALL).unwrap();
    let to = Path::new("log/00000000000000000009.log");
    files
        .rename(Path::new("log/00000000000000000000.log"), to)
        .unwrap();
    assert!(
        open(&files, SMALL)
            .unwrap_err()
            .to_string()
            .contains("begins with record 0")
    );
}

#[test]
fn an_unknown_kind_is_unsupported_and_a_bad_body_named() {
    let mut frames = Vec::new();
    let start = crate::fs::begin_frame(&mut frames, 9, 0, 0, 0);
    crate::fs::end_frame(&mut frames, start);
    let files = SimulatedFiles::new(1);
    files.make_folder(Path::new("log")).unwrap();
    let path = Path::new("log/00000000000000000000.log");
    crate::fs::create_framed(&files, path, &segment::FORMAT, 0, 1, frames).unwrap();
    assert!(matches!(open(&files, SMALL), Err(Error::Unsupported(m)) if m.contains("kind 9")));

    let log = open(&SimulatedFiles::new(1), SMALL).unwrap();
    log.append(batch(0, 0), 0).unwrap();
    let unreadable = SplitBatch {
        uid: Some(Uid([7; 16])),
        body: vec![1, 2],
        ..SplitBatch::default()
    };
    log.append(Arc::new(unreadable), 0).unwrap();
    log.append(batch(2, 0), 0).unwrap();
    log.commit();
    assert_eq!(
        log.read(0, 9, Duration::ZERO).unwrap().len(),
        3,
        "the live tail needs no decoding"
    );
    assert_eq!(
        log.read(0, 9, Duration::ZERO).unwrap().len(),
        1,
        "what comes before it is good"
    );
    let message = log.read(1, 9, Duration::ZERO).unwrap_err().to_string();
    assert!(
        message.contains("record 1 of the log cannot be decoded: too short"),
        "{message}"
    );
    assert_eq!(
        log.read(2, 9, Duration::ZERO).unwrap().len(),
        1,
        "and what comes after it"
    );
}

#[test]
fn a_full_disk_stops_the_log_until_it_has_room() {
    let files = SimulatedFiles::new(1);
    let log = open(&files, SMALL).unwrap();
    log.append(batch(0, 10), 0).unwrap();
    log.commit();
    for room in [0, 1, 700] {
        files.set_room(Some(room));
        for number in 1..4 {
            assert_eq!(log.append(batch(number, 500), 0).unwrap(), number);
        }
        log.commit();
        let failure = log.failure().unwrap();
        assert!(
            !failure.is_final && failure.why.contains("os error 28"),
            "{failure:?}"
        );
        assert!(
            log.append(batch(9, 10), 0).is_err(),
            "nothing is taken before resume"
        );
        assert_eq!(log.committed(), 1);
        log.resume();
    }
    files.set_room(None);
    assert_eq!(log.append(batch(7, 10), 0).unwrap(), 1);
    log.commit();
    assert_eq!((log.committed(), log.failure().is_none()), (2, true));
    // A new segment that finds no room, by commit or by trim, is the same.
    files.set_room(Some(20));
    log.trim(2).unwrap_err();
    assert!(log.failure().is_none());
    log.append(batch(8, 5000), 0).unwrap();
    log.commit();
    assert!(!log.failure().unwrap().is_final);
    files.set_room(None);
    log.resume();
    log.append(batch(8, 5000), 0).unwrap();
    log.commit();
    let expected = [Some(0), Some(7), Some(8)];
    let read: Vec<_> = read_all(&log, 0).unwrap().iter().map(number_of).collect();
    assert_eq!(read, expected);
    let reopened = open(&files.power_cut(), SMALL).unwrap();
    let read: Vec<_> = read_all(&reopened, 0).unwrap().iter().map(number_of).collect();
    assert_eq!(read, expected, "what failed has left nothing behind");
}

#[test]
fn a_failed_sync_stops_the_log_for_good() {
    let files = SimulatedFiles::new(1);
    let log = open(&files, SMALL).unwrap();
    log.append(batch(0, 10), 0).unwrap();
    log.commit();
    files.fail_sync(crate::fs::SyncKind::Data, 1);
    log.append(batch(1, 10), 0).unwrap();
    log.commit();
    assert_eq!(log.committed(), 1);
    let failure = log.failure().unwrap();
    assert!(
        failure.is_final && failure.why.contains("simulated failure"),
        "{failure:?}"
    );
    log.resume();
    assert!(
        log.append(batch(2, 10), 0)
            .unwrap_err()
            .to_string()
            .contains("cannot be written")
    );
    log.commit();
    assert_eq!(log.committed(), 1, "the sync is not tried again");
    assert_eq!(read_all(&log, 0).unwrap().len(), 1, "what is durable can be read");
    let reopened = open(&files, SMALL).unwrap();
    reopened.append(batch(9, 10), 0).unwrap();
    reopened.commit();
    assert_eq!(
        number_of(read_all(&reopened, 0).unwrap().last().unwrap()),
        Some(9)
    );
}
