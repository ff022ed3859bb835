-- Take connections that have no record off the list, and find those that a slot's former gateway has left.
-- KEYS: all connections. ARGV: how keys are named (%s is the id, or the number): connection, slot; then connection ids.
-- Returns how many were taken off, then slot, its fencing epoch and the connection's id, for each that is left over.
local found = { 0 }
for at = 3, #ARGV do
  local id = ARGV[at]
  local held = redis.call('HMGET', string.format(ARGV[1], id), 'epoch', 'slot')
  if not held[1] then
    found[1] = found[1] + redis.call('SREM', KEYS[1], id)
  elseif held[2] then
    local epoch = redis.call('HGET', string.format(ARGV[2], held[2]), 'epoch')
    if epoch and tonumber(epoch) > tonumber(held[1]) then
      found[#found + 1] = held[2]
      found[#found + 1] = epoch
      found[#found + 1] = id
    end
  end
end
return found
