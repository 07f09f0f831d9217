use super::*;
use crate::core::meta::NEVER;

/// Also of a size that needs rounding up, and beyond what any cache expects.
#[test]
fn every_id_has_a_slot_of_its_own() {
    for expected in [1, 7, 100, 1000] {
        let slab = Slab::<[u8; 3], u8>::new(expected, 1 << 12, SideWords::NONE);
        let ids = 0..5000;
        let mut slots: Vec<usize> = ids
            .map(|id| {
                // SAFETY: no other thread has it.
                assert_eq!(unsafe { slab.fresh() }, Some(id));
                assert!(!slab.slots().node(id).is_linked());
                &raw const *slab.slots().slot(id) as usize
            })
            .collect();
        slots.sort_unstable();
        let stride = Slot::<[u8; 3], u8>::STRIDE;
        assert!(slots.windows(2).all(|pair| pair[0] + stride <= pair[1]));
        assert!(
            slots
                .iter()
                .all(|slot| slot.is_multiple_of(align_of::<Slot<[u8; 3], u8>>()))
        );
    }
}

/// Behind the slots of its segment, whatever the size of those; also of a segment that is given back and comes again.
#[test]
fn every_slot_has_words_of_its_own() {
    const OTHER: SideWords = SideWords::LIMIT;
    const IDS: u32 = 3_000;
    let slab = Slab::<[u8; 3], u8>::new(70, 1 << 12, SideWords::WEIGHT.and(OTHER));
    let write = |from: u32| {
        for id in from..IDS {
            // SAFETY: no other thread has it.
            assert_eq!(unsafe { slab.fresh() }, Some(id));
            for (at, word) in [SideWords::WEIGHT, OTHER].into_iter().enumerate() {
                let word = slab.slots().side(id, word);
                assert_eq!(word.load(Ordering::Relaxed), 0);
                word.store(u64::from(id) * 2 + at as u64, Ordering::Relaxed);
                assert!(
                    slab.slots()
                        .id_of((&raw const *word).cast_mut().cast())
                        .is_none()
                );
            }
        }
    };
    write(0);
    let (_, given) = slab.last_further().unwrap();
    // SAFETY: no other thread is there.
    drop(unsafe { slab.take_last() });
    write(IDS - given);
    for id in 0..IDS {
        let of = |word| slab.slots().side(id, word).load(Ordering::Relaxed);
        assert_eq!(of(SideWords::WEIGHT), u64::from(id) * 2);
        assert_eq!(of(OTHER), u64::from(id) * 2 + 1);
        let meta = slab.slots().slot(id).word().get();
        assert_eq!(meta.deadline(), NEVER, "the words are in no slot");
    }
}

#[test]
fn an_address_tells_the_id() {
    let slab = Slab::<[u8; 3], u8>::new(100, 1 << 12, SideWords::NONE);
    let other = Slab::<[u8; 3], u8>::new(100, 1 << 12, SideWords::NONE);
    for id in 0..2000 {
        // SAFETY: no other thread has them.
        let fresh = unsafe { (slab.fresh(), other.fresh()) };
        assert_eq!(fresh, (Some(id), Some(id)));
    }
    for id in 0..2000 {
        let slot = slab.slots().slot(id).address();
        assert_eq!(slab.slots().id_of(slot), Some(id));
        assert_eq!(other.slots().id_of(slot), None);
    }
    // Memory that is there, of a slot that is not yet.
    let next = slab.slots().slot(1999).address();
    assert_eq!(
        slab.slots()
            .id_of(next.wrapping_byte_add(Slot::<[u8; 3], u8>::STRIDE)),
        None
    );
}

#[test]
fn the_last_id_is_in_the_last_segment() {
    let slab = Slab::<u8, u8>::new(1, 1 << 12, SideWords::NONE);
    let (segment, index) = slab.place_further(MAX_IDS as u32 - 1).unwrap();
    assert!(segment < FURTHER && (index as usize) < slab.len_of_further(segment));
    for id in 1..100_000 {
        let (segment, index) = slab.place_further(id).unwrap();
        let before: usize = (0..segment).map(|it| slab.len_of_further(it)).sum();
        assert_eq!(1 + before + index as usize, id as usize);
    }
}
