//! Framed files, and the real layer.

use std::io::ErrorKind;
use std::path::Path;

use proptest::prelude::*;

use super::*;

const FORMAT: Format = Format {
    magic: *b"TEST",
    version: 3,
    name: "test file",
    advice: "restore it",
};

fn path() -> &'static Path {
    Path::new("data/file")
}

fn disk() -> SimulatedFiles {
    let files = SimulatedFiles::new(1);
    files.make_folder(Path::new("data")).unwrap();
    files
}

/// A commit of frames, each holding its number and some filling.
fn commit(framed: &mut Framed, sizes: &[usize]) -> std::ops::Range<u64> {
    let mut buffer = Vec::new();
    let first = framed.next;
    for &size in sizes {
        let start = begin_frame(&mut buffer, 1, 2, framed.next, 3);
        buffer.extend(std::iter::repeat_n(framed.next as u8 | 1, size));
        end_frame(&mut buffer, start);
        framed.next += 1;
    }
    finish_frames(&mut buffer, framed.salt, first);
    framed.file.write_at(framed.bytes, &buffer).unwrap();
    framed.file.sync_data().unwrap();
    framed.bytes += buffer.len() as u64;
    framed.bytes - buffer.len() as u64..framed.bytes
}

/// Opens the file; returns the numbers of the frames, each checked to hold what `commit` wrote.
fn open(files: &SimulatedFiles, is_last: bool) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    let framed = open_framed(files, path(), &FORMAT, is_last, |_, frame, payload| {
        assert!(payload.iter().all(|&b| b == frame.number as u8 | 1));
        assert_eq!((frame.kind, frame.tag, frame.time), (1, 2, 3));
        numbers.push(frame.number);
        Ok(())
    })?;
    assert_eq!(framed.next, framed.first + numbers.len() as u64);
    Ok(numbers)
}

fn flip(files: &SimulatedFiles, position: u64, mask: u8) {
    let file = files.open(path()).unwrap();
    let mut byte = [0];
    file.read_at(position, &mut byte).unwrap();
    file.write_at(position, &[byte[0] ^ mask]).unwrap();
}

fn create(files: &SimulatedFiles) -> Framed {
    create_framed(files, path(), &FORMAT, 10, 10, Vec::new()).unwrap()
}

#[test]
fn frames_come_back_in_order() {
    let files = disk();
    let mut framed = create(&files);
    commit(&mut framed, &[0, 1, 3 << 20]);
    commit(&mut framed, &[5]);
    assert_eq!(open(&files, true).unwrap(), [10, 11, 12, 13]);
    assert_eq!(open(&files, false).unwrap(), [10, 11, 12, 13]);
}

#[test]
fn a_torn_tail_is_cut_off_at_every_length() {
    let files = disk();
    let mut framed = create(&files);
    let kept = commit(&mut framed, &[100]);
    let torn = commit(&mut framed, &[50, 60]);
    for size in (kept.end..torn.end).rev() {
        framed.file.truncate(size).unwrap();
        let whole = if size >= kept.end + 90 { 2 } else { 1 };
        if size == kept.end || size == kept.end + 90 {
            continue;
        }
        assert!(
            matches!(open(&files, false), Err(Error::Corrupt(_))),
            "only the last file may be torn"
        );
        assert_eq!(open(&files, true).unwrap().len(), whole, "cut to {size} bytes");
        framed.bytes = framed.file.size().unwrap();
        framed.next = 10 + whole as u64;
        // What was cut off can be written again, and what follows is found.
        commit(&mut framed, &[50, 60][whole - 1..]);
        assert_eq!(open(&files, true).unwrap(), [10, 11, 12]);
    }
}

#[test]
fn a_hole_inside_the_last_commit_is_a_torn_tail() {
    let files = disk();
    let mut framed = create(&files);
    commit(&mut framed, &[100]);
    let torn = commit(&mut framed, &[50, 60, 70]);
    framed.file.write_at(torn.start + 90, &[0; 40]).unwrap();
    assert_eq!(open(&files, true).unwrap(), [10, 11]);
}

#[test]
fn damage_before_a_later_commit_is_refused_with_its_position() {
    let files = disk();
    let mut framed = create(&files);
    let first = commit(&mut framed, &[100, 100]);
    let later = commit(&mut framed, &[100]);
    for position in first.start..later.start {
        flip(&files, position, 0x40);
        let message = open(&files, true).unwrap_err().to_string();
        let start = if position < first.start + 140 {
            first.start
        } else {
            first.start + 140
        };
        assert!(
            message.contains(&format!("damaged at byte {start} (")),
            "{message}"
        );
        assert!(
            message.contains("data/file") && message.ends_with("; restore it"),
            "{message}"
        );
        flip(&files, position, 0x40);
    }
    assert_eq!(open(&files, true).unwrap(), [10, 11, 12]);
}

#[test]
fn a_damaged_header_is_refused() {
    let files = disk();
    create(&files);
    for position in 0..HEADER_BYTES as u64 {
        flip(&files, position, 0x01);
        assert!(open(&files, true).is_err(), "byte {position}");
        flip(&files, position, 0x01);
    }
    assert!(open(&files, true).is_ok());
}

