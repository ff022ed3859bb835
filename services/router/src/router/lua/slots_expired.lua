-- Slots whose lease is over by Redis' clock and that have something to be cleaned up. KEYS: slot, connections, rooms, for each slot.
-- Returns the place of each (from 0) and its epoch, flat; epoch 0 where there is no lease on record, as Redis was emptied.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local expired = {}
for at = 1, #KEYS, 3 do
  local slot = redis.call('HMGET', KEYS[at], 'gateway', 'epoch', 'expiresAt')
  if tonumber(slot[3] or '0') <= now then
    local left = (slot[1] and slot[1] ~= '') or redis.call('EXISTS', KEYS[at + 1], KEYS[at + 2]) > 0
    if left then
      expired[#expired + 1] = (at - 1) / 3
      expired[#expired + 1] = slot[2] or '0'
    end
  end
end
return expired
