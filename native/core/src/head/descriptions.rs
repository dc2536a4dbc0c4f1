//! What senders say of an instance's metric families, bounded: those that were said longest ago make room. Senders repeat what still
//! holds, every minute or with every request, so what goes although it holds comes again.

use std::collections::BTreeMap;

use crate::wire::MetadataEntry;

/// Of one instance in one head: some 25,000 families with a sentence each.
const BYTES: usize = 4 << 20;

/// What a family takes besides its texts.
const OVERHEAD: usize = 120;

#[derive(Debug, Default)]
pub struct Descriptions {
    families: BTreeMap<String, Description>,
    bytes: usize,
    /// How often something was said.
    said: u64,
}

#[derive(Debug)]
struct Description {
    kind: u8,
    help: String,
    unit: String,
    /// When it was said last, by the number of what was said.
    said: u64,
}

impl Description {
    fn bytes(&self, family: &str) -> usize {
        OVERHEAD + family.len() + self.help.len() + self.unit.len()
    }

    fn is(&self, entry: &MetadataEntry) -> bool {
        self.kind == entry.kind && self.help == entry.help && self.unit == entry.unit
    }
}

impl Descriptions {
    pub fn is_empty(&self) -> bool {
        self.families.is_empty()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// In the order of their names; `partition` is what each of them names.
    pub fn entries(&self, partition: u16) -> Vec<MetadataEntry> {
        let entry = |(family, description): (&String, &Description)| MetadataEntry {
            partition,
            family: family.clone(),
            kind: description.kind,
            help: description.help.clone(),
            unit: description.unit.clone(),
        };
        self.families.iter().map(entry).collect()
    }

    /// Replaces what was said of the family before.
    pub fn say(&mut self, entry: &MetadataEntry) {
        self.said += 1;
        if let Some(held) = self.families.get_mut(&entry.family)
            && held.is(entry)
        {
            held.said = self.said;
            return;
        }
        let description = Description {
            kind: entry.kind,
            help: entry.help.clone(),
            unit: entry.unit.clone(),
            said: self.said,
        };
        self.bytes += description.bytes(&entry.family);
        if let Some(old) = self.families.insert(entry.family.clone(), description) {
            self.bytes -= old.bytes(&entry.family);
        }
        if self.bytes > BYTES {
            self.make_room();
        }
    }

    /// Takes back what was held before a restart: what has been said since is newer and stays.
    pub fn restore(&mut self, entry: &MetadataEntry) {
        if !self.families.contains_key(&entry.family) {
            self.say(entry);
        }
    }

    /// Lets go of what was said longest ago, a quarter of all bytes at a time, so that it is sorted seldom.
    fn make_room(&mut self) {
        let mut ages: Vec<(u64, usize)> = self
            .families
            .iter()
            .map(|(family, description)| (description.said, description.bytes(family)))
            .collect();
        ages.sort_unstable();
        let mut freed = 0;
        let gone = ages.iter().take_while(|(_, bytes)| {
            let goes = freed < BYTES / 4;
            freed += bytes;
            goes
        });
        let last = gone.last().map_or(0, |&(said, _)| said);
        let bytes = &mut self.bytes;
        self.families.retain(|family, description| {
            let stays = description.said > last;
            *bytes -= if stays { 0 } else { description.bytes(family) };
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(family: usize, help: &str) -> MetadataEntry {
        MetadataEntry {
            partition: 0,
            family: format!("family_{family:06}"),
            kind: 1,
            help: help.to_owned(),
            unit: String::new(),
        }
    }

    fn counted(descriptions: &Descriptions) -> usize {
        let families = descriptions.families.iter();
        families
            .map(|(family, description)| description.bytes(family))
            .sum()
    }

    #[test]
    fn what_is_said_last_of_a_family_stands() {
        let mut descriptions = Descriptions::default();
        descriptions.say(&entry(1, "old"));
        descriptions.say(&entry(1, "newer and longer"));
        descriptions.restore(&entry(1, "from before"));
        descriptions.restore(&entry(2, "from before"));
        let helps: Vec<String> = descriptions.entries(7).into_iter().map(|e| e.help).collect();
        assert_eq!(helps, ["newer and longer", "from before"]);
        assert_eq!(descriptions.bytes(), counted(&descriptions));
    }

    #[test]
    fn an_endless_row_of_new_families_costs_no_more_than_the_bound_and_not_those_that_are_said_again() {
        let mut descriptions = Descriptions::default();
        let help = "x".repeat(1000);
        for family in 0..20_000 {
            descriptions.say(&entry(family, &help));
            if family % 1000 == 0 {
                descriptions.say(&entry(0, &help));
            }
            assert!(descriptions.bytes() <= BYTES);
        }
        assert_eq!(descriptions.bytes(), counted(&descriptions));
        let held = descriptions.entries(0);
        let names: Vec<&str> = held.iter().map(|entry| entry.family.as_str()).collect();
        assert_eq!(names.first(), Some(&"family_000000"));
        assert_eq!(names.last(), Some(&"family_019999"));
        let oldest = 20_000 - (names.len() - 1);
        assert_eq!(names[1], format!("family_{oldest:06}"), "others went first");
        assert!(names.len() > 2000);
    }
}
