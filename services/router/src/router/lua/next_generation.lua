-- The next number of each key: one above the last, and at least the floor given for it.
-- KEYS: counters. ARGV: floors, in the same order. Returns the numbers, as text: they exceed what a float of Lua shows in full.
local drawn = {}
for at, key in ipairs(KEYS) do
  local last = tonumber(redis.call('GET', key) or '0') or 0
  local number = math.max(last + 1, tonumber(ARGV[at]))
  drawn[at] = string.format('%.0f', number)
  redis.call('SET', key, drawn[at])
end
return drawn
