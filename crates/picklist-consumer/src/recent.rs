//! The lists that were shown last, so that one that comes again is not picked twice.

use std::collections::{HashSet, VecDeque};

use uuid::Uuid;

/// So many lists are remembered: more than fulfilment has on its way when it is cut off, which is what it sends again.
const REMEMBERED: usize = 20_000;

/// Ids of the newest lists, up to a bound. One takes 33 bytes, and a store device has little memory.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    ids: HashSet<Uuid>,
    order: VecDeque<Uuid>,
}

impl Recent {
    /// Remembers a list. Returns whether it is new.
    pub(crate) fn is_new(&mut self, picklist_id: Uuid) -> bool {
        if self.ids.contains(&picklist_id) {
            return false;
        }
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        self.ids.insert(picklist_id);
        self.order.push_back(picklist_id);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_new_once_and_only_the_newest_are_remembered() {
        let mut recent = Recent::default();
        let id = |number: usize| Uuid::from_u128(number as u128);
        assert!(recent.is_new(id(0)));
        assert!(!recent.is_new(id(0)));
        for number in 1..REMEMBERED {
            assert!(recent.is_new(id(number)));
        }
        assert!(!recent.is_new(id(0)));
        assert!(recent.is_new(id(REMEMBERED)));
        assert!(recent.is_new(id(0)));
        assert_eq!((recent.ids.len(), recent.order.len()), (REMEMBERED, REMEMBERED));
    }
}
