-- The load of run.sh: GET, or POST of 4 KiB; and one line at the end that run.sh can read:
-- requests/s, p50 and p99 in µs, requests, errors.
if os.getenv("WORK") == "post-4KiB" then
  wrk.method = "POST"
  wrk.body = string.rep("x", 4096)
  wrk.headers["Content-Type"] = "application/octet-stream"
end

done = function(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  print(string.format("report %.0f %.0f %.0f %d %d",
    summary.requests / (summary.duration / 1e6),
    latency:percentile(50), latency:percentile(99), summary.requests, failed))
end
