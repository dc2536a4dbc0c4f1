//! The committing thread, the wake-up, and the end of a log.

use std::io::Read;
use std::os::unix::net::UnixStream;

use super::*;

fn start(files: &SimulatedFiles) -> LocalLog {
    LocalLog::open(Arc::new(files.clone()), Path::new("log"), SMALL, Box::new(replay)).unwrap()
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_reader_is_woken_by_a_commit() {
    let log = start(&SimulatedFiles::new(1));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| log.read(0, 10, LONG).unwrap());
        log.append(batch(5, 10), 0).unwrap();
        assert_eq!(number_of(&reader.join().unwrap()[0]), Some(5));
    });
}

#[test]
fn a_reader_that_waits_can_be_woken_and_others_go_on() {
    let log = start(&SimulatedFiles::new(1));
    let (woken, waiting) = (log.reader(), log.reader());
    std::thread::scope(|scope| {
        let early = scope.spawn(|| woken.read(0, 10, LONG).unwrap());
        let late = scope.spawn(|| waiting.read(0, 10, LONG).unwrap());
        woken.wake();
        assert!(early.join().unwrap().is_empty());
        log.append(batch(5, 10), 0).unwrap();
        assert_eq!(number_of(&late.join().unwrap()[0]), Some(5));
    });
    woken.wake();
    assert_eq!(woken.read(0, 10, LONG).unwrap().len(), 1, "nothing to wait for");
    assert!(
        woken.read(1, 10, LONG).unwrap().is_empty(),
        "the wake was kept for the wait"
    );
}

#[test]
fn many_writers_get_consecutive_offsets() {
    let log = start(&SimulatedFiles::new(1));
    let mut offsets: Vec<(u64, u64)> = std::thread::scope(|scope| {
        let append = |writer: u64| {
            let log = &log;
            move || {
                (0..50)
                    .map(|i| {
                        (
                            log.append(batch(writer * 100 + i, 40), 0).unwrap(),
                            writer * 100 + i,
                        )
                    })
                    .collect::<Vec<_>>()
            }
        };
        let writers: Vec<_> = (0..4).map(|writer| scope.spawn(append(writer))).collect();
        writers.into_iter().flat_map(|w| w.join().unwrap()).collect()
    });
    log.close();
    offsets.sort_unstable();
    assert!(offsets.iter().map(|o| o.0).eq(0..200));
    assert_eq!(log.committed(), 200);
}

#[test]
fn closing_writes_what_is_queued_and_frees_readers() {
    let files = SimulatedFiles::new(1);
    let log = start(&files);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| log.read(30, 1, LONG));
        for number in 0..30 {
            log.append(batch(number, 10), 0).unwrap();
        }
        while log.committed() < 30 {
            std::thread::yield_now();
        }
        log.close();
        assert!(reader.join().unwrap().is_err());
    });
    log.close();
    assert!(
        log.append(batch(0, 0), 0)
            .unwrap_err()
            .to_string()
            .contains("the log is closed")
    );
    assert!(matches!(log.read(0, 1, LONG), Err(Error::Canceled(_))));
    assert_eq!(start(&files).committed(), 30);
}

#[test]
fn commits_and_failures_make_the_descriptor_readable() {
    let files = SimulatedFiles::new(1);
    let log = start(&files);
    let mut watch = watch(&log);
    let mut byte = [0; 1];
    log.append(batch(0, 10), 0).unwrap();
    watch.read_exact(&mut byte).unwrap();
    assert_eq!(log.committed(), 1);

    let _ = files.power_cut();
    log.append(batch(1, 10), 0).unwrap();
    watch.read_exact(&mut byte).unwrap();
    assert!(log.failure().unwrap().why.contains("the power is off"));
    assert_eq!(log.committed(), 1);
    log.close();
    assert_eq!(log.committed(), 1);
}

/// A blocking copy of the log's descriptor.
fn watch(log: &LocalLog) -> UnixStream {
    let stream = UnixStream::from(log.wake_fd().try_clone_to_owned().unwrap());
    stream.set_nonblocking(false).unwrap();
    stream
}
