//! Untrusted text: what could steer a terminal, reorder what it shows or hide in it, is shown as an escape.

use serde::Serialize;
use std::fmt::Write;

/// Text that cannot steer a terminal: control characters, and marks that reorder or hide text, are shown as `\u{..}`.
pub fn safe(text: &str) -> String {
    // Nearly all of it is, and one look tells.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if steers_terminal(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// The same for an item among others: it holds none of the characters that separate them either.
pub fn item(text: &str, separators: &[char]) -> String {
    let mut out = String::with_capacity(text.len());
    for c in safe(text).chars() {
        if separators.contains(&c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// One line of JSON. What could steer a terminal is escaped there too: inside of strings `\u` says the same.
pub fn json(value: &(impl Serialize + ?Sized)) -> String {
    let line = serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"event\":\"error\",\"text\":\"{error}\"}}"));
    if line.is_ascii() && !line.contains('\u{7f}') {
        return line;
    }
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        if steers_terminal(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// C0 and C1 controls, DEL, separators of lines and paragraphs, interlinear annotations, and what Unicode calls
/// Default_Ignorable_Code_Point (DerivedCoreProperties.txt): bidirectional marks and characters that nobody sees.
fn steers_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first and the last of each range.
    const STEERING: &str = "\u{0}\u{1f}\u{7f}\u{80}\u{9f}\u{ad}\u{34f}\u{61c}\u{115f}\u{1160}\u{17b4}\u{17b5}\u{180b}\u{180f}\u{200b}\u{200f}\
        \u{2028}\u{202e}\u{2060}\u{206f}\u{3164}\u{fe00}\u{fe0f}\u{feff}\u{ffa0}\u{fff0}\u{fffb}\u{1bca0}\u{1bca3}\u{1d173}\u{1d17a}\
        \u{e0000}\u{e0100}\u{e01ef}\u{e0fff}";
    /// Their neighbours, and letters of scripts that have such marks.
    const HARMLESS: &str = "aé\u{a0}\u{ae}\u{61b}\u{61d}\u{1161}ا日한ក\u{2010}\u{2027}\u{202f}\u{205f}\u{fe10}\u{fffc}\u{fffd}\u{1f600}";

    #[test]
    fn untrusted_text_cannot_steer_a_terminal() {
        assert_eq!(safe("a\u{1b}[31m\nb\u{202e}\u{9b}é\u{61c}"), "a\\u{1b}[31m\\nb\\u{202e}\\u{9b}é\\u{61c}");
        assert!(safe(STEERING).is_ascii() && !safe(STEERING).contains(char::is_control), "{:?}", safe(STEERING));
        assert_eq!(safe(HARMLESS), HARMLESS);
        assert_eq!(item("a, b\n", &[' ', ',']), "a\\u{2c}\\u{20}b\\n");
    }

    #[test]
    fn json_never_holds_what_steers_a_terminal() {
        let text = "a\u{1b}[2J\u{9b}1m\u{202e}\u{7f}é\u{61c}";
        assert_eq!(json(text), r#""a\u001b[2J\u009b1m\u202e\u007fé\u061c""#);
        assert!(json(STEERING).is_ascii() && !json(STEERING).contains(char::is_control), "{:?}", json(STEERING));
        for text in [text, STEERING, HARMLESS] {
            assert_eq!(serde_json::from_str::<String>(&json(text)).unwrap(), text);
        }
        assert_eq!(json(HARMLESS), format!("\"{HARMLESS}\""));
    }
}
