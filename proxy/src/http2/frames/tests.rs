//! The walk over frames, and what is idle.

use super::*;

fn frame(kind: u8, flags: u8, length: u32) -> Vec<u8> {
    let [_, high, middle, low] = length.to_be_bytes();
    let mut frame = vec![high, middle, low, kind, flags, 0, 0, 0, 1];
    frame.resize(HEADER + length as usize, 0);
    frame
}

/// Whether that was too much.
fn is_flood(frames: &mut Frames, bytes: &[u8]) -> bool {
    match frames.take(&mut bytes.to_vec()) {
        Taken::TooMuch => true,
        Taken::AllBut(left) => {
            assert_eq!(left, 0, "whole frames");
            false
        }
        Taken::Anew { at, length, .. } => is_flood(frames, &bytes[at + length..]),
    }
}

fn begun() -> Frames {
    let mut frames = Frames::new(1 << 16);
    assert!(!is_flood(&mut frames, PREFACE));
    frames
}

#[test]
fn frames_are_counted_wherever_the_bytes_are_cut() {
    let bytes = [frame(6, 0, 8), frame(0, 0, 300), frame(3, 0, 4), frame(1, 5, 40)].concat();
    for cut in 0..bytes.len() {
        let mut frames = begun();
        let Taken::AllBut(left) = frames.take(&mut bytes[..cut].to_vec()) else {
            panic!("no flood");
        };
        assert!(left < HEADER + 40);
        assert!(!is_flood(&mut frames, &bytes[cut - left..]));
        assert_eq!((frames.left, frames.payload_left), (BURST - 2, 0), "{cut}");
    }
}

#[test]
fn what_comes_for_a_stream_that_is_over_gets_the_number_of_one_that_is_kept() {
    let of = |stream: u8| {
        let mut frames = [frame(DATA, 0, 3), frame(HEADERS, END_HEADERS, 2)];
        frames.iter_mut().for_each(|frame| frame[8] = stream);
        frames[1][HEADER..].fill(0x82);
        frames.concat()
    };
    let mut frames = begun();
    let looked_at = |frames: &mut Frames, stream| {
        let mut bytes = of(stream);
        assert_eq!(frames.take(&mut bytes), Taken::AllBut(0));
        bytes
    };
    for stream in [1, 3, 5, 7] {
        assert_eq!(looked_at(&mut frames, stream), of(stream));
    }
    frames.ended_early(3, false);
    assert_eq!(looked_at(&mut frames, 3), of(3), "none is kept");
    frames.ended_early(5, true);
    frames.ended_early(7, true);
    for (stream, shown) in [(1, 1), (3, 5), (5, 5), (7, 5), (9, 9)] {
        assert_eq!(looked_at(&mut frames, stream), of(shown));
    }
}

#[test]
fn a_burst_passes_and_one_more_does_not() {
    let mut frames = begun();
    let resets = frame(3, 0, 4).repeat(BURST as usize);
    assert!(!is_flood(&mut frames, &resets));
    frames.tick();
    assert!(!is_flood(&mut frames, &frame(3, 0, 4).repeat(PER_TICK as usize)));
    assert!(is_flood(&mut frames, &frame(3, 0, 4)));
}

#[test]
fn who_reads_may_open_its_window_as_often() {
    let mut frames = begun();
    for _ in 0..10 * BURST {
        assert!(!is_flood(&mut frames, &frame(WINDOW_UPDATE, 0, 4)));
        frames.wrote(BYTES_PER_FRAME);
    }
}

#[test]
fn who_acknowledges_each_piece_of_many_streams_is_no_flood() {
    let acknowledged = frame(WINDOW_UPDATE, 0, 4).repeat(2);
    let mut frames = begun();
    for _ in 0..5 * BURST {
        frames.sent_piece(2 * LEAST_PIECE - 1);
        frames.sent_piece(1);
    }
    for _ in 0..10 * BURST {
        assert!(!is_flood(&mut frames, &acknowledged));
    }
    assert_eq!(frames.left, BURST);
    let mut frames = begun();
    let mut crumbs = (0..BURST).map(|_| {
        frames.sent_piece(1);
        is_flood(&mut frames, &acknowledged)
    });
    assert!(crumbs.any(|is_flood| is_flood));
}

