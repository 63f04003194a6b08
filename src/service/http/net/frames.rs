//! Where the frames of an HTTP/2 connection begin and end: enough to see that a head does not come on.
//! What is in them is for `hyper` to read and to refuse.

/// Bytes of the connection preface (RFC 9113 section 3.4).
const PREFACE: u32 = 24;
/// Bytes of a frame's head (RFC 9113 section 4.1).
const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const PUSH_PROMISE: u8 = 5;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const END_STREAM: u8 = 1;

/// Follows the frames that a client sends.
#[derive(Debug)]
pub(crate) struct Frames {
    head: [u8; HEAD],
    /// How much of the next frame's head has come.
    have: usize,
    /// How much of the frame's content is missing.
    left: u32,
    /// Whether a request's head goes on in the next frame.
    continued: bool,
    /// Frames that carry nothing of a request.
    control: u64,
}

impl Frames {
    /// From the beginning of a connection, whose preface counts as a frame.
    pub(crate) fn after_preface() -> Self {
        Self {
            head: [0; HEAD],
            have: 0,
            left: PREFACE,
            continued: false,
            control: 0,
        }
    }

    /// How many frames came that carry nothing of a request: settings, pings, priorities, unknown ones and
    /// data without bytes. Resets and windows, of which busy clients send many, are not among them.
    pub(crate) fn control(&self) -> u64 {
        self.control
    }

    /// Whether a frame, or a head of several frames, has begun and not ended.
    pub(crate) fn is_open(&self) -> bool {
        self.have > 0 || self.left > 0 || self.continued
    }

    /// Takes in bytes; whether a frame ended among them that ended its head too.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> bool {
        let mut ended = false;
        while !bytes.is_empty() {
            if self.left > 0 {
                let left = usize::try_from(self.left).unwrap_or(usize::MAX);
                let many = left.min(bytes.len());
                bytes = bytes.get(many..).unwrap_or_default();
                self.left -= u32::try_from(many).unwrap_or(self.left);
            } else {
                let missing = self.head.get_mut(self.have..).unwrap_or_default();
                let many = missing.len().min(bytes.len());
                let (new, rest) = bytes.split_at(many);
                for (place, byte) in missing.iter_mut().zip(new) {
                    *place = *byte;
                }
                bytes = rest;
                self.have += many;
                if self.have < HEAD {
                    break;
                }
                let [a, b, c, kind, flags, ..] = self.head;
                self.have = 0;
                self.left = u32::from_be_bytes([0, a, b, c]);
                let carries = match kind {
                    DATA => self.left > 0 || flags & END_STREAM != 0,
                    kind => matches!(kind, HEADERS | CONTINUATION | RST_STREAM | WINDOW_UPDATE),
                };
                self.control = self.control.saturating_add(u64::from(!carries));
                if matches!(kind, HEADERS | PUSH_PROMISE | CONTINUATION) {
                    self.continued = flags & END_HEADERS == 0;
                }
            }
            ended |= !self.is_open();
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize, kind: u8, flags: u8) -> Vec<u8> {
        let length = u32::try_from(length).unwrap();
        let mut frame = length.to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.extend(vec![0; length as usize]);
        frame
    }

    fn opened() -> Frames {
        let mut frames = Frames::after_preface();
        assert!(frames.is_open());
        assert!(frames.feed(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
        assert!(!frames.is_open());
        frames
    }

    #[test]
    fn whole_frames_leave_nothing_open_however_they_are_cut() {
        let stream: Vec<u8> = [
            frame(18, 4, 0),
            frame(0, 4, 1),
            frame(700, HEADERS, END_HEADERS),
            frame(70_000, 0, 1),
            frame(8, 6, 0),
        ]
        .concat();
        for cut in [1, 2, 7, 9, 10, 1_000, stream.len()] {
            let mut frames = opened();
            let ends = stream
                .chunks(cut)
                .filter(|chunk| frames.feed(chunk))
                .count();
            assert!(ends > 0);
            assert!(!frames.is_open(), "{cut}");
        }
    }

    #[test]
    fn a_head_is_open_until_its_last_frame() {
        let mut frames = opened();
        assert!(!frames.feed(&frame(100, HEADERS, 0)));
        for _ in 0..100 {
            assert!(!frames.feed(&frame(10, CONTINUATION, 0)));
            assert!(frames.is_open());
        }
        assert!(frames.feed(&frame(10, CONTINUATION, END_HEADERS)));
        assert!(!frames.is_open());
    }

    #[test]
    fn a_part_of_a_frame_is_open() {
        let mut frames = opened();
        assert!(!frames.feed(&frame(10, 0, 0)[..5]));
        assert!(frames.is_open());
        assert!(frames.feed(&[frame(10, 0, 0)[5..].to_vec(), vec![0]].concat()));
        assert!(frames.is_open(), "the next one has begun");
    }

    #[test]
    fn frames_that_carry_nothing_are_counted() {
        let mut frames = opened();
        for (length, kind, flags, control) in [
            (18, 4, 0, 1),
            (8, 6, 0, 2),
            (5, 2, 0, 3),
            (10, HEADERS, END_HEADERS, 3),
            (10, DATA, 0, 3),
            (0, DATA, 0, 4),
            (0, DATA, END_STREAM, 4),
            (4, RST_STREAM, 0, 4),
            (4, WINDOW_UPDATE, 0, 4),
            (0, 77, 0, 5),
        ] {
            frames.feed(&frame(length, kind, flags));
            assert_eq!(frames.control(), control, "{kind}");
        }
    }

    proptest::proptest! {
        #[test]
        fn how_it_is_cut_does_not_matter(
            bytes in proptest::collection::vec(0_u8..12, 0..600),
            cut in 1_usize..40,
        ) {
            let mut whole = opened();
            let ended = whole.feed(&bytes);
            let mut parts = opened();
            let mut any = false;
            for part in bytes.chunks(cut) {
                any |= parts.feed(part);
            }
            assert_eq!((ended, whole.is_open()), (any, parts.is_open()));
        }
    }
}
