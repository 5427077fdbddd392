-- wrk: one tools/call after another on each connection, every one with an id of its own.
-- A call counts when the answer is a result and carries the id of a call that is still open.
-- BENCH_MODERN=1 gives it the envelope of 2026-07-28.
-- BENCH_CONSTANT=1 is for the bare app, whose answer never changes: the same work, without the verdict.

local constant = os.getenv("BENCH_CONSTANT") == "1"
local threads = 0
local all = {}
local open = {}
local id, head, tail
right, wrong = 0, 0

function setup(thread)
  threads = threads + 1
  thread:set("index", threads)
  table.insert(all, thread)
end

function init()
  -- ids have nine digits, so the length of the body never changes and the request is two strings and a number
  id = 100000000 + index * 10000000
  local meta = ''
  if os.getenv("BENCH_MODERN") == "1" then
    meta = ',"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},' ..
      '"io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"}}'
  end
  local body = '{"jsonrpc":"2.0","id":123456789,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello"}' .. meta .. '}}'
  local whole = wrk.format("POST", nil, nil, body)
  local from, to = whole:find("123456789", 1, true)
  head, tail = whole:sub(1, from - 1), whole:sub(to + 1)
end

function request()
  id = id + 1
  open[id] = true
  return head .. id .. tail
end

function response(status, headers, body)
  local answered = tonumber(body:match('"id":%s*(%d+)'))
  local known = answered and open[answered] and body:find('"content"', 1, true)
  if status == 200 and (known or constant) then
    if known then open[answered] = nil end
    right = right + 1
  else
    wrong = wrong + 1
  end
end

function done(summary, latency)
  local rights, wrongs = 0, 0
  for _, thread in ipairs(all) do
    rights, wrongs = rights + thread:get("right"), wrongs + thread:get("wrong")
  end
  local lost = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format('\n{"right":%d,"wrong":%d,"seconds":%.6f,"median":%.9f}\n',
    rights, wrongs + lost, summary.duration / 1e6, latency:percentile(50) / 1e6))
end
