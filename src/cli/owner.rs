//! Who writes a host's resolv.conf.

use std::path::Path;

/// A program that writes it, as far as the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Resolved,
    NetworkManager,
    Resolvconf,
    Netconfig,
    Connman,
    Dhcp,
    Container,
    Wsl,
    Tailscale,
}

/// Each, what a link of theirs has in it, and what their files say of themselves.
const ALL: &[(Owner, &str, &[&str])] = &[
    (Owner::Resolved, "systemd/resolve", &["systemd-resolved"]),
    (Owner::NetworkManager, "NetworkManager", &["NetworkManager"]),
    (Owner::Resolvconf, "resolvconf", &["resolvconf"]),
    (Owner::Netconfig, "netconfig", &["netconfig"]),
    (Owner::Connman, "connman", &["Connection Manager"]),
    (Owner::Container, "", &["Docker Engine", "Podman", "podman"]),
    (Owner::Dhcp, "dhcp", &["dhclient", "dhcpcd", "udhcpc"]),
    (Owner::Wsl, "/mnt/wsl", &["by WSL"]),
    (Owner::Tailscale, "", &["tailscale"]),
];

impl Owner {
    /// Told by where the file leads, if it is a link, and by the comments at its start.
    pub(super) fn of(text: &str, link: Option<&Path>) -> Option<Owner> {
        let link = link.map(|it| it.display().to_string()).unwrap_or_default();
        let comments = || {
            text.lines()
                .take(10)
                .filter(|it| it.starts_with(['#', ';']))
        };
        let found = ALL.iter().find(|(_, part, marks)| {
            let says = |mark: &&str| comments().any(|line| line.contains(mark));
            !part.is_empty() && link.contains(part) || marks.iter().any(says)
        });
        found.map(|(owner, ..)| *owner)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Owner::Resolved => "systemd-resolved",
            Owner::NetworkManager => "NetworkManager",
            Owner::Resolvconf => "resolvconf",
            Owner::Netconfig => "netconfig",
            Owner::Connman => "ConnMan",
            Owner::Dhcp => "the DHCP client",
            Owner::Container => "the container engine",
            Owner::Wsl => "WSL",
            Owner::Tailscale => "Tailscale",
        }
    }

    /// How it is told to name byway, which answers at `address`, or to leave the file alone.
    pub(super) fn instead(self, address: &str) -> String {
        match self {
            Owner::Resolved => format!(
                "write `[Resolve]`, `DNS={address}` and `Domains=~.` to /etc/systemd/resolved.conf.d/byway.conf and restart \
                 systemd-resolved"
            ),
            Owner::NetworkManager => "write `[main]` and `rc-manager=unmanaged` to /etc/NetworkManager/conf.d/byway.conf, \
                 `systemctl reload NetworkManager`, take its line out of the file, then do this again"
                .to_owned(),
            Owner::Resolvconf => format!(
                "openresolv: write `name_servers={address}` to /etc/resolvconf.conf; Debian's resolvconf: write `nameserver {address}` \
                 to /etc/resolvconf/resolv.conf.d/head; then `resolvconf -u`"
            ),
            Owner::Netconfig => format!(
                "set `NETCONFIG_DNS_POLICY=\"STATIC\"` and `NETCONFIG_DNS_STATIC_SERVERS=\"{address}\"` in \
                 /etc/sysconfig/network/config, then `netconfig update -f`"
            ),
            Owner::Connman => {
                "start connmand with `--nodnsproxy` and have it leave the file alone, then do this again".to_owned()
            }
            Owner::Dhcp => format!(
                "dhclient: write `supersede domain-name-servers {address};` to its dhclient.conf; dhcpcd: write \
                 `nohook resolv.conf` to /etc/dhcpcd.conf, then do this again"
            ),
            Owner::Container => format!(
                "start the container with `--dns {address}`, or set `dnsConfig` and `dnsPolicy: None` in the pod"
            ),
            Owner::Wsl => {
                "write `[network]` and `generateResolvConf = false` to /etc/wsl.conf, restart WSL, then do this again".to_owned()
            }
            Owner::Tailscale => {
                "`tailscale set --accept-dns=false`, then do this again".to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_by_its_link_or_its_words() {
        let link = |text: &str| Owner::of("nameserver 192.0.2.1\n", Some(Path::new(text)));
        assert_eq!(
            link("../run/systemd/resolve/stub-resolv.conf"),
            Some(Owner::Resolved)
        );
        assert_eq!(
            link("/run/NetworkManager/resolv.conf"),
            Some(Owner::NetworkManager)
        );
        assert_eq!(
            link("/etc/resolvconf/run/resolv.conf"),
            Some(Owner::Resolvconf)
        );
        assert_eq!(link("/srv/x"), None);
        for (text, owner) in [
            (
                "# This is /run/systemd/resolve/stub-resolv.conf managed by man:systemd-resolved(8).",
                Owner::Resolved,
            ),
            ("# Generated by NetworkManager", Owner::NetworkManager),
            (
                "# Dynamic resolv.conf(5) file for glibc resolver(3) generated by resolvconf(8)",
                Owner::Resolvconf,
            ),
            ("# Generated by Docker Engine.", Owner::Container),
            ("# Generated by dhcpcd from eth0.dhcp", Owner::Dhcp),
            ("; generated by /usr/sbin/dhclient-script", Owner::Dhcp),
            ("# Generated by Connection Manager", Owner::Connman),
            (
                "# This file was automatically generated by WSL.",
                Owner::Wsl,
            ),
            (
                "# resolv.conf(5) file generated by tailscale",
                Owner::Tailscale,
            ),
            (
                "### call \"netconfig update -f\" to force adjusting",
                Owner::Netconfig,
            ),
        ] {
            assert_eq!(
                Owner::of(&format!("\n{text}\nnameserver 192.0.2.1\n"), None),
                Some(owner)
            );
        }
        // What a comment says far below, or a name, is nobody's mark.
        let text = "search resolvconf.example\nnameserver 192.0.2.1\n";
        assert_eq!(Owner::of(text, None), None);
    }

    #[test]
    fn each_says_what_to_do_instead() {
        for (owner, ..) in ALL {
            assert!(owner.instead("127.0.0.1").len() > 20, "{}", owner.name());
        }
    }
}
