//! Tampering with a log that was written.

use std::sync::OnceLock;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::service::audit::verify::{Bad, By, Wrong};

/// A log of several files as it was written: names and lines.
struct Written {
    chain: ChainKind,
    files: Vec<(String, Vec<Vec<u8>>)>,
    head: Vec<u8>,
}

fn written(chain: ChainKind) -> &'static Written {
    static ALL: OnceLock<Vec<Written>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let chains = [ChainKind::None, ChainKind::Hmac, ChainKind::Ed25519];
        chains.into_iter().map(write).collect()
    });
    all.iter().find(|written| written.chain == chain).unwrap()
}

fn write(chain: ChainKind) -> Written {
    let room = Room::new();
    let config = AuditConfig {
        rotate_bytes: 4_000,
        ..room.config(chain)
    };
    let pdp = pdp(ALLOW_ALL);
    for _ in 0..3 {
        let log = start(&config);
        for _ in 0..7 {
            log.record(entry_of(&pdp, request())).unwrap();
        }
        log.close();
    }
    let mut paths: Vec<PathBuf> = sink::rotated::list(&room.log())
        .unwrap()
        .into_iter()
        .map(|file| file.path)
        .collect();
    paths.push(room.log());
    let files = paths.iter().map(|path| {
        let bytes = std::fs::read(path).unwrap();
        let lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, lines.map(<[u8]>::to_vec).collect())
    });
    let files: Vec<_> = files.collect();
    assert!(files.len() >= 3);
    Written {
        chain,
        files,
        head: std::fs::read(room.path("audit.ndjson.head")).unwrap(),
    }
}

impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.chain)
    }
}

impl Written {
    fn len(&self) -> usize {
        self.files.iter().map(|(_, lines)| lines.len()).sum()
    }

    /// The log with all its lines changed by `change`; a line that becomes empty is gone.
    fn with(&self, change: impl FnOnce(&mut [Vec<u8>])) -> Report {
        let mut lines: Vec<Vec<u8>> = self.files.iter().flat_map(|(_, l)| l.clone()).collect();
        change(&mut lines);
        let room = Room::new();
        let mut lines = lines.into_iter();
        for (name, of) in &self.files {
            let text: Vec<u8> = lines.by_ref().take(of.len()).flatten().collect();
            std::fs::write(room.path(name), text).unwrap();
        }
        std::fs::write(room.path("audit.ndjson.head"), &self.head).unwrap();
        room.verify(self.chain)
    }
}

fn chains() -> impl Strategy<Value = &'static Written> {
    prop_oneof![
        Just(ChainKind::None),
        Just(ChainKind::Hmac),
        Just(ChainKind::Ed25519)
    ]
    .prop_map(written)
}

fn bad(report: Report) -> Bad {
    report.bad.expect("tampering is found")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_byte_is_found_and_its_record_named(
        log in chains(), line in any::<Index>(), byte in any::<Index>(), flip in 1..=255_u8,
    ) {
        let line = line.index(log.len());
        let bad = bad(log.with(|lines| {
            let at = byte.index(lines[line].len() - 1);
            lines[line][at] ^= flip;
        }));
        // Where the first record cannot be read at all its number is not known.
        if line > 0 || bad.sequence.is_some() {
            prop_assert_eq!(bad.sequence, Some(line as u64 + 1), "{:?}", bad);
        }
        prop_assert!(bad.line == 1 || line > 0);
        if log.chain == ChainKind::Hmac {
            prop_assert_eq!(bad.wrong, Wrong::Changed);
        }
    }

    #[test]
    fn a_deleted_record_is_missed(log in chains(), line in any::<Index>(), many in 1..4_usize) {
        let line = line.index(log.len());
        let to = (line + many).min(log.len());
        let bad = bad(log.with(|lines| lines[line..to].iter_mut().for_each(Vec::clear)));
        // Without its beginning the log cannot know where it began.
        if line > 0 {
            prop_assert_eq!(bad.sequence, Some(line as u64 + 1), "{:?}", bad);
        }
        prop_assert_eq!(bad.wrong, Wrong::Missing);
    }

    #[test]
    fn swapped_records_are_reordered(log in chains(), one in any::<Index>(), other in any::<Index>()) {
        let (one, other) = (one.index(log.len()), other.index(log.len()));
        prop_assume!(one != other);
        let (one, other) = (one.min(other), one.max(other));
        let bad = bad(log.with(|lines| lines.swap(one, other)));
        if one > 0 {
            prop_assert_eq!(bad.wrong, Wrong::Reordered, "{:?}", bad);
            prop_assert_eq!(bad.sequence, Some(other as u64 + 1));
        }
    }

    #[test]
    fn a_cut_end_is_found(log in chains(), line in any::<Index>(), byte in any::<Index>()) {
        let last = log.len() - 1;
        let line = last - line.index(last.min(5));
        let mut kept = 0;
        let bad = bad(log.with(|lines| {
            kept = byte.index(lines[line].len());
            lines[line].truncate(kept);
            lines[line + 1..].iter_mut().for_each(Vec::clear);
        }));
        prop_assert_eq!(bad.sequence, Some(line as u64 + 1), "{:?}", bad);
        let expect = if kept == 0 { Wrong::Missing } else { Wrong::TornTail };
        prop_assert_eq!(bad.wrong, expect, "{:?}", bad);
    }

    #[test]
    fn a_record_a_second_time_is_found(log in chains(), line in any::<Index>()) {
        let line = line.index(log.len());
        let bad = bad(log.with(|lines| {
            let twice = [lines[line].clone(), lines[line].clone()].concat();
            lines[line] = twice;
        }));
        prop_assert_eq!(bad.wrong, Wrong::Reordered, "{:?}", bad);
        prop_assert_eq!(bad.sequence, Some(line as u64 + 1));
    }
}

