//! Metrics of clients: who they are, what they may, their connections; of certificates, and of the
//! process itself.

use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed};

use super::{
    Sources,
    page::{Page, Written},
    table,
};
use crate::{
    ids::LimitId,
    telemetry::{
        clients::Rejection,
        downstream::{Handshake, ResetBy},
        events,
    },
};

pub(super) fn write(sources: &Sources<'_>, page: &mut Page<'_>) -> Written {
    write_checks(sources, page)?;
    write_limits(sources, page)?;
    write_connections(sources, page)?;
    write_certificates(sources, page)?;
    page.number(&table::LINES_DROPPED, sources.metrics.log_losses.all())?;
    page.number(&table::EVENTS_DROPPED, events::dropped())?;
    page.rows(&table::BUILD, [([env!("CARGO_PKG_VERSION")], 1)])
}

fn write_checks(sources: &Sources<'_>, page: &mut Page<'_>) -> Written {
    let mut counts = BTreeMap::<(&str, &str), u64>::new();
    for (labels, count) in sources.read(|shard| &shard.checks) {
        *counts.entry((sources.scheme(labels.scheme), labels.result.word())).or_default() +=
            count.get();
    }
    let counts = counts.iter().map(|((scheme, result), count)| ([*scheme, *result], *count));
    page.rows_if_any(&table::AUTH, counts)?;
    let schemes = sources.gateway.schemes.iter();
    let fetched = schemes.filter_map(|scheme| Some((scheme, scheme.key_source.as_ref()?)));
    let fetches = fetched.flat_map(|(scheme, source)| {
        let scheme = scheme.config.name.as_str();
        [("ok", &source.fetched), ("failed", &source.failed)]
            .map(|(result, count)| ([scheme, result], count.load(Relaxed)))
    });
    page.rows_if_any(&table::KEY_FETCHES, fetches)
}

fn write_limits(sources: &Sources<'_>, page: &mut Page<'_>) -> Written {
    let limits = &sources.gateway.rate_limits;
    let mut refused: BTreeMap<LimitId, u64> =
        limits.all().iter().map(|limit| (limit.id, 0)).collect();
    for (limit, count) in sources.read(|shard| &shard.rate_limited) {
        *refused.entry(limit).or_default() += count.get();
    }
    let refused = refused.into_iter().map(|(limit, count)| ([sources.limit(limit)], count));
    page.rows_if_any(&table::RATE_LIMITED, refused)?;
    page.rows_if_any(&table::GIVEN_UP, limits.given_up().map(|(limit, count)| ([limit], count)))?;
    if !limits.are_shared() {
        return Ok(());
    }
    page.number(&table::STORE_ERRORS, sources.sum(|shard| &shard.rate_limit_store_errors))
}

fn write_connections(sources: &Sources<'_>, page: &mut Page<'_>) -> Written {
    let clients = &sources.metrics.clients;
    page.number(&table::CONNECTIONS, clients.open() as u64)?;
    let rejected = Rejection::ALL.into_iter().map(|why| ([why.word()], clients.rejected(why)));
    page.rows(&table::REJECTED, rejected)?;
    let handshakes = Handshake::ALL
        .into_iter()
        .map(|how| (how.labels(), sources.sum(|shard| &shard.downstream.handshakes[how as usize])));
    page.rows(&table::HANDSHAKES, handshakes)?;
    let invalid = sources.sum(|shard| &shard.downstream.invalid_server_names);
    page.number(&table::INVALID_NAMES, invalid)?;
    page.number(&table::STREAMS, sources.sum(|shard| &shard.downstream.streams))?;
    let resets = ResetBy::ALL
        .into_iter()
        .map(|by| ([by.word()], sources.sum(|shard| &shard.downstream.resets[by as usize])));
    page.rows(&table::RESETS, resets)?;
    page.number(&table::FLOODS, sources.sum(|shard| &shard.downstream.floods))
}

fn write_certificates(sources: &Sources<'_>, page: &mut Page<'_>) -> Written {
    let ends = sources.tls.not_after();
    let rows = ends.iter().map(|((listener, certificate), end)| {
        // Before 1970 it has ended long ago.
        ([*listener, certificate.as_str()], u64::try_from(*end).unwrap_or_default())
    });
    page.rows(&table::CERTIFICATE_ENDS, rows)?;
    let reloads = &sources.tls.reloads;
    let reloads = [(["ok"], reloads.ok.get()), (["failed"], reloads.failed.get())];
    page.rows(&table::RELOADS, reloads)?;
    let acme = &sources.metrics.acme;
    page.rows(&table::ORDERS, [(["ok"], acme.ok.get()), (["failed"], acme.failed.get())])?;
    page.number(&table::STATE_FAILURES, acme.state_failures.get())
}
