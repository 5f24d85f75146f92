//! Columns and numbers as VPP's `format` prints them.

/// Centred in `width` columns, the odd spare space on the left; cut where it is too long.
pub fn centred(text: impl std::fmt::Display, width: usize) -> String {
    let text = cut(text, width);
    let spare = width - text.chars().count();
    format!("{:left$}{text}{:right$}", "", "", left = spare.div_ceil(2), right = spare / 2)
}

/// To the left in `width` columns; cut where it is too long.
pub fn left(text: impl std::fmt::Display, width: usize) -> String {
    format!("{:<width$}", cut(text, width))
}

/// To the right in `width` columns; cut where it is too long.
pub fn right(text: impl std::fmt::Display, width: usize) -> String {
    format!("{:>width$}", cut(text, width))
}

fn cut(text: impl std::fmt::Display, width: usize) -> String {
    text.to_string().chars().take(width).collect()
}

/// A number in VPP's scientific style: two digits behind the point, `3.34e6`, `4.88e-1`, `0.00e0`.
pub fn scientific(value: f64, digits: usize) -> String {
    if value.is_finite() { format!("{value:.digits$e}") } else { "0.00e0".into() }
}

/// A number in VPP's plain style: no zero before the point, `.0082`, `3.8646`.
pub fn plain(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    match text.strip_prefix("0.") {
        Some(fraction) => format!(".{fraction}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_real_vpp_prints() {
        let header =
            [centred("Name", 32), centred("Idx", 5), centred("State", 10), centred("MTU (L3/IP4/IP6/MPLS)", 21)];
        assert_eq!(header.concat(), "              Name               Idx    State  MTU (L3/IP4/IP6/MPLS)");
        assert_eq!(centred("down", 10), "   down   ");
        assert_eq!(centred("up", 10), "    up    ");
        assert_eq!(scientific(4_980_000.0, 2), "4.98e6");
        assert_eq!(scientific(0.61849, 4), "6.1849e-1");
        assert_eq!(scientific(0.0, 2), "0.00e0");
        assert_eq!(plain(0.0082, 4), ".0082");
        assert_eq!(plain(3.8646, 4), "3.8646");
    }
}
