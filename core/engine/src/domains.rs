//! Which domains an engine has, and sets of them. A number is a domain's place in the table of one
//! engine, and means nothing to others.

use std::hash::{Hash, Hasher};

use anasazi_protocol::GroupId;

/// The name of the domain that there always is.
pub const DEFAULT_NAME: &str = "default";
/// Domains of one engine, `default` among them.
pub const DOMAINS_MAX: usize = 64;

/// One of an engine's domains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainId(u8);

/// A group of one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DomainGroup {
    /// Its domain.
    pub domain: DomainId,
    /// What it is called there.
    pub group: GroupId,
}

/// Some of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DomainSet(u64);

impl DomainId {
    /// `default`
    pub const DEFAULT: Self = Self(0);

    /// The one at this place in the table.
    pub(crate) fn at(index: usize) -> Self {
        assert!(index < DOMAINS_MAX, "more domains than an engine may have");
        Self(index as u8)
    }

    /// Its place in the table.
    pub fn index(self) -> usize {
        self.0.into()
    }

    /// A group of it.
    pub fn group(self, group: GroupId) -> DomainGroup {
        DomainGroup { domain: self, group }
    }
}

/// By the group, which is a hash already and is nearly always in one domain only.
impl Hash for DomainGroup {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.group.hash(state);
    }
}

impl DomainSet {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// There are none in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// This one is in it.
    pub fn contains(self, domain: DomainId) -> bool {
        self.0 & 1 << domain.0 != 0
    }

    /// Puts one in.
    pub fn insert(&mut self, domain: DomainId) {
        self.0 |= 1 << domain.0;
    }

    /// Takes one out.
    pub fn remove(&mut self, domain: DomainId) {
        self.0 &= !(1 << domain.0);
    }

    /// All that are in it, in order.
    pub fn iter(self) -> impl Iterator<Item = DomainId> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let first = (rest != 0).then(|| DomainId(rest.trailing_zeros() as u8))?;
            rest &= rest - 1;
            Some(first)
        })
    }
}

impl FromIterator<DomainId> for DomainSet {
    fn from_iter<I: IntoIterator<Item = DomainId>>(domains: I) -> Self {
        let mut set = Self::NONE;
        domains.into_iter().for_each(|domain| set.insert(domain));
        set
    }
}

const _: () = assert!(DOMAINS_MAX <= u64::BITS as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in() {
        let last = DomainId::at(DOMAINS_MAX - 1);
        let set: DomainSet = [last, DomainId::at(3), DomainId::at(3)].into_iter().collect();
        assert!(set.contains(last) && !set.contains(DomainId::DEFAULT) && !set.is_empty());
        assert_eq!(set.iter().collect::<Vec<_>>(), [DomainId::at(3), last]);
    }

    #[test]
    fn groups_of_one_name_in_two_domains_are_two() {
        let id = GroupId::of("orders");
        let groups = [DomainId::DEFAULT.group(id), DomainId::at(1).group(id)];
        let counted: std::collections::HashMap<_, _> = groups.iter().map(|g| (*g, 1)).collect();
        assert_eq!(counted.len(), 2);
    }
}
