//! Runs every target on its seeds and on random changes of them, for as many seconds as are given
//! (10 unless said), on any toolchain.

use std::path::Path;
use std::time::{Duration, Instant};

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 4] = [
    ("request", deodar_fuzz::request),
    ("policies", deodar_fuzz::policies),
    ("entities", deodar_fuzz::entities),
    ("differential", deodar_fuzz::differential),
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments
        .next()
        .map_or(10, |text| text.parse().expect("a number of seconds"));
    let seed: u64 = arguments
        .next()
        .map_or(1, |text| text.parse().expect("a seed"));
    let each = Duration::from_secs(seconds) / TARGETS.len() as u32;
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        for bytes in &seeds {
            target(bytes);
        }
        let mut random = Random(seed);
        let until = Instant::now() + each;
        let mut runs = seeds.len();
        while Instant::now() < until {
            let mut bytes = seeds[random.below(seeds.len())].clone();
            for _ in 0..=random.below(8) {
                change(&mut bytes, &seeds, &mut random);
            }
            target(&bytes);
            runs += 1;
        }
        println!("{name}: {runs} inputs, seed {seed}");
    }
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("a corpus")
        .map(|file| file.expect("a file").path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| std::fs::read(file).expect("a seed"))
        .collect()
}

/// One random change: a byte, a cut, a repetition, a piece of another seed.
fn change(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let length = random.below(32).min(bytes.len() - at);
    match random.below(5) {
        0 if at < bytes.len() => bytes[at] = random.below(256) as u8,
        1 => {
            bytes.drain(at..at + length);
        }
        2 => {
            let piece = bytes[at..at + length].to_vec();
            let times = 1 + random.below(50);
            let repeated = piece.repeat(times);
            bytes.splice(at..at, repeated);
        }
        3 => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len() + 1);
            let piece = &other[from..(from + 40).min(other.len())];
            bytes.splice(at..at, piece.iter().copied());
        }
        _ => bytes.insert(at, b"{}[]()\",:;.&|!@0\\"[random.below(17)]),
    }
    bytes.truncate(1 << 16);
}

/// xorshift64*: enough for choosing inputs, and the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D);
        (mixed >> 33) as usize % bound.max(1)
    }
}
