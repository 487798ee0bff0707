//! The lines a worker speaks: a request on standard input, a line of JSON on standard output.
//!
//! - `prepare ID SPEC` makes the data, runs once, and gives the seconds of that run;
//! - `run ID REPS SECONDS LONG` runs at least `REPS` times and `SECONDS`, but stops after a run of
//!   more than `LONG`, and gives the seconds of the fastest run;
//! - `output ID FILE` runs once, writes the result to a file as little-endian `f32`, and gives facts
//!   about the run;
//! - `drop ID` forgets it.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::time::Instant;

use serde_json::{Value, json};

use crate::Error;
use crate::problem::Spec;

/// A problem with its data, ready to be computed again and again.
pub trait Work {
    /// Computes it once.
    ///
    /// # Errors
    /// What the engine reports.
    fn run(&mut self) -> Result<(), Error>;

    /// Computes it once and gives the result in the layout of the problem, and facts such as
    /// operations counted.
    ///
    /// # Errors
    /// What the engine reports.
    fn output(&mut self) -> Result<(Vec<f32>, Value), Error>;
}

type Works = BTreeMap<String, Box<dyn Work>>;

/// Answers requests until standard input ends.
///
/// # Errors
/// When the lines cannot be read or written.
pub fn serve(prepare: impl Fn(&Spec) -> Result<Box<dyn Work>, Error>) -> Result<(), Error> {
    let mut works = Works::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        // An engine that panics fails in one case, not in all.
        let answer = || answer(&line, &mut works, &prepare);
        let reply = std::panic::catch_unwind(std::panic::AssertUnwindSafe(answer))
            .unwrap_or_else(|_| Err("the engine panicked".into()))
            .unwrap_or_else(|error| json!({ "error": error.to_string() }));
        let mut out = std::io::stdout().lock();
        writeln!(out, "{reply}")?;
        out.flush()?;
    }
    Ok(())
}

fn answer(
    line: &str,
    works: &mut Works,
    prepare: &impl Fn(&Spec) -> Result<Box<dyn Work>, Error>,
) -> Result<Value, Error> {
    let mut words = line.splitn(3, ' ');
    let (verb, id) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let rest = words.next().unwrap_or_default();
    match verb {
        "prepare" => {
            let mut work = prepare(&serde_json::from_str(rest)?)?;
            let seconds = timed(work.as_mut())?;
            works.insert(id.to_owned(), work);
            Ok(json!({ "seconds": seconds }))
        }
        "run" => {
            let mut limits = rest.split(' ');
            let mut limit = || limits.next().ok_or("run ID REPS SECONDS LONG");
            let (reps, seconds, long) = (limit()?.parse()?, limit()?.parse()?, limit()?.parse()?);
            best(known(works, id)?, reps, seconds, long)
        }
        "output" => {
            let (numbers, facts) = known(works, id)?.output()?;
            let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
            std::fs::write(rest, bytes)?;
            Ok(json!({ "facts": facts }))
        }
        "drop" => {
            works.remove(id);
            Ok(json!({}))
        }
        _ => Err(format!("unknown request: {verb}").into()),
    }
}

fn known<'a>(works: &'a mut Works, id: &str) -> Result<&'a mut Box<dyn Work>, Error> {
    works.get_mut(id).ok_or_else(|| format!("nothing is prepared as {id}").into())
}

fn timed(work: &mut dyn Work) -> Result<f64, Error> {
    let start = Instant::now();
    work.run()?;
    Ok(start.elapsed().as_secs_f64())
}

fn best(work: &mut Box<dyn Work>, reps: usize, seconds: f64, long: f64) -> Result<Value, Error> {
    let (start, mut best, mut done) = (Instant::now(), f64::INFINITY, 0);
    while done < reps || start.elapsed().as_secs_f64() < seconds {
        let run = timed(work.as_mut())?;
        best = best.min(run);
        done += 1;
        if run > long {
            break;
        }
    }
    Ok(json!({ "seconds": best, "reps": done }))
}
