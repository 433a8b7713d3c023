use std::fs;

use tempfile::TempDir;

use super::*;
use crate::config::{Config, Loaded, Overrides, parse};

/// A host whose links' files lie in a folder of their own: `eth0` has the number 2, `tun0` 3, `tun1` 4.
struct World {
    folder: TempDir,
    host: Host,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let in_it = |name: &str| folder.path().join(name);
        for name in ["networkd", "resolved"] {
            fs::create_dir(in_it(name)).expect("made");
        }
        let host = Host {
            links: ["networkd", "resolved"].map(in_it),
            resolv_conf: in_it("resolv.conf"),
            ..Host::example()
        };
        let world = World { folder, host };
        world.write(
            "resolv.conf",
            "nameserver 198.51.100.1\nnameserver 10.8.0.1\n",
        );
        world
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.folder.path().join(name), text).expect("written");
    }

    fn load(&self, text: &str) -> Loaded {
        parse(None, text, &Overrides::default(), &self.host).expect("a configuration")
    }
}

/// Each zone's names, whence it is and whom it is asked of.
fn zones(config: &Config) -> Vec<String> {
    let zones = config.zones.iter().map(|zone| {
        let names: Vec<String> = zone.names.iter().map(|it| name_to_text(it)).collect();
        let servers = zone.upstreams.iter();
        let servers: Vec<&str> = servers.map(|it| &*config.upstreams[*it].name).collect();
        let from = zone.learnt.as_deref().unwrap_or("the file");
        format!("{} by {from}: {}", names.join(" "), servers.join(" "))
    });
    zones.collect()
}

fn main_pool(config: &Config) -> Vec<&str> {
    let main = config.pools().0.swap_remove(0).upstreams;
    main.iter().map(|it| &*config.upstreams[*it].name).collect()
}

const VPN: &str = "# This is private data. Do not parse.\nADMIN_STATE=configured\nOPER_STATE=routable\nDNS=10.8.0.1 10.8.0.2:5353\nDOMAINS=corp.example\nROUTE_DOMAINS=lab.example 10.in-addr.arpa\n";

#[test]
fn a_links_domains_are_zones_with_the_links_servers() {
    let world = World::new();
    world.write("networkd/3", VPN);
    let config = world.load("version = 1").config;
    assert_eq!(
        zones(&config),
        ["corp.example. lab.example. 10.in-addr.arpa. by link tun0: 10.8.0.1 10.8.0.2:5353"]
    );
    // It routes some domains only, and is not asked for other names, though the host's list has it.
    assert_eq!(main_pool(&config), ["198.51.100.1"]);
    assert_eq!(config.zones[0].policy, Some(Policy::Ordered));
}

#[test]
fn two_links_into_one_network_ask_each_server_once() {
    let world = World::new();
    world.write("networkd/3", VPN);
    world.write("networkd/4", VPN);
    let config = world.load("version = 1").config;
    assert_eq!(
        zones(&config),
        ["corp.example. lab.example. 10.in-addr.arpa. by links tun0, tun1: 10.8.0.1 10.8.0.2:5353"]
    );
}

#[test]
fn a_link_for_all_names_stays_one() {
    let world = World::new();
    world.write("networkd/2", "DNS=198.51.100.1\nDOMAINS=lan\n");
    world.write("networkd/3", format!("{VPN}DNS_DEFAULT_ROUTE=yes\n"));
    let all = world.load("version = 1").config;
    world.write("networkd/3", format!("{VPN}ROUTE_DOMAINS=.\n"));
    let config = world.load("version = 1").config;
    assert_eq!(main_pool(&config), ["198.51.100.1", "10.8.0.1"]);
    assert_eq!((config.zones.len(), &config.zones), (2, &all.zones));
    let measured = config.upstreams.iter().filter(|it| it.name == "10.8.0.1");
    assert_eq!(measured.count(), 1, "one upstream, whoever speaks of it");
}

#[test]
fn somebody_is_left_for_all_other_names() {
    let world = World::new();
    world.write("resolv.conf", "nameserver 10.8.0.1\n");
    world.write("networkd/3", VPN);
    assert_eq!(main_pool(&world.load("version = 1").config), ["10.8.0.1"]);
}

#[test]
fn what_others_told_systemd_resolved_is_known_too() {
    let world = World::new();
    world.write(
        "resolved/3",
        "SERVERS=10.8.0.1 10.8.0.1 fe80::1%tun0 [fd00::1]:53%tun0#dns.corp.example\nDOMAINS=~corp.example\nDEFAULT_ROUTE=no\n",
    );
    world.write(
        "resolved/4",
        "SERVERS=10.9.0.1\nDOMAINS=~Corp.Example other.example\n",
    );
    let config = world.load("version = 1").config;
    assert_eq!(
        zones(&config),
        [
            "corp.example. by links tun0, tun1: 10.8.0.1 fe80::1%tun0 fd00::1 10.9.0.1",
            "other.example. by link tun1: 10.9.0.1"
        ]
    );
}

