//! Small parts that the drawings share.

use maud::{Markup, html};

use super::scale::{LEFT, RIGHT, Scale};

/// A coordinate, to a tenth of a unit: more digits only make the file larger.
pub(super) fn n(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// About how wide a text is in the drawings' font: deliberately a little too much.
pub(super) fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * 6.9
}

/// A text cut to a width, with an ellipsis.
pub(super) fn fit(text: &str, width: f64) -> String {
    if text_width(text) <= width {
        return text.to_owned();
    }
    let letters = ((width / 6.9).floor().max(2.0) as usize) - 1;
    text.chars().take(letters).collect::<String>() + "…"
}

/// A filled rectangle of a style class, with what the pointer shows over it.
pub(super) fn bar(class: &str, (x, to): (f64, f64), (y, height): (f64, f64), title: &str) -> Markup {
    html! {
        rect class=(class) x=(n(x)) y=(n(y)) width=(n((to - x).max(2.5))) height=(n(height)) rx="2" {
            title { (title) }
        }
    }
}

/// A straight line of a style class.
pub(super) fn line(class: &str, (x, y): (f64, f64), (to_x, to_y): (f64, f64)) -> Markup {
    html! { line class=(class) x1=(n(x)) y1=(n(y)) x2=(n(to_x)) y2=(n(to_y)) {} }
}

/// A text of a style class; its baseline is at `y`.
pub(super) fn text(class: &str, x: f64, y: f64, text: &str) -> Markup {
    html! { text class=(class) x=(n(x)) y=(n(y)) { (text) } }
}

/// The grid with its labels at the top, and the line at the fault.
pub(super) fn axis(scale: &Scale, top: f64, bottom: f64) -> Markup {
    html! {
        @for (x, label) in scale.ticks() {
            (line(if label == "fault" { "zero" } else { "grid" }, (x, top), (x, bottom)))
            (text(if label == "fault" { "tick zero" } else { "tick" }, x, top - 6.0, &label))
        }
        (line("frame", (LEFT, top), (RIGHT, top)))
        @if let Some(x) = scale.end_of_observation() {
            rect class="unobserved" x=(n(x)) y=(n(top)) width=(n(RIGHT - x)) height=(n(bottom - top)) {
                title { "observation had ended" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_texts_fit() {
        assert_eq!(n(12.0), "12");
        assert_eq!(n(12.34), "12.3");
        assert_eq!(fit("short", 100.0), "short");
        let cut = fit("a text that is a good deal too long", 100.0);
        assert!(cut.ends_with('…') && text_width(&cut) <= 100.0, "{cut}");
    }
}
