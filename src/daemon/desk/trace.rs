//! The desk's part in tracing.

use std::time::{Duration, SystemTime};

use tracing::info;

use super::{Counter, No, name, type_of};
use crate::admin::api;
use crate::observe::trace::{LONGEST, Line};
use crate::wire;

impl Counter {
    pub(super) fn begin_trace(
        &self,
        order: &api::TraceOrder,
        by: &str,
    ) -> Result<api::TraceBegun, No> {
        let name = name(&order.name)?;
        let record_type = order.record_type.as_deref().map(type_of).transpose()?;
        let span = Duration::from_secs(order.seconds);
        if span.is_zero() || span > LONGEST {
            let longest = LONGEST.as_secs();
            let why = format!("a trace takes between a second and {longest} of them");
            return Err(No::Wrong(why));
        }
        let begun = self
            .shared
            .tracer
            .start(&name, record_type, span, self.clock.now());
        let id = begun.map_err(|error| No::Failed(error.to_string()))?;
        let what = match record_type {
            Some(record_type) => {
                format!("questions for {} {record_type}", wire::name_to_text(&name))
            }
            None => format!("questions for {} of all types", wire::name_to_text(&name)),
        };
        let seconds = order.seconds;
        info!("{by} traces {what} for {seconds} s");
        let done = format!("tracing {what} for {seconds} s");
        Ok(api::TraceBegun { id, done })
    }

    pub(super) fn lines_of_trace(
        &self,
        order: &api::TraceLinesOrder,
    ) -> Result<api::TraceLines, No> {
        let (now, wall) = (self.clock.now(), SystemTime::now());
        let Some(taken) = self.shared.tracer.take(order.id, now) else {
            let why = format!(
                "there is no trace {}: it is over, or was given up",
                order.id
            );
            return Err(No::Unknown(why));
        };
        let line = |line: Line| api::TraceLine {
            number: line.number,
            time: to_the_millisecond(wall - now.since(line.at)),
            worker: line.worker,
            question: line.question,
            asked: line.asked,
            text: line.text,
        };
        Ok(api::TraceLines {
            lines: taken.lines.into_iter().map(line).collect(),
            left_out: taken.left_out,
            over: taken.over,
        })
    }
}

fn to_the_millisecond(time: SystemTime) -> String {
    match jiff::Timestamp::try_from(time) {
        Ok(time) => format!("{time:.3}"),
        // Beyond the year 9999.
        Err(_) => "never".into(),
    }
}
