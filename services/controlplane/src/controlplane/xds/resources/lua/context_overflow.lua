-- Marks an answer which says that the request is longer than the model's context, so that a lower tier, which may have a
-- larger one, is asked instead. Engines say so in words alone: status 400 is also that of every other mistake.
local OUTCOME = "x-pointsman-outcome"
local OVERFLOW = "context"
local LONGEST = 65536 -- bytes: an error has a few hundred, but may repeat what it is about
local WORDS = {
  "context length", "context_length", "maximum model length", "max_model_len", "context window", "context size",
  "context_size", "longer than the model"
}

function envoy_on_response(handle)
  local headers = handle:headers()
  local length = tonumber(headers:get("content-length") or "")
  if headers:get(":status") ~= "400" or not length or length > LONGEST then
    return
  end
  local body = handle:body()
  local size = body and body:length() or 0
  local text = size > 0 and body:getBytes(0, size):lower() or ""
  for _, words in ipairs(WORDS) do
    if text:find(words, 1, true) then
      handle:headers():replace(OUTCOME, OVERFLOW)
      return
    end
  end
end
