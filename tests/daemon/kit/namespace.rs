//! A network of its own: loopback and nothing else, with every port free, and an own resolv.conf.
//!
//! It lives as long as a `cat` that waits for the test on a pipe, so nothing is left behind however the
//! test ends.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{eventually, skip};

pub struct Namespace {
    keeper: Child,
}

impl Namespace {
    /// `None`, with a line why, where that needs privileges or tools which are missing.
    pub fn new() -> Option<Namespace> {
        let keeper = Command::new("unshare")
            .args([
                "--net",
                "sh",
                "-c",
                "ip link set lo up && echo up && exec cat",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut keeper) = keeper else {
            skip("a network namespace needs unshare (util-linux)");
            return None;
        };
        let mut said = [0; 3];
        let mut stdout = keeper.stdout.take()?;
        if std::io::Read::read_exact(&mut stdout, &mut said).is_err() {
            let _ = keeper.wait();
            skip("a network namespace needs root and ip (iproute2)");
            return None;
        }
        Some(Namespace { keeper })
    }

    /// The process that `ip` knows it by.
    pub fn id(&self) -> u32 {
        self.keeper.id()
    }

    /// Runs `inside` on a thread in the namespace: its sockets and child processes belong there.
    pub fn enter<R: Send>(&self, inside: impl FnOnce() -> R + Send) -> R {
        let network = format!("/proc/{}/ns/net", self.keeper.id());
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let network = File::open(network).expect("the namespace");
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(network.as_fd(), kind).expect("entered");
                inside()
            });
            match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        eventually("the namespace's keeper ends", || {
            self.keeper.try_wait().is_ok_and(|status| status.is_some())
        });
    }
}

/// Gives the namespace that the thread is in an address; false if it takes none of that family.
pub fn add_address(address: &str) -> bool {
    let added = Command::new("ip")
        .args(["address", "add", address, "dev", "lo"])
        .stderr(Stdio::null())
        .status();
    added.is_ok_and(|status| status.success())
}

/// Words in front of a command that make it see `resolv_conf` in place of the host's.
pub fn with_resolv_conf(resolv_conf: &Path) -> Vec<String> {
    let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
    let resolv_conf = resolv_conf.display().to_string();
    ["unshare", "--mount", "sh", "-c", script, &resolv_conf]
        .map(String::from)
        .to_vec()
}

/// Words in front of a command that make it see the files in `links` as systemd-networkd's of the host's links.
pub fn with_links(links: &Path) -> Vec<String> {
    let script = "mount -t tmpfs none /run && mkdir -p /run/systemd/netif && ln -s \"$0\" /run/systemd/netif/links && exec \"$@\"";
    let links = links.display().to_string();
    ["unshare", "--mount", "sh", "-c", script, &links]
        .map(String::from)
        .to_vec()
}
