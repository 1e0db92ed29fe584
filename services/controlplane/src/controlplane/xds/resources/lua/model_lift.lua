-- The model of a JSON body becomes a header, without parsing the rest: only quotes, brackets and braces are looked at,
-- and what lies between two of them is skipped as fast as memory is read. A list of ten million token ids is one step.
-- What is not plainly a name gives no header, and whoever parses the body says what is wrong with it. Of several models
-- it is the last, as for a parser.
local HEADER = "x-gateway-model-name"
local OTHER_NAME = "x-gateway-inference-model"
local LONGEST_NAME = 12288 -- bytes between the quotes: 1024 characters, each escaped twice
local LONGEST_KEY = 30 -- "model" with each letter escaped
local MOST_FIELDS = 1000 -- parts of a form that are looked at
local MOST_STRUCTURE = 200000 -- objects, lists and strings; a picker refuses a body with more
local LARGE = 1048576 -- bytes of a body whose copy is given back at once
local MARKS = { '"', "[", "]", "{", "}" }
local LIST, LIST_END, OBJECT, OBJECT_END = 91, 93, 123, 125
local NEAR = 16 -- bytes that are looked at one by one
local MEANS = { ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }
local BACKSLASH, QUOTATION = 92, 34
local byte, char, find, floor = string.byte, string.char, string.find, math.floor

local function utf8(code)
  if code < 0x80 then
    return char(code)
  elseif code < 0x800 then
    return char(0xC0 + floor(code / 0x40), 0x80 + code % 0x40)
  elseif code < 0x10000 then
    return char(0xE0 + floor(code / 0x1000), 0x80 + floor(code / 0x40) % 0x40, 0x80 + code % 0x40)
  end
  return char(0xF0 + floor(code / 0x40000), 0x80 + floor(code / 0x1000) % 0x40, 0x80 + floor(code / 0x40) % 0x40,
    0x80 + code % 0x40)
end

-- What the escape at `at` means, and where it ends; nil where it means nothing.
local function escape(raw, at)
  local letter = raw:sub(at + 1, at + 1)
  if letter ~= "u" then
    return MEANS[letter], at + 2
  end
  local code = tonumber(raw:match("^%x%x%x%x", at + 2) or "", 16)
  if not code or code < 0xD800 or code > 0xDFFF then
    return code and utf8(code), at + 6
  end
  local low = tonumber(raw:match("^\\u([dD][c-fC-F]%x%x)", at + 6) or "", 16)
  return code < 0xDC00 and low and utf8(0x10000 + (code - 0xD800) * 0x400 + low - 0xDC00), at + 12
end

