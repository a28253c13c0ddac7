//! The name that was probably meant.

/// The candidate nearest to `given`, if one is near enough to be worth suggesting.
pub(super) fn nearest<'a>(
    given: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .map(|candidate| (distance(given, candidate), candidate))
        .filter(|(distance, _)| *distance <= 2.max(given.chars().count() / 5))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The key nearest to `given`: also one whose table or unit was left out.
pub(super) fn nearest_key<'a>(
    given: &str,
    keys: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let in_any_table = |key: &&str| key.rsplit('.').next() == Some(given);
    let unit_left_out = |key: &&str| {
        key.strip_prefix(given).is_some_and(|rest| matches!(rest, "_ms" | "_len" | "_max"))
    };
    keys.clone()
        .find(|key| in_any_table(key) || unit_left_out(key))
        .or_else(|| nearest(given, keys.clone()))
        .or_else(|| {
            let last = given.rsplit('.').next()?;
            keys.clone().find(|key| key.rsplit('.').next() == Some(last))
        })
}

/// Edits from one to the other: insert, delete, replace, swap neighbours.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(NAME_LEN_MAX).collect();
    let b: Vec<char> = b.chars().take(NAME_LEN_MAX).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// Characters compared; more cannot be a typing error of a key.
const NAME_LEN_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 4] =
        ["cluster", "ring.token_loss_ms", "ring.token_repeat_ms", "transport.mtu"];

    #[test]
    fn finds_what_was_meant() {
        for (given, meant) in [
            ("clutser", "cluster"),
            ("ring.tokn_loss_ms", "ring.token_loss_ms"),
            ("ring.token_loss", "ring.token_loss_ms"),
            ("token_repeat_ms", "ring.token_repeat_ms"),
            ("network.mtu", "transport.mtu"),
        ] {
            assert_eq!(nearest_key(given, KEYS.into_iter()), Some(meant), "{given}");
        }
    }

    #[test]
    fn suggests_nothing_far_fetched() {
        for given in ["", "x", "colour", "ring.speed"] {
            assert_eq!(nearest_key(given, KEYS.into_iter()), None, "{given}");
        }
    }
}
