//! Certificates of listeners as numbers: how long they are good for, and what came of changed files.

use prometheus_client::{
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};

use super::publish::{Written, family};
use crate::tls::Tls;

pub(super) fn write(tls: &Tls, encoder: &mut DescriptorEncoder<'_>) -> Written {
    let mut ends = family(
        encoder,
        "proxy_tls_cert_not_after_seconds",
        "When a certificate ends, in seconds since 1970; 0 while a placeholder serves",
        MetricType::Gauge,
    )?;
    for ((listener, certificate), end) in tls.not_after() {
        let labels = [("listener", listener), ("certificate", certificate.as_str())];
        ends.encode_family(&labels)?.encode_gauge(&end)?;
    }
    let help = "Changed files of TLS that were loaded, or could not be used";
    let mut reloads = family(encoder, "proxy_tls_reloads", help, MetricType::Counter)?;
    for (result, count) in [("ok", &tls.reloads.ok), ("failed", &tls.reloads.failed)] {
        reloads
            .encode_family(&[("result", result)])?
            .encode_counter::<NoLabelSet, _, u64>(&count.get(), None)?;
    }
    Ok(())
}