#[test]
fn what_comes_for_streams_that_are_over_is_not_idle() {
    let mut frames = begun();
    let asked = [frame(HEADERS, END_HEADERS, 10), frame(DATA, 0, 300)].concat();
    let behind = [frame(DATA, 0, 300), frame(HEADERS, 5, 10), frame(RST_STREAM, 0, 4)].concat();
    assert!(!is_flood(&mut frames, &asked));
    for _ in 0..2 * BURST {
        frames.ended_early(1, true);
        assert!(!is_flood(&mut frames, &behind));
    }
    assert_eq!(frames.left, BURST);
    assert!(!frames.is_worn());
    // So many for each of them.
    assert!(!is_flood(&mut frames, &behind.repeat(4)));
    assert_eq!(frames.left, BURST - 6);
}

#[test]
fn a_body_of_a_stream_that_is_over_ends_with_its_window() {
    let mut frames = begun();
    frames.ended_early(1, true);
    let pieces = (1..1000).position(|_| is_flood(&mut frames, &frame(DATA, 0, 1 << 10)));
    assert_eq!(pieces, Some(256));
}

#[test]
fn a_connection_wears_out_by_crumbs_for_streams_that_are_over() {
    let mut frames = begun();
    assert!(!is_flood(&mut frames, &frame(DATA, 0, 1).repeat(100_000)));
    assert!(!frames.is_worn());
    frames.ended_early(1, true);
    assert!(!is_flood(&mut frames, &frame(DATA, 0, 1).repeat(100_000)));
    assert!(frames.is_worn());
    let mut frames = begun();
    assert!(!is_flood(&mut frames, &frame(DATA, END_STREAM, 0).repeat(1000)) && !frames.is_worn());
    assert!(!is_flood(&mut frames, &frame(DATA, 0, 0).repeat(51)) && frames.is_worn());
}

#[test]
fn data_and_requests_are_not_idle() {
    let mut frames = begun();
    let asked = [frame(1, 4, 10), frame(0, 1, 1)].concat();
    assert!(!is_flood(&mut frames, &asked.repeat(2 * BURST as usize)));
}

#[test]
fn a_block_is_held_to_its_bounds() {
    let longest = 4 << 16;
    let part = |kind| frame(kind, 0, 16 << 10);
    let mut block = part(HEADERS);
    assert_eq!(begun().take(&mut block.clone()), Taken::AllBut(block.len()));
    (0..4).for_each(|_| block.extend(part(CONTINUATION)));
    assert_eq!(begun().take(&mut block.clone()), Taken::AllBut(block.len()));
    block.extend(part(CONTINUATION));
    assert!(block.len() < longest);
    assert_eq!(begun().take(&mut block), Taken::TooMuch, "too many parts");
    // A longer frame is for h2 to refuse at once.
    assert_eq!(begun().take(&mut frame(HEADERS, END_HEADERS, (16 << 10) + 1)), Taken::AllBut(0));
}

#[test]
fn an_unfinished_head_is_noticed() {
    assert!(Frames::new(1 << 16).is_amid_head());
    let mut frames = begun();
    assert!(!frames.is_amid_head());
    let (mut begun, rest) = (frame(1, 0, 5), frame(9, END_HEADERS, 5));
    assert_eq!(frames.take(&mut begun), Taken::AllBut(HEADER + 5));
    assert!(frames.is_amid_head());
    let head = frames.heads();
    is_flood(&mut frames, &[begun, rest].concat());
    assert!(!frames.is_amid_head() && frames.heads() == head);
    let half = frame(1, END_HEADERS, 50);
    assert_eq!(frames.take(&mut half[..30].to_vec()), Taken::AllBut(30));
    assert!(frames.is_amid_head() && frames.heads() != head);
    is_flood(&mut frames, &half);
    assert!(!frames.is_amid_head());
    is_flood(&mut frames, &frame(0, 0, 50)[..30]);
    assert!(!frames.is_amid_head());
}