#[test]
fn an_untouched_log_holds_and_is_anchored_to_its_end() {
    for (chain, by) in [
        (ChainKind::None, By::Head),
        (ChainKind::Hmac, By::SealedHead),
        (ChainKind::Ed25519, By::Checkpoint),
    ] {
        let log = written(chain);
        let report = log.with(|_| ());
        assert_eq!(report.bad, None);
        assert_eq!(report.records, log.len() as u64);
        let (anchored, found) = report.anchor.unwrap();
        assert_eq!((anchored, report.after_anchor()), (log.len() as u64, 0));
        assert!(found == by || found == By::SealedHead, "{found:?}");
    }
}

/// All lines of a log, and a room with them in one file and without a head.
fn without_head(chain: ChainKind, many: usize) -> Room {
    let room = Room::new();
    let lines = written(chain).files.iter().flat_map(|(_, lines)| lines);
    let text: Vec<u8> = lines.take(many).flatten().copied().collect();
    std::fs::write(room.log(), text).unwrap();
    room
}

#[test]
fn without_a_head_signed_checkpoints_say_how_far_the_end_is_anchored() {
    let all = written(ChainKind::Ed25519).len();
    let room = without_head(ChainKind::Ed25519, all - 1);
    let report = room.verify(ChainKind::Ed25519);
    assert_eq!(report.bad, None);
    let (anchored, by) = report.anchor.unwrap();
    assert_eq!(by, By::Checkpoint);
    assert_eq!(report.after_anchor(), all as u64 - 1 - anchored);
    assert!(report.after_anchor() > 0);
    let report = without_head(ChainKind::Hmac, 4).verify(ChainKind::Hmac);
    assert_eq!((&report.bad, report.anchor), (&None, None));
    assert_eq!(report.after_anchor(), 4);
}

#[test]
fn another_key_is_found_out() {
    let room = without_head(ChainKind::Ed25519, usize::MAX);
    let mut keys = CheckKeys::default();
    keys.add_public(OTHER_PUBLIC_KEY).unwrap();
    let wanted = Wanted {
        keys: keys.clone(),
        ..Wanted::default()
    };
    let bad = bad_of(&room, &wanted);
    assert_eq!((bad.wrong, bad.sequence), (Wrong::Changed, Some(2)));
    // One of several keys is enough.
    keys.add_public(PUBLIC_KEY).unwrap();
    let wanted = Wanted {
        keys,
        ..Wanted::default()
    };
    assert_eq!(room.verify_against(&wanted).bad, None);
    // A chain made again without a key is not a sealed one.
    let room = without_head(ChainKind::None, usize::MAX);
    for chain in [ChainKind::Hmac, ChainKind::Ed25519] {
        assert!(room.verify(chain).bad.is_some());
    }
    // Nor is a head that somebody else wrote.
    let room = without_head(ChainKind::Hmac, usize::MAX);
    std::fs::write(
        room.path("audit.ndjson.head"),
        &written(ChainKind::None).head,
    )
    .unwrap();
    let bad = bad_of(
        &room,
        &Wanted {
            keys: check_keys(ChainKind::Hmac),
            ..Wanted::default()
        },
    );
    assert!(bad.detail.contains("not sealed"), "{bad:?}");
}

fn bad_of(room: &Room, wanted: &Wanted) -> Bad {
    bad(room.verify_against(wanted))
}

#[test]
fn what_was_written_down_elsewhere_anchors_the_end() {
    let room = without_head(ChainKind::None, usize::MAX);
    let last = room.verify(ChainKind::None).last.unwrap();
    let expect = |sequence: u64, hash: Option<[u8; 32]>| Wanted {
        expect: Some((sequence, hash)),
        ..Wanted::default()
    };
    let report = room.verify_against(&expect(last.sequence, Some(last.hash)));
    assert_eq!(
        (report.bad, report.anchor),
        (None, Some((last.sequence, By::Expectation)))
    );
    let bad = bad_of(&room, &expect(last.sequence, Some([7; 32])));
    assert_eq!(bad.wrong, Wrong::Changed);
    let bad = bad_of(&room, &expect(last.sequence + 1, None));
    assert_eq!(
        (bad.wrong, bad.sequence),
        (Wrong::Missing, Some(last.sequence + 1))
    );
}
