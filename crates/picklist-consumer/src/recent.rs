//! The lists that were shown last, so that one that comes again is not picked twice.

use std::collections::{HashSet, VecDeque};

/// So many lists are remembered: more than fulfilment has on its way when it is cut off, which is what it sends again.
const REMEMBERED: usize = 20_000;

/// Ids of the newest lists, up to a bound.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    ids: HashSet<Box<str>>,
    order: VecDeque<Box<str>>,
}

impl Recent {
    /// Remembers a list. Returns whether it is new.
    pub(crate) fn is_new(&mut self, picklist_id: &str) -> bool {
        if self.ids.contains(picklist_id) {
            return false;
        }
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        self.ids.insert(picklist_id.into());
        self.order.push_back(picklist_id.into());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_new_once_and_only_the_newest_are_remembered() {
        let mut recent = Recent::default();
        assert!(recent.is_new("first"));
        assert!(!recent.is_new("first"));
        for number in 1..REMEMBERED {
            assert!(recent.is_new(&number.to_string()));
        }
        assert!(!recent.is_new("first"));
        assert!(recent.is_new("one too many"));
        assert!(recent.is_new("first"));
        assert_eq!((recent.ids.len(), recent.order.len()), (REMEMBERED, REMEMBERED));
    }
}
