-- GCRA as gcra.rs has it, by the clock of the server: who asks need not agree on the time.
-- KEYS[1]: where the TAT is, in microseconds since 2026. ARGV: interval, depth, in microseconds.
-- Answers {1, what is left of the depth} or {0, time to wait}, in nanoseconds.
-- Since 2026 and not 1970: a number has 53 bits, and fractions of microseconds count.
local time = redis.call('TIME')
local now = (tonumber(time[1]) - 1767225600) * 1000000 + tonumber(time[2])
local interval, depth = tonumber(ARGV[1]), tonumber(ARGV[2])
-- A key that is absent is one whose TAT is now, wherever the clock stands.
-- No TAT is further ahead than the depth, unless the clock was set back, as that of a server which took
-- over may be, or the limit allowed more when it was written: nobody waits for that to pass.
local stored = tonumber(redis.call('GET', KEYS[1]) or now) or now
local tat = math.min(stored, now + depth)
local new_tat = math.max(tat, now) + interval
local ahead = new_tat - now
-- What is stored is rounded: a thousandth of a microsecond is nobody's.
if ahead > depth + 0.1 then
  if stored > tat then
    redis.call('SET', KEYS[1], string.format('%.3f', tat), 'PX', math.ceil(depth / 1000))
  end
  return {0, math.ceil((ahead - depth) * 1000)}
end
-- When the TAT has passed, the key is as good as absent.
redis.call('SET', KEYS[1], string.format('%.3f', new_tat), 'PX', math.ceil(ahead / 1000))
return {1, math.max(0, math.floor((depth - ahead) * 1000))}
