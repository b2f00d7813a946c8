//! An address as a QR code, for phones.

use std::fmt::Write as _;

use qrcode::{Color, EcLevel, QrCode};

/// The light border that readers need, in modules (ISO/IEC 18004 §9.1).
const QUIET: usize = 4;

/// A QR code as the data of an SVG path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qr {
    /// Width and height of the picture, border included: its `viewBox` is `0 0 SIZE SIZE`.
    pub size: usize,
    /// The dark modules: the `d` of a `<path>`.
    pub path: String,
}

/// The code of a text; `None` when it is too long for one.
pub fn qr(text: &str) -> Option<Qr> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let width = code.width();
    let colors = code.to_colors();
    let mut path = String::new();
    for (y, row) in colors.chunks(width).enumerate() {
        let mut x = 0;
        while x < width {
            let run = row[x..].iter().take_while(|color| **color == Color::Dark).count();
            if 0 < run {
                // Writing to a String cannot fail.
                let _ = write!(path, "M{} {}h{run}v1h-{run}z", x + QUIET, y + QUIET);
            }
            x += run.max(1);
        }
    }
    Some(Qr { size: width + 2 * QUIET, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_three_corners() {
        let code = qr("https://berth.example/mcp/default/clock").unwrap();
        let last = code.size - QUIET - 7;
        for corner in [(QUIET, QUIET), (last, QUIET), (QUIET, last)] {
            let (x, y) = corner;
            assert!(code.path.contains(&format!("M{x} {y}h7v1h-7z")), "{corner:?} of {}", code.path);
        }
        assert!(code.path.bytes().all(|byte| b"MhvzM -0123456789".contains(&byte)));
        assert_eq!(qr(&"x".repeat(10_000)), None);
    }
}
