-- Changes a request for the backend that this attempt reaches: its key, headers, members of its JSON body, its path. It runs
-- once for each attempt, on the request as the client sent it. CONNECTIONS, written ahead of this script, holds what each
-- connection wants; which one it is stands in a header that an earlier filter of the cluster sets.
local CHOSEN = "x-pointsman-connection"
local QUOTATION, BACKSLASH = 34, 92
local byte, find = string.byte, string.find

-- The quote that ends the string which starts at `at`.
local function closing_quote(text, at)
  local quote = find(text, '"', at + 1, true)
  while quote do
    local slash = quote - 1
    while byte(text, slash) == BACKSLASH do
      slash = slash - 1
    end
    if (quote - slash) % 2 == 1 then
      return quote
    end
    quote = find(text, '"', quote + 1, true)
  end
end

-- The last byte of the value at `at`; nil where it does not end.
local function last_of_value(text, at)
  local first = byte(text, at)
  if first == QUOTATION then
    return closing_quote(text, at)
  elseif first ~= 91 and first ~= 123 then
    local stop = find(text, "[%s,%]}]", at)
    return stop and stop > at and stop - 1 or nil
  end
  local depth, mark = 0, at
  while mark do
    local found = byte(text, mark)
    if found == QUOTATION then
      mark = closing_quote(text, mark)
      if not mark then
        return nil
      end
    else
      depth = depth + ((found == 91 or found == 123) and 1 or -1)
      if depth == 0 then
        return mark
      end
    end
    mark = find(text, '[%[%]{}"]', mark + 1)
  end
end

-- The members of a JSON object as they are written, those with these keys left out; nil for anything else.
local function members(text, left_out)
  local _, at = find(text, "^%s*{%s*")
  if not at then
    return nil
  end
  local kept, following = {}, at + 1
  if find(text, "^}", following) then
    return kept
  end
  while true do
    local quote = byte(text, following) == QUOTATION and closing_quote(text, following)
    local _, colon = find(text, "^%s*:%s*", quote and quote + 1 or #text + 1)
    local last = colon and last_of_value(text, colon + 1)
    if not last then
      return nil
    end
    if not left_out[text:sub(following + 1, quote - 1)] then
      kept[#kept + 1] = text:sub(following, last)
    end
    local _, stop = find(text, "^%s*,%s*", last + 1)
    if not stop then
      return find(text, "^%s*}%s*$", last + 1) and kept or nil
    end
    following = stop + 1
  end
end

-- The body with members set and removed; nil where it is no JSON object, which the backend will say itself.
local function edited(text, wanted)
  local kept = members(text, wanted.left_out)
  if not kept then
    return nil
  end
  for _, member in ipairs(wanted.members) do
    kept[#kept + 1] = member
  end
  return "{" .. table.concat(kept, ",") .. "}"
end

-- The key that the request itself brings for this backend, in a header or in what an earlier filter found out.
local function given_key(handle, source)
  local found
  if source.header then
    found = handle:headers():get(source.header)
  else
    local metadata = handle:streamInfo():dynamicMetadata():get(source.namespace)
    found = metadata and metadata[source.member]
  end
  return type(found) == "string" and #found > 0 and not find(found, "%c") and found or nil
end

local function change_headers(headers, wanted, given)
  if wanted.prefix then
    local rest = headers:get(":path"):match("^/v1(/.*)$")
    if rest then
      headers:replace(":path", wanted.prefix .. rest)
    end
  end
  for _, name in ipairs(wanted.removed) do
    headers:remove(name)
  end
  for _, pair in ipairs(wanted.set) do
    headers:replace(pair[1], pair[2])
  end
  local key = wanted.key and headers:get(wanted.key[1])
  if given then
    headers:replace(wanted.given.target, wanted.given.before .. given)
  elseif key then
    headers:replace(wanted.key[2], key)
  end
  for _, name in ipairs(KEYS) do
    headers:remove(name)
  end
  headers:remove(CHOSEN)
end

function envoy_on_request(handle)
  local wanted = CONNECTIONS[handle:headers():get(CHOSEN)] or NOTHING
  local given = wanted.given and given_key(handle, wanted.given)
  if wanted.given and wanted.given.is_required and not given then
    handle:respond({ [":status"] = "401", ["content-type"] = "application/json" }, NO_KEY)
    return
  end
  change_headers(handle:headers(), wanted, given)
  if #wanted.members == 0 and not next(wanted.left_out) then
    return
  end
  local body = handle:body()
  local size = body and body:length() or 0
  local text = size > 0 and edited(body:getBytes(0, size), wanted)
  if text then
    body:setBytes(text)
  end
end
