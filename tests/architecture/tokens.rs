//! The words of a source file without comments and tests.

/// A word of Rust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    /// The inside of a string.
    Text(String),
    Sign(char),
}

impl Token {
    pub(super) fn is(&self, word: &str) -> bool {
        match self {
            Token::Word(own) => own == word,
            Token::Sign(own) => word.chars().eq([*own]),
            Token::Text(_) => false,
        }
    }

    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }
}

/// The words of a file, what is compiled for tests only left out.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    without_tests(&lex(text))
}

fn lex(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let next = |n: usize| chars.get(at + n).copied().unwrap_or(' ');
        let c = chars[at];
        if c == '/' && next(1) == '/' {
            while at < chars.len() && chars[at] != '\n' {
                at += 1;
            }
        } else if c == 'r' && (next(1) == '"' || next(1) == '#' && matches!(next(2), '"' | '#')) {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            let start = at + 2 + hashes;
            let end: Vec<char> = std::iter::once('"').chain(vec!['#'; hashes]).collect();
            let length = chars[start..].windows(end.len()).position(|w| w == end).unwrap();
            tokens.push(Token::Text(chars[start..start + length].iter().collect()));
            at = start + length + end.len();
        } else if c == '"' {
            let start = at + 1;
            at = start;
            while chars[at] != '"' {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            tokens.push(Token::Text(chars[start..at].iter().collect()));
            at += 1;
        } else if c == '\'' && (next(1) == '\\' || next(2) == '\'') {
            // A character; a lifetime has no second quote.
            at += if next(1) == '\\' { 3 } else { 2 };
            while chars[at] != '\'' {
                at += 1;
            }
            at += 1;
        } else if c.is_alphanumeric() || c == '_' {
            let start = at;
            while at < chars.len() && (chars[at].is_alphanumeric() || chars[at] == '_') {
                at += 1;
            }
            tokens.push(Token::Word(chars[start..at].iter().collect()));
        } else {
            if !c.is_whitespace() {
                tokens.push(Token::Sign(c));
            }
            at += 1;
        }
    }
    tokens
}

/// Leaves out each item behind `#[cfg(test)]`.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mark = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let rest = &tokens[at..];
        if rest.len() < mark.len() || !rest.iter().zip(mark).all(|(token, mark)| token.is(mark)) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        at += mark.len();
        let mut depth = 0;
        while at < tokens.len() {
            let token = &tokens[at];
            at += 1;
            depth += i32::from(token.is("{")) - i32::from(token.is("}"));
            if depth == 0 && (token.is("}") || token.is(";")) {
                break;
            }
        }
    }
    kept
}

#[test]
fn comments_strings_and_tests_are_told_from_code() {
    let text = r##"
        fn f<'a>(x: &'a str) -> char { // "not a text"
            let _ = (r#"a "raw" one"#, "an \" escape", '"', '\'');
        }
        #[cfg(test)]
        mod tests { fn g() { if true {} } }
        struct After;
    "##;
    let tokens = tokens(text);
    let texts = tokens.iter().filter_map(|token| match token {
        Token::Text(text) => Some(text.as_str()),
        _ => None,
    });
    assert_eq!(texts.collect::<Vec<_>>(), ["a \"raw\" one", "an \\\" escape"]);
    assert!(tokens.iter().any(|token| token.is("After")));
    assert!(!tokens.iter().any(|token| token.is("tests") || token.is("g")));
}