#[test]
fn a_newer_version_is_unsupported() {
    let files = disk();
    let newer = Format { version: 4, ..FORMAT };
    create_framed(&files, path(), &newer, 0, 0, Vec::new()).unwrap();
    let error = open(&files, true).unwrap_err();
    assert!(
        matches!(&error, Error::Unsupported(m) if m.contains("version 4") && m.contains("up to 3")),
        "{error}"
    );
}

#[test]
fn what_a_file_was_created_with_is_never_a_torn_tail() {
    let files = disk();
    let mut frames = Vec::new();
    let start = begin_frame(&mut frames, 1, 2, 0, 3);
    frames.extend([1; 20]);
    end_frame(&mut frames, start);
    let framed = create_framed(&files, path(), &FORMAT, 0, 1, frames).unwrap();
    flip(&files, framed.bytes - 1, 1);
    assert!(matches!(open(&files, true), Err(Error::Corrupt(_))));
    flip(&files, framed.bytes - 1, 1);
    framed.file.truncate(framed.bytes - 1).unwrap();
    assert!(matches!(open(&files, true), Err(Error::Corrupt(_))));
}

/// The kernel may drop pages after a failed sync and call them clean. Opening writes the last commit again.
#[test]
fn what_opening_shows_survives_a_power_cut_even_if_its_sync_had_failed() {
    for seed in 0..50 {
        let files = SimulatedFiles::new(seed);
        files.make_folder(Path::new("data")).unwrap();
        let mut framed = create(&files);
        commit(&mut framed, &[100]);
        files.fail_sync(SyncKind::Data, 1);
        let mut buffer = Vec::new();
        let start = begin_frame(&mut buffer, 1, 2, 11, 3);
        buffer.extend([11; 3000]);
        end_frame(&mut buffer, start);
        finish_frames(&mut buffer, framed.salt, 11);
        framed.file.write_at(framed.bytes, &buffer).unwrap();
        assert!(framed.file.sync_data().is_err());
        assert_eq!(open(&files, true).unwrap(), [10, 11]);
        assert_eq!(open(&files.power_cut(), true).unwrap(), [10, 11]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is done to the bytes, opening yields a prefix of the frames or an error.
    #[test]
    fn changed_bytes_never_yield_other_frames(
        sizes in prop::collection::vec(0_usize..300, 1..12),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        is_last in any::<bool>(),
    ) {
        let files = disk();
        let mut framed = create(&files);
        for pair in sizes.chunks(2) {
            commit(&mut framed, pair);
        }
        for (index, mask) in &changes {
            flip(&files, index.index(framed.bytes as usize) as u64, *mask);
        }
        if let Some(cut) = cut {
            framed.file.truncate(cut.index(framed.bytes as usize) as u64).unwrap();
        }
        match open(&files, is_last) {
            Ok(numbers) => prop_assert!(numbers.iter().copied().eq(10..10 + numbers.len() as u64)),
            Err(error) => prop_assert!(matches!(error, Error::Corrupt(_) | Error::Unsupported(_)), "{}", error),
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), keep_header in any::<bool>()) {
        let files = disk();
        let framed = create(&files);
        framed.file.write_at(if keep_header { framed.bytes } else { 0 }, &bytes).unwrap();
        match open(&files, true) {
            Ok(numbers) => prop_assert!(numbers.is_empty()),
            Err(error) => prop_assert!(matches!(error, Error::Corrupt(_) | Error::Unsupported(_)), "{}", error),
        }
    }
}

/// A folder of the real file system, removed at the end.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("headrace-{name}-{}", std::process::id()));
        RealFiles.make_folder(&folder.join("deep")).unwrap();
        Self(folder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_real_layer_keeps_the_contract() {
    let scratch = Scratch::new("layer");
    let folder = scratch.0.join("deep");
    let (a, b) = (folder.join("a"), folder.join("b"));
    let file = RealFiles.create(&a).unwrap();
    file.write_at(0, b"hello world").unwrap();
    file.sync_data().unwrap();
    assert!(RealFiles.create(&a).is_err(), "it exists");
    let mut buffer = [0; 20];
    assert_eq!(file.read_at(6, &mut buffer).unwrap(), 5);
    assert_eq!(&buffer[..5], b"world");
    file.truncate(5).unwrap();
    assert_eq!(file.size().unwrap(), 5);
    RealFiles.create(&b).unwrap();
    RealFiles.rename(&a, &b).unwrap();
    RealFiles.sync_directory(&folder).unwrap();
    assert_eq!(RealFiles.list(&folder).unwrap(), ["b"]);
    assert_eq!(RealFiles.open(&b).unwrap().size().unwrap(), 5);
    RealFiles.remove(&b).unwrap();
    assert_eq!(file.size().unwrap(), 5, "open handles go on");
    let error = RealFiles.open(&b).unwrap_err();
    assert!(matches!(&error, Error::Io { source, .. } if source.kind() == ErrorKind::NotFound));
    assert!(error.to_string().contains("deep/b"), "{error}");
}

#[test]
fn a_locked_folder_names_its_owner() {
    let scratch = Scratch::new("lock");
    let held = RealFiles.lock(&scratch.0).unwrap();
    let message = RealFiles.lock(&scratch.0).unwrap_err().to_string();
    assert!(
        message.contains(&format!("in use by process {}", std::process::id())),
        "{message}"
    );
    drop(held);
    RealFiles.lock(&scratch.0).unwrap();
}
