//! `masking`: how fast a child's output goes through the lines, without masking and with it, in bytes a second, for
//! `scripts/bench`. One line for each kind of text and number of keys: text, keys, MB/s, and the share of time beyond
//! that without masking.
//!
//! What counts is the processor time of the way through us: a block is read from a pipe, a stream makes log bytes and
//! display lines of it, the first are written to a file and the others to a pipe that somebody else reads.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use orchestrate::output::line::{Produced, Stream};
use orchestrate::output::log_file::LogFile;
use orchestrate::output::mask::{Masker, Secrets, UnknownKeys};

const BLOCK_BYTES: usize = 64 * 1024;
const TEXT_BYTES: usize = 16 << 20;
const ROUNDS: usize = 15;

fn main() -> io::Result<()> {
    for (what, text) in [("log", log()), ("colour", colour())] {
        let maskers = [None, Some(0), Some(1), Some(10), Some(100)];
        let mut times = [const { Vec::new() }; 5];
        // In turn, so that other work on the machine meets all of them.
        for _ in 0..ROUNDS {
            for (keys, times) in maskers.iter().zip(&mut times) {
                times.push(time(&text, *keys)?);
            }
        }
        let medians = times.map(|mut times| {
            times.sort_unstable();
            times[times.len() / 2]
        });
        for (keys, median) in maskers.iter().zip(medians) {
            let keys = keys.map_or("none".to_owned(), |keys| keys.to_string());
            let bytes = u32::try_from(text.len()).expect("a few megabytes");
            let speed = f64::from(bytes) / median.as_secs_f64() / 1e6;
            let beyond = 100.0 * (median.as_secs_f64() / medians[0].as_secs_f64() - 1.0);
            writeln!(io::stdout(), "{what} {keys} {speed:.0} {beyond:.0}")?;
        }
    }
    Ok(())
}

/// The time of one pass; without `keys`, nothing is looked for, not even what unknown keys look like.
fn time(text: &[u8], keys: Option<usize>) -> io::Result<Duration> {
    let masker = keys.map_or_else(Masker::default, masker);
    let prefix = Masker::default().mask_bytes(b"[issue-42] ");
    let mut stream = Stream::new(Arc::new(masker), prefix, true);
    let mut log = LogFile::new(File::create("masking.log")?);
    // A block fits into a pipe, so nobody has to wait.
    let (mut reader, mut writer) = io::pipe()?;
    let (mut shown, mut terminal) = io::pipe()?;
    let reading = std::thread::spawn(move || io::copy(&mut shown, &mut io::sink()));
    let mut buffer = vec![0; BLOCK_BYTES];
    let mut produced = Produced::default();
    let mut spent = Duration::ZERO;
    for block in text.chunks(BLOCK_BYTES) {
        writer.write_all(block)?;
        let began = processor_time();
        let bytes = reader.read(&mut buffer)?;
        stream.feed(&buffer[..bytes], &mut produced);
        log.write(produced.log.as_slice());
        terminal.write_all(produced.display.get())?;
        spent += processor_time().saturating_sub(began);
        produced.clear();
    }
    drop(terminal);
    reading.join().expect("it only reads")?;
    Ok(spent)
}

/// Of this thread.
fn processor_time() -> Duration {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID);
    time.expect("every Linux has this clock").into()
}

fn masker(keys: usize) -> Masker {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut secrets = Secrets::default();
    let mut numbers = Numbers(1);
    for number in 0..keys {
        let body = (0..93).map(|_| char::from(LETTERS[numbers.below(LETTERS.len())]));
        let key = format!("sk-ant-api03-{}AA", body.collect::<String>());
        secrets.add_key(&format!("key-{number}"), key.as_bytes());
    }
    Masker::new(secrets, UnknownKeys::Masked)
}

/// What a build prints.
fn log() -> Vec<u8> {
    lines(|number, out| match number % 8 {
        0..=3 => writeln!(
            out,
            "   Compiling serde_json v1.0.{} (registry)",
            number % 150
        ),
        4 => writeln!(
            out,
            "[{:>3}%] Building CXX object src/CMakeFiles/core.dir/node_{number}.cpp.o",
            number % 101
        ),
        5 => writeln!(
            out,
            "test items::template::tests::a_name_of_{number}_is_kept ... ok"
        ),
        6 => writeln!(
            out,
            "{{\"time\":{number},\"level\":\"info\",\"message\":\"GET /v1/items/{} 200\"}}",
            number % 999
        ),
        _ => writeln!(
            out,
            "sha256:{:016x}{number:016x} layer-{}.tar",
            number.rotate_left(9),
            number % 99
        ),
    })
}

/// The same with colours.
fn colour() -> Vec<u8> {
    lines(|number, out| match number % 3 {
        0 => writeln!(
            out,
            "\x1b[1m\x1b[32m   Compiling\x1b[0m serde_json v1.0.{}",
            number % 150
        ),
        1 => writeln!(
            out,
            "\x1b[33mwarning\x1b[0m\x1b[1m: unused variable: `value_{}`\x1b[0m",
            number % 999
        ),
        _ => writeln!(
            out,
            "\x1b[1m\x1b[38;5;12m{:>4} |\x1b[0m     let value = items.iter().map(|it| it.id)",
            number % 999
        ),
    })
}

fn lines(push: impl Fn(u64, &mut String) -> std::fmt::Result) -> Vec<u8> {
    let mut text = String::new();
    let mut numbers = Numbers(2);
    while text.len() < TEXT_BYTES {
        push(numbers.next() >> 32, &mut text).expect("a string takes everything");
    }
    text.into_bytes()
}

/// Numbers that look random, from a seed (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("less than a length")
    }
}
