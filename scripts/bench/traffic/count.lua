-- The load of load.py: what WORK_METHOD and WORK_BODY say; and one line at the end that it can
-- read: answers by status, failures by kind, requests/s, p50 and p99 in µs.
wrk.method = os.getenv("WORK_METHOD") or "GET"
wrk.body = os.getenv("WORK_BODY")
if wrk.body then
  wrk.headers["Content-Type"] = "application/json"
end

local threads = {}
setup = function(thread)
  table.insert(threads, thread)
end

-- A global of each thread's own: `done` reads it from there.
statuses = {}
response = function(status)
  statuses[status] = (statuses[status] or 0) + 1
end

done = function(summary, latency, requests)
  local sums, parts = {}, {}
  for _, thread in ipairs(threads) do
    for status, count in pairs(thread:get("statuses")) do
      sums[status] = (sums[status] or 0) + count
    end
  end
  for status, count in pairs(sums) do
    table.insert(parts, string.format('"%d":%d', status, count))
  end
  local errors = summary.errors
  print(
    string.format('report {"statuses":{%s},', table.concat(parts, ",")) ..
    string.format('"connect":%d,"read":%d,', errors.connect, errors.read) ..
    string.format('"write":%d,"timeout":%d,', errors.write, errors.timeout) ..
    string.format('"rate":%.0f,', summary.requests / (summary.duration / 1e6)) ..
    string.format('"p50_us":%.0f,"p99_us":%.0f}', latency:percentile(50), latency:percentile(99)))
end
