-- Lease the first free slot. KEYS: slot and its connections, for each slot. ARGV: gateway, milliseconds to hold.
-- A slot whose last gateway's connections are still recorded is not free: the reaper is at it.
-- Returns {slot, epoch}, or nil when none is free. The epoch rises even when Redis was emptied.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for n = 1, #KEYS, 2 do
  local slot = redis.call('HMGET', KEYS[n], 'gateway', 'epoch')
  if (not slot[1] or slot[1] == '') and redis.call('EXISTS', KEYS[n + 1]) == 0 then
    local epoch = math.max(tonumber(slot[2] or '0') + 1, now)
    local shown = string.format('%d', epoch)
    redis.call('HSET', KEYS[n], 'gateway', ARGV[1], 'epoch', shown, 'expiresAt', string.format('%d', now + ARGV[2]))
    return {(n - 1) / 2, shown}
  end
end
return nil
