//! Metrics of rate limits: what they have refused, what they had to forget, and whether the store of
//! those that are shared answers.

use std::{collections::BTreeMap, sync::Arc};

use prometheus_client::{
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};

use super::{
    metrics::{Metrics, SharedShard},
    publish::{Written, family},
    series::read,
    traffic::rows,
};

pub(super) fn write(
    metrics: &Metrics,
    shards: &[Arc<SharedShard>],
    encoder: &mut DescriptorEncoder<'_>,
) -> Written {
    let limits = &metrics.gateway.rate_limits;
    let mut refused: BTreeMap<u32, u64> =
        (0..).zip(limits.all()).map(|(limit, _)| (limit, 0)).collect();
    for (limit, count) in shards.iter().flat_map(|shard| read(&shard.rate_limited)) {
        *refused.entry(limit).or_default() += count.get();
    }
    let name = |limit: u32| limits.limit(limit as usize).name.as_str();
    rows(
        encoder,
        "proxy_rate_limited",
        "Requests that a rate limit has refused",
        MetricType::Counter,
        refused.into_iter().map(|(limit, count)| (vec![("limit", name(limit))], count)),
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
    let errors: u64 = shards.iter().map(|shard| shard.rate_limit_store_errors.get()).sum();
    let help = "Requests that the store of shared rate limits has not decided on";
    family(encoder, "proxy_rate_limit_store_errors", help, MetricType::Counter)?
        .encode_counter::<NoLabelSet, _, u64>(&errors, None)
}