local function unescaped(raw)
  local parts, from, at = {}, 1, find(raw, "\\", 1, true)
  while at do
    local meant, after = escape(raw, at)
    if not meant then
      return nil
    end
    parts[#parts + 1] = raw:sub(from, at - 1) .. meant
    from, at = after, find(raw, "\\", after, true)
  end
  return table.concat(parts) .. raw:sub(from)
end

-- The quote that ends the string which starts behind `at`.
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

-- Whether the string between these quotes may be the key, which is looked at closely then.
local function is_key(text, first, last)
  local length = last - first - 1
  if length < 5 or length > LONGEST_KEY or (length > 5 and not find(text:sub(first, last), "\\", 1, true)) then
    return false
  end
  return unescaped(text:sub(first + 1, last - 1)) == "model"
end

-- What the value at `at` is between its quotes, false where it is no name; and where to go on.
local function written_at(text, at)
  local last = byte(text, at) == QUOTATION and closing_quote(text, at)
  if not last then
    return false, at
  end
  return last - at - 1 <= LONGEST_NAME and text:sub(at + 1, last - 1), last + 1
end

local function meaning(written)
  local name = written and unescaped(written)
  return name and name ~= "" and not find(name, "[%z\1-\31\127]") and name
end

-- Where the next mark from `at` on is, as fast as memory is read; `ahead` is where each mark was found last.
local function next_mark(text, at, ahead, stop)
  local nearest = stop
  for each = 1, 5 do
    if ahead[each] < at then
      ahead[each] = find(text, MARKS[each], at, true) or stop
    end
    if ahead[each] < nearest then
      nearest = ahead[each]
    end
  end
  return nearest
end

-- What the string behind the quote at `first` is if it is the key: the value between its quotes, or false. And where
-- to go on; nil where the string has no end.
local function value_behind(text, first, last)
  local _, colon = nil, nil
  if is_key(text, first, last) then
    _, colon = find(text, "^[ \t\r\n]*:[ \t\r\n]*", last + 1)
  end
  if not colon then
    return nil, last + 1
  end
  return written_at(text, colon + 1)
end

local function model_of(text)
  local at, depth, stop, written = find(text, "{", 1, true), 0, #text + 1, false
  if not at or find(text, "[^ \t\r\n]") ~= at then
    return false
  end
  local ahead, structure, plain = { 0, 0, 0, 0, 0 }, 0, 0
  repeat
    local mark = byte(text, at)
    if mark == QUOTATION then
      local last = closing_quote(text, at)
      if not last then
        return false
      end
      structure, plain = structure + 1, 0
      if depth == 1 then
        local found
        found, at = value_behind(text, at, last)
        if found ~= nil then
          written = found
        end
      else
        at = last + 1
      end
    elseif mark == OBJECT or mark == LIST then
      structure, depth, plain, at = structure + 1, depth + 1, 0, at + 1
    elseif mark == OBJECT_END or mark == LIST_END then
      depth, plain, at = depth - 1, 0, at + 1
    elseif plain < NEAR then
      plain, at = plain + 1, at + 1
    else
      plain, at = 0, next_mark(text, at, ahead, stop)
    end
  until depth == 0 or at >= stop or structure > MOST_STRUCTURE
  return depth == 0 and structure <= MOST_STRUCTURE and meaning(written) -- read once, however many there are
end

-- The field `model` of a form, of several the last. A file is stepped over by looking for the next boundary.
local function model_of_form(text, boundary)
  local delimiter, written = "--" .. boundary, false
  local at = 1
  if text:sub(1, #delimiter) ~= delimiter then
    at = (find(text, "\r\n" .. delimiter, 1, true) or #text) + 2
  end
  for _ = 1, MOST_FIELDS do
    local head = at + #delimiter
    local head_end = text:sub(head, head + 1) == "\r\n" and find(text, "\r\n\r\n", head, true)
    local last = head_end and find(text, "\r\n" .. delimiter, head_end, true)
    if not last then
      break
    end
    local described = text:sub(head, head_end)
    local is_model = find(described, '[;%s][Nn][Aa][Mm][Ee]="model"[;%s]')
      or find(described, "[;%s][Nn][Aa][Mm][Ee]=model[;%s]")
    if is_model and not find(described, "[;%s][Ff][Ii][Ll][Ee][Nn][Aa][Mm][Ee]%*?=") then
      written = last - head_end - 4 <= LONGEST_NAME and text:sub(head_end + 4, last - 1)
    end
    at = last + 2
  end
  return written and written ~= "" and not find(written, "[%z\1-\31\127]") and written
end

-- The boundary of a form, nil for other kinds of bodies.
local function boundary_of(content_type)
  if not content_type or content_type:match("^%s*([^;%s]*)"):lower() ~= "multipart/form-data" then
    return nil
  end
  return content_type:match('[Bb]oundary="([^"]+)"') or content_type:match('[Bb]oundary=([^%s;"]+)')
end

local function name_in(text, boundary)
  return boundary and model_of_form(text, boundary) or not boundary and model_of(text)
end

function envoy_on_request(handle)
  if handle:headers():get(":method") == "CONNECT" then
    return -- a tunnel's body has no end to wait for
  end
  local body = handle:body()
  local size = body and body:length() or 0
  local boundary = size > 0 and boundary_of(handle:headers():get("content-type"))
  local name = size > 0 and name_in(body:getBytes(0, size), boundary)
  if name then
    handle:headers():replace(HEADER, name)
    handle:headers():replace(OTHER_NAME, name)
  end
  if size > LARGE then
    collectgarbage()
  end
end
