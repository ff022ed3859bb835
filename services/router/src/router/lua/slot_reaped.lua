-- Take a slot whose lease is over, to clean it up: until it is released no gateway can claim it, and only one router is at it.
-- KEYS: slot. ARGV: who takes it, the epoch as it was seen, milliseconds to hold. Returns the new epoch, or nil when it is not to be had.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local slot = redis.call('HMGET', KEYS[1], 'epoch', 'expiresAt')
if (slot[1] or '0') ~= ARGV[2] or tonumber(slot[2] or '0') > now then
  return nil
end
local epoch = string.format('%d', math.max(tonumber(slot[1] or '0') + 1, now))
redis.call('HSET', KEYS[1], 'gateway', ARGV[1], 'epoch', epoch, 'expiresAt', string.format('%d', now + ARGV[3]))
return epoch
