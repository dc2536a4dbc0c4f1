use std::collections::BTreeSet;
use std::path::Path;

use super::*;

fn folder() -> &'static Path {
    Path::new("data")
}

fn with_folder(seed: u64) -> SimulatedFiles {
    let files = SimulatedFiles::new(seed);
    files.make_folder(folder()).unwrap();
    files
}

fn contents(files: &SimulatedFiles, path: &Path) -> Vec<u8> {
    let file = files.open(path).unwrap();
    let mut bytes = vec![0; file.size().unwrap() as usize];
    let read = file.read_at(0, &mut bytes).unwrap();
    assert_eq!(read, bytes.len());
    bytes
}

/// Runs a scenario under many seeds, cuts the power, and collects what each disk shows.
fn outcomes<T: Ord>(scenario: impl Fn(&SimulatedFiles), look: impl Fn(&SimulatedFiles) -> T) -> BTreeSet<T> {
    let outcome = |seed| {
        let files = with_folder(seed);
        scenario(&files);
        look(&files.power_cut())
    };
    (0..200).map(outcome).collect()
}

#[test]
fn synced_bytes_survive_and_unsynced_ones_may() {
    let path = folder().join("a");
    let scenario = |files: &SimulatedFiles| {
        let file = files.create(&path).unwrap();
        file.write_at(0, &[1; 700]).unwrap();
        file.sync_data().unwrap();
        files.sync_directory(folder()).unwrap();
        file.write_at(700, &[2; 2000]).unwrap();
    };
    let found = outcomes(scenario, |files| contents(files, &path));
    assert!(
        found
            .iter()
            .all(|bytes| bytes[..700] == [1; 700] && bytes.len() <= 2700)
    );
    assert!(
        found.iter().any(|bytes| bytes.len() == 700),
        "nothing of the rest"
    );
    assert!(
        found
            .iter()
            .any(|bytes| bytes.len() == 2700 && bytes[700..] == [2; 2000]),
        "all of the rest"
    );
    assert!(
        found
            .iter()
            .any(|bytes| bytes.len() < 2700 && bytes.ends_with(&[2])),
        "a torn write"
    );
    assert!(
        found
            .iter()
            .any(|bytes| bytes[700..].starts_with(&[0]) && bytes.ends_with(&[2])),
        "a hole"
    );
}

#[test]
fn names_survive_only_when_the_folder_was_synced() {
    let scenario = |files: &SimulatedFiles| {
        for name in ["kept", "removed", "moved"] {
            files.create(&folder().join(name)).unwrap();
        }
        files.sync_directory(folder()).unwrap();
        files.create(&folder().join("new")).unwrap();
        files.remove(&folder().join("removed")).unwrap();
        files
            .rename(&folder().join("moved"), &folder().join("target"))
            .unwrap();
    };
    let found = outcomes(scenario, |files| files.list(folder()).unwrap());
    assert_eq!(
        found.len(),
        8,
        "each of three changes happened or did not: {found:?}"
    );
    assert!(found.iter().all(|names| names.contains(&"kept".to_owned())));
    let is_moved =
        |names: &Vec<String>| names.contains(&"target".to_owned()) != names.contains(&"moved".to_owned());
    assert!(found.iter().all(is_moved), "a rename is whole");
}

#[test]
fn a_lying_sync_keeps_nothing() {
    for (kind, other) in [(SyncKind::Data, "data"), (SyncKind::Directory, "directory")] {
        let scenario = |files: &SimulatedFiles| {
            files.ignore_sync(kind, Some(1));
            let file = files.create(&folder().join("a")).unwrap();
            file.write_at(0, b"x").unwrap();
            file.sync_data().unwrap();
            files.sync_directory(folder()).unwrap();
        };
        let whole = |files: &SimulatedFiles| {
            !files.list(folder()).unwrap().is_empty() && contents(files, &folder().join("a")) == b"x"
        };
        assert!(outcomes(scenario, whole).contains(&false), "{other}");
    }
}

#[test]
fn a_failed_sync_drops_what_it_should_have_written() {
    let path = folder().join("a");
    let scenario = |files: &SimulatedFiles| {
        let file = files.create(&path).unwrap();
        files.sync_directory(folder()).unwrap();
        file.write_at(0, b"lost").unwrap();
        files.fail_sync(SyncKind::Data, 1);
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        assert_eq!(contents(files, &path), b"lost", "the page cache still shows it");
    };
    assert_eq!(
        outcomes(scenario, |files| contents(files, &path)),
        BTreeSet::from([vec![0; 4]])
    );
}

#[test]
fn everything_fails_without_power() {
    let files = with_folder(1);
    let file = files.create(&folder().join("a")).unwrap();
    files.sync_directory(folder()).unwrap();
    let after = files.power_cut();
    assert!(file.write_at(0, b"x").is_err());
    assert!(files.list(folder()).is_err());
    assert_eq!(after.list(folder()).unwrap(), ["a"]);

    after.fail_power_after(1);
    assert!(after.list(folder()).is_ok());
    assert!(after.list(folder()).is_err());
}

#[test]
fn one_owner_per_folder() {
    let files = with_folder(1);
    let held = files.lock(folder()).unwrap();
    assert!(files.lock(folder()).is_err());
    drop(held);
    files.lock(folder()).unwrap();
}

#[test]
fn the_same_seed_leaves_the_same_disk() {
    let run = || {
        let files = with_folder(7);
        let file = files.create(&folder().join("a")).unwrap();
        files.sync_directory(folder()).unwrap();
        file.write_at(0, &[3; 9000]).unwrap();
        contents(&files.power_cut(), &folder().join("a"))
    };
    assert_eq!(run(), run());
}