#[test]
fn the_file_comes_first_and_says_whether_links_count() {
    let world = World::new();
    world.write("networkd/3", VPN);
    let file = "version = 1\n[[upstream]]\nname = \"own\"\naddress = \"192.0.2.9\"\n[[upstream]]\nname = \"vpn\"\naddress = \"10.8.0.1\"\n[[zone]]\nname = \"corp.example\"\nupstreams = [\"own\"]\n";
    assert_eq!(
        world.load(file).config.zones.len(),
        1,
        "upstreams are named"
    );
    let loaded = world.load(&format!("{file}[host]\nlink-domains = true\n"));
    assert_eq!(
        zones(&loaded.config),
        [
            "corp.example. by the file: own",
            "lab.example. 10.in-addr.arpa. by link tun0: vpn 10.8.0.2:5353"
        ]
    );
    assert_eq!(main_pool(&loaded.config), ["vpn"], "who is named is asked");
    let off = world.load("version = 1\n[host]\nlink-domains = false\n");
    assert_eq!((zones(&off.config).len(), off.links.0.len()), (0, 0));
    assert_eq!(main_pool(&off.config), ["198.51.100.1", "10.8.0.1"]);
}

#[test]
fn what_is_printed_is_a_configuration_without_links() {
    let world = World::new();
    world.write("networkd/3", VPN);
    let printed = world.load("version = 1").config.to_toml();
    assert!(
        printed.contains("# By link tun0, while it says so: corp.example."),
        "{printed}"
    );
    let again = world.load(&printed).config;
    assert_eq!(again.upstreams.iter().filter(|it| !it.of_link).count(), 1);
}

#[test]
fn what_cannot_be_used_is_left_out_and_counted() {
    let world = World::new();
    let many = |count: usize| {
        let all = (0..count).map(|it| format!("10.7.0.{it}"));
        all.collect::<Vec<_>>().join(" ")
    };
    let long = "a".repeat(64);
    for (text, expected, left_out) in [
        ("DNS=127.0.0.53 10.8.0.1\nDOMAINS=a.example\n", 1, 1),
        ("DNS=127.0.0.1 10.8.0.1\nDOMAINS=a.example\n", 1, 0),
        (
            "DNS=nobody 10.8.0.1:0 0.0.0.0 10.8.0.1\nDOMAINS=a.example\n",
            1,
            3,
        ),
        (
            &format!("DNS=10.8.0.1\nDOMAINS={long} a..b a.example\n"),
            1,
            2,
        ),
        (&format!("DNS={}\nDOMAINS=a.example\n", many(18)), 1, 2),
        ("DNS=10.8.0.1\n", 0, 0),
        ("DOMAINS=a.example\n", 0, 0),
        (
            "OPER_STATE=no-carrier\nDNS=10.8.0.1\nDOMAINS=a.example\n",
            0,
            0,
        ),
        ("", 0, 0),
        ("=\n==\nDNS\n\0\nDOMAINS=\n", 0, 0),
    ] {
        world.write("networkd/3", text);
        let loaded = world.load("version = 1");
        assert_eq!(loaded.config.zones.len(), expected, "{text}");
        assert_eq!(loaded.links.1, left_out, "{text}: {:?}", loaded.remarks);
    }
    // Numbers of links that are gone, what is no link, a file that is none.
    fs::remove_file(world.folder.path().join("networkd/3")).expect("removed");
    world.write("networkd/77", VPN);
    world.write("networkd/.#3x", VPN);
    fs::create_dir(world.folder.path().join("networkd/4")).expect("made");
    let loaded = world.load("version = 1");
    assert_eq!((loaded.config.zones.len(), loaded.links.1), (0, 1));
}

#[test]
fn byway_itself_is_never_asked() {
    let world = World::new();
    world.write(
        "networkd/3",
        "DNS=127.0.0.1:5399 10.8.0.1\nDOMAINS=a.example\n",
    );
    let loaded = world.load("version = 1\n[[listen]]\naddress = \"127.0.0.1:5399\"\n");
    assert_eq!(zones(&loaded.config), ["a.example. by link tun0: 10.8.0.1"]);
    assert_eq!(loaded.links.1, 1);
}

#[test]
fn there_is_an_end_to_domains() {
    let world = World::new();
    let all: Vec<String> = (0..2 * MOST_DOMAINS)
        .map(|it| format!("d{it}.example"))
        .collect();
    world.write(
        "networkd/3",
        format!("DNS=10.8.0.1\nDOMAINS={}\n", all.join(" ")),
    );
    let loaded = world.load("version = 1");
    assert_eq!(loaded.config.zones[0].names.len(), MOST_DOMAINS);
    assert_eq!(loaded.links.1, 1);
}

proptest::proptest! {
    /// Whatever stands there, nothing panics, and there are bounds.
    #[test]
    fn any_octets_are_read(octets in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        let world = World::new();
        world.write("networkd/3", [&b"DNS=10.8.0.1 "[..], &octets, b"\nDOMAINS=a.example ", &octets].concat());
        let config = world.load("version = 1").config;
        proptest::prop_assert!(config.zones.len() <= MOST_DOMAINS);
    }
}
