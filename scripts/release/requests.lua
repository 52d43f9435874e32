-- The HTTP/1 load of train.sh: WORK says what is asked for. Clients differ in what they send, and some
-- of them are refused or lost, as it is outside.
local token = { ["Authorization"] = "Bearer secret-token" }
local key = { ["X-API-Key"] = "test" }
local clients = {
  { ["User-Agent"] = "curl/8.5.0", ["Accept"] = "*/*" },
  { ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    ["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ["Accept-Language"] = "en-GB,en;q=0.5", ["Accept-Encoding"] = "gzip, deflate, br, zstd",
    ["Referer"] = "http://localhost/", ["Cookie"] = "session=4f1d8a7c2b; theme=dark; seen=1732480000",
    ["Sec-Fetch-Dest"] = "document", ["Sec-Fetch-Mode"] = "navigate", ["Sec-Fetch-Site"] = "same-origin" },
  { ["User-Agent"] = "Go-http-client/1.1", ["Accept-Encoding"] = "gzip", ["X-Request-Id"] = "0a1b2c3d-train",
    ["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" },
  {},
}
local works = {
  small = { { "GET", "/items/books", token }, { "GET", "/items/books?page=1", token },
    { "GET", "/api/books", key }, { "GET", "/items/books", token }, { "GET", "/items/books", {} }, { "GET", "/items/none", token } },
  -- Refused by the mock backend, whose lists would grow.
  post = { { "POST", "/items/books", token, '{"name": "' .. string.rep("x", 4096) .. '"}' }, { "POST", "/api/books", key, "{}" } },
  medium = { { "GET", "/serverB/books", {} } },
  large = { { "GET", "/serverC/books", {} } },
}

local list = works[os.getenv("WORK")]
local closing = os.getenv("CLOSING") ~= ""
local prepared = {}

function init()
  for _, client in ipairs(clients) do
    for _, asked in ipairs(list) do
      local fields = { ["Host"] = "localhost" }
      for _, some in ipairs({ client, asked[3] }) do
        for name, value in pairs(some) do fields[name] = value end
      end
      if asked[4] then fields["Content-Type"] = "application/json" end
      if closing then fields["Connection"] = "close" end
      table.insert(prepared, wrk.format(asked[1], asked[2], fields, asked[4]))
    end
  end
end

local turn = 0
function request()
  turn = turn % #prepared + 1
  return prepared[turn]
end

-- Requests, and those that got no answer at all.
function done(summary)
  local errors = summary.errors
  print(string.format("answered %d %d", summary.requests, errors.connect + errors.read + errors.write + errors.timeout))
end
