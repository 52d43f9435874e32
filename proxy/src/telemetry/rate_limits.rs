//! Metrics of rate limits: what they have refused, what they had to forget, and whether the store of
//! those that are shared answers.

use std::collections::BTreeMap;

use prometheus_client::{
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};

use super::{
    publish::{Sources, Written, family},
    traffic::rows,
};
use crate::ids::LimitId;

pub(super) fn write(sources: &Sources<'_>, encoder: &mut DescriptorEncoder<'_>) -> Written {
    let limits = &sources.gateway.rate_limits;
    let mut refused: BTreeMap<LimitId, u64> =
        limits.all().iter().map(|limit| (limit.id, 0)).collect();
    for (limit, count) in sources.read(|shard| &shard.rate_limited) {
        *refused.entry(limit).or_default() += count.get();
    }
    rows(
        encoder,
        "proxy_rate_limited",
        "Requests that a rate limit has refused",
        MetricType::Counter,
        refused.into_iter().map(|(limit, count)| (vec![("limit", sources.limit(limit))], count)),
    )?;
    rows(
        encoder,
        "proxy_rate_limit_keys_given_up",
        "Keys whose requests were forgotten while they counted, as there were too many keys",
        MetricType::Counter,
        limits.given_up().map(|(limit, count)| (vec![("limit", limit)], count)),
    )?;
    if !limits.are_shared() {
        return Ok(());
    }
    let errors: u64 =
        sources.shards().iter().map(|shard| shard.rate_limit_store_errors.get()).sum();
    let help = "Requests that the store of shared rate limits has not decided on";
    family(encoder, "proxy_rate_limit_store_errors", help, MetricType::Counter)?
        .encode_counter::<NoLabelSet, _, u64>(&errors, None)
}
