//! Several sizes on the command line: `n=128`, `n=1,2,4`, `n=256..8192:*2`, and `512x768x3072`.

use opledger_account::{SizeList, Stride, Sweep};
use opledger_dims::{Integer, Symbol};

use crate::notes::note_unit;
use crate::sizes::{size_of, units};

/// The most sizes that one symbol may take in a bench, and in counting.
const MOST: usize = 100;
const MOST_COUNTED: usize = 1 << 20;
/// The most that are listed in several parts, each of which is compared with all.
const MOST_LISTED: usize = 1 << 16;

/// Reads `symbol=sizes` of a bench, from 1 on.
pub(crate) fn sweep(text: &str) -> Result<Sweep, String> {
    sizes_of(text, MOST, 1)
}

/// Reads `symbol=sizes` of a count, from 0 on.
pub(crate) fn counted(text: &str) -> Result<Sweep, String> {
    sizes_of(text, MOST_COUNTED, 0)
}

fn sizes_of(text: &str, most: usize, least: u32) -> Result<Sweep, String> {
    let form = "it is not of the form symbol=sizes, such as n=128, n=1,2,4 or n=256..8192:*2";
    let (symbol, sizes) = text.split_once('=').ok_or(form)?;
    let symbol = symbol.trim();
    if symbol.is_empty() {
        return Err("the symbol before `=` is missing, as in n=128".to_owned());
    }
    let most = if sizes.contains(',') { most.min(MOST_LISTED) } else { most };
    let (mut all, mut length) = (SizeList::default(), 0);
    for part in sizes.split(',') {
        let (first, step, own) = range(part.trim(), most, least)?;
        (all, length) = (all.then(first, step, own), length + own);
        if length > most {
            return Err(many(most));
        }
    }
    // One range only rises.
    let mut sorted: Vec<Integer> = Vec::new();
    if sizes.contains(',') {
        sorted.extend(all.iter());
        sorted.sort_unstable();
    }
    if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("{symbol} is {} twice; give each size once", twice[0]));
    }
    units(text).iter().for_each(|told| note_unit(told));
    Ok(Sweep { symbol: Symbol::new(symbol), sizes: all })
}

fn many(most: usize) -> String {
    format!("these are over {most} sizes; take larger steps")
}

/// A size, or `first..last:*factor` or `first..last:+step`, the last included where a step meets it.
fn range(text: &str, most: usize, least: u32) -> Result<(Integer, Stride, usize), String> {
    let Some((first, rest)) = text.split_once("..") else {
        return Ok((at_least(text, least)?, Stride::Add(0.into()), 1));
    };
    let (last, step) = rest.split_once(':').unwrap_or((rest, ""));
    for (size, end) in [(first, "beginning"), (last, "end")] {
        if size.trim().is_empty() {
            return Err(format!("`{text}` has no {end}; write it as 1..8192:*2 or 1..8192:+256"));
        }
    }
    if step.is_empty() {
        return Err(format!(
            "`{text}` has no step; write {first}..{last}:*2 or {first}..{last}:+256"
        ));
    }
    let (first, last) = (at_least(first, least)?, at_least(last, least)?);
    if first > last {
        return Err(format!("`{text}` ends below its beginning; write the smaller size first"));
    }
    let (by, factor) = match (step.strip_prefix('*'), step.strip_prefix('+')) {
        (Some(by), _) => (size_of(by)?, true),
        (_, Some(by)) => (size_of(by)?, false),
        _ => {
            return Err(format!("the step `{step}` is neither *factor, as *2, nor +step, as +256"));
        }
    };
    if by < Integer::from(if factor { 2 } else { 1 }) || factor && first == Integer::from(0) {
        return Err(format!("the step `{step}` leads nowhere; take *2 or +1, or more"));
    }
    let (mut size, mut length) = (first.clone(), 0);
    while size <= last {
        if length == most {
            return Err(many(most));
        }
        size = if factor { &size * &by } else { &size + &by };
        length += 1;
    }
    Ok((first, if factor { Stride::Times(by) } else { Stride::Add(by) }, length))
}

fn positive(text: &str) -> Result<Integer, String> {
    at_least(text, 1)
}

fn at_least(text: &str, least: u32) -> Result<Integer, String> {
    let text = text.trim();
    if text.len() > 1 && text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!(
            "`{text}` begins with 0; commas part sizes, so write 1_000 for a thousand"
        ));
    }
    match size_of(text)? {
        small if small < Integer::from(least) => Err("a size is at least 1 here".to_owned()),
        size => Ok(size),
    }
}

/// Reads `m`x`k`x`n`.
pub(crate) fn product(text: &str) -> Result<[usize; 3], String> {
    let form = || {
        format!("`{text}` is not of the form MxKxN, such as 512x768x3072: rows, terms and columns")
    };
    let sizes = text.split(['x', '×']).map(|size| {
        let size = positive(size)?;
        usize::try_from(size).map_err(|_| format!("`{text}` has a size that no memory holds"))
    });
    let sizes: Vec<Result<usize, String>> = sizes.collect();
    if sizes.len() != 3 {
        return Err(form());
    }
    let sizes = sizes.into_iter().collect::<Result<Vec<usize>, String>>()?;
    sizes.try_into().map_err(|_| form())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_listed_one_after_the_other() {
        let sizes = |text: &str| {
            sweep(text)
                .map(|s| s.sizes.iter().map(|size| size.to_string()).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(sweep("kv=2").unwrap().symbol, Symbol::new("kv"));
        assert_eq!(sizes("n=128").unwrap(), "128");
        assert_eq!(sizes("n=1, 2,4_000").unwrap(), "1 2 4000");
        assert_eq!(sizes("n=256..2048:*2").unwrap(), "256 512 1024 2048");
        assert_eq!(sizes("n=3..20:*3,100..300:+100").unwrap(), "3 9 100 200 300");
        assert_eq!(sizes("n=7..7:+1").unwrap(), "7");
        for (bad, message) in [
            ("n", "n=256..8192:*2"),
            ("=2", "missing"),
            ("n=", "not a whole number"),
            ("n=0", "at least 1"),
            ("n=-4", "cannot be negative"),
            ("n=2..8", "write 2..8:*2 or 2..8:+256"),
            ("n=..5", "`..5` has no beginning"),
            ("n=..5:*2", "has no beginning"),
            ("n=5..", "`5..` has no end"),
            ("n=5..:+1", "has no end"),
            ("n=1,000", "write 1_000 for a thousand"),
            ("n=8..2:*2", "smaller size first"),
            ("n=2..8:2", "neither *factor"),
            ("n=2..8:*1", "leads nowhere"),
            ("n=2..8:+0", "leads nowhere"),
            ("n=1..10^9:+1", "over 100 sizes"),
            ("n=4,2..8:*2", "n is 4 twice"),
        ] {
            let error = sizes(bad).unwrap_err();
            assert!(error.contains(message), "{bad}: {error}");
        }
    }

    #[test]
    fn products_have_three_sizes() {
        assert_eq!(product("2x3x4"), Ok([2, 3, 4]));
        assert_eq!(product("1_000×2^3×1"), Ok([1000, 8, 1]));
        for (bad, message) in [
            ("2x3", "512x768x3072"),
            ("2x3x4x5", "rows, terms and columns"),
            ("2x0x4", "at least 1"),
            ("ax3x4", "not a whole number"),
            ("2x3x10^30", "no memory"),
        ] {
            assert!(product(bad).unwrap_err().contains(message), "{bad}");
        }
    }
}
