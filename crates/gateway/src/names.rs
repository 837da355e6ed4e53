//! Which address stands for which name inside of a run.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aseptic_model::{HostName, NAMES, NAMES_6};

/// Most names of one run. An address never stands for a second name, because programs keep what they were
/// told; so what grows only must be bounded.
pub(crate) const NAMES_MAX: u16 = 8_192;

/// Names with an address.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// A name's number is its place, counted from one, so that no address ends in `.0.0`.
    names: Vec<HostName>,
    numbers: HashMap<HostName, u16>,
}

/// The addresses that stand for one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stand {
    pub(crate) v4: Ipv4Addr,
    /// Nothing where the run has no IPv6.
    pub(crate) v6: Option<Ipv6Addr>,
}

impl Names {
    /// The addresses of `name`, which gets some if it has none; nothing when there are none left.
    pub(crate) fn stand_for(&mut self, name: &HostName) -> Option<Stand> {
        if let Some(number) = self.numbers.get(name) {
            return Some(Stand::of(*number));
        }
        let number = u16::try_from(self.names.len() + 1).ok().filter(|number| *number <= NAMES_MAX)?;
        self.names.push(name.clone());
        self.numbers.insert(name.clone(), number);
        Some(Stand::of(number))
    }

    /// The name that `address` stands for.
    pub(crate) fn name_of(&self, address: IpAddr) -> Option<&HostName> {
        let number = match address {
            IpAddr::V4(v4) => number_of(v4)?,
            IpAddr::V6(v6) => {
                let (prefix, _) = NAMES_6;
                let [rest @ .., high, low] = v6.octets();
                (rest == prefix.octets()[..14]).then_some(u16::from_be_bytes([high, low]))?
            }
        };
        self.names.get(usize::from(number.checked_sub(1)?))
    }
}

fn number_of(address: Ipv4Addr) -> Option<u16> {
    let (prefix, _) = NAMES;
    let [a, b, high, low] = address.octets();
    ([a, b] == prefix.octets()[..2]).then_some(u16::from_be_bytes([high, low]))
}

impl Stand {
    fn of(number: u16) -> Self {
        let ((v4, _), (v6, _)) = (NAMES, NAMES_6);
        Self {
            v4: Ipv4Addr::from_bits(v4.to_bits() | u32::from(number)),
            v6: Some(Ipv6Addr::from_bits(v6.to_bits() | u128::from(number))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HostName {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_keeps_its_addresses_and_they_lead_back() {
        let mut names = Names::default();
        let first = names.stand_for(&name("a.example")).unwrap();
        let second = names.stand_for(&name("b.example")).unwrap();
        assert_eq!(first.v4, Ipv4Addr::new(198, 18, 0, 1));
        assert_eq!(first.v6, "fda5:e971:c000::1".parse().ok());
        assert_eq!(names.stand_for(&name("a.example")), Some(first));
        assert_eq!(names.name_of(second.v4.into()), Some(&name("b.example")));
        assert_eq!(names.name_of(second.v6.unwrap().into()), Some(&name("b.example")));
    }

    #[test]
    fn other_addresses_stand_for_nothing() {
        let mut names = Names::default();
        names.stand_for(&name("a.example")).unwrap();
        for address in ["198.18.0.0", "198.18.0.2", "198.19.0.1", "127.0.0.1", "::1", "fda5:e971:c000:1::1"] {
            assert_eq!(names.name_of(address.parse().unwrap()), None, "{address}");
        }
    }

    #[test]
    fn names_are_bounded() {
        let mut names = Names::default();
        for number in 0..NAMES_MAX {
            assert!(names.stand_for(&name(&format!("n{number}.example"))).is_some());
        }
        assert_eq!(names.stand_for(&name("more.example")), None);
        assert!(names.stand_for(&name("n0.example")).is_some(), "those that are there stay");
    }
}
