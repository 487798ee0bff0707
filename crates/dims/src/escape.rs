//! Text that is not trusted, as messages show it.

/// The most characters of a name or value that a message repeats.
const SHOWN: usize = 80;

/// A name or value out of a file or an argument as messages show it: characters that steer a terminal
/// are escaped, and what is over 80 characters long is cut.
///
/// ```
/// # mod opledger { pub use opledger_dims as dims; }
/// use opledger::dims::escaped;
///
/// assert_eq!(escaped("größe"), "größe");
/// assert_eq!(escaped("\u{1b}[31m\nerror"), r"\u{1b}[31m\nerror");
/// assert_eq!(escaped(&"x".repeat(81)), "x".repeat(80) + "…");
/// ```
pub fn escaped(text: &str) -> String {
    escaped_within(text, SHOWN)
}

/// As [`escaped`], cut after so many characters.
pub fn escaped_within(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for c in text.chars().take(most) {
        match c {
            ' '..='~' => shown.push(c),
            // Marks that turn the direction of text are printable to `escape_debug`.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                shown.extend(c.escape_unicode());
            }
            _ => shown.extend(c.escape_debug()),
        }
    }
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}
