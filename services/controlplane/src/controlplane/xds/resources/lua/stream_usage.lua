-- Token usage from the end of a stream of events, and whether that was its end. Chunks pass as they come; the last of
-- them are remembered, and once the stream has ended the last "usage" object among them is read. In a JSON string a quote
-- is escaped, so no generated text can pass for it. The first event of a stored response has its id, which is written as
-- soon as it passes. An error here ends the reading, never the answer.
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
-- What the events of an API look like, and what the last of a whole answer has.
local ENDS = {
  { '"object"%s*:%s*"[%a_.]*completion', { "\ndata:%s*%[DONE%]" } },
  { '"type"%s*:%s*"content_block', { '"type"%s*:%s*"message_stop"', '"type"%s*:%s*"error"' } },
  { '"type"%s*:%s*"response%.', { '"type"%s*:%s*"response%.completed"', '"type"%s*:%s*"response%.incomplete"',
    '"type"%s*:%s*"response%.failed"', '"type"%s*:%s*"error"' } },
}
local STORED_ID = "id"
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

local function lacks_end(text)
  for _, api in ipairs(ENDS) do
    if text:find(api[1]) then
      for _, ending in ipairs(api[2]) do
        if text:find(ending) then
          return false
        end
      end
      return true
    end
  end
  return false -- of an API that is not known
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
  end
  return table.concat(chunks, "", first, last)
end

function envoy_on_response(handle)
  local content_type = handle:headers():get("content-type") or ""
  if not content_type:lower():match("^%s*text/event%-stream") then
    return
  end
  local text = last_bytes(handle)
  local metadata = handle:streamInfo():dynamicMetadata()
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
