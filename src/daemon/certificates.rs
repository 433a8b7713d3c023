//! Certificates and keys that clients are shown: read at the start, at a reload, and whenever a file of them changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tracing::{info, warn};

use super::hosts::{Seen, seen};
use crate::config::CertificateConfig;
use crate::observe::metrics::Metrics;
use crate::tls::{Ready, Server, Shown, TlsError};

/// A certificate that ends sooner is worth a word whenever it is read: whoever renews it had the time.
const SOON: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3600);

/// Who shows certificates, where somebody does.
#[derive(Clone)]
pub(super) struct Shop {
    tls: Option<Arc<Server>>,
    metrics: Arc<Metrics>,
}

impl Shop {
    pub(super) fn new(tls: Option<Arc<Server>>, metrics: &Arc<Metrics>) -> Shop {
        let shop = Shop {
            tls,
            metrics: Arc::clone(metrics),
        };
        if let Some(tls) = &shop.tls {
            shop.look_at(&tls.shown(), true);
        }
        shop
    }

    /// Reads these anew.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub(super) fn read(&self, of: &[CertificateConfig]) -> Result<Option<Ready>, TlsError> {
        self.tls.as_ref().map(|tls| tls.read(of)).transpose()
    }

    /// Shows what was read, and tells of what is odd about it unless that has been told.
    pub(super) fn show(&self, ready: Option<Ready>, tell: bool) {
        if let (Some(tls), Some(ready)) = (&self.tls, ready) {
            tls.show(ready);
            self.look_at(&tls.shown(), tell);
        }
    }

    /// Notes when the first of them ends, and tells of what holds no more, or soon will not.
    fn look_at(&self, shown: &[Shown], tell: bool) {
        let now = SystemTime::now();
        let ends = shown.iter().filter_map(|it| Some(it.holds?.1));
        if let Some(first) = ends.min() {
            self.metrics.certificate_ends(first);
        }
        for it in shown.iter().filter(|_| tell) {
            let Some((from, until)) = it.holds else {
                continue;
            };
            let path = it.path.display();
            if now >= until {
                let ago = days(now.duration_since(until));
                warn!(
                    "certificate {path} ended {ago} days ago: clients will not take it; renew it"
                );
            } else if now < from {
                let ahead = days(from.duration_since(now));
                warn!(
                    "certificate {path} holds only in {ahead} days; is the clock of this host right?"
                );
            } else if now + SOON >= until {
                let left = days(until.duration_since(now));
                warn!("certificate {path} ends in {left} days; renew it");
            }
        }
    }
}

fn days<E>(time: Result<std::time::Duration, E>) -> u64 {
    time.map_or(0, |time| time.as_secs() / (24 * 3600))
}

/// Who notices when their files change.
pub(super) struct Reader {
    shop: Shop,
    /// What was looked at last, and what the files were then.
    of: Vec<CertificateConfig>,
    seen: Vec<Option<Seen>>,
    complaint: Option<String>,
}

impl Reader {
    /// Whatever is shown already is read once more with the first look: it may have changed since.
    pub(super) fn new(shop: Shop) -> Reader {
        Reader {
            shop,
            of: Vec::new(),
            seen: Vec::new(),
            complaint: None,
        }
    }

    /// Shows what the files hold now. What they held before stays in use while they cannot be used: one of a pair may have
    /// been written, the other not yet.
    pub(super) fn follow(&mut self, of: &[CertificateConfig]) {
        // Before they are read: what changes meanwhile is told, and found to be other than this.
        let now = all(of);
        // A start or a reload has read them, and something may have changed since.
        let is_new = self.of != of;
        if is_new {
            (self.of, self.complaint) = (of.to_vec(), None);
        } else if now == self.seen && self.complaint.is_none() {
            return;
        }
        match self.shop.read(of) {
            Ok(ready) => {
                self.shop.show(ready, !is_new);
                if !is_new {
                    let names: Vec<String> = files(of).map(|it| it.display().to_string()).collect();
                    info!("certificates and keys were read anew: {}", names.join(", "));
                }
                (self.seen, self.complaint) = (now, None);
            }
            Err(error) => {
                let complaint = error.to_string();
                if self.complaint.as_ref() != Some(&complaint) {
                    warn!("{complaint}; clients are shown what was there before");
                }
                self.complaint = Some(complaint);
            }
        }
    }
}

/// Their files.
pub(super) fn files(of: &[CertificateConfig]) -> impl Iterator<Item = &PathBuf> {
    of.iter().flat_map(|it| [&it.chain, &it.key])
}

fn all(of: &[CertificateConfig]) -> Vec<Option<Seen>> {
    let metadata = |it: &Path| std::fs::metadata(it).ok().as_ref().map(seen);
    files(of).map(|it| metadata(it)).collect()
}
