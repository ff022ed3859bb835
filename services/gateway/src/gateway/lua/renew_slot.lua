-- Renew a lease. KEYS: slot. ARGV: gateway, epoch, milliseconds to hold. Returns 1, or 0 when the slot is under another epoch.
-- A missing record means that Redis was emptied: the holder writes it anew.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch and epoch ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'gateway', ARGV[1], 'epoch', ARGV[2], 'expiresAt', string.format('%d', now + ARGV[3]))
return 1
