//! Two runs beside each other, as text.

mod json;
mod markdown;
mod terminal;
mod words;

pub use json::comparison_json;
pub use markdown::comparison_markdown;
pub use terminal::comparison_terminal;
