-- Writes what a request has cost where Envoy AI Gateway does, under the keys of its route. The filters behind this one
-- read the counts; once the answer has passed, they are there. The filter's context maps each key to a kind of count.
local COUNTS, COSTS = "llm", "io.envoy.ai_gateway"

function envoy_on_response(handle)
  for _ in handle:bodyChunks() do
  end
  local metadata = handle:streamInfo():dynamicMetadata()
  local counts = metadata:get(COUNTS)
  if not counts then
    return
  end
  local total = (counts.prompt_tokens or 0) + (counts.completion_tokens or 0)
  for key, kind in pairs(handle:filterContext()) do
    local count = counts[kind] or kind == "total_tokens" and total > 0 and total
    if count then
      metadata:set(COSTS, key, count)
    end
  end
end
