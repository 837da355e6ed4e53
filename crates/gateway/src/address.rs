//! Which addresses a name may lead to.
//!
//! The owner of a name decides about its addresses, and may choose those of the machine that the gateway
//! runs on, of its network, or of its cloud. So a name leads to addresses of the public internet alone.
//! The whole check is that of the address that is connected to, never one of a name that is looked up again.
//!
//! Source: the special-purpose address registries of IANA (RFC 6890), RFC 4291, RFC 6052; 168.63.129.16 and
//! the others called metadata are documented by the clouds that have them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

type Range<Address> = (Address, u32, &'static str);

/// The first that holds an address says what it is.
const RANGES: [Range<Ipv4Addr>; 21] = [
    (Ipv4Addr::new(169, 254, 169, 254), 32, "metadata"),
    (Ipv4Addr::new(169, 254, 170, 2), 32, "metadata"),
    (Ipv4Addr::new(169, 254, 170, 23), 32, "metadata"),
    (Ipv4Addr::new(100, 100, 100, 200), 32, "metadata"),
    (Ipv4Addr::new(168, 63, 129, 16), 32, "metadata"),
    (Ipv4Addr::new(255, 255, 255, 255), 32, "broadcast"),
    (Ipv4Addr::new(0, 0, 0, 0), 8, "unspecified"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "shared"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "special"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "tunnel"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmark"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// The same for IPv6.
const RANGES_6: [Range<Ipv6Addr>; 14] = [
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128, "metadata"),
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128, "metadata"),
    (Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42), 128, "metadata"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe), 128, "metadata"),
    (Ipv6Addr::UNSPECIFIED, 128, "unspecified"),
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "private"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "private"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "documentation"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "documentation"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "special"), // Teredo, ORCHID, benchmarks.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "tunnel"),  // 6to4: an IPv4 address is inside.
];

/// All of the public internet; what is outside of it and of [`RANGES_6`] is of no use yet.
const GLOBAL_6: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0);
const GLOBAL_6_BITS: u32 = 3;

/// An IPv4 address behind a translator (RFC 6052); the prefix for private networks is not global.
const TRANSLATED: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);
const TRANSLATED_BITS: u32 = 96;

/// Whether a name may lead to `address`.
pub(crate) fn is_public(address: IpAddr) -> bool {
    kind(address).is_none()
}

/// Whether a cloud answers there about the machine that asks, credentials included.
#[must_use]
pub fn is_metadata(address: IpAddr) -> bool {
    kind(address) == Some("metadata")
}

/// What `address` is, in one word, unless it is public.
pub(crate) fn kind(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => kind_4(address),
        IpAddr::V6(address) if holds_6(TRANSLATED, TRANSLATED_BITS, address) => {
            let [.., a, b, c, d] = address.octets();
            kind_4(Ipv4Addr::new(a, b, c, d))
        }
        IpAddr::V6(address) => {
            let range = RANGES_6.iter().find(|(network, bits, _)| holds_6(*network, *bits, address));
            let is_global = holds_6(GLOBAL_6, GLOBAL_6_BITS, address);
            range.map(|(.., word)| *word).or_else(|| (!is_global).then_some("reserved"))
        }
    }
}

fn kind_4(address: Ipv4Addr) -> Option<&'static str> {
    let holds = |network: Ipv4Addr, bits| (address.to_bits() ^ network.to_bits()).leading_zeros() >= bits;
    RANGES.iter().find(|(network, bits, _)| holds(*network, *bits)).map(|(.., word)| *word)
}

fn holds_6(network: Ipv6Addr, bits: u32, address: Ipv6Addr) -> bool {
    (address.to_bits() ^ network.to_bits()).leading_zeros() >= bits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_address_is_what_it_is() {
        for (word, addresses) in [
            (
                "metadata",
                // Most clouds; tasks and pods of AWS; Alibaba; the host of Azure; AWS, GCP, Scaleway and OpenStack in IPv6.
                "169.254.169.254 169.254.170.2 169.254.170.23 100.100.100.200 168.63.129.16 fd00:ec2::254 \
                 fd20:ce::254 fd00:42::42 fe80::a9fe:a9fe ::ffff:169.254.169.254 ::ffff:a9fe:a9fe \
                 64:ff9b::169.254.169.254 64:ff9b::100.100.100.200 ::ffff:168.63.129.16",
            ),
            ("unspecified", "0.0.0.0 0.1.2.3 :: ::ffff:0.0.0.0"),
            ("loopback", "127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1 64:ff9b::7f00:1"),
            (
                "private",
                "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255 fc00:: \
                 fda5:e971:c000::1 fdff::1 fec0::1 feff::1 64:ff9b::10.0.0.1 ::ffff:192.168.0.1",
            ),
            ("shared", "100.64.0.0 100.127.255.255"),
            ("link-local", "169.254.0.0 169.254.169.253 169.254.255.255 fe80::1 febf::1"),
            // Oracle's first cloud had its metadata in 192.0.0.0/24.
            ("special", "192.0.0.1 192.0.0.192 2001::1 2001:2::1 2001:10::1 2001:2f::1"),
            ("documentation", "192.0.2.1 198.51.100.1 203.0.113.1 2001:db8::1 3fff::1 3fff:fff::1"),
            ("benchmark", "198.18.0.0 198.19.0.53 198.19.255.255"),
            ("tunnel", "192.88.99.1 2002:a9fe:a9fe::1 2002:808:808::1"),
            ("multicast", "224.0.0.1 239.255.255.255 ff02::1 ff0e::1"),
            (
                "reserved",
                "240.0.0.1 255.255.255.254 ::169.254.169.254 ::8.8.8.8 64:ff9b:1::1 64:ff9b:1::a9fe:a9fe",
            ),
            (
                "reserved",
                "::ffff:0:169.254.169.254 ::ffff:0:8.8.8.8 1fff::1 4000::1 5f00::1 100::1 64:ff9b:0:0:0:1::1",
            ),
            ("broadcast", "255.255.255.255"),
        ] {
            for address in addresses.split_whitespace() {
                assert_eq!(kind(address.parse().unwrap()), Some(word), "{address}");
            }
        }
    }

    #[test]
    fn neighbours_are_public() {
        for address in [
            "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0",
            "168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255",
            "192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255 223.255.255.255",
            "::ffff:8.8.8.8 64:ff9b::8.8.8.8 2001:200::1 2001:4860:4860::8888 2001:db7::1 2001:db9::1 2003::1",
            "2000::1 2606:4700::1111 2a00:1450:4001::1 3ffe::1 3fff:1000::1",
        ]
        .iter()
        .flat_map(|line| line.split_whitespace())
        {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_the_standard_library_knows_is_not_public(bits in any::<u32>(), bits_6 in any::<u128>()) {
            let (v4, v6) = (Ipv4Addr::from_bits(bits), Ipv6Addr::from_bits(bits_6));
            if v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast()
                || v4.is_documentation() || v4.is_broadcast() || v4.is_unspecified()
            {
                prop_assert!(!is_public(v4.into()));
            }
            if v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_multicast() || v6.is_loopback() {
                prop_assert!(!is_public(v6.into()));
            }
        }

        #[test]
        fn an_address_is_the_same_in_every_form(bits in any::<u32>()) {
            let address = Ipv4Addr::from_bits(bits);
            let translated = Ipv6Addr::from_bits(TRANSLATED.to_bits() | u128::from(bits));
            prop_assert_eq!(kind(address.into()), kind(address.to_ipv6_mapped().into()));
            prop_assert_eq!(kind(address.into()), kind(translated.into()));
        }
    }
}
