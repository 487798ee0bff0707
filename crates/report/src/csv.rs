//! Comma-separated values as RFC 4180 has them, with `\n` between records.

use crate::{Column, Row, Table};

pub(crate) fn table(table: &Table) -> String {
    head(&table.columns) + &table.rows.iter().map(row).collect::<String>()
}

pub(crate) fn head(columns: &[Column]) -> String {
    record(columns.iter().map(|c| c.title.to_string()))
}

pub(crate) fn row(row: &Row) -> String {
    record(row.cells.iter().map(|cell| cell.raw()))
}

fn record(fields: impl Iterator<Item = String>) -> String {
    let quoted = fields.map(|field| {
        if field.contains(['"', ',', '\n', '\r']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field
        }
    });
    quoted.collect::<Vec<_>>().join(",") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_needed() {
        let columns = vec![Column::word("name"), Column::number("count")];
        let row = Row::new(["a, \"b\"".into(), crate::Cell::Number(1_000_000.into())]);
        let text = table(&Table { columns, rows: vec![row] });
        assert_eq!(text, "name,count\n\"a, \"\"b\"\"\",1000000\n");
    }
}
