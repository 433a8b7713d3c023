use super::*;

const ONSET: Time = Time::from_secs(100);
const LATER: Time = Time::from_secs(101);

/// A grid from rows of upstreams: `x` bad, `+` good since, `.` not measured since, ` ` no such route.
fn grid(rows: &[&str]) -> Vec<Seen> {
    let mut seen = Vec::new();
    for (upstream, row) in (0u16..).zip(rows) {
        for (path, cell) in (0u16..).zip(row.chars()) {
            seen.push(Seen {
                upstream: UpstreamId(upstream),
                path: PathId(path),
                bad_since: if cell == 'x' { ONSET } else { Time::NEVER },
                held_up: None,
                bad: if cell == 'x' { 3 } else { 0 },
                good: if cell == '+' { LATER } else { Time::default() },
                usable: cell != ' ',
            });
        }
    }
    seen
}

fn first(rows: &[&str]) -> Culprit {
    culprit(&grid(rows), RouteId(0), |id| f32::from(id.0))
}

#[test]
fn two_servers_bad_over_one_path_blame_the_path() {
    assert_eq!(first(&["x.", "x+"]), Culprit::Path);
    assert_eq!(first(&["x.", "x."]), Culprit::Path);
    assert_eq!(first(&["x+", "x+", ".+"]), Culprit::Path);
}

#[test]
fn a_server_that_is_well_elsewhere_blames_the_path() {
    assert_eq!(first(&["x+", ".+"]), Culprit::Path);
    assert_eq!(first(&["x+"]), Culprit::Path);
}

#[test]
fn a_server_bad_over_paths_that_are_good_for_others_is_sick() {
    assert_eq!(first(&["xx", ".+"]), Culprit::Upstream);
    assert_eq!(first(&["xx", "+."]), Culprit::Upstream);
    assert_eq!(first(&["xx", "++"]), Culprit::Upstream);
    assert_eq!(first(&["xxx", ".++"]), Culprit::Upstream);
    assert_eq!(first(&["xx.", ".++"]), Culprit::Unknown(Some(RouteId(2))));
}

#[test]
fn one_path_only() {
    assert_eq!(first(&["x", "+"]), Culprit::Upstream);
    assert_eq!(first(&["x", "x"]), Culprit::Path);
    assert_eq!(first(&["x", "."]), Culprit::Unknown(Some(RouteId(1))));
}

#[test]
fn one_server_bad_over_every_path_is_the_fewest_culprits() {
    assert_eq!(first(&["xx"]), Culprit::Upstream);
    assert_eq!(first(&["xxx"]), Culprit::Upstream);
}

#[test]
fn both_good_elsewhere_leaves_the_route() {
    assert_eq!(first(&["x+", "+."]), Culprit::Route);
}

#[test]
fn nothing_known_asks_the_same_server_over_another_path() {
    assert_eq!(first(&["x.", ".+"]), Culprit::Unknown(Some(RouteId(1))));
    assert_eq!(first(&["x"]), Culprit::Unknown(None));
    // The other path shows the same, but nothing says that the path itself is innocent.
    assert_eq!(first(&["xx", ".."]), Culprit::Unknown(None));
}

#[test]
fn everything_bad_blames_the_paths() {
    let all = grid(&["xx", "xx"]);
    for route in 0..4 {
        assert_eq!(culprit(&all, RouteId(route), |_| 0.0), Culprit::Path);
    }
}

#[test]
fn a_route_taken_out_of_use_is_no_witness() {
    assert_eq!(first(&["x ", ".+"]), Culprit::Unknown(Some(RouteId(2))));
}
