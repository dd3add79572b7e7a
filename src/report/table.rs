//! Tables for stdout.

use super::Look;
use comfy_table::{ContentArrangement, Table, presets};

/// An empty table: lines between the cells for eyes, columns alone for a pipe.
pub fn table(look: Look, header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(if look.terminal { presets::UTF8_FULL_CONDENSED } else { presets::NOTHING });
    // Never cut or wrapped: whoever pipes it counts on a row a line.
    table.set_content_arrangement(ContentArrangement::Disabled).set_header(header);
    table
}

/// The same for values that may be long: on a terminal they are wrapped to its width.
pub fn wide_table(look: Look, header: &[&str]) -> Table {
    let mut table = table(look, header);
    if look.terminal {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table
}

/// How many columns the terminal on stdout has, where it is one.
pub fn width(look: Look) -> Option<usize> {
    Table::new().width().filter(|_| look.terminal).map(usize::from)
}

/// The table's text, without blanks at the ends of its lines.
pub fn text(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}
