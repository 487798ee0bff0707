//! Why a chart cannot be drawn.

/// Why a chart cannot be drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChartError {
    /// There is nothing on it.
    #[error("`{title}` has nothing to draw")]
    Empty {
        /// The title of the chart.
        title: String,
    },
    /// A value that no axis reaches: infinite or no number, or a size that is not positive on a
    /// logarithmic axis.
    #[error("`{title}`: {value} has no place on its axis")]
    OffAxis {
        /// The title of the chart.
        title: String,
        /// The value.
        value: String,
    },
}

impl ChartError {
    pub(crate) fn empty(title: &str) -> ChartError {
        ChartError::Empty { title: title.to_owned() }
    }

    pub(crate) fn off_axis(title: &str, value: f64) -> ChartError {
        ChartError::OffAxis { title: title.to_owned(), value: value.to_string() }
    }
}
