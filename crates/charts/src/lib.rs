//! Charts as SVG text: plain records in, a picture out.
//!
//! ```
//! use opledger_charts::{Bar, BarChart};
//!
//! let bar = |label: &str, value: f64| Bar {
//!     label: label.to_owned(),
//!     value,
//!     text: value.to_string(),
//!     marked: false,
//! };
//! let chart = BarChart {
//!     title: "multiplications".to_owned(),
//!     subtitle: "of one token".to_owned(),
//!     bars: vec![bar("attention", 4.0), bar("feed-forward", 8.0)],
//! };
//! assert!(chart.svg()?.starts_with("<svg "));
//! # Ok::<(), opledger_charts::ChartError>(())
//! ```

mod bars;
mod error;
mod flame;
mod lines;
mod palette;
mod plot;
mod rates;
mod svg;

pub use bars::{Bar, BarChart};
pub use error::ChartError;
pub use flame::{FlameChart, FlameStack};
pub use lines::{LineChart, Series};
pub use rates::{Ceiling, RateChart, RatePoint};
