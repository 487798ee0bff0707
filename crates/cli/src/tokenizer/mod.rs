//! A `tokenizer.json` that is not trusted.
//!
//! What the `tokenizers` library would take too much memory for is refused before it sees it
//! ([`bounds`]). It works on a thread of its own, where a panic ends in an error, and for so long as
//! a caller waits: patterns and tokens can be written so that it does not come to an end.

mod bounds;

use std::any::Any;
use std::panic;
use std::sync::{Arc, Once, mpsc};
use std::thread;
use std::time::Duration;

use tokenizers::{PaddingDirection, Tokenizer as Library};

use bounds::{Bounds, MAX_SPECIAL, TOKENS_PER_BYTE};

/// The longest tokenizer that is read, in bytes.
pub(crate) const MAX_BYTES: u64 = 64 << 20;

/// How long the library may take, for a file or a text.
const PATIENCE: Duration = Duration::from_secs(60);

/// The name of the thread that the library works on.
const THREAD: &str = "tokenizer";
const STACK: usize = 8 << 20;

/// A tokenizer.
pub(crate) struct Tokenizer {
    library: Arc<Library>,
    bounds: Bounds,
    padding: Option<(bool, i64)>,
}

impl Tokenizer {
    /// Reads the contents of a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(bytes: Vec<u8>) -> Result<Tokenizer, String> {
        let bounds = Bounds::read(&bytes)?;
        let library = guarded(PATIENCE, move || -> Result<_, String> {
            let mut library = Library::from_bytes(bytes).map_err(|e| e.to_string())?;
            let padding = library.get_padding().map(|own| {
                (matches!(own.direction, PaddingDirection::Left), i64::from(own.pad_id))
            });
            // Texts are taken whole, and made equally long elsewhere.
            library.with_padding(None);
            library.with_truncation(None).map_err(|e| e.to_string())?;
            Ok((library, padding))
        });
        let (library, padding) = library??;
        Ok(Tokenizer { library: Arc::new(library), bounds, padding })
    }

    /// Whether the file has the shorter of several texts padded on the left, and by which id, where it
    /// says.
    pub(crate) fn padding(&self) -> Option<(bool, i64)> {
        self.padding
    }

    /// The ids of a text, special tokens included.
    ///
    /// # Errors
    /// When it would grow too long, or the library fails.
    pub(crate) fn ids(&self, text: &str) -> Result<Vec<i64>, String> {
        self.bounds.encoded(text.len())?;
        let (library, text) = (self.library.clone(), text.to_owned());
        let ids = guarded(PATIENCE, move || {
            let (bytes, most) = (text.len(), text.len() * TOKENS_PER_BYTE + MAX_SPECIAL);
            let encoding = library.encode(text, true).map_err(|e| e.to_string())?;
            let tokens = encoding.len();
            if tokens > most {
                return Err(format!(
                    "a text of {bytes} bytes becomes {tokens} tokens, over {most}"
                ));
            }
            Ok(encoding.get_ids().iter().map(|id| i64::from(*id)).collect())
        });
        ids?
    }

    /// The text of some ids, special tokens left out; none where the library has none, or it would
    /// grow too long.
    pub(crate) fn text(&self, ids: &[i64]) -> Option<String> {
        let ids = ids.iter().map(|id| u32::try_from(*id).ok()).collect::<Option<Vec<u32>>>()?;
        let token = |id: &u32| self.library.id_to_token(*id).map_or(0, |token| token.len());
        let bytes = ids.iter().map(token).fold(0_usize, usize::saturating_add);
        self.bounds.decoded(bytes).ok()?;
        let library = self.library.clone();
        guarded(PATIENCE, move || library.decode(&ids, true).ok()).ok()?
    }
}

/// Does work of the library on a thread of its own: a panic, or more time than there is patience for, is
/// an error. What has not ended then ends with the process.
fn guarded<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    keep_silent();
    let (done, result) = mpsc::channel();
    let builder = thread::Builder::new().name(THREAD.to_owned()).stack_size(STACK);
    let working = builder.spawn(move || {
        // Nobody waits any longer where this fails.
        let _ = done.send(work());
    });
    let working = working.map_err(|e| format!("a thread could not be started: {e}"))?;
    match result.recv_timeout(patience) {
        Ok(result) => Ok(result),
        Err(mpsc::RecvTimeoutError::Timeout) => {
            Err(format!("it takes the tokenizers library over {patience:?}"))
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            let said = working.join().err().and_then(said).unwrap_or_default();
            Err(format!("the tokenizers library fails on it: {said}"))
        }
    }
}

/// Panics on the library's thread are told as errors, and nowhere else.
fn keep_silent() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if thread::current().name() != Some(THREAD) {
                others(info);
            }
        }));
    });
}

/// What a panic said.
fn said(panic: Box<dyn Any + Send>) -> Option<String> {
    let owned = |panic: Box<dyn Any + Send>| panic.downcast::<String>().ok().map(|text| *text);
    panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| owned(panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_and_work_without_end_are_errors() {
        assert_eq!(guarded(PATIENCE, || 3), Ok(3));
        let panics = guarded(PATIENCE, || -> () { panic!("index {} is none", 7) });
        assert_eq!(panics, Err("the tokenizers library fails on it: index 7 is none".to_owned()));
        let endless = guarded(Duration::from_millis(50), || {
            loop {
                thread::park();
            }
        });
        let late = endless.map(|never: ()| never).unwrap_err();
        assert_eq!(late, "it takes the tokenizers library over 50ms");
    }

    #[test]
    fn what_may_grow_too_long_is_not_begun() {
        let bomb = include_bytes!("../../tests/cli/tokenizers/memory_bomb.json");
        let tokenizer = Tokenizer::read(bomb.to_vec()).unwrap();
        let refused = tokenizer.ids("aaaaaaaaaa").unwrap_err();
        assert!(refused.contains("may grow"), "{refused}");
        assert!(tokenizer.ids("").unwrap().is_empty());
    }
}
