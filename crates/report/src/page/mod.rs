//! A page for browsers: the record of formulas, and what shows it, in one file.

use crate::{Page, RenderError};

const HTML: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
/// Exact evaluation, which knows nothing of the page.
const EVALUATE: &str = include_str!("evaluate.js");
/// Configurations that are pasted.
const PASTE: &str = include_str!("paste.js");
/// What is seen, made of what was evaluated.
const SHOW: &str = include_str!("show.js");

impl Page {
    /// The page. It asks nothing of anybody: style, code and data stand in it, and its own policy forbids
    /// requests.
    ///
    /// # Errors
    /// When the data cannot be written.
    pub fn html(&self) -> Result<String, RenderError> {
        let parts = [
            ("/*style*/", STYLE.to_owned()),
            ("/*evaluate*/", EVALUATE.to_owned()),
            ("/*paste*/", PASTE.to_owned()),
            ("/*show*/", SHOW.to_owned()),
            ("/*data*/", self.data().map_err(|problem| RenderError::Json(problem.to_string()))?),
        ];
        let mut html = String::new();
        let mut rest = HTML;
        for (mark, text) in parts {
            let (before, after) = rest.split_once(mark).unwrap_or((rest, ""));
            html.push_str(before);
            html.push_str(&text);
            rest = after;
        }
        html.push_str(rest);
        Ok(html)
    }
}
