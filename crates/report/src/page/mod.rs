//! A page for browsers: the record of formulas, and what shows it, in one file.

mod packed;

use self::packed::packed;
use crate::{Page, RenderError};

const HTML: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
/// The data of the page, as they were before they were packed.
const UNPACK: &str = include_str!("unpack.js");
/// Exact evaluation, which knows nothing of the page.
const EVALUATE: &str = include_str!("evaluate.js");
/// Configurations that are pasted.
const PASTE: &str = include_str!("paste.js");
/// Attention that counts itself.
const ATTEND: &str = include_str!("attend.js");
/// Elements, tables, pictures and numbers as texts.
const DOM: &str = include_str!("dom.js");
/// Shares and memory as pictures.
const PICTURES: &str = include_str!("pictures.js");
/// What tools print.
const TOOLS: &str = include_str!("tools.js");
/// A training step.
const STEP: &str = include_str!("step.js");
/// Bounds of devices.
const ROOFLINE: &str = include_str!("roofline.js");
/// A text that is generated.
const GENERATE: &str = include_str!("generate.js");
/// The answers in a few words.
const GLANCE: &str = include_str!("glance.js");
/// The tour.
const TOUR: &str = include_str!("tour.js");
/// The setting, and what is seen of it.
const SHOW: &str = include_str!("show.js");

impl Page {
    /// The page. It asks nothing of anybody: style, code and data stand in it, and its own policy forbids
    /// requests.
    ///
    /// # Errors
    /// When the data cannot be written.
    pub fn html(&self) -> Result<String, RenderError> {
        let data = self.data().map_err(|problem| RenderError::Json(problem.to_string()))?;
        let parts = [
            ("/*style*/", STYLE.to_owned()),
            ("/*unpack*/", UNPACK.to_owned()),
            ("/*evaluate*/", EVALUATE.to_owned()),
            ("/*paste*/", PASTE.to_owned()),
            ("/*attend*/", ATTEND.to_owned()),
            ("/*dom*/", DOM.to_owned()),
            ("/*pictures*/", PICTURES.to_owned()),
            ("/*tools*/", TOOLS.to_owned()),
            ("/*step*/", STEP.to_owned()),
            ("/*roofline*/", ROOFLINE.to_owned()),
            ("/*generate*/", GENERATE.to_owned()),
            ("/*glance*/", GLANCE.to_owned()),
            ("/*tour*/", TOUR.to_owned()),
            ("/*show*/", SHOW.to_owned()),
            ("/*data*/", packed(data.as_bytes())),
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
