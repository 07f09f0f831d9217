//! The fuzz targets' comparisons on pseudo-random operations.

use arbitrary::{Arbitrary, Unstructured};
use nori_cache_fuzz::organs::{cache, cache_control, codec, index, list, store, stored, wheel};

/// Steele, Lea, Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

/// Runs `inputs` inputs, each from up to `bytes` bytes. A failure is preceded by the number of its input.
fn run<T: for<'a> Arbitrary<'a>>(inputs: u64, bytes: u64, mut run: impl FnMut(T)) {
    for seed in 0..inputs {
        let mut random = SplitMix(seed);
        let len = random.next() % bytes;
        let data: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        let input = T::arbitrary_take_rest(Unstructured::new(&data)).expect("any bytes will do");
        let failing = Failing(seed);
        run(input);
        std::mem::forget(failing);
    }
}

struct Failing(u64);

impl Drop for Failing {
    fn drop(&mut self) {
        eprintln!("input {} failed", self.0);
    }
}

/// Texts made of the pieces that matter, in any order.
fn texts(inputs: u64, pieces: &[&str], mut run: impl FnMut(&[u8])) {
    for seed in 0..inputs {
        let mut random = SplitMix(seed);
        let count = random.next() % 12;
        let mut text = Vec::new();
        for _ in 0..count {
            text.extend(pieces[random.next() as usize % pieces.len()].as_bytes());
        }
        let failing = Failing(seed);
        run(&text);
        std::mem::forget(failing);
    }
}

#[test]
fn no_bytes_harm_a_codec() {
    let mut decoded = 0;
    run(200_000, 24, |input: Vec<u8>| {
        decoded += usize::from(codec::run(&input));
    });
    assert!(decoded > 1_000, "only {decoded} were anything");
}

#[test]
fn cache_control_never_becomes_more_permissive() {
    let pieces = [
        "max-age",
        "=",
        "60",
        "\"",
        "\\",
        ",",
        "\n",
        " ",
        "no-store",
        "private",
        "s-maxage=9",
        "x",
        "\u{ff}",
        "min-fresh=",
        "=-1",
        "(",
        ")",
        ";x",
        "=?0",
        "=:aGk=:",
        ".5",
    ];
    texts(50_000, &pieces, cache_control::run);
}

/// One entry that is whole, cut, doubled and changed at random.
#[test]
fn stored_entries_are_read_or_refused() {
    let entry = concat!(
        r#"{"body_b64":"cnVuIDE=","status_code":200,"media_type":"text/plain","nori":{"length":5,"headers":"#,
        r#"[["content-type","text/plain"]],"born":9,"seen":9,"fresh":60000,"swr":0,"sie":0,"authorized":false,"strict":false,"mode":"timed","#,
        r#""host":"a","target":"/","own":null,"vary":[["accept",null]],"family":0,"#,
        r#""tags":[["t","0123456789abcdef0123456789abcdef"]],"counted":64270442520641536}}"#,
    );
    assert!(stored::run(entry.as_bytes()));
    // As it was before tags had versions.
    let before = entry.replace(r#"["t","0123456789abcdef0123456789abcdef"]"#, r#""t""#);
    assert!(before != entry && !stored::run(before.as_bytes()));
    for seed in 0..100_000 {
        let mut random = SplitMix(seed);
        let mut text = entry.as_bytes().to_vec();
        for _ in 0..random.next() % 4 {
            let at = random.next() as usize % text.len();
            match random.next() % 3 {
                0 => text[at] = random.next() as u8,
                1 => drop(text.remove(at)),
                _ => text.insert(at, b"0123456789\"[]{},:-enul"[random.next() as usize % 22]),
            }
        }
        let failing = Failing(seed);
        stored::run(&text);
        std::mem::forget(failing);
    }
}

#[test]
fn list_evicts_as_its_model() {
    run(2_000, 2_000, list::Input::run);
}

#[test]
fn wheel_returns_what_is_due() {
    run(1_000, 4_000, wheel::Input::run);
}

#[test]
fn index_finds_what_is_filed() {
    run(1_000, 3_000, index::Input::run);
}

#[test]
fn store_agrees_with_a_map() {
    run(1_500, 3_000, store::Input::run);
}

/// The only test that reads through the process's own domain, so nobody holds up what it expects to be dropped.
#[test]
fn cache_is_an_lru_with_times_to_live() {
    run(1_500, 3_000, cache::Input::run);
}
