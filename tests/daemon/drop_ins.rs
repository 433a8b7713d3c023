//! The files of `conf.d`, read with the configuration and anew with a reload.

use std::fs;
use std::process::Output;

use crate::kit::daemon::{run, stderr, stdout};
use crate::kit::{A, Build, Daemon, NOERROR, Setup, Stub, Upstream, byway};

fn reload(daemon: &Daemon) -> Output {
    let socket = daemon.folder().join("control.sock");
    run(byway().args(["reload", "--socket"]).arg(socket))
}

#[test]
fn a_file_comes_is_wrong_and_goes_again() {
    let (first, second) = (Upstream::good(), Upstream::good());
    let daemon = Setup::to(&[&first]).start();
    daemon.warm_up();
    let folder = daemon.folder().join("conf.d");
    fs::create_dir(&folder).expect("a folder");
    let file = folder.join("50-second.toml");
    let address = second.address;
    let upstream = format!("[[upstream]]\nname = \"second\"\naddress = \"{address}\"\n");

    fs::write(&file, &upstream).expect("a file");
    let done = reload(&daemon);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let told = stdout(&done);
    assert!(
        told.contains(&format!("upstream second = {address} is new")),
        "{told}"
    );
    assert!(told.contains(&format!("and {}", file.display())), "{told}");

    fs::write(&file, upstream.replace("name", "nam")).expect("a file");
    let refused = reload(&daemon);
    assert_eq!(refused.status.code(), Some(1));
    let told = stderr(&refused);
    assert!(told.contains(&format!("{}:2:1", file.display())), "{told}");
    let query = Build::query("still.example", A);
    assert_eq!(Stub::new(daemon.dns()).ask(&query).rcode(), NOERROR);

    fs::remove_file(&file).expect("it is there");
    let done = reload(&daemon);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let told = stdout(&done);
    assert!(
        told.contains(&format!("upstream second = {address} has gone")),
        "{told}"
    );
}
