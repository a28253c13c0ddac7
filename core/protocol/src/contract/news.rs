//! What an operator hears of members that break the contract: that they do, that most do, and why
//! one stays that does.

use std::collections::btree_map::Entry;

use super::{Breach, Keeper, Stays};
use crate::id::NodeId;
use crate::time::Instant;

/// What an operator is to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Broken(NodeId, Breach),
    Void(usize, usize, Breach),
    /// It has broken the contract for the patience and is not put out.
    Stays(NodeId, Breach, Stays),
}

/// What an operator was told of one that was found.
#[derive(Clone, Copy, Hash)]
pub(super) struct Told {
    /// It is found now, or keeps the contract.
    is_found: bool,
    /// For how long.
    since: Instant,
    /// The reasons for which it stays that were told, too.
    reasons: u8,
}

impl Keeper {
    /// What its operator has not heard yet.
    pub(super) fn news(&mut self, now: Instant) -> Vec<News> {
        let found = self.statements.found();
        let mut news = Vec::new();
        for (node, breach) in &found {
            if let Entry::Vacant(entry) = self.told.entry(*node) {
                entry.insert(Told { is_found: true, since: now, reasons: 0 });
                news.push(News::Broken(*node, *breach));
            }
        }
        // Of two it is said why they stay.
        let members = self.statements.members.len();
        let void = self.statements.is_void() && members > 2;
        if let Some((_, worst)) = found.first().filter(|_| void && !self.void_told) {
            news.push(News::Void(found.len(), members, *worst));
        }
        self.void_told = void || self.void_told && !found.is_empty();
        self.note_who_is_found(&found, now);
        if !void {
            news.extend(self.news_of_who_stays(&found, now));
        }
        news
    }

    /// Who has kept the contract for long is news again.
    fn note_who_is_found(&mut self, found: &[(NodeId, Breach)], now: Instant) {
        for (node, told) in &mut self.told {
            let is_found = found.iter().any(|(of, _)| of == node);
            if told.is_found != is_found {
                (told.is_found, told.since) = (is_found, now);
            }
        }
        let well = self.contract.readmit_max;
        self.told.retain(|_, told| told.is_found || now.since(told.since) < well);
    }

    /// Of each that has broken the contract for the patience and stays, each reason once.
    fn news_of_who_stays(&mut self, found: &[(NodeId, Breach)], now: Instant) -> Vec<News> {
        let mut news = Vec::new();
        for (node, breach) in found {
            let told = self.told[node];
            let is_long = now.since(told.since) >= self.contract.patience;
            let is_news = |stays: &Stays| is_long && told.reasons & stays.bit() == 0;
            if let Some(stays) = self.stays(*node, now).filter(is_news) {
                news.push(News::Stays(*node, *breach, stays));
                let reasons = told.reasons | stays.bit();
                self.told.insert(*node, Told { reasons, ..told });
            }
        }
        news
    }

    /// Why this one, which was found, is not put out; `None` if it is.
    pub(super) fn stays(&self, of: NodeId, now: Instant) -> Option<Stays> {
        if self.demoted().is_some_and(|(node, _)| node == of) {
            return None;
        }
        let (doubtful, all) = self.may_break_it(now);
        let worst = self.statements.to_go().map(|(node, _)| node).filter(|node| *node != of);
        Some(match (self.statements.stays(of), worst) {
            (Some(stays), _) => stays,
            _ if self.most_may_break_it(now) => Stays::MostMayBreakIt { doubtful, all },
            _ if now < self.demands_from => Stays::MeasuresAnew(self.demands_from.since(now)),
            (None, Some(worse)) => Stays::AfterWorse(worse),
            (None, None) => Stays::Unasked,
        })
    }
}
