-- Token usage from the end of a stream of events, and whether that was its end. Chunks pass as they come; the last of
-- them are remembered, and once the stream has ended the last "usage" object among them is read. In a JSON string a quote
-- is escaped, so no generated text can pass for it. The first event of a stored response has its id, which is written as
-- soon as it passes. A stream that ends in the middle of an answer gets an error as its last event, since by itself it
-- looks whole. An error here ends the reading, never the answer.
local REMEMBERED = 16384 -- bytes: a usage event has a few hundred, and little comes after it
local NAMESPACE = "llm" -- as other filters write to
-- Completions and chat have the first names, responses and messages the second.
local NAMES = {
  prompt_tokens = { "prompt_tokens", "input_tokens" },
  completion_tokens = { "completion_tokens", "output_tokens" },
  total_tokens = { "total_tokens" },
  cached_tokens = { "cached_tokens", "cache_read_input_tokens" },
  cache_read_tokens = { "cache_read_input_tokens" },
  cache_creation_tokens = { "cache_creation_input_tokens" },
  reasoning_tokens = { "reasoning_tokens" },
}
local BROKEN = '"message":"The model server ended the answer before it was whole."'
local CODE = '"code":"upstream_unavailable"'
-- What the events of an API look like, what the last of a whole answer has, by what a generation shows that it is over
-- although that is missing, and the event that says it is not.
local APIS = {
  { events = '"object"%s*:%s*"[%a_.]*completion', ends = { "\ndata:%s*%[DONE%]" }, over = '"finish_reason"%s*:%s*"',
    broken = '\n\ndata: {"error":{' .. BROKEN .. ',"type":"api_error","param":null,' .. CODE .. '}}\n\n' },
  { events = '"type"%s*:%s*"content_block', ends = { '"type"%s*:%s*"message_stop"', '"type"%s*:%s*"error"' },
    over = '"stop_reason"%s*:%s*"',
    broken = '\n\nevent: error\ndata: {"type":"error","error":{"type":"api_error",' .. BROKEN .. '}}\n\n' },
  { events = '"type"%s*:%s*"response%.', ends = { '"type"%s*:%s*"response%.completed"',
    '"type"%s*:%s*"response%.incomplete"', '"type"%s*:%s*"response%.failed"', '"type"%s*:%s*"error"' },
    broken = '\n\nevent: error\ndata: {"type":"error",' .. CODE .. ',' .. BROKEN .. ',"param":null}\n\n' },
}
local STORED_ID = "id"
local STREAMED = "streamed"
local BEGINNING = 1024 -- bytes in which the first event has its id
local DIGITS = 15 -- a longer number is no count, and not exact either

local function count(usage, names)
  for _, name in ipairs(names) do
    local digits = usage:match('"' .. name .. '"%s*:%s*(%d+)%s*[,}]')
    if digits and #digits <= DIGITS then
      return tonumber(digits)
    end
  end
end

local function last_usage(text)
  local at, from = nil, 1
  while from do
    local start, stop = text:find('"usage"%s*:%s*{', from)
    at, from = start and stop or at, stop
  end
  return at and text:match("^%b{}", at)
end

-- The API of a stream that ends without its last event; nil for a whole one, or where the API is not known.
local function lacks_end(text)
  for _, api in ipairs(APIS) do
    if text:find(api.events) then
      for _, ending in ipairs(api.ends) do
        if text:find(ending) then
          return nil
        end
      end
      return api
    end
  end
end

-- An error as the last event of an answer that broke off, where another byte does no harm.
local function end_with_error(handle, last_chunk, text)
  local api = not handle:headers():get("content-length") and lacks_end(text)
  if api and not (api.over and text:find(api.over)) then
    last_chunk:setBytes(api.broken)
  end
end

-- Writes the id of a response that the server may keep; whether there is one at the beginning of its stream.
local function note_stored_id(handle, beginning)
  local id = beginning:find('"type"%s*:%s*"response%.') and beginning:match('"id"%s*:%s*"(resp[^"\\]*)"')
  if id then
    handle:streamInfo():dynamicMetadata():set(NAMESPACE, STORED_ID, id)
  end
  return id ~= nil and id ~= false
end

local function last_bytes(handle)
  local chunks, first, last, size = {}, 1, 0, 0
  local beginning = "" -- until it was read
  for chunk in handle:bodyChunks() do
    local length = chunk:length()
    local taken = math.min(length, REMEMBERED)
    last, size = last + 1, size + taken
    chunks[last] = chunk:getBytes(length - taken, taken)
    if beginning then
      beginning = beginning .. chunks[last]
      beginning = not note_stored_id(handle, beginning) and #beginning < BEGINNING and beginning or nil
    end
    while size - #chunks[first] >= REMEMBERED do
      size = size - #chunks[first]
      chunks[first], first = nil, first + 1
    end
    if length == 0 then -- Envoy passes no other empty chunk than the last one
      end_with_error(handle, chunk, table.concat(chunks, "", first, last))
    end
  end
  return table.concat(chunks, "", first, last)
end

function envoy_on_response(handle)
  local content_type = handle:headers():get("content-type") or ""
  if not content_type:lower():match("^%s*text/event%-stream") then
    return
  end
  handle:streamInfo():dynamicMetadata():set(NAMESPACE, STREAMED, 1) -- also for a client that leaves before its end
  local text = last_bytes(handle)
  local metadata = handle:streamInfo():dynamicMetadata() -- anew: what was got before the first chunk is void
  if lacks_end(text) then
    metadata:set(NAMESPACE, "lacks_end", 1)
  end
  local usage = last_usage(text)
  if not usage then
    return
  end
  for key, names in pairs(NAMES) do
    local found = count(usage, names)
    if found then
      metadata:set(NAMESPACE, key, found)
    end
  end
end
