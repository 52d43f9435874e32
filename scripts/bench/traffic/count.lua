-- The load of load.py: what WORK_METHOD and WORK_BODY say; and one line at the end that it can
-- read: answers by status, failures by kind, requests/s, p50 and p99 in µs.
--
-- The percentiles are those of the answers. wrk itself prints others: for each slow answer it adds
-- the ones that a client at a steady rate would have had meanwhile (stats_correct in stats.c), which
-- weighs answers by their time. `as_wrk_p99_us` is that p99.
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

-- Takes wrk's additions out again. None went to a value above the one that caused it, so that from
-- the highest value down each count is free of them when it is reached. Counts by value in µs.
local function as_recorded(latency, expected)
  local counts, values = {}, {}
  for place = 1, #latency do
    local value, count = latency(place)
    counts[value], values[place] = count, value
  end
  for place = #values, 1, -1 do
    local count, added = counts[values[place]], values[place] - expected
    while values[place] >= 2 * expected and count > 0 and added > expected do
      counts[added] = counts[added] - count
      added = added - expected
    end
  end
  return counts, values
end

local function percentile(counts, values, total, percent)
  local seen = 0
  for _, value in ipairs(values) do
    seen = seen + counts[value]
    if seen >= total * percent / 100 then
      return value
    end
  end
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
  local errors, each = summary.errors, math.floor(summary.requests / os.getenv("WORK_CONNECTIONS"))
  local counts, values = as_recorded(latency, math.floor(summary.duration / each))
  local recorded = 0
  for _, value in ipairs(values) do
    recorded = recorded + counts[value]
  end
  print(
    string.format('report {"statuses":{%s},', table.concat(parts, ",")) ..
    string.format('"connect":%d,"read":%d,', errors.connect, errors.read) ..
    string.format('"write":%d,"timeout":%d,', errors.write, errors.timeout) ..
    string.format('"rate":%.0f,', summary.requests / (summary.duration / 1e6)) ..
    string.format('"requests":%d,"recorded":%d,', summary.requests, recorded) ..
    string.format('"p50_us":%.0f,', percentile(counts, values, recorded, 50)) ..
    string.format('"p99_us":%.0f,', percentile(counts, values, recorded, 99)) ..
    string.format('"as_wrk_p99_us":%.0f}', latency:percentile(99)))
end
