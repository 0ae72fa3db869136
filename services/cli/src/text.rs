//! Small texts for people: counts, durations, and commands that can be copied.

use std::{env, path::Path, time::Duration};

use jiff::SignedDuration;

/// So many things: `1 node`, `2 nodes`.
pub(crate) fn count(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// A duration in milliseconds, in at most two units.
pub(crate) fn duration_ms(ms: u64) -> String {
    let secs = ms / 1000;
    let (mins, hours, days) = (secs / 60, secs / 3600, secs / 86400);
    match ms {
        0..1000 => format!("{ms}ms"),
        _ if mins == 0 => format!("{secs}s"),
        _ if hours == 0 => format!("{mins}m {}s", secs % 60),
        _ if days == 0 => format!("{hours}h {}m", mins % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// A duration in microseconds, with one digit after the point where that says something.
pub(crate) fn duration_us(us: u64) -> String {
    match us {
        0..1000 => format!("{us}µs"),
        1000..10_000 => format!("{}.{}ms", us / 1000, us % 1000 / 100),
        _ => duration_ms(us / 1000),
    }
}

/// A duration as it was typed; a number alone is seconds.
///
/// # Errors
/// How it is to be typed.
pub(crate) fn patience(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    if let Some(seconds) = seconds {
        return Ok(seconds);
    }
    let parsed: SignedDuration = text.parse().map_err(|_other: jiff::Error| {
        "write a number and a unit, for example 5s, 500ms or 1m30s".to_owned()
    })?;
    Duration::try_from(parsed).map_err(|_negative| "a call takes no negative time".to_owned())
}

/// The command as it was typed, so that the next one can be copied.
pub(crate) fn program() -> String {
    env::args().next().map_or_else(|| "qmesh".to_owned(), |typed| quoted(&typed))
}

/// A path as it can be typed.
pub(crate) fn path(path: &Path) -> String {
    quoted(&path.display().to_string())
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        for (ms, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (1000, "1s"),
            (61_000, "1m 1s"),
            (3_660_000, "1h 1m"),
            (90_000_000, "1d 1h"),
        ] {
            assert_eq!(duration_ms(ms), text);
        }
        for (us, text) in [(999, "999µs"), (1250, "1.2ms"), (12_500, "12ms")] {
            assert_eq!(duration_us(us), text);
        }
    }

    #[test]
    fn durations_are_written_as_people_write_them() {
        for (text, ms) in
            [("5s", 5000), ("500ms", 500), ("1m30s", 90_000), ("1m 30s", 90_000), ("PT2S", 2000)]
        {
            assert_eq!(patience(text).unwrap(), Duration::from_millis(ms), "{text}");
        }
        assert_eq!(patience("5").unwrap(), Duration::from_secs(5));
        for wrong in ["", "-5", "-5s", "soon", "NaN"] {
            assert!(patience(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn words_are_quoted_where_a_shell_would_split_them() {
        for (word, text) in [("./.qmesh", "./.qmesh"), ("my mesh", "'my mesh'"), ("it's", r"'it'\''s'")] {
            assert_eq!(quoted(word), text);
        }
    }
}
