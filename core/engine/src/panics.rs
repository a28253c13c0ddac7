//! Where a panic was. Those that catch one get its words, but not its place; a hook does.

use std::cell::RefCell;
use std::panic;
use std::sync::Once;

thread_local! {
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From now on the place of each panic is kept. `aloud`: it is also said as it was before, which
/// is on standard error; a library has none of its own. Only the first call counts.
pub fn keep_places(aloud: bool) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // While a thread ends there is nowhere to keep it.
            let place = info.location().map(ToString::to_string);
            _ = PLACE.try_with(|kept| kept.replace(place));
            if aloud {
                before(info);
            }
        }));
    });
}

/// Where the last panic of this thread was, if that was kept: "file:line:column".
pub fn take_place() -> Option<String> {
    PLACE.try_with(RefCell::take).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_panic_is_kept_once() {
        keep_places(true);
        assert!(panic::catch_unwind(|| panic!("on purpose")).is_err());
        let place = take_place().expect("its place");
        assert!(place.contains("panics.rs:"), "{place}");
        assert_eq!(take_place(), None);
    }
}
