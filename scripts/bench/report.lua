-- One line that run.sh can read: requests/s, p50 and p99 in µs, requests, errors.
done = function(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  print(string.format("report %.0f %.0f %.0f %d %d",
    summary.requests / (summary.duration / 1e6),
    latency:percentile(50), latency:percentile(99), summary.requests, failed))
end
