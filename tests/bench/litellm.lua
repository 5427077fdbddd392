-- wrk: what LiteLLM does for each tool call: initialize, notifications/initialized, tools/call, DELETE.
-- A thread's script does not see which connection it writes for, so it needs as many threads as connections.
-- A call counts when all four answers were right.

local threads = 0
local all = {}
local step, session, id = 1, nil, 0
right, wrong = 0, 0

local initialize = '{"jsonrpc":"2.0","id":%d,"method":"initialize","params":{"protocolVersion":"2025-06-18",'
  .. '"capabilities":{},"clientInfo":{"name":"mcp","version":"0.1.0"}}}'
local initialized = '{"jsonrpc":"2.0","method":"notifications/initialized"}'
local call = '{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello"}}}'

function setup(thread)
  threads = threads + 1
  thread:set("index", threads)
  table.insert(all, thread)
end

function init()
  id = index * 10000000
end

-- wrk calls this once more than it sends: only an answer may move on to the next step
function request()
  wrk.headers["Mcp-Session-Id"] = session
  wrk.headers["MCP-Protocol-Version"] = session and "2025-06-18" or nil
  if step == 1 then return wrk.format("POST", nil, nil, initialize:format(id)) end
  if step == 2 then return wrk.format("POST", nil, nil, initialized) end
  if step == 3 then return wrk.format("POST", nil, nil, call:format(id + 1)) end
  return wrk.format("DELETE", nil, nil, nil)
end

local function session_of(headers)
  for name, value in pairs(headers) do
    if name:lower() == "mcp-session-id" then return value end
  end
end

local function is_answer(body, expected, member)
  return tonumber(body:match('"id":%s*(%d+)')) == expected and body:find(member, 1, true)
end

function response(status, headers, body)
  local good
  if step == 1 then
    session = session_of(headers)
    good = status == 200 and session and is_answer(body, id, '"protocolVersion"')
  elseif step == 2 then
    good = status == 202
  elseif step == 3 then
    good = status == 200 and is_answer(body, id + 1, '"content"')
  else
    good = status < 300
  end
  if not good then wrong = wrong + 1 end
  if good and step == 4 then right = right + 1 end
  if good and step < 4 then
    step = step + 1
  else
    step, session, id = 1, nil, id + 2
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
